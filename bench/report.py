"""The one JSON document that every benchmark prints, and its exit code.

    {"bench", "versions", "machine",
     "figures": [{"name", "value", "unit", "low", "high", "goal", "holds"}], "holds"}

Exit code 0: all goals hold; 1: one falls short; 2: it could not run, and then
the document has a `reason` and no goal holds. Knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HOLDS, FALLS_SHORT, COULD_NOT_RUN = 0, 1, 2
PACKAGES = (
    "edgerig",
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "numpy",
    "grpcio",
    "protobuf",
    "SQLAlchemy",
)


@dataclass(frozen=True)
class Figure:
    """One figure; `low` and `high` bound its 95 % interval where it has one.

    `goal` says in words what is asked of it and `holds` whether that is so;
    both are None for a figure that is only reported.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    goal: str | None = None
    holds: bool | None = None


class CouldNotRunError(Exception):
    """The benchmark has no result here; the message says why."""


def document(bench: str, figures: Sequence[Figure], **extra: Any) -> dict[str, Any]:
    """Build the document; it holds when there are figures and no goal falls short."""
    return {
        "bench": bench,
        "versions": versions(),
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
        "holds": bool(figures) and all(figure.holds is not False for figure in figures),
        **extra,
    }


def run(
    bench: str, measure: Callable[[argparse.Namespace], Sequence[Figure]], parser: argparse.ArgumentParser
) -> int:
    """Parse the command line, measure, print the document or a table and return the exit code."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    try:
        found = document(bench, measure(arguments))
    except CouldNotRunError as error:
        found = document(bench, (), reason=str(error))
    print(json.dumps(found, indent=2) if arguments.json else table(found))
    if "reason" in found:
        return COULD_NOT_RUN
    return HOLDS if found["holds"] else FALLS_SHORT


def progress(text: str) -> None:
    """Say on stderr what goes on; stdout is the document's."""
    print(text, file=sys.stderr, flush=True)


def table(found: dict[str, Any]) -> str:
    """Word the document for a person, one figure a line."""
    if "reason" in found:
        return f"{found['bench']} could not run: {found['reason']}"
    lines = []
    for figure in found["figures"]:
        value = "unavailable" if figure["value"] is None else f"{figure['value']:.5g} {figure['unit']}"
        bounds = (
            ""
            if figure["low"] is None or figure["high"] is None
            else f" [{figure['low']:.5g}, {figure['high']:.5g}]"
        )
        goal = (
            ""
            if figure["goal"] is None
            else f"  goal {figure['goal']}: {'holds' if figure['holds'] else 'FALLS SHORT'}"
        )
        lines.append(f"{figure['name']:<40} {value}{bounds}{goal}")
    return "\n".join(
        [*lines, f"{found['bench']}: {'all goals hold' if found['holds'] else 'a goal falls short'}"]
    )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    return {"python": platform.python_version()} | {
        name: found for name in PACKAGES if (found := _version(name))
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def machine() -> dict[str, Any]:
    """Describe this machine: system, processor, cores, memory and present load."""
    return {
        "system": platform.platform(),
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average_1_min": os.getloadavg()[0],
    }


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
