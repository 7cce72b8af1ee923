"""A real `edgerig` on a data folder of its own, and the means to hurt its processes from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
EDGERIG = [sys.executable, "-c", "import sys; from edgerig.console import controller; sys.exit(controller())"]


@dataclass(frozen=True)
class Answer:
    """What one command printed, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.stdout)
        return document


@dataclass(frozen=True)
class Rig:
    """One data folder with the processes that serve it."""

    data: Path
    folder: Path

    def environment(self) -> dict[str, str]:
        return {**os.environ, "EDGERIG_HOME": str(self.data), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*EDGERIG, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str], timeout_s: float = 240) -> Answer:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            pytest.fail(f"the command did not end within {timeout_s} s\n{stdout}\n{stderr}\n{self.logs()}")
        return Answer(process.returncode, stdout, stderr)

    def call(self, *arguments: str, timeout_s: float = 240) -> Answer:
        return self.finish(self.start(*arguments), timeout_s)

    def study(self, name: str, text: str) -> str:
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return str(path)

    def processes(self, part: str) -> list[psutil.Process]:
        """Lists processes of this rig (by data folder in the command line) that mention `part`."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if str(self.data) in line and part in line and process.pid != os.getpid():
                found.append(process)
        return found

    def wait_for(self, part: str, timeout_s: float = 90) -> psutil.Process:
        """Returns the first process that mentions `part`, as soon as there is one."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = self.processes(part)
            return bool(found)

        until(look, timeout_s, lambda: f"no process of this rig mentions {part!r}\n{self.logs()}")
        return found[0]

    def logs(self) -> str:
        return "\n".join(f"--- {path}\n{_end_of(path)}" for path in sorted(self.data.rglob("*.log")))

    def kill_everything(self) -> None:
        for process in self.processes(""):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


def _end_of(path: Path) -> str:
    """Returns the last of a log; a running agent clears the folders of attempts that it delivered."""
    try:
        return path.read_text(errors="replace")[-3000:]
    except FileNotFoundError:
        return "(gone)"


def until(condition: Callable[[], bool], timeout_s: float, message: str | Callable[[], str]) -> None:
    """Waits for another process; the only way to see one change is to look again."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(message if isinstance(message, str) else message())
        time.sleep(0.02)
