"""Scripted work: the same seed brings the same results, and every figure says that it is made up."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig import documents
from edgerig.errors import UsageError
from edgerig.v1.attempt_pb2 import STATUS_FAILED, AttemptResult
from edgerig.v1.trial_pb2 import Trial
from edgerig_controller.rpc import checks
from edgerig_controller.simulator.script import FLAG, SOURCE, Script, files_of


def trial(seed: int = 1) -> Trial:
    made = Trial(schema_version=1, seed=seed)
    made.digest = documents.digest(documents.to_json(made))
    return made


def result(script: Script, seed: int = 1, device: str = "sim-1") -> AttemptResult:
    return script.result(trial(seed), device, "a-1", boot_id="boot", ran_s=2.0)


def test_the_same_seed_brings_the_same_result() -> None:
    assert result(Script(seed=5)) == result(Script(seed=5))
    assert result(Script(seed=5)) != result(Script(seed=6))


def test_every_figure_says_that_it_is_simulated() -> None:
    made = result(Script())
    assert FLAG in made.flags
    assert made.measurements
    assert all(one.source == SOURCE and FLAG in one.flags for one in made.measurements)


@given(st.integers(0, 10_000))
def test_durations_stay_within_the_spread(seed: int) -> None:
    assert 8.0 <= Script(10.0, 0.2).duration_of(trial(seed), "sim-1") <= 12.0


def test_the_share_of_failures_is_kept() -> None:
    script = Script(failure_share=0.25)
    failed = sum(result(script, seed).status == STATUS_FAILED for seed in range(400))
    assert 60 <= failed <= 140


def test_the_manifest_is_one_that_the_controller_takes() -> None:
    manifest, contents = files_of(result(Script()))
    checks.check_manifest(manifest, documents.digest(documents.to_json(manifest)), "a-1")
    for reference in manifest.files:
        content = contents[reference.sha256]
        assert hashlib.sha256(content).hexdigest() == reference.sha256
        assert len(content) == reference.size_bytes


@pytest.mark.parametrize("script", [Script(-1.0), Script(spread=2.0), Script(failure_share=1.5)])
def test_numbers_out_of_range_are_refused(script: Script) -> None:
    with pytest.raises(UsageError):
        script.check()
