"""Runs a probe on the fake boards and compares what it prints with what stands there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.shared_library import NoCompilerError, sysfs_errors

_PATIENCE_S = 60.0
_RELATIVE = 1e-3
_LEAST_W = 1e-3


@dataclass(frozen=True)
class Verdict:
    """What came of one board; it conforms when nothing is wrong and it was not passed over."""

    board: str
    wrong: tuple[str, ...] = ()
    passed_over: str = ""

    def line(self) -> str:
        """Words the verdict for a person."""
        if self.passed_over:
            return f"{self.board}: passed over: {self.passed_over}"
        return "\n  ".join([f"{self.board}: {'WRONG' if self.wrong else 'conforms'}", *self.wrong])


def check(board: str, tree: Path, expected: dict[str, Any], command: Sequence[str]) -> Verdict:
    """Runs the command on one tree and judges what it prints."""
    environment = dict(os.environ)
    if expected["unreadable"]:
        try:
            environment["LD_PRELOAD"] = str(sysfs_errors())
        except NoCompilerError as error:
            return Verdict(board, passed_over=str(error))
    try:
        ended = subprocess.run(
            [*command, str(tree)], capture_output=True, timeout=_PATIENCE_S, check=False, env=environment
        )
        found = json.loads(ended.stdout)
        wrong = compare(expected, found)
    except (OSError, subprocess.SubprocessError) as error:
        wrong = [f"the command cannot be run: {error}"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        last = ended.stderr.decode("utf-8", "replace").strip()[-300:]
        wrong = [f"the command printed no such document ({error!r}); it said: {last}"]
    return Verdict(board, tuple(wrong))


def compare(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Returns everything in which the document of a probe differs from what stands in the tree."""
    wrong = []
    for source in sorted(expected["sources"].keys() | found["sources"].keys()):
        wrong += _compare_source(source, expected["sources"].get(source), found["sources"].get(source))
    for boundary in sorted(expected["totals"].keys() | found["totals"].keys()):
        want, have = expected["totals"].get(boundary), found["totals"].get(boundary)
        if want is None:
            wrong.append(f"total {boundary}: {have} W is claimed, and this board has none")
        elif have is None or not _is_close(want, float(have)):
            wrong.append(f"total {boundary}: {have} instead of {want:.6g} W")
    missing = expected["unreadable"].keys() - found["unreadable"].keys()
    wrong += [f"{source}: not named as unreadable" for source in sorted(missing)]
    return wrong


def _compare_source(source: str, want: dict[str, Any] | None, have: dict[str, Any] | None) -> list[str]:
    if want is None:
        return [f"{source}: is no source of this board"]
    if have is None:
        return [f"{source}: was not found"]
    wrong = []
    if have["boundary"] != want["boundary"]:
        wrong.append(f"{source}: boundary {have['boundary']!r} instead of {want['boundary']!r}")
    if not _is_close(want["power_w"], float(have["power_w"])):
        wrong.append(f"{source}: {have['power_w']} instead of {want['power_w']:.6g} W")
    return wrong


def _is_close(want_w: float, have_w: float) -> bool:
    return abs(want_w - have_w) <= max(_LEAST_W, _RELATIVE * abs(want_w))


def own_probe() -> list[str]:
    """Returns the command of the probe that edgerig's agent measures with."""
    return [sys.executable, "-m", "edgerig_agent.probes.show"]
