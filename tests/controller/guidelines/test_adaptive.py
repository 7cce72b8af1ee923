"""When a study may stop: looks on planted worlds, and the figures behind each decision."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgerig_controller.guidelines.adaptive import (
    Decision,
    Look,
    chances_at_end,
    decide,
    information,
    look_after,
    of_first_seeds,
)
from edgerig_controller.guidelines.claims import of_study, registered
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.matching import StudyRecords
from edgerig_controller.guidelines.scores import Contrast
from edgerig_controller.guidelines.verdict import DECIDED, Verdict
from edgerig_controller.guidelines.worlds import WORLDS, records_of

HARM = {
    "id": "int4-helps",
    "better": {"compression.kind": "rtn-int4"},
    "than": {"compression.kind": "none"},
    "metric": "accuracy",
}


@cache
def records(world: str) -> StudyRecords:
    return records_of(WORLDS[world], np.random.default_rng(11))


def looks(world: str, *counts: int) -> list[Look]:
    study = records(world)
    seeds = study.tasks[0].table.seeds
    return [Look(count, of_first_seeds(study, seeds[:count])) for count in counts]


@cache
def decision(world: str) -> Decision:
    return decide(looks(world, 2, 3, 4, 5), registered(), planned_seeds=5)


def contrast(components: tuple[float, float, float] | None, seeds: int = 2) -> Contrast:
    return Contrast("t", 1.0, 1.0, 10.0, "points", 50, 200, seeds, components, "")


def test_looks_begin_with_two_seeds_and_are_five_at_most() -> None:
    assert look_after(1) == (1,)
    assert look_after(2) == (2,)
    assert look_after(5) == (2, 3, 4, 5)
    assert look_after(50) == (2, 14, 26, 38, 50)
    with pytest.raises(ValueError, match="seed"):
        look_after(0)


def test_a_large_harm_is_settled_at_the_first_look() -> None:
    found = decide(looks("W3", 2), [of_study(HARM)], planned_seeds=5)
    (standing,) = found.standings
    assert (standing.why, standing.n_seeds) == ("decided", 2)
    assert standing.guideline.verdict == Verdict.CONTRADICTED.value
    assert found.settled and not found.cells


def test_a_look_before_the_end_is_judged_at_less_than_the_whole_level() -> None:
    early = decide(looks("W3", 2), [of_study(HARM)], planned_seeds=50)
    late = decide(looks("W3", 5), [of_study(HARM)], planned_seeds=5)
    assert early.standings[0].level < late.standings[0].level == pytest.approx(0.05)
    assert early.standings[0].guideline.interval is not None
    wide, narrow = (entry.standings[0].guideline.interval for entry in (early, late))
    assert wide is not None and narrow is not None and wide[0] < narrow[0]


def test_what_settled_claims_alone_look_at_is_needed_no_more() -> None:
    found = decide(looks("W3", 2), registered(), planned_seeds=5)
    still = {entry.claim_id for entry in found.standings if entry.why == "open"}
    if not still:
        assert not found.cells
    assert found.cells < {config.config_id for config in records("W3").configs}


def test_later_looks_leave_settled_claims_as_they_were() -> None:
    first = {
        entry.claim_id: entry for entry in decide(looks("W1", 2), registered(), planned_seeds=5).standings
    }
    for entry in decision("W1").standings:
        if first[entry.claim_id].why != "open":
            assert entry == first[entry.claim_id]


def test_at_the_planned_end_nothing_is_open() -> None:
    for world in ("W1", "W4"):
        assert decision(world).settled
        assert not decision(world).cells


def test_every_claim_has_a_standing_in_the_order_of_the_claims() -> None:
    assert [entry.claim_id for entry in decision("W4").standings] == [c.claim_id for c in registered()]
    for entry in decision("W4").standings:
        decided = Verdict(entry.guideline.verdict) in DECIDED
        assert decided or entry.why != "decided"
        assert not decided or entry.why in ("decided", "open")


def test_cells_that_failed_leave_their_claims_untestable_and_stop_nothing() -> None:
    def lose(look: Look) -> Look:
        tasks = []
        for task in look.records.tasks:
            scores = task.table.scores.copy()
            scores[[at for at, name in enumerate(task.table.configs) if "ia3" in name]] = np.nan
            tasks.append(replace(task, table=replace(task.table, scores=scores)))
        return Look(look.n_seeds, replace(look.records, tasks=tuple(tasks)))

    found = decide([lose(look) for look in looks("W5", 2, 3)], registered(), planned_seeds=3)
    by_claim = {entry.claim_id: entry for entry in found.standings}
    assert by_claim["H4"].why == "untestable"
    assert found.settled


def test_information_is_the_inverse_of_the_projected_variance() -> None:
    effect = Effect(1.0, 1.0, 6.0, "points", (contrast((50.0, 2.0, 10.0)),), tau2=0.5)
    at = {seeds: 0.5 + 50.0 / 50 + (2.0 + 10.0 / 50) / seeds for seeds in (2, 5)}
    assert information(effect, 2, 5) == pytest.approx(at[5] / at[2])
    # A bend over tasks takes nothing from their spread.
    bend = replace(effect, is_mean=False)
    assert information(bend, 2, 5) == pytest.approx((at[5] - 0.5) / (at[2] - 0.5))
    assert information(effect, 5, 5) == 1.0


def test_without_components_every_seed_brings_the_same() -> None:
    assert information(None, 2, 5) == 0.4
    assert information(Effect(1.0, 1.0, 6.0, "log ratio", (contrast(None),)), 2, 5) == 0.4


def test_the_chance_of_a_decision_is_that_of_simulated_ends() -> None:
    claim = of_study(HARM)
    effect = Effect(1.5, 1.0, 30.0, "points", ())
    rng = np.random.default_rng(5)
    truth = 1.5 + rng.standard_normal(20_000)
    # The rest of the data holds as much information as what is known.
    rest = truth + rng.standard_normal(20_000)
    final, se = (1.5 + rest) / 2, np.sqrt(0.5)
    half = 2.0423 * se
    tost = 1.6973 * se
    chances = chances_at_end(claim, effect, 0.5, 0.05)
    supported = (final - half > 0) & (final >= claim.delta)
    equivalent = (final - tost > -claim.delta) & (final + tost < claim.delta) & (final - half <= 0)
    for verdict, ends in (
        (Verdict.SUPPORTED, supported),
        (Verdict.EQUIVALENT, equivalent & (final + half >= 0)),
        (Verdict.CONTRADICTED, final + half < 0),
    ):
        assert chances.get(verdict, 0.0) == pytest.approx(ends.mean(), abs=0.03)
    assert sum(chances.values()) == pytest.approx(1.0)


def test_an_effect_without_an_error_has_no_chance() -> None:
    assert chances_at_end(of_study(HARM), Effect(1.0, None, None, "points", ()), 0.5, 0.05) == {}


@pytest.mark.parametrize("counts", [(), (3, 2), (6,)])
def test_looks_out_of_order_are_refused(counts: tuple[int, ...]) -> None:
    given = [Look(count, records("W5")) for count in counts]
    with pytest.raises(ValueError, match="sequence"):
        decide(given, registered(), planned_seeds=5)
