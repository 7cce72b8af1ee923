"""How far a sensor's maker lets its power be off, by sensor family; pure.

Limits are the datasheet's maxima at 25 °C. A limit says that the truth lies
anywhere within it, so its standard uncertainty is limit / sqrt(3) (JCGM 100:2008,
4.3.7). Where the maker states none, there is none: the part is unknown and the
figure says so.

Sources: INA3221 TI SBOS576 and INA238 TI SLYS025, electrical characteristics
(maxima); shunts are 1 % parts on NVIDIA's reference boards, which no driver shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

_SHUNT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Accuracy:
    """Standard uncertainty of a power figure: a share of the power, and an amount; None = unknown."""

    gain_share: float | None
    offset_w: float | None
    unknown_reason: str = ""


@dataclass(frozen=True)
class _Monitor:
    """Limits of a current and bus voltage monitor: shunt and bus gain, shunt and bus offset."""

    shunt_gain: float
    bus_gain: float
    shunt_offset_v: float
    bus_offset_v: float


_MONITORS = {
    "ina3221": _Monitor(0.0025, 0.0025, 80e-6, 16e-3),
    "ina238": _Monitor(0.001, 0.001, 5e-6, 5e-3),
}
_NOT_STATED = {
    "nvml": "NVIDIA states no accuracy for the power figures of this driver",
    "rapl": "the processor's maker states no accuracy for RAPL",
}


def accuracy_of(source: str, shunt_ohm: float, bus_v: float) -> Accuracy:
    """Returns the accuracy of a power source.

    Args:
        source: `family:...`, as in a trace.
        shunt_ohm: resistance that the current is measured over, 0 = not known.
        bus_v: voltage of the rail, 0 = not known.
    """
    family = source.partition(":")[0]
    monitor = _MONITORS.get(family)
    if monitor is None:
        reason = _NOT_STATED.get(family, f"no accuracy is known for {family}")
        return Accuracy(None, None, reason)
    if bus_v <= 0:
        return Accuracy(None, None, f"{source}: the voltage of the rail is not known")
    shares = (monitor.shunt_gain, monitor.bus_gain, _SHUNT_TOLERANCE, monitor.bus_offset_v / bus_v)
    gain_share = hypot(*shares) / sqrt(3.0)
    if shunt_ohm <= 0:
        return Accuracy(gain_share, None, f"{source}: the driver does not show the shunt's resistance")
    return Accuracy(gain_share, monitor.shunt_offset_v / shunt_ohm * bus_v / sqrt(3.0))


def together(parts: Sequence[tuple[Accuracy, float]]) -> Accuracy:
    """Returns the accuracy of a sum of rails.

    Offsets of different rails are independent; gains are too, and are weighed by
    each rail's share of the power.

    Args:
        parts: accuracy and mean power in watts of each rail.
    """
    reasons = sorted({accuracy.unknown_reason for accuracy, _ in parts if accuracy.unknown_reason})
    total_w = sum(abs(power_w) for _, power_w in parts)
    gains = [accuracy.gain_share for accuracy, _ in parts]
    offsets = [accuracy.offset_w for accuracy, _ in parts]
    gain_share = None
    if None not in gains and total_w > 0:
        gain_share = hypot(
            *(g * p / total_w for g, (_, p) in zip(gains, parts, strict=True) if g is not None)
        )
    offset_w = None if None in offsets else hypot(*(offset for offset in offsets if offset is not None))
    return Accuracy(gain_share, offset_w, "; ".join(reasons))
