"""Whether the device's temperatures stand still: the end of a block in sustained mode.

Reads the kernel's thermal zones between two requests, at most every five seconds,
from descriptors that stay open. Judges nothing but the slope.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

LOOK_EVERY_NS = 5_000_000_000
WINDOW_S = 60.0
STILL_C_PER_MIN = 0.5


class Heat:
    """The temperatures of the last minute, or of another window."""

    def __init__(
        self,
        zones: Path = Path("/sys/class/thermal"),
        clock: Callable[[], int] = time.monotonic_ns,
        slope_c_per_min: float = STILL_C_PER_MIN,
        window_s: float = WINDOW_S,
    ) -> None:
        self._slope_c_per_min = slope_c_per_min
        self._window_ns = round(window_s * 1e9)
        self._clock = clock
        self._files = [file for path in sorted(zones.glob("thermal_zone*/temp")) if (file := _opened(path))]
        self._readings: deque[tuple[int, list[float | None]]] = deque()

    @property
    def is_known(self) -> bool:
        """Say whether there is any temperature to read."""
        return bool(self._files)

    def settled(self) -> bool:
        """Look again if it is time, and say whether every zone moves by less than the slope.

        Without a zone nothing can be awaited, and the answer is yes.
        """
        if not self._files:
            return True
        now_ns = self._clock()
        if not self._readings or now_ns - self._readings[-1][0] >= LOOK_EVERY_NS:
            self._readings.append((now_ns, [_celsius(file) for file in self._files]))
            while len(self._readings) > 2 and now_ns - self._readings[1][0] >= self._window_ns:
                self._readings.popleft()
        if self._readings[-1][0] - self._readings[0][0] < self._window_ns:
            return False
        minutes = [(t_ns - self._readings[0][0]) / 60e9 for t_ns, _ in self._readings]
        columns = zip(*(values for _, values in self._readings), strict=True)
        return all(
            abs(_slope(minutes, column)) < self._slope_c_per_min for column in columns if None not in column
        )

    def close(self) -> None:
        """Close the descriptors."""
        for file in self._files:
            os.close(file)
        self._files = []


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _celsius(file: int) -> float | None:
    try:
        return int(os.pread(file, 32, 0)) / 1000
    except (OSError, ValueError):
        return None


def _slope(minutes: Sequence[float], celsius: Sequence[float | None]) -> float:
    """Returns the least-squares slope."""
    values = [value for value in celsius if value is not None]
    middle, level = sum(minutes) / len(minutes), sum(values) / len(values)
    spread = sum((minute - middle) ** 2 for minute in minutes)
    products = ((minute - middle) * (value - level) for minute, value in zip(minutes, values, strict=True))
    return sum(products) / spread if spread else 0.0
