"""The numbers of the protocols, and that agent and worker have the same."""

from typing import Any

import pytest

from edgerig.v1.trial_pb2 import (
    PROTOCOL_PUBLISHABLE,
    PROTOCOL_QUICK,
    PROTOCOL_STANDARD,
    Protocol,
    ProtocolOverrides,
    Trial,
)
from edgerig.words import word
from edgerig_agent.protocol.parameters import framing_s, is_shortened, parameters
from edgerig_workload import protocol as worker
from edgerig_workload import trial as worker_trial


@pytest.mark.parametrize("protocol", [PROTOCOL_QUICK, PROTOCOL_STANDARD, PROTOCOL_PUBLISHABLE])
def test_agent_and_worker_have_the_same_windows(protocol: Any) -> None:
    ours = parameters(Trial(protocol=protocol))
    theirs = worker.RULES[word(Protocol, protocol)]  # type: ignore[index]
    assert (ours.idle_s, ours.warmup_most, ours.block_s, ours.block_requests, ours.sustained_s) == (
        theirs.idle_s,
        theirs.warmup_most,
        theirs.block_least_s,
        theirs.requests_least,
        theirs.sustained_s,
    )


def test_every_window_that_the_worker_takes_is_a_field_of_the_contract() -> None:
    assert set(worker_trial.OVERRIDES) <= set(ProtocolOverrides.DESCRIPTOR.fields_by_name)


def test_a_trial_replaces_single_numbers() -> None:
    trial = Trial(protocol=PROTOCOL_STANDARD, protocol_overrides=ProtocolOverrides(idle_s=5.0, wait_s=0.0))
    found = parameters(trial)
    assert (found.idle_s, found.wait_s, found.cooldown_s, found.checks) == (5.0, 0.0, 600.0, True)


@pytest.mark.parametrize(
    ("overrides", "shortened"),
    [
        ({}, False),
        ({"block_s": 29.0}, True),
        ({"block_s": 300.0, "sustained_s": 300.0}, False),
        ({"load_share": 0.5}, True),
        ({"temperature_margin_c": 1.0}, False),
        ({"wait_s": 1.0}, False),
        ({"warmup_most": 2}, True),
    ],
)
def test_less_than_the_protocol_is_shortened(overrides: dict[str, Any], shortened: bool) -> None:
    trial = Trial(protocol=PROTOCOL_STANDARD, protocol_overrides=ProtocolOverrides(**overrides))
    assert is_shortened(trial) is shortened


def test_quick_promises_nothing_that_could_be_shortened() -> None:
    assert not is_shortened(Trial(protocol=PROTOCOL_QUICK, protocol_overrides=ProtocolOverrides(idle_s=0.1)))


def test_an_attempt_may_be_silent_for_both_waits() -> None:
    assert framing_s(Trial(protocol=PROTOCOL_STANDARD)) == 1200.0
    assert framing_s(Trial(protocol=PROTOCOL_QUICK)) == 0.0
