"""Every verdict and the order of the rules; minimal detectable effects against the design's table."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgerig_controller.guidelines.power import Needed, Spread, equivalence_reach, mde, needed
from edgerig_controller.guidelines.verdict import Evidence, Verdict, judge


def evidence(estimate: float, se: float, **more: object) -> Evidence:
    """Evidence with normal intervals around an estimate; delta is 2 points."""
    found = Evidence(
        delta=2.0,
        estimate=estimate,
        se=se,
        df=1e6,
        interval=(estimate - 1.96 * se, estimate + 1.96 * se),
        tost=(estimate - 1.645 * se, estimate + 1.645 * se),
        spread=Spread(user=40 * se**2, seed=0.0, both=0.0, n_users=40, n_items=200, n_seeds=5),
    )
    return replace(found, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("estimate", "se", "verdict"),
    [
        (3.0, 0.5, Verdict.SUPPORTED),
        (1.0, 0.4, Verdict.NEGLIGIBLE),
        (0.0, 0.5, Verdict.EQUIVALENT),
        (-3.0, 0.5, Verdict.CONTRADICTED),
        (-1.0, 0.4, Verdict.CONTRADICTED),
        (0.5, 2.0, Verdict.UNDERPOWERED),
        (1.9, 0.9, Verdict.UNDERPOWERED),
    ],
)
def test_the_interval_decides(estimate: float, se: float, verdict: Verdict) -> None:
    assert judge(evidence(estimate, se)).verdict is verdict


def test_strongly_means_that_the_lower_bound_passes_delta() -> None:
    assert judge(evidence(4.0, 0.5)).strongly
    assert not judge(evidence(2.5, 0.5)).strongly


def test_heterogeneous_comes_before_underpowered_and_after_decided() -> None:
    split = {"prediction": (-5.0, 5.0), "heterogeneity_p": 0.01}
    assert judge(evidence(0.5, 2.0, **split)).verdict is Verdict.HETEROGENEOUS
    assert judge(evidence(5.0, 0.5, **split)).verdict is Verdict.SUPPORTED


def test_a_prediction_interval_that_is_wide_from_lack_of_data_is_not_heterogeneity() -> None:
    wide = evidence(0.5, 2.0, prediction=(-5.0, 5.0), heterogeneity_p=0.4)
    assert judge(wide).verdict is Verdict.UNDERPOWERED


def test_significant_tasks_in_both_directions_are_heterogeneous() -> None:
    got = judge(evidence(0.5, 2.0, positive_tasks=2, negative_tasks=1))
    assert got.verdict is Verdict.HETEROGENEOUS
    assert "2 tasks" in got.reasons[0]


def test_definitions_that_decide_differently_make_no_claim() -> None:
    flipped = (("D2", Verdict.EQUIVALENT),)
    assert judge(evidence(3.0, 0.5, alternates=flipped)).verdict is Verdict.DEFINITION_DEPENDENT
    still = (("D2", Verdict.SUPPORTED), ("D3", Verdict.UNDERPOWERED), ("D4", Verdict.NEGLIGIBLE))
    assert judge(evidence(3.0, 0.5, alternates=still)).verdict is Verdict.SUPPORTED


def test_two_definitions_may_conflict_where_the_first_is_open() -> None:
    split = (("D2", Verdict.SUPPORTED), ("D3", Verdict.CONTRADICTED))
    assert judge(evidence(0.5, 2.0, alternates=split)).verdict is Verdict.DEFINITION_DEPENDENT


def test_an_unmet_condition_takes_support_away_and_is_named() -> None:
    got = judge(evidence(3.0, 0.5, checks=(("the vertex lies inside the range", False),)))
    assert got.verdict is Verdict.DEFINITION_DEPENDENT
    assert "vertex" in got.reasons[1]


@pytest.mark.parametrize(
    "gap",
    [
        {"missing": ("lora on lamp-3: oom",)},
        {"estimate": None},
        {"emulated_only": True},
        {"se": None, "interval": None, "tost": None},
    ],
)
def test_no_verdict_without_the_evidence_it_needs(gap: dict[str, object]) -> None:
    got = judge(replace(evidence(3.0, 0.5), **gap))  # type: ignore[arg-type]
    assert (got.verdict, got.mde) == (Verdict.NOT_TESTED, None)
    assert got.reasons


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="delta"):
        judge(evidence(3.0, 0.5, delta=0.0))


def test_only_open_claims_ask_for_more_data() -> None:
    assert judge(evidence(3.0, 0.5)).needed is None
    open_claim = judge(evidence(0.5, 2.0))
    assert open_claim.needed is not None
    # SE must fall from 2 to 2 / 2.80: 7.85 times the users.
    assert open_claim.needed.users == math.ceil(40 * (1.959964 + 0.841621) ** 2 - 1e-6) - 40


def test_an_equivalence_claim_asks_for_the_power_of_two_one_sided_tests() -> None:
    as_difference, as_equivalence = judge(evidence(0.5, 2.0)), judge(evidence(0.5, 2.0), equivalence=True)
    assert as_difference.needed is not None and as_equivalence.needed is not None
    assert (as_equivalence.needed.users or 0) > (as_difference.needed.users or 0)


@pytest.mark.parametrize(("n", "q", "points"), [(100, 0.1, 8.9), (500, 0.2, 5.6), (1500, 0.2, 3.2)])
def test_minimal_detectable_effects_of_paired_accuracy(n: int, q: float, points: float) -> None:
    assert mde(100 * math.sqrt(q / n), 1e9) == pytest.approx(points, abs=0.05)


def test_equivalence_needs_a_standard_error_of_delta_over_2_93() -> None:
    assert equivalence_reach(1.0, 1e9) == pytest.approx(2.93, abs=0.005)


def test_what_one_kind_of_data_cannot_settle_is_said() -> None:
    seeds_differ = Spread(user=1.0, seed=100.0, both=1.0, n_users=50, n_items=100, n_seeds=5)
    got = needed(seeds_differ, se_target=1.0)
    assert got.users is None and got.items is None
    assert got.seeds is not None
    assert seeds_differ.se(50, 5 + got.seeds, 1) <= 1.0 < seeds_differ.se(50, 4 + got.seeds, 1)


def test_differing_tasks_are_settled_only_by_more_tasks() -> None:
    spread = Spread(1.0, 1.0, 1.0, n_users=50, n_items=100, n_seeds=5, tau2=16.0, n_tasks=7)
    got = needed(spread, se_target=1.0)
    assert (got.users, got.seeds, got.items) == (None, None, None)
    assert got.tasks is not None
    assert spread.se(50, 5, 7 + got.tasks) <= 1.0 < spread.se(50, 5, 6 + got.tasks)


def test_enough_data_need_no_more() -> None:
    spread = Spread(1.0, 0.0, 0.0, n_users=50, n_items=100, n_seeds=5)
    assert needed(spread, se_target=1.0) == Needed(0, 0, 0, 0)


@pytest.mark.parametrize("bad", [(-1.0, 5.0), (1.0, 0.0)])
def test_impossible_errors_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="minimal detectable"):
        mde(*bad)
    with pytest.raises(ValueError, match="reached"):
        needed(Spread(1, 1, 1, 2, 2, 2), 0.0)
