"""Idle power before and after the work, with the model loaded; pure.

Net energy takes off what the device would have drawn anyway, so it is measured
on the same device in the same state twice, and the two must agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig.v1.attempt_pb2 import PHASE_IDLE_POST, PHASE_IDLE_RESIDENT
from edgerig_agent.measure.energy import MIN_COVERAGE, Window
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.sources import PowerSource

# Idle powers that differ by more than this share of their mean have drifted.
MAX_DRIFT = 0.05


@dataclass(frozen=True)
class Idle:
    """Mean power of the two model-resident idle windows of one source; None = not measured."""

    resident_w: float | None
    post_w: float | None
    windows: tuple[Window, ...]

    @property
    def power_w(self) -> float | None:
        """The idle power that is taken off: half way between before and after."""
        known = [power for power in (self.resident_w, self.post_w) if power is not None]
        return sum(known) / len(known) if known else None

    @property
    def duration_s(self) -> float:
        return sum(end_ns - begin_ns for begin_ns, end_ns in self.windows) * 1e-9

    @property
    def has_drifted(self) -> bool:
        """Tells whether before and after differ by more than 5 % of their mean."""
        if self.resident_w is None or self.post_w is None:
            return False
        middle_w = abs(self.resident_w + self.post_w) / 2
        return abs(self.resident_w - self.post_w) > MAX_DRIFT * middle_w


def idle_power(source: PowerSource, report: WorkerReport) -> Idle:
    """Returns the idle power of a source; a window that samples hardly cover does not count."""
    resident = report.windows(PHASE_IDLE_RESIDENT)
    post = report.windows(PHASE_IDLE_POST)
    return Idle(_mean_w(source, resident), _mean_w(source, post), (*resident, *post))


def _mean_w(source: PowerSource, windows: Sequence[Window]) -> float | None:
    integral = source.integrate(windows)
    if integral.covered_s <= 0 or integral.coverage < MIN_COVERAGE:
        return None
    return integral.energy_j / integral.covered_s
