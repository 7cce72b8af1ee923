"""Pauses between dials, and failed calls in words a person can act on."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig.errors import EdgerigError, ProtocolError, UnreachableError
from edgerig.v1.agent_service_pb2 import SyncRequest
from edgerig_agent import session
from edgerig_agent.identity import Identity
from edgerig_agent.session import _QUIET_PAUSE_S, Backoff, GrpcChannel, Link
from edgerig_agent.signals import Signals
from tests.fakes.authority import Authority
from tests.fakes.controller import PATIENCE_S, FakeController


@given(st.integers())
def test_pauses_stay_below_a_bound_that_doubles_up_to_ten_seconds(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    for number in range(20):
        assert 0 <= backoff.pause_s() <= min(0.5 * 2**number, 10.0)


def waiting_s(pauses: Callable[[random.Random], float], agents: int) -> list[float]:
    """Returns how long after its return a controller that was gone for 90 s waits for each of a fleet."""
    waits_s = []
    for seed in range(agents):
        rng = random.Random(seed)
        next_dial_s = 0.0
        while next_dial_s < 90.0:
            next_dial_s += pauses(rng)
        waits_s.append(next_dial_s - 90.0)
    return sorted(waits_s)


def test_a_fleet_is_back_soon_after_its_controller_and_not_all_at_once() -> None:
    backoffs: dict[random.Random, Backoff] = {}

    def idle(rng: random.Random) -> float:
        return backoffs.setdefault(rng, Backoff(rng)).pause_s()

    waits_s = waiting_s(idle, 1000)
    assert waits_s[949] < 8.5
    # What a controller can take: a dial is a TLS handshake and a Sync.
    fullest = max(sum(start <= wait_s < start + 1.0 for wait_s in waits_s) for start in range(10))
    assert fullest < 250


def test_agents_that_measure_are_back_within_fifteen_seconds_too_and_not_in_step() -> None:
    waits_s = waiting_s(lambda rng: rng.uniform(*_QUIET_PAUSE_S), 1000)
    assert waits_s[949] < 11.0
    assert max(sum(start <= wait_s < start + 1.0 for wait_s in waits_s) for start in range(12)) < 250


def test_a_success_makes_the_pauses_short_again() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(10):
        backoff.pause_s()
    backoff.reset()
    assert backoff.pause_s() <= 0.5


def test_two_agents_do_not_dial_in_step() -> None:
    first, second = Backoff(random.Random(1)), Backoff(random.Random(2))
    assert [first.pause_s() for _ in range(5)] != [second.pause_s() for _ in range(5)]


def link(identity: Identity, address: str) -> Link:
    return Link(
        lambda place: GrpcChannel(identity, place),
        address=lambda: address,
        listener=Signals(),
        boot_id="boot",
        session_epoch=lambda: 1,
    )


async def failure(identity: Identity, address: str) -> EdgerigError:
    """Returns what a Sync with this identity ends with."""
    opened = link(identity, address)
    try:
        with pytest.raises(EdgerigError) as caught:
            await opened.sync(SyncRequest())
        return caught.value
    finally:
        await opened.close()


async def test_a_port_where_nothing_listens_is_named(tmp_path: Path) -> None:
    controller = FakeController()
    await controller.start()
    identity = controller.enroll_home(tmp_path)
    await controller.stop()
    error = await failure(identity, f"127.0.0.1:{controller.port}")
    assert isinstance(error, UnreachableError)
    assert "nothing listens" in error.message
    assert "edgerig serve" in error.hint


@pytest.mark.parametrize("days", [90.0, -0.5], ids=["other fleet", "expired"])
async def test_a_certificate_that_is_not_accepted_is_named(tmp_path: Path, days: float) -> None:
    controller = FakeController()
    await controller.start()
    good = controller.enroll_home(tmp_path)
    authority = Authority() if days > 0 else controller.authority
    pair = authority.agent("orin-07", days=days)
    bad = Identity(good.enrollment, pair.key_pem, pair.certificate_pem, good.ca_pem)
    error = await failure(bad, f"127.0.0.1:{controller.port}")
    await controller.stop()
    assert isinstance(error, UnreachableError)
    assert "edgerig-agent enroll" in error.hint


async def test_a_controller_of_another_fleet_is_not_talked_to(tmp_path: Path) -> None:
    controller, other = FakeController(), FakeController(Authority("fleet-2"))
    await other.start()
    identity = controller.enroll_home(tmp_path)
    error = await failure(identity, f"127.0.0.1:{other.port}")
    await other.stop()
    assert isinstance(error, UnreachableError)
    assert other.calls == {}


async def test_a_refusal_is_not_taken_for_a_lost_line(tmp_path: Path) -> None:
    controller = FakeController()
    await controller.start()
    controller.fail_before["Sync"] = [grpc.StatusCode.PERMISSION_DENIED]
    identity = controller.enroll_home(tmp_path)
    error = await failure(identity, f"127.0.0.1:{controller.port}")
    await controller.stop()
    assert isinstance(error, ProtocolError)
    assert "failed by the test" in error.message


async def test_the_link_counts_how_long_nobody_answered(tmp_path: Path) -> None:
    now_s = [0.0]
    controller = FakeController()
    await controller.start()
    identity = controller.enroll_home(tmp_path)
    opened = Link(
        lambda place: GrpcChannel(identity, place),
        address=lambda: f"127.0.0.1:{controller.port}",
        listener=Signals(),
        boot_id="boot",
        session_epoch=lambda: 1,
        clock=lambda: now_s[0],
    )
    now_s[0] = 30.0
    waited_s = opened.unreachable_s()
    await opened.sync(SyncRequest())
    assert (waited_s, opened.unreachable_s()) == (30.0, 0.0)
    await opened.close()
    await controller.stop()


async def test_a_dial_into_a_network_that_swallows_everything_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_WELCOME_S", 0.05)
    controller = FakeController()
    identity = controller.enroll_home(tmp_path)
    # It takes connections and never says anything: TLS waits, as it does behind a cut.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        opened = link(identity, f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="did not greet"):
            await asyncio.wait_for(opened._converse(), PATIENCE_S)
        await opened.close()


async def test_the_link_dials_again_at_once_when_the_measurement_is_over(tmp_path: Path) -> None:
    controller = FakeController()
    await controller.start()
    signals = Signals()
    identity = controller.enroll_home(tmp_path)
    opened = Link(
        lambda place: GrpcChannel(identity, place),
        address=lambda: f"127.0.0.1:{controller.port}",
        listener=signals,
        boot_id="boot",
        session_epoch=lambda: 1,
    )
    keeping = asyncio.create_task(opened.keep())
    await controller.wait_for(lambda: len(controller.hellos) == 1)
    await asyncio.wait_for(signals.interrupt.wait(), PATIENCE_S)
    signals.round_due.clear()
    opened.set_quiet(True)
    controller.drop_streams()
    await asyncio.wait_for(signals.round_due.wait(), PATIENCE_S)
    opened.set_quiet(False)
    # The quiet pause is longer than this wait.
    await controller.wait_for(lambda: len(controller.hellos) == 2)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await opened.close()
    await controller.stop()
