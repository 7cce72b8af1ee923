"""Small files that sampler and attempt process leave beside the traces, read back.

Absent or damaged ones are no error: what they would have said is then unknown,
and the figures or flags say that.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from edgerig.documents import canonical_bytes
from edgerig_agent.measure.disturbance import CpuTimes

SAMPLER_FILE = "sampler.json"
CPU_FILE = "cpu.json"

_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class SamplerSummary:
    """What the sampler left about itself; `late_p99_ns` is None where it died before its end."""

    channels: tuple[dict[str, Any], ...]
    late_p50_ns: int | None
    late_p99_ns: int | None
    tick_count: int
    late_max_ns: int | None = None

    @property
    def died(self) -> bool:
        """Tells whether the sampler ended before it could sum up."""
        return self.late_p99_ns is None


def read_sampler_summary(folder: Path) -> SamplerSummary:
    """Reads sampler.json; an absent or damaged one says that the sampler died."""
    try:
        document = _read(folder / SAMPLER_FILE)
        count = int(document["tick_count"])
        channels = tuple(dict(channel) for channel in document["channels"])
        if not document["ended"]:
            return SamplerSummary(channels, None, None, 0)
        late_max_ns = document.get("late_max_ns")
        return SamplerSummary(
            channels,
            int(document["late_p50_ns"]),
            int(document["late_p99_ns"]),
            count,
            None if late_max_ns is None else int(late_max_ns),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return SamplerSummary((), None, None, 0)


def write_cpu_times(folder: Path, times: CpuTimes) -> None:
    """Writes cpu.json, from which the foreign load is judged. Raises OSError."""
    (folder / CPU_FILE).write_bytes(canonical_bytes(asdict(times)) + b"\n")


def read_cpu_times(folder: Path) -> CpuTimes | None:
    """Reads cpu.json; None where it is absent or damaged."""
    try:
        document = _read(folder / CPU_FILE)
        times = CpuTimes(
            window_s=float(document["window_s"]),
            cpu_count=int(document["cpu_count"]),
            busy_s=float(document["busy_s"]),
            children_s=float(document["children_s"]),
            own_s=float(document["own_s"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    numbers = (times.window_s, times.busy_s, times.children_s, times.own_s)
    return times if all(isfinite(number) for number in numbers) else None


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path.name} is larger than any attempt writes")
    return json.loads(content)
