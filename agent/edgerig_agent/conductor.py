"""Carries out what is decided about each held attempt, with the controller and the device.

Level-triggered: every round reports all that is held, does what the answer
allows, and asks for more until there is nothing to do. A round can be cut off
anywhere; the next one begins from the spool and the folders alone. Knows
nothing of channels or of how attempts are measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edgerig.deadlines import end
from edgerig.documents import digest, to_json
from edgerig.errors import DeviceError, EdgerigError, ProtocolError, RejectedError, UnreachableError
from edgerig.v1.agent_service_pb2 import (
    HELD_STATE_REBOOTING,
    VERDICT_CANCEL,
    VERDICT_CONTINUE,
    VERDICT_UNSPECIFIED,
    AcceptLeaseRequest,
    CommitResultRequest,
    HeldAttempt,
    Lease,
    ReportInventoryRequest,
    StartAttemptRequest,
    SyncRequest,
)
from edgerig.v1.attempt_pb2 import FAILURE_CLASS_PRECONDITION, FAILURE_CLASS_REBOOT_FAILED, FailureClass
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.trial_pb2 import Trial
from edgerig_agent import folder as folders
from edgerig_agent import restarts
from edgerig_agent.calls import Controller
from edgerig_agent.held import MAX_SPAWNS, Action, after_commit, decide, reported_state
from edgerig_agent.protocol.parameters import framing_s
from edgerig_agent.runner import Runner
from edgerig_agent.signals import Signals
from edgerig_agent.spool import HeldRow, Spool
from edgerig_agent.transfer import BlobCache, fetch, push

_log = logging.getLogger(__name__)

# Starting interpreters, hashing and writing files, ending a worker that does not listen.
_QUIET_MARGIN_S = 60.0
_RENEWALS_PER_TTL = 3
_COMMIT_ROUNDS = 3
# Attempts that one Sync may name.
_REPORTED_MOST = 64


@dataclass(frozen=True)
class Limits:
    """What an agent allows itself: cache size, and free disk below which it takes no work, in bytes."""

    cache_bytes: int
    reserve_bytes: int


class Rest(Enum):
    """Why a round ended."""

    # Nothing is held and nothing was offered: a hint of the controller comes first.
    IDLE = "idle"
    # Something is held that could not be settled, or the device takes no work
    # for a reason of its own: nobody but this device will know when that is over.
    UNSETTLED = "unsettled"


class Conductor:
    """Takes one attempt after the other from offer to commit."""

    def __init__(
        self,
        home: Path,
        *,
        controller: Controller,
        signals: Signals,
        spool: Spool,
        runner: Runner,
        limits: Limits,
        worker_python: str,
        collect_facts: Callable[[], Awaitable[DeviceFacts]],
        own_pids: Callable[[], tuple[int, ...]],
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._home = home
        self._controller = controller
        self._signals = signals
        self._spool = spool
        self._runner = runner
        self._restarts = restarts.Restarts(home, spool, runner)
        self._limits = limits
        self._cache = BlobCache(home / "cache" / "blobs", limits.cache_bytes)
        self._worker_python = worker_python
        self._collect_facts = collect_facts
        self._own_pids = own_pids
        self._free_bytes = free_bytes
        self._facts: DeviceFacts | None = None
        self._inventory_due = True
        self._confirmed: set[str] = set()

    async def round(self) -> Rest:
        """Settles what is held, then takes and runs work until none is offered; says what for to wait.

        Raises:
            UnreachableError: the controller did not answer; call again after a reconnect.
            EdgerigError: something else stopped the round; what is held stays held.
        """
        while True:
            self._inventory_due |= self._signals.reconnected
            self._signals.reconnected = False
            all_rows = await self._runner.settle_own()
            # What may still run comes first; the results of a whole batch take several rounds.
            rows = sorted(all_rows, key=lambda row: row.state == "finished")[:_REPORTED_MOST]
            if not rows:
                await self._report_inventory()
            request = self._report(rows)
            reply = await self._controller.sync(request)
            verdicts = {item.attempt_id: int(item.verdict) for item in reply.verdicts}
            for row in rows:
                await self._settle(row.attempt_id, verdicts.get(row.attempt_id, VERDICT_UNSPECIFIED))
            if left := len(self._spool.rows()):
                if left < len(all_rows):
                    continue
                # An answer is still missing; asking again at once would not bring it.
                return Rest.UNSETTLED
            if reply.HasField("offer") and not rows:
                await self._take(reply.offer)
            elif not rows:
                return Rest.IDLE if request.wants_work else Rest.UNSETTLED

    def _report(self, rows: list[HeldRow]) -> SyncRequest:
        free_bytes = self._free_bytes(self._home)
        reserve_bytes, reason = self._limits.reserve_bytes, ""
        if free_bytes < reserve_bytes and not rows:
            # What is cached can be fetched again; nothing of it is in use while nothing is held.
            with contextlib.suppress(DeviceError):
                self._cache.make_room((), free_bytes=free_bytes, reserve_bytes=reserve_bytes)
            free_bytes = self._free_bytes(self._home)
        if free_bytes < reserve_bytes:
            reason = (
                f"{free_bytes / 2**20:.0f} MiB are free on the disk of {self._home}, "
                f"an attempt needs {reserve_bytes / 2**20:.0f}"
            )
            _log.warning("no work is taken: %s", reason)
        held = [
            HeldAttempt(
                attempt_id=row.attempt_id,
                epoch=row.epoch,
                state=(state := reported_state(self._runner.observe(row, None))),
                back_s=restarts.BACK_S if state == HELD_STATE_REBOOTING else 0.0,
            )
            for row in rows
        ]
        return SyncRequest(
            request_id=uuid.uuid4().hex,
            boot_id=self._runner.boot_id,
            held=held,
            wants_work=not rows and not reason,
            disk_free_bytes=free_bytes,
            no_work_reason=reason,
        )

    async def _report_inventory(self) -> None:
        if not self._inventory_due:
            return
        try:
            if self._facts is None:
                self._facts = await self._collect_facts()
            await self._controller.report_inventory(ReportInventoryRequest(facts=self._facts))
        except UnreachableError:
            raise
        except EdgerigError as error:
            # The controller then says what is missing; held results are still delivered.
            _log.error("%s", error)
        self._inventory_due = False

    async def _take(self, lease: Lease) -> None:
        """Makes an offer durable, accepts it, and sees it through."""
        folder = self._runner.folder(lease.attempt_id)
        if lease.epoch < 1 or not lease.HasField("trial"):
            raise ProtocolError(f"the offer of attempt {lease.attempt_id} has no trial or no epoch")
        folders.make(folder, lease)
        self._spool.add(lease.attempt_id, lease.epoch, lease.trial.digest)
        await self._settle(lease.attempt_id, VERDICT_CONTINUE)

    async def _settle(self, attempt_id: str, answer: int) -> None:
        """Takes one attempt as far as it goes with this verdict of the controller."""
        verdict: int | None = answer or None
        while (row := self._spool.get(attempt_id)) is not None:
            if verdict == VERDICT_CONTINUE and attempt_id in self._signals.cancelled:
                verdict = VERDICT_CANCEL
            seen = self._runner.observe(row, verdict)
            action = decide(seen)
            if action is Action.WAIT:
                break
            if action is Action.SPAWN:
                verdict = await self._start(row)
            elif action is Action.REBOOT:
                verdict = await self._reboot(row)
            elif action is Action.ADOPT:
                verdict = await self._watch(row, verdict)
            elif action is Action.STOP:
                await self._runner.stop(row)
            elif action is Action.BURY:
                await self._runner.bury(row)
            elif action is Action.GIVE_UP:
                tail = self._runner.folder(attempt_id).log_tail() or "it printed nothing"
                self._fail(row, f"the attempt process ended {MAX_SPAWNS} times before it began: {tail}")
            elif action is Action.DELETE or await self._deliver(row):
                self._runner.delete(row)
            else:
                break
        if self._spool.get(attempt_id) is None:
            self._signals.cancelled.discard(attempt_id)
            self._confirmed.discard(attempt_id)

    async def _start(self, row: HeldRow) -> int:
        """Confirms the lease, brings the files, announces the silence, starts. Returns the new verdict."""
        attempt_id = row.attempt_id
        if attempt_id not in self._confirmed:
            request = AcceptLeaseRequest(attempt_id=attempt_id, epoch=row.epoch)
            reply = await self._controller.accept_lease(request)
            if not reply.granted:
                _log.info("attempt %s is no longer to be had: %s", attempt_id, reply.reason)
                return VERDICT_CANCEL
            self._confirmed.add(attempt_id)
        try:
            trial = await self._provide(row)
            if await self._restarts.is_needed(row, trial):
                return VERDICT_CONTINUE
        except UnreachableError:
            raise
        except restarts.RestartError as error:
            self._fail(row, error.message, FAILURE_CLASS_REBOOT_FAILED)
            return VERDICT_CONTINUE
        except EdgerigError as error:
            self._fail(row, error.message)
            return VERDICT_CONTINUE
        if attempt_id in self._signals.cancelled:
            return VERDICT_CANCEL
        started = await self._controller.start_attempt(
            StartAttemptRequest(
                attempt_id=attempt_id,
                epoch=row.epoch,
                boot_id=self._runner.boot_id,
                quiet_s=quiet_s(trial),
            )
        )
        if started.verdict == VERDICT_CONTINUE:
            try:
                self._runner.spawn(row)
            except EdgerigError as error:
                self._fail(row, error.message)
        return int(started.verdict) or VERDICT_CANCEL

    async def _reboot(self, row: HeldRow) -> int:
        """Says when the device will be back and, if the controller agrees, has it restarted."""
        reply = await self._controller.sync(self._report([row]))
        answers = {item.attempt_id: int(item.verdict) for item in reply.verdicts}
        verdict = answers.get(row.attempt_id, 0) or VERDICT_CANCEL
        if verdict == VERDICT_CONTINUE and (problem := await self._restarts.order(row)):
            self._fail(row, problem, FAILURE_CLASS_REBOOT_FAILED)
        return verdict

    async def _provide(self, row: HeldRow) -> Trial:
        """Fetches and links everything the attempt process needs, and writes its documents."""
        folder = self._runner.folder(row.attempt_id)
        lease = folder.lease()
        wanted = folders.wanted_files(lease.trial)
        if any(not 0 <= reference.size_bytes <= self._limits.cache_bytes for reference in wanted):
            raise ProtocolError("a file of the trial is larger than the cache (cache_bytes in agent.json)")
        self._cache.make_room(
            wanted,
            free_bytes=self._free_bytes(self._home),
            reserve_bytes=self._limits.reserve_bytes,
        )
        async with self._renewing(row, lease.ttl_s / _RENEWALS_PER_TTL):
            for reference in wanted:
                await fetch(self._cache, reference, self._controller)
        folders.prepare(
            folder, lease, self._cache, worker_python=self._worker_python, own_pids=self._own_pids()
        )
        return lease.trial

    @contextlib.asynccontextmanager
    async def _renewing(self, row: HeldRow, interval_s: float) -> AsyncIterator[None]:
        """Keeps a lease alive while its files are fetched; long downloads outlast its time."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(max(interval_s, 1.0))
                await self._controller.renew(row.attempt_id, row.epoch)

        task = asyncio.create_task(renew(), name="renew")
        try:
            yield
        finally:
            await end(task)

    async def _watch(self, row: HeldRow, verdict: int | None) -> int | None:
        """Waits in silence until the attempt ends or must end; returns the verdict that then holds."""
        ended = asyncio.create_task(self._runner.wait_ended(row.attempt_id), name="watch")
        self._controller.set_quiet(True)
        try:
            while not ended.done():
                self._signals.interrupt.clear()
                if row.attempt_id in self._signals.cancelled:
                    return VERDICT_CANCEL
                if self._signals.reconnected:
                    verdict = await self._ask_again(row, verdict)
                    if verdict not in (None, VERDICT_CONTINUE):
                        return verdict
                    continue
                interrupted = asyncio.create_task(self._signals.interrupt.wait(), name="interrupt")
                await asyncio.wait({ended, interrupted}, return_when=asyncio.FIRST_COMPLETED)
                await end(interrupted)
            await ended
            return verdict
        finally:
            self._controller.set_quiet(False)
            await end(ended)

    async def _ask_again(self, row: HeldRow, verdict: int | None) -> int | None:
        """Syncs after a reconnect in the middle of an attempt; a failed call changes nothing."""
        self._signals.reconnected = False
        self._inventory_due = True
        try:
            reply = await self._controller.sync(self._report([row]))
        except EdgerigError as error:
            _log.warning("%s", error)
            return verdict
        answers = {item.attempt_id: int(item.verdict) for item in reply.verdicts}
        return answers.get(row.attempt_id, 0) or verdict

    async def _deliver(self, row: HeldRow) -> bool:
        """Delivers a finished attempt; True = it may be deleted.

        One that never can be delivered is set aside, and a result that says so goes in its place.
        """
        self._runner.mark_finished(row)
        delivered = await self._offer_result(row)
        if delivered is None and self._spool.get(row.attempt_id) is not None:
            delivered = await self._offer_result(row)
        return bool(delivered)

    async def _offer_result(self, row: HeldRow) -> bool | None:
        """Commits what is in the folder; None = it was refused, and the folder's content was replaced."""
        try:
            return await self._commit(row, self._request(row))
        except RejectedError as error:
            place = self._runner.set_aside(row, error.message)
            _log.error("attempt %s cannot be delivered and is kept in %s: %s", row.attempt_id, place, error)
            return None

    def _request(self, row: HeldRow) -> CommitResultRequest:
        folder = self._runner.folder(row.attempt_id)
        try:
            manifest, result = folder.manifest(), folder.result()
        except ProtocolError as error:
            raise RejectedError(error.message, hint=error.hint) from error
        return CommitResultRequest(
            attempt_id=row.attempt_id,
            epoch=row.epoch,
            kind="attempt",
            sha256=digest(to_json(manifest)),
            manifest=manifest,
            result=result,
        )

    async def _commit(self, row: HeldRow, request: CommitResultRequest) -> bool:
        """Commits and uploads what the controller lacks; True = it may be deleted."""
        folder = self._runner.folder(row.attempt_id)
        files = {reference.sha256: reference for reference in request.manifest.files}
        for _ in range(_COMMIT_ROUNDS):
            reply = await self._controller.commit_result(request)
            action = after_commit(reply.outcome)
            if action is not Action.COMMIT:
                return action is Action.DELETE
            for sha256 in reply.missing_sha256:
                if sha256 not in files:
                    raise ProtocolError(f"the controller asks for {sha256[:12]}, which no manifest names")
                await push(folder.file(files[sha256]), files[sha256], row.attempt_id, self._controller)
        raise ProtocolError(f"attempt {row.attempt_id} stays incomplete after all its files were sent")

    def _fail(
        self, row: HeldRow, reason: str, failure_class: FailureClass = FAILURE_CLASS_PRECONDITION
    ) -> None:
        """Ends an attempt that never began with a result that says why."""
        _log.error("attempt %s is not run: %s", row.attempt_id, reason)
        folder = self._runner.folder(row.attempt_id)
        boot_id = self._runner.boot_id
        folders.write_failure(folder, row.trial_digest, failure_class, reason, boot_id)


def quiet_s(trial: Trial) -> float:
    """Returns the length of the silence to announce: waits, budget and margin, in seconds."""
    return trial.budgets.attempt.duration_s + framing_s(trial) + _QUIET_MARGIN_S
