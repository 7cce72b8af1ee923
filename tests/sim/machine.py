"""The processes of one simulated device: life locks, process ids, and a scripted attempt process.

Stands where `edgerig_agent.processes` stands in a daemon. The attempt process
keeps to the durable order of docs/reference/interfaces.md and writes through
the same functions as the real one; what it measures is made up.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from edgerig.documents import canonical_bytes
from edgerig.errors import EdgerigError
from edgerig.v1.attempt_pb2 import (
    FAILURE_CLASS_KILLED,
    FAILURE_CLASS_UNSPECIFIED,
    STATUS_FAILED,
    STATUS_OK,
    AttemptResult,
)
from edgerig_agent import attempt, attempt_files
from edgerig_agent.processes import Finished, ProcessRef
from tests.sim.loop import Killed, Process, SimulatedLoop
from tests.sim.modes import USUAL, SimModes


@dataclass(eq=False)
class Program:
    """A living attempt process."""

    ref: ProcessRef
    folder: Path
    process: Process
    asked_to_end: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class SimMachine:
    """One device's kernel, as far as the runner asks it."""

    def __init__(
        self,
        loop: SimulatedLoop,
        rng: random.Random,
        boot_path: Path,
        *,
        new_process: Callable[[str], Process],
        began: Callable[[str], None],
        go_down: Callable[[], None],
        fault: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._boot_path = boot_path
        self._new_process = new_process
        self._began = began
        self._fault = fault
        self.modes = SimModes(loop, rng, go_down)
        self._pids = 100
        self._boots = 0
        self._taken: dict[int, Path] = {}
        self.programs: dict[int, Program] = {}
        self.boot_id = ""
        self.boot()

    def boot(self) -> None:
        """Starts the machine anew: whatever ran is gone."""
        for program in list(self.programs.values()):
            self.kill(program)
        self._taken.clear()
        self._boots += 1
        self.modes.boot()
        self._pids = 100
        self.boot_id = f"boot-{self._boots}"
        self._boot_path.write_text(self.boot_id)

    def kill(self, program: Program) -> None:
        """SIGKILL."""
        if program.process.alive:
            program.process.kill()
        self.programs.pop(program.ref.pid, None)
        program.gone.set()

    def drop_locks(self) -> None:
        """The daemon is gone, and with it the locks that only it held."""
        self._taken.clear()

    # What the runner asks

    def is_locked(self, path: Path) -> bool:
        running = any(program.folder == path.parent for program in self.programs.values())
        return running or path in self._taken.values()

    def lock(self, path: Path) -> int | None:
        if self.is_locked(path):
            return None
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        self._pids += 1
        self._taken[self._pids] = path
        return self._pids

    def unlock(self, descriptor: int) -> None:
        self._taken.pop(descriptor, None)

    def find(self, pid: int) -> ProcessRef | None:
        program = self.programs.get(pid)
        return program.ref if program else None

    def is_alive(self, process: ProcessRef) -> bool:
        return self.find(process.pid) == process

    def reap(self, pid: int) -> bool:
        return pid not in self.programs

    def spawn_detached(self, command: Sequence[str], *, output: Path, keep_open: int) -> int:
        folder = Path(command[-1])
        output.touch()
        self._pids += 1
        # The pid counter begins anew with every boot, as a kernel's does: pids are used again.
        ref = ProcessRef(self._pids, int(self._loop.time() * 100) + 7)
        program = Program(ref, folder, self._new_process(f"attempt {folder.name}"))
        self.programs[ref.pid] = program
        program.process.run(self._main(program))
        return ref.pid

    async def wait_gone(self, process: ProcessRef) -> None:
        program = self.programs.get(process.pid)
        if program is not None and program.ref == process:
            await program.gone.wait()

    async def stop(self, process: ProcessRef, *, patience_s: float) -> None:
        program = self.programs.get(process.pid)
        if program is None or program.ref != process:
            return
        program.asked_to_end.set()
        waiting = asyncio.ensure_future(program.gone.wait())
        await asyncio.wait({waiting}, timeout=patience_s)
        waiting.cancel()
        if self.is_alive(process):
            self.kill(program)

    async def run_command(self, command: Sequence[str], *, scratch: Path, timeout_s: float) -> Finished:
        """Runs a burial, or asks for a restart, as it is in production."""
        await asyncio.sleep(self._rng.uniform(0.1, 0.5))
        try:
            with self._on_this_machine():
                if command[0] == "restart":
                    return self.modes.run(Path(command[1]), go="--go" in command)
                attempt.bury(Path(command[-1]))
        except (EdgerigError, OSError) as error:
            return Finished(1, "", str(error))
        return Finished(0, "", "")

    # The attempt process

    async def _main(self, program: Program) -> None:
        try:
            await self._attempt(program)
        except (EdgerigError, OSError, Killed):
            # It prints why and ends.
            pass
        finally:
            self.programs.pop(program.ref.pid, None)
            program.process.alive = False
            program.gone.set()

    async def _attempt(self, program: Program) -> None:
        folder = program.folder
        deaf = self._rng.random() < 0.2
        # A slow card may take its time to start an interpreter.
        await asyncio.sleep(self._rng.uniform(0.05, 3.0))
        if attempt_files.is_finished(folder) or (folder / "began").exists():
            return
        mark = {
            "pid": program.ref.pid,
            "start_ticks": program.ref.start_ticks,
            "boot_id": self.boot_id,
            "t_mono_ns": 0,
        }
        asked = attempt_files.read_trial(folder).settings.power_mode or USUAL
        if asked != self.modes.mode:
            self._fault(f"{folder.name} begins in the mode {self.modes.mode} and asks for {asked}")
        attempt_files.write_durably(folder / "began", canonical_bytes(mark))
        self._began(folder.name)
        waiting = asyncio.ensure_future(program.asked_to_end.wait())
        await asyncio.wait({waiting}, timeout=self._rng.uniform(2.0, 40.0))
        waiting.cancel()
        cancelled = program.asked_to_end.is_set()
        if cancelled and deaf:
            await asyncio.sleep(60.0)
        self._finish(folder, cancelled)

    def _finish(self, folder: Path, cancelled: bool) -> None:
        trial = attempt_files.read_trial(folder)
        lines = [
            json.dumps({"item_id": f"q{number}", "user_id": "u", "score": 0.5}) + "\n" for number in range(2)
        ]
        (folder / "scores.jsonl").write_text("".join(lines))
        result = AttemptResult(
            attempt_id=folder.name,
            trial_digest=trial.digest,
            status=STATUS_FAILED if cancelled else STATUS_OK,
            failure_class=FAILURE_CLASS_KILLED if cancelled else FAILURE_CLASS_UNSPECIFIED,
            boot_id=self.boot_id,
            item_count=2,
        )
        attempt_files.write_message(folder / "result.json", result)
        attempt_files.write_manifest(folder, folder.name)

    @contextmanager
    def _on_this_machine(self) -> Iterator[None]:
        """Gives what runs in the block this machine's boot id and clocks."""
        now_ns = int(self._loop.time() * 1e9)
        clocks = SimpleNamespace(monotonic_ns=lambda: now_ns, time_ns=lambda: now_ns)
        with (
            mock.patch.object(attempt_files, "BOOT_ID_PATH", self._boot_path),
            mock.patch.object(attempt, "time", clocks),
        ):
            yield
