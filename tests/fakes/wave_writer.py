"""A process that makes a fake board's power follow the self-test's wave with a known lag.

`python -m tests.fakes.wave_writer FOLDER LAG_S LOW HIGH FILE SCALE [FILE SCALE ...]`: reads the
waves from FOLDER/wave.json and writes LOW x SCALE or HIGH x SCALE to every FILE, in its
unit, until its parent ends it. A FILE `counter:PATH` is an energy counter in microjoules.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_TICK_S = 0.002


def waves(path: Path) -> list[dict[str, Any]]:
    """Returns the waves that are known by now."""
    try:
        found: list[dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return found


def is_on(known: list[dict[str, Any]], t_ns: int) -> bool:
    """Tells whether any wave is in the first half of a period."""
    for wave in known:
        begin, period = wave["begin_mono_ns"], wave["period_ns"]
        inside = begin <= t_ns < begin + wave["cycle_count"] * period
        if inside and (t_ns - begin) % period < period // 2:
            return True
    return False


def main(argv: list[str]) -> None:
    """Writes until it is ended."""
    folder, lag_s, low, high = Path(argv[0]), float(argv[1]), float(argv[2]), float(argv[3])
    targets = [
        (os.open(name.removeprefix("counter:"), os.O_WRONLY), float(scale), name.startswith("counter:"))
        for name, scale in zip(argv[4::2], argv[5::2], strict=True)
    ]
    energy_j = 0.0
    last_ns = time.monotonic_ns()
    known: list[dict[str, Any]] = []
    looked_ns = 0
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        now_ns = time.monotonic_ns()
        if now_ns - looked_ns > 50_000_000:
            known, looked_ns = waves(folder / "wave.json"), now_ns
        power = high if is_on(known, now_ns - int(lag_s * 1e9)) else low
        energy_j += power * (now_ns - last_ns) * 1e-9
        last_ns = now_ns
        for descriptor, scale, counts in targets:
            value = energy_j * 1e6 if counts else power * scale
            # Always as many digits, so that a reader never sees half of a shorter number.
            os.pwrite(descriptor, f"{round(value):012d}\n".encode(), 0)
        time.sleep(_TICK_S)


if __name__ == "__main__":
    main(sys.argv[1:])
