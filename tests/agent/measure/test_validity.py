"""Flags of runs."""

from dataclasses import replace

import pytest

from edgerig.v1.trial_pb2 import PROTOCOL_PUBLISHABLE, PROTOCOL_QUICK, PROTOCOL_STANDARD
from edgerig_agent.measure.validity import (
    RunConditions,
    coverage_flags,
    is_invalid,
    run_flags,
    sources_disagree,
)

QUIET = RunConditions(
    protocol=PROTOCOL_STANDARD,
    own_cpu_share=0.004,
    late_p99_ns=3_000_000,
    sampler_died=False,
    swapped_in_pages=0,
)


def test_a_quiet_standard_run_has_no_flags() -> None:
    assert run_flags(QUIET) == []


def test_every_quick_run_is_indicative() -> None:
    assert run_flags(replace(QUIET, protocol=PROTOCOL_QUICK)) == ["indicative"]


@pytest.mark.parametrize(
    ("conditions", "flag"),
    [
        (replace(QUIET, swapped_in_pages=1), "swap_in"),
        (replace(QUIET, late_p99_ns=25_100_000), "sampler_late"),
        (replace(QUIET, late_p99_ns=None, sampler_died=True), "sampler_died"),
    ],
)
def test_each_disturbance_has_its_flag_and_makes_a_standard_run_invalid(
    conditions: RunConditions, flag: str
) -> None:
    assert run_flags(conditions) == [flag]
    assert is_invalid(PROTOCOL_STANDARD, [flag])
    assert is_invalid(PROTOCOL_PUBLISHABLE, [flag])


def test_our_own_processor_time_is_flagged_and_left_to_the_reader_to_judge() -> None:
    assert run_flags(replace(QUIET, own_cpu_share=0.006)) == ["self_disturbed"]
    assert not is_invalid(PROTOCOL_STANDARD, ["self_disturbed"])


def test_a_quick_run_never_claims_to_be_evidence_and_so_is_never_invalid() -> None:
    assert not is_invalid(PROTOCOL_QUICK, ["indicative", "swap_in"])


def test_coverage_below_98_percent_is_flagged() -> None:
    assert coverage_flags(0.9799) == ("low_coverage",)
    assert coverage_flags(0.98) == ()


def test_sources_disagree_beyond_five_percent() -> None:
    assert sources_disagree(100.0, 94.9)
    assert not sources_disagree(100.0, 95.1)
