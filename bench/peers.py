"""Other energy meters beside ours: environments of their own, and how each is fed.

zeus and codecarbon read /sys at fixed places. Each runs unchanged, in its own
environment, inside a mount namespace in which /sys is the written tree, so it reads
the very files that our sampler reads. zeus asks whether the machine is a Jetson by
the processor's name; on another machine that one answer is set to yes, which starts
its own INA3221 reader and leaves its arithmetic alone. For NVML zeus loads the stub of
the driver's library that our own tests use, which codecarbon cannot start on (it
asks for more of the driver than the stub has). codecarbon runs with its
defaults, offline. A window is what lies between the middles of the two calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import CouldNotRunError, progress

PINNED = {"zeus": ("zeus==0.16.0", "nvidia-ml-py"), "codecarbon": ("codecarbon==3.3.2",)}
# A peer that is fed through the driver's library, in the environment of another.
ZEUS_GPU = "zeus_gpu"
_INSTALL_S = 900

_FRAME = """
import json, sys, time
def stamped(call):
    before = time.monotonic_ns(); value = call(); return (before + time.monotonic_ns()) // 2, value
def serve(begin, end):
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() == "begin":
            began, _ = stamped(begin)
            print(json.dumps({}), flush=True)
        else:
            ended, energies = stamped(end)
            print(json.dumps({"begin_ns": began, "end_ns": ended, "energies_j": energies}), flush=True)
"""
_DRIVERS = {
    "zeus": """
def main():
    import zeus.device.soc, zeus.device.soc.jetson as jetson
    jetson.jetson_is_available = zeus.device.soc.jetson_is_available = lambda: True
    from zeus.monitor import ZeusMonitor
    monitor = ZeusMonitor(gpu_indices=[])
    def end():
        found = monitor.end_window("w", sync_execution=False)
        energies = {}
        if found.cpu_energy:
            energies["rapl"] = found.cpu_energy[0]
        if found.soc_energy and found.soc_energy.total_energy_mj is not None:
            energies["ina3221"] = found.soc_energy.total_energy_mj / 1000
        return energies
    serve(lambda: monitor.begin_window("w", sync_execution=False), end)
if __name__ == "__main__":
    main()
""",
    ZEUS_GPU: """
def main():
    from zeus.monitor import ZeusMonitor
    monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    def end():
        return {"nvml": monitor.end_window("w", sync_execution=False).gpu_energy[0]}
    serve(lambda: monitor.begin_window("w", sync_execution=False), end)
if __name__ == "__main__":
    main()
""",
    "codecarbon": """
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="USA", save_to_file=False, log_level="error")
tracker.start()
count = 0
def begin():
    tracker.start_task(f"w{count}")
def end():
    global count
    found = tracker.stop_task(f"w{count}")
    count += 1
    return {"rapl": found.cpu_energy * 3.6e6}
serve(begin, end)
""",
}


@dataclass
class Window:
    """One window as a peer saw it: its instants and energies by sensor."""

    begin_ns: int
    end_ns: int
    energies_j: dict[str, float]


class Peer:
    """A peer that runs, waiting for `begin` and `end`."""

    def __init__(
        self, name: str, cache: Path, root: Path, folder: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Installs the peer where it is not yet, and starts it.

        Raises:
            CouldNotRunError: it does not install or does not start; the message says why.
        """
        self.name = name
        python = _environment("zeus" if name == ZEUS_GPU else name, cache)
        script = folder / f"{name}_driver.py"
        script.write_text(_FRAME + _DRIVERS[name])
        mount = f'mount --rbind "{root}/sys" /sys && exec "$@"'
        namespace = ["unshare", "-m" if os.geteuid() == 0 else "-Urm"]
        self._errors = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [*namespace, "sh", "-c", mount, "sh", str(python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=folder,
            env={**os.environ, **(variables or {})},
        )
        if not self._answer().get("ready"):
            raise CouldNotRunError(f"{name} did not start")

    def begin(self) -> None:
        """Starts a window."""
        self._say("begin")
        self._answer()

    def end(self) -> Window:
        """Ends the window."""
        self._say("end")
        found = self._answer()
        return Window(found["begin_ns"], found["end_ns"], found["energies_j"])

    def close(self) -> None:
        """Ends the peer."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise CouldNotRunError(f"{self.name} has ended: {self._last_words()}") from error

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # Lines that are not ours are its own chatter.
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise CouldNotRunError(f"{self.name} has ended: {self._last_words()}")

    def _last_words(self) -> str:
        lines = Path(self._errors.name).read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


def default_cache() -> Path:
    """Returns where the peers' environments are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "edgerig-bench" / "peers"


def _environment(name: str, cache: Path) -> Path:
    folder = cache / PINNED[name][0].replace("==", "-")
    python = folder / "bin/python"
    done = folder / "installed"
    if done.exists():
        return python
    progress(f"installing {PINNED[name][0]} into {folder}")
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=_INSTALL_S)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *PINNED[name],
        ]
        subprocess.run(install, check=True, timeout=_INSTALL_S, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        raise CouldNotRunError(f"{name} does not install: {error}") from error
    done.touch()
    return python
