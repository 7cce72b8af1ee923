"""Runs a meter beside a wave of known energy and holds what it says against what was written."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.wave_writer import Truth
from tests.conformance.check import Verdict

_PATIENCE_S = 120.0
_MORE_S = 60.0


def check_energy(wave: str, seconds: float, limit_percent: float, command: Sequence[str]) -> Verdict:
    """Writes the wave into a board while `COMMAND ROOT SECONDS` measures it, and judges each window."""
    with tempfile.TemporaryDirectory(prefix="edgerig-wave-") as scratch:
        root, log = Path(scratch) / "root", Path(scratch) / "written.log"
        writer = subprocess.Popen(
            [sys.executable, "-m", "bench.wave_writer", str(root), str(log)], stdin=subprocess.PIPE
        )
        assert writer.stdin is not None
        try:
            while not (log.exists() and log.stat().st_size):
                select.select([], [], [], 0.01)
            writer.stdin.write(f"{wave}\n".encode())
            writer.stdin.flush()
            said = subprocess.run(
                [*command, str(root), f"{seconds:g}"],
                capture_output=True,
                timeout=seconds + _MORE_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return Verdict(wave, (f"the command cannot be run: {error}",))
        finally:
            writer.stdin.close()
            writer.wait(_PATIENCE_S)
        try:
            return Verdict(wave, tuple(judge(json.loads(said.stdout), Truth(log), limit_percent)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            last = said.stderr.decode("utf-8", "replace").strip()[-300:]
            return Verdict(wave, (f"the command printed no such document ({error!r}); it said: {last}",))


def judge(found: dict[str, Any], truth: Truth, limit_percent: float) -> list[str]:
    """Returns every energy that is farther from the truth than the limit, or that there is none."""
    wrong = []
    for window in found["windows"]:
        true_j = truth.energy_j(int(window["begin_mono_ns"]), int(window["end_mono_ns"]))
        for source, energy_j in window["energy_j"].items():
            error_percent = 100 * (float(energy_j) / true_j - 1)
            if abs(error_percent) > limit_percent:
                wrong.append(f"{source}: {energy_j:.6g} J instead of {true_j:.6g} J ({error_percent:+.2f} %)")
    if not any(window["energy_j"] for window in found["windows"]):
        wrong.append("no energy was given")
    return wrong


def own_meter() -> list[str]:
    """Returns the command that measures with the agent's own sampler."""
    return [sys.executable, "-m", "tests.conformance.own_meter"]
