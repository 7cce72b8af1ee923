"""The device's side of an attempt: start, watch, stop and bury its process; see how it stands.

Follows the durable order: `starting` before the process exists, `running`
when it does, `finished` when its manifest does. Knows nothing of the
controller; which of these steps comes next is decided in `edgerig_agent.held`.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgerig.errors import DeviceError, EdgerigError, ProtocolError, StorageError
from edgerig.v1.attempt_pb2 import FAILURE_CLASS_KILLED, FAILURE_CLASS_REBOOTED, FAILURE_CLASS_UNKNOWN
from edgerig_agent import folder as folders
from edgerig_agent import processes
from edgerig_agent.folder import AttemptFolder
from edgerig_agent.held import Action, Observed, decide
from edgerig_agent.processes import Finished, ProcessRef
from edgerig_agent.spool import HeldRow, Spool

_log = logging.getLogger(__name__)

_STOP_PATIENCE_S = 10.0
_BURY_S = 60.0
# A process that holds its life lock writes its pid within moments.
_UNNAMED_POLL_S = 0.2


class Machine(Protocol):
    """The processes of this device, as `edgerig_agent.processes` gives access to them."""

    def is_locked(self, path: Path) -> bool: ...

    def lock(self, path: Path) -> int | None: ...

    def unlock(self, descriptor: int) -> None: ...

    def find(self, pid: int) -> ProcessRef | None: ...

    def is_alive(self, process: ProcessRef) -> bool: ...

    def reap(self, pid: int) -> bool: ...

    def spawn_detached(self, command: Sequence[str], *, output: Path, keep_open: int) -> int: ...

    async def wait_gone(self, process: ProcessRef) -> None: ...

    async def stop(self, process: ProcessRef, *, patience_s: float) -> None: ...

    async def run_command(self, command: Sequence[str], *, scratch: Path, timeout_s: float) -> Finished: ...


@dataclass(frozen=True)
class Programs:
    """The commands the daemon starts; an attempt folder is appended to the first two."""

    attempt: tuple[str, ...]
    bury: tuple[str, ...]
    facts: tuple[str, ...]
    # The home and the controller's address are appended; empty = certificates are not renewed.
    renew: tuple[str, ...] = ()
    # An attempt folder is appended, and --go; empty = no trial has the device restarted.
    restart: tuple[str, ...] = ()


def programs(worker_python: str, home: Path) -> Programs:
    """Returns the commands of this installation, for the agent of a home."""
    module = (sys.executable, "-m")
    return Programs(
        attempt=(*module, "edgerig_agent.attempt", "--worker-python", worker_python),
        bury=(*module, "edgerig_agent.attempt", "--bury"),
        facts=(*module, "edgerig_agent.device", "--worker-python", worker_python, "--home", str(home)),
        renew=(*module, "edgerig_agent.renew"),
        restart=(*module, "edgerig_agent.protocol.restart"),
    )


class Runner:
    """Attempt processes and folders of one home."""

    def __init__(
        self, home: Path, spool: Spool, programs: Programs, boot_id: str, machine: Machine = processes
    ) -> None:
        self._attempts = home / "attempts"
        self._refused = home / "refused"
        self._spool = spool
        self._programs = programs
        self.boot_id = boot_id
        self._machine = machine
        self._children: set[int] = set()
        self._recovery_due = True

    def folder(self, attempt_id: str) -> AttemptFolder:
        """Returns an attempt's folder. Raises ProtocolError when the id cannot name one."""
        return AttemptFolder(self._attempts / folders.check_attempt_id(attempt_id))

    def is_running(self) -> bool:
        """Says whether an attempt process lives."""
        return any(self.observe(row, None).alive for row in self._spool.rows())

    def observe(self, row: HeldRow, verdict: int | None) -> Observed:
        """Looks at how an attempt stands now."""
        folder = self.folder(row.attempt_id)
        process = self._process(row, folder)
        # The lock also shows a process whose pid nobody noted.
        alive = self._machine.is_locked(folder.life_lock) or (
            process is not None and self._machine.is_alive(process)
        )
        return Observed(
            state=row.state,
            alive=alive,
            began=folder.has_begun(),
            manifest=folder.has_manifest(),
            spawn_count=row.spawn_count,
            verdict=verdict,
            rebooted=row.boot_id not in ("", self.boot_id),
        )

    def spawn(self, row: HeldRow) -> None:
        """Starts the attempt process, once. Raises DeviceError when it cannot be started."""
        folder = self.folder(row.attempt_id)
        lock = self._lock(folder)
        if lock is None:
            return
        try:
            self._spool.starting(row.attempt_id, self.boot_id)
            command = (*self._programs.attempt, str(folder.path))
            pid = self._machine.spawn_detached(command, output=folder.process_log, keep_open=lock)
            self._children.add(pid)
            process = self._machine.find(pid)
            if process is not None:
                self._spool.running(row.attempt_id, process.pid, process.start_ticks)
        except OSError as error:
            raise DeviceError(
                f"the attempt process cannot be started: {error}", hint=f"ls -l {self._programs.attempt[0]}"
            ) from error
        finally:
            self._machine.unlock(lock)

    def _lock(self, folder: AttemptFolder) -> int | None:
        try:
            return self._machine.lock(folder.life_lock)
        except OSError as error:
            raise StorageError(
                f"cannot write {folder.life_lock}: {error}", hint=f"df -h {folder.path}"
            ) from error

    async def wait_ended(self, attempt_id: str) -> None:
        """Returns when nothing runs this attempt any more."""
        while (row := self._spool.get(attempt_id)) is not None:
            folder = self.folder(attempt_id)
            process = self._process(row, folder)
            if process is not None and self._machine.is_alive(process):
                await self._machine.wait_gone(process)
            elif self._machine.is_locked(folder.life_lock):
                await asyncio.sleep(_UNNAMED_POLL_S)
            else:
                break
        self._children = {pid for pid in self._children if not self._machine.reap(pid)}

    async def stop(self, row: HeldRow) -> None:
        """Ends the attempt process: SIGTERM, and SIGKILL to its group when that is not heard."""
        while True:
            process = self._process(row, self.folder(row.attempt_id))
            if process is not None:
                await self._machine.stop(process, patience_s=_STOP_PATIENCE_S)
                await self.wait_ended(row.attempt_id)
                return
            if not self._machine.is_locked(self.folder(row.attempt_id).life_lock):
                return
            await asyncio.sleep(_UNNAMED_POLL_S)

    async def bury(self, row: HeldRow) -> None:
        """Sees to it that a dead attempt has its result; in the end there is a manifest.

        Raises:
            StorageError: the disk is full or refuses.
        """
        folder = self.folder(row.attempt_id)
        same_boot = row.boot_id == self.boot_id
        reason = "the attempt process died" if same_boot else "the device was restarted during the attempt"
        if tail := folder.log_tail():
            reason = f"{reason}; it last said: {tail}"
        _log.warning("attempt %s: %s", row.attempt_id, reason)
        trouble = await self._bury_apart(folder)
        if not folder.has_manifest():
            failure = FAILURE_CLASS_KILLED if same_boot else FAILURE_CLASS_REBOOTED
            folders.write_failure(folder, row.trial_digest, failure, f"{reason} ({trouble})", self.boot_id)
        self.mark_finished(row)

    def mark_finished(self, row: HeldRow) -> None:
        """Notes that the manifest exists."""
        if row.state != "finished":
            self._spool.finished(row.attempt_id)

    def delete(self, row: HeldRow) -> None:
        """Forgets an attempt, folder first: a row without a folder is seen, the reverse is not."""
        self.folder(row.attempt_id).delete()
        self._spool.delete(row.attempt_id)

    def set_aside(self, row: HeldRow, reason: str) -> Path:
        """Moves a result that can never be delivered out of the way, and puts one in its place that says so.

        Nothing of it is deleted. A replacement that is refused, too, is moved as
        well, and then the attempt is let go: its device has said all it can.

        Raises:
            StorageError: the disk refuses.
        """
        source = self.folder(row.attempt_id).path
        target = self._refused / f"{row.attempt_id}-{row.epoch}"
        is_replacement = target.exists()
        if is_replacement:
            target = target.with_name(f"{target.name}-replacement")
        try:
            self._refused.mkdir(exist_ok=True, mode=0o700)
            source.rename(target)
        except OSError as error:
            raise StorageError(f"cannot move {source}: {error}", hint=f"ls -ld {source} {target}") from error
        if is_replacement:
            self._spool.delete(row.attempt_id)
        else:
            message = f"its result cannot be delivered and is kept on the device in {target}: {reason}"
            folder = self.folder(row.attempt_id)
            folders.write_failure(folder, row.trial_digest, FAILURE_CLASS_UNKNOWN, message, self.boot_id)
        return target

    async def settle_own(self) -> list[HeldRow]:
        """Takes up folders without rows, buries whatever ran and died, and returns all rows."""
        if self._recovery_due:
            self.recover_folders()
        for row in self._spool.rows():
            if decide(self.observe(row, None)) is Action.BURY:
                await self.bury(row)
        return self._spool.rows()

    def recover_folders(self) -> None:
        """Takes up folders that have no row: left by a lost spool, or by a crash before the row.

        What ran or finished gets its row back; what never ran is removed, the
        controller offers it again; what cannot be read stays and is reported.
        Where the disk refuses, it is tried again in the next round.
        """
        self._recovery_due = False
        known = {row.attempt_id for row in self._spool.rows()}
        for path in sorted(self._attempts.glob("*")) if self._attempts.is_dir() else ():
            if path.name in known or not path.is_dir():
                continue
            try:
                self._recover(self.folder(path.name))
            except (EdgerigError, OSError) as error:
                _log.error("the folder %s is left as it is: %s", path, error)
                self._recovery_due |= not isinstance(error, ProtocolError)

    def _recover(self, folder: AttemptFolder) -> None:
        living = self._machine.is_locked(folder.life_lock)
        if not (living or folder.has_begun() or folder.has_manifest()):
            shutil.rmtree(folder.path)
            return
        lease = folder.lease()
        if lease.attempt_id != folder.attempt_id:
            raise ProtocolError(f"{folder.path} holds the lease of {lease.attempt_id}")
        began = folder.began()
        self._spool.add(folder.attempt_id, lease.epoch, lease.trial.digest)
        if began is not None:
            self._spool.starting(folder.attempt_id, began.boot_id)
            self._spool.running(folder.attempt_id, began.process.pid, began.process.start_ticks)
        if folder.has_manifest():
            self._spool.finished(folder.attempt_id)
        _log.warning("attempt %s was found without its row and is taken up again", folder.attempt_id)

    async def run_restart(self, folder: AttemptFolder, *, go: bool, timeout_s: float) -> Finished:
        """Asks whether a trial takes a restart of the device; with `go` also has it restarted.

        Raises:
            DeviceError: the program cannot be run.
        """
        if not self._programs.restart:
            return Finished(0, '{"needs_restart": false, "mode": "", "problem": ""}', "")
        command = (*self._programs.restart, str(folder.path), *(("--go",) if go else ()))
        try:
            return await self._machine.run_command(command, scratch=folder.path, timeout_s=timeout_s)
        except OSError as error:
            raise DeviceError(
                f"{command[0]} cannot be started: {error}", hint=f"ls -l {command[0]}"
            ) from error

    def _process(self, row: HeldRow, folder: AttemptFolder) -> ProcessRef | None:
        """Names the process of an attempt; None when it is unknown or of another boot."""
        if row.pid and row.boot_id == self.boot_id:
            return ProcessRef(row.pid, row.start_ticks)
        if (began := folder.began()) is not None and began.boot_id == self.boot_id:
            return began.process
        return None

    async def _bury_apart(self, folder: AttemptFolder) -> str:
        """Runs the burial in a process of its own; returns what went wrong, '' for nothing."""
        try:
            ended = await self._machine.run_command(
                (*self._programs.bury, str(folder.path)), scratch=folder.path, timeout_s=_BURY_S
            )
        except (OSError, StorageError) as error:
            return f"burial failed: {error}"
        if ended.exit_code == 0:
            return "burial wrote no manifest"
        return f"burial ended with {ended.exit_code}: {ended.errors[-1000:].strip()}"
