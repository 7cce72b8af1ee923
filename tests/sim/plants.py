"""Bugs to plant in the production code, to see that the simulation finds them.

Each is a mistake that somebody could make; each is put in place for the length
of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

from edgerig import durable
from edgerig_agent import conductor, folder, held
from edgerig_agent.held import Action, Observed
from edgerig_agent.runner import Runner
from edgerig_agent.spool import HeldRow
from edgerig_controller.data import blobs
from edgerig_controller.fleet import leases
from edgerig_controller.fleet.leases import Answer, Lease, Policy
from edgerig_controller.store import results
from tests.sim.machine import SimMachine


@contextmanager
def _deleted_before_the_reply() -> Iterator[None]:
    """The agent forgets a result when it has sent it."""
    commit = conductor.Conductor._commit

    async def hasty(self: Any, row: HeldRow, request: Any) -> bool:
        reply = await self._controller.commit_result(request)
        if not reply.missing_sha256:
            return await commit(self, row, request)
        self._runner.delete(row)
        return True

    with mock.patch.object(conductor.Conductor, "_commit", hasty):
        yield


@contextmanager
def _any_reply_is_a_promise() -> Iterator[None]:
    """A result whose files are missing counts as delivered."""
    with mock.patch.object(conductor, "after_commit", lambda _outcome: Action.DELETE):
        yield


@contextmanager
def _what_began_is_run_again() -> Iterator[None]:
    """The agent takes a died attempt for one that never ran."""

    def careless(seen: Observed) -> Action:
        if seen.began and not seen.alive and not seen.manifest and seen.verdict is not None:
            return Action.SPAWN
        return held.decide(replace(seen, began=seen.began and seen.verdict is None and seen.alive))

    def spawn(self: Runner, row: HeldRow) -> None:
        (self.folder(row.attempt_id).path / "began").unlink(missing_ok=True)
        original(self, row)

    original = Runner.spawn
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(conductor, "decide", careless))
        stack.enter_context(mock.patch("edgerig_agent.runner.decide", careless))
        stack.enter_context(mock.patch.object(Runner, "spawn", spawn))
        yield


@contextmanager
def _no_fencing() -> Iterator[None]:
    """The controller takes a trial's newest epoch for granted: it gives every attempt the same."""
    offer = leases.offer

    def unfenced(attempt_id: str, device_id: str, **rest: Any) -> Lease:
        return offer(attempt_id, device_id, **{**rest, "epoch": 1})

    with mock.patch.object(leases, "offer", unfenced):
        yield


@contextmanager
def _expired_means_free() -> Iterator[None]:
    """An expired lease goes back into the queue at once, and the old one is forgotten."""
    expire = leases.expire

    def hasty(lease: Lease, now_unix_s: float, policy: Policy) -> Answer:
        answer = expire(lease, now_unix_s, policy)
        if answer.lease.state == "unknown":
            closed = replace(lease, state="cancelled", deadline_unix_s=None)
            return Answer(closed, "discard", "expired", "requeue")
        return answer

    def forgetful(lease: Lease, *rest: Any, **named: Any) -> Answer:
        if lease.state == "cancelled":
            return Answer(lease, "discard", "the lease is over")
        return original(lease, *rest, **named)

    original = leases.held
    with mock.patch.object(leases, "expire", hasty), mock.patch.object(leases, "held", forgetful):
        yield


@contextmanager
def _a_second_commit_is_a_second_result() -> Iterator[None]:
    """Committing is not idempotent."""
    with mock.patch.object(results, "_results_of", lambda _session, _attempt_id: []):
        yield


@contextmanager
def _lost_is_for_ever() -> Iterator[None]:
    """A result that comes after the device was given up does not count."""
    place = results._place

    def stubborn(session: Any, row: Any, trial: Any, submission: Any, earlier: Any) -> Any:
        return "superseded" if row.state == "lost" else place(session, row, trial, submission, earlier)

    with mock.patch.object(results, "_place", stubborn):
        yield


@contextmanager
def _row_without_folder() -> Iterator[None]:
    """The folder that the spool's row names is not made durable."""
    forgetful = SimpleNamespace(replace=durable.replace, sync=lambda _folder: None)
    with mock.patch.object(folder, "durable", forgetful):
        yield


@contextmanager
def _blob_without_name() -> Iterator[None]:
    """A blob's name is not made durable before its result is."""
    with mock.patch.object(blobs, "sync", lambda _folder: None):
        yield


@contextmanager
def _the_living_are_taken_for_dead() -> Iterator[None]:
    """A new daemon does not look whether the attempt of the one before it still runs."""
    with (
        mock.patch.object(SimMachine, "is_locked", lambda _self, _path: False),
        mock.patch.object(Runner, "_process", lambda _self, _row, _folder: None),
    ):
        yield


@contextmanager
def _hints_are_facts() -> Iterator[None]:
    """An idle agent waits for a hint, however long it takes."""
    with mock.patch("edgerig_agent.rounds.IDLE_S", 1e9):
        yield


@contextmanager
def _unknown_for_ever() -> Iterator[None]:
    """A device that never comes back keeps its trial."""
    expire = leases.expire

    def patient(lease: Lease, now_unix_s: float, policy: Policy) -> Answer:
        if lease.state == "unknown":
            return Answer(replace(lease, deadline_unix_s=now_unix_s + 1e6), "continue")
        return expire(lease, now_unix_s, policy)

    def unaware(lease: Lease) -> Answer:
        return Answer(lease, "continue")

    with mock.patch.object(leases, "expire", patient), mock.patch.object(leases, "gone", unaware):
        yield


PLANTS: dict[str, Callable[[], Any]] = {
    "deleted_before_the_reply": _deleted_before_the_reply,
    "any_reply_is_a_promise": _any_reply_is_a_promise,
    "what_began_is_run_again": _what_began_is_run_again,
    "no_fencing": _no_fencing,
    "expired_means_free": _expired_means_free,
    "a_second_commit_is_a_second_result": _a_second_commit_is_a_second_result,
    "lost_is_for_ever": _lost_is_for_ever,
    "row_without_folder": _row_without_folder,
    "blob_without_name": _blob_without_name,
    "the_living_are_taken_for_dead": _the_living_are_taken_for_dead,
    "hints_are_facts": _hints_are_facts,
    "unknown_for_ever": _unknown_for_ever,
}
