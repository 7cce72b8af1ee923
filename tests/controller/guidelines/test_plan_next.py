"""What would settle open claims, on worlds whose variances are planted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgerig_controller.guidelines.claims import Claim, of_study, registered
from edgerig_controller.guidelines.guideline import judge_family
from edgerig_controller.guidelines.matching import StudyRecords
from edgerig_controller.guidelines.plan_next import NextPlan, plan_next
from edgerig_controller.guidelines.power import mde, needed
from edgerig_controller.guidelines.verdict import DECIDED, Verdict
from edgerig_controller.guidelines.worlds import WORLDS, records_of

INT4 = {
    "id": "int4",
    "better": {"compression.kind": "rtn-int4", "method.kind": "none"},
    "than": {"compression.kind": "none", "method.kind": "none"},
    "metric": "accuracy",
}
ENERGY = {
    "id": "joules",
    "better": {"method.kind": "rag"},
    "than": {"method.kind": "lora"},
    "metric": "j_per_request",
    "margin": 0.5,
    "direction": "larger",
}


@cache
def records(world: str) -> StudyRecords:
    return records_of(WORLDS[world], np.random.default_rng(3))


def planned(world: str, claim: Claim, seconds: float = 3600.0) -> NextPlan:
    study = records(world)
    return plan_next(study, [claim], {config.config_id: seconds for config in study.configs})


def h3a() -> Claim:
    return next(claim for claim in registered() if claim.claim_id == "H3a")


def test_a_decided_claim_needs_nothing() -> None:
    found = planned("W3", h3a())
    assert found.settled == ("H3a: contradicted",)
    assert not found.claims and not found.additions and found.device_hours == 0.0


def test_an_underpowered_claim_is_told_every_way_with_its_price() -> None:
    found = planned("W5", h3a())
    (claim,) = found.claims
    assert claim.verdict == Verdict.UNDERPOWERED.value and (claim.mde or 0) > claim.margin
    hours = [way.device_hours for way in claim.ways]
    assert claim.ways and hours == sorted(hours)  # type: ignore[type-var]
    for way in claim.ways:
        if way.kind == "seeds":
            assert way.device_hours == pytest.approx(way.more * 7 * len(claim.cells))


def test_the_ways_are_those_of_the_power_calculation() -> None:
    (claim,) = planned("W5", h3a()).claims
    effect = h3a().measure(records("W5"), 2.0).effect
    assert effect is not None and effect.df is not None
    spread = effect.spread()
    assert spread is not None
    expected = needed(spread, 2.0 / mde(1.0, effect.df))
    assert {way.kind: way.more for way in claim.ways} == {
        kind: more
        for kind, more in (("seeds", expected.seeds), ("users", expected.users), ("tasks", expected.tasks))
        if more
    }


def test_running_what_was_planned_settles_the_claim() -> None:
    # The effect of W5 is 3 points and the margin 2: with the planned users it is found in most draws.
    (claim,) = planned("W5", h3a()).claims
    users = next(way.more for way in claim.ways if way.kind == "users")
    larger = replace(WORLDS["W5"], users=WORLDS["W5"].users + users)
    decided = 0
    for draw in range(8):
        study = records_of(larger, np.random.default_rng([7, draw]))
        decided += Verdict(judge_family(study, [h3a()])[0].verdict) in DECIDED
    assert decided >= 6


def test_seeds_tell_nothing_of_what_does_not_train() -> None:
    (claim,) = planned("W5", of_study(INT4)).claims
    assert "seeds" not in {way.kind for way in claim.ways}


def test_energy_asks_for_repeats_of_its_cells() -> None:
    found = planned("W0", of_study(ENERGY))
    (claim,) = found.claims
    assert [way.kind for way in claim.ways] == ["repeats"]
    assert {entry.config_id for entry in found.additions} == set(claim.cells)
    assert found.device_hours == pytest.approx(claim.ways[0].device_hours)


def test_a_cell_that_two_claims_need_is_run_once() -> None:
    study = records("W0")
    claims = [of_study(ENERGY), of_study({**ENERGY, "id": "again", "margin": 0.4})]
    found = plan_next(study, claims, {config.config_id: 60.0 for config in study.configs})
    assert len({entry.config_id for entry in found.additions}) == len(found.additions)
    neediest = max(claim.ways[0].more for claim in found.claims)
    assert {entry.more for entry in found.additions} == {neediest}
    assert {entry.claims for entry in found.additions} == {("again", "joules")}


def test_unknown_durations_give_unknown_hours_and_no_number() -> None:
    found = plan_next(records("W5"), [h3a()], {})
    assert {way.device_hours for way in found.claims[0].ways} == {None}


def test_what_cannot_be_projected_says_why() -> None:
    h1 = registered()[0]
    found = planned("W0", h1)
    assert found.claims[0].ways == () and "how tasks differ" in found.claims[0].reason
    empty = of_study({**INT4, "better": {"method.kind": "spin"}})
    assert "no matched cells" in planned("W0", empty).claims[0].reason
