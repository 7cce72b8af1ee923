"""A few thousand mutated messages in every change; `python -m bench.fuzz` throws a million."""

from __future__ import annotations

import pytest

from bench.fuzz.blocks import throw_block
from edgerig_controller.fleet import leases
from edgerig_controller.rpc import certificates, checks

SEED = 20_261_121


@pytest.mark.parametrize("block", [0, 1, 3])
def test_no_input_is_answered_by_a_fault(block: int) -> None:
    tally = throw_block(SEED, block, 1000)
    assert tally.faults == []
    assert tally.inputs == 1000
    # Most of the inputs must get beyond the parsing of protobuf, or nothing is tested.
    assert tally.handled > 600
    assert tally.outcomes["OK"] > 50


def test_a_block_is_a_function_of_its_seed() -> None:
    first, second = (throw_block(SEED, 8, 200) for _ in range(2))
    assert first.inputs == second.inputs
    assert first.outcomes["undecodable"] == second.outcomes["undecodable"]


def test_an_error_without_a_status_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "check_name", lambda value, what: {}[value])
    assert any("INTERNAL" in fault for fault in throw_block(SEED, 0, 300).faults)


def test_a_lost_fence_between_devices_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_stranger", lambda lease, device_id, epoch: None)
    assert any("victim" in fault for fault in throw_block(SEED, 0, 1500).faults)


def test_a_device_id_that_is_not_checked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates.tokens, "check_device_id", lambda device_id: {}[device_id])
    assert throw_block(SEED, 0, 1500).faults
