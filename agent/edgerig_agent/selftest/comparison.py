"""Rails against the total they are part of, and a device's own figure against a meter; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from edgerig_agent.measure.sources import PowerSource
from edgerig_agent.selftest.response import Response, series_of
from edgerig_agent.selftest.wave import Wave, Window

# Rails may fall short of the total that feeds them, by what nobody measures; they cannot exceed it.
_MOST_SHARE = 1.05
_FEWEST_POINTS = 4


@dataclass(frozen=True)
class Additivity:
    """The rails of a board as a share of its total: at rest, and of the response to a load."""

    load: str
    total: str
    rails: tuple[str, ...]
    idle_share: float | None
    response_share: float | None

    @property
    def holds(self) -> bool:
        """Tells whether the rails are no more than the total, as parts of it cannot be."""
        shares = [share for share in (self.idle_share, self.response_share) if share is not None]
        return all(share <= _MOST_SHARE for share in shares)


@dataclass(frozen=True)
class MeterFit:
    """own = gain x meter + offset_w, over the halves of all waves; `gain_error` is one standard error."""

    source: str
    boundary: str
    meter: str
    meter_boundary: str
    gain: float
    gain_error: float
    offset_w: float
    point_count: int


def additivity(responses: Sequence[Response]) -> list[Additivity]:
    """Compares the rails of each family of sensors with the total of the same family, load by load."""
    found = []
    for total in responses:
        family = total.source.partition(":")[0]
        rails = [
            one
            for one in responses
            if one.load == total.load and one.boundary == "rail" and one.source.partition(":")[0] == family
        ]
        if total.boundary == "module_in" and rails:
            response_w = total.response_w if total.responds else None
            found.append(
                Additivity(
                    total.load,
                    total.source,
                    tuple(rail.source for rail in rails),
                    _share([rail.idle_w for rail in rails], total.idle_w),
                    _share([rail.response_w for rail in rails], response_w),
                )
            )
    return found


def fit(own: PowerSource, meter: PowerSource, waves: Sequence[Wave], idle: Window) -> MeterFit | None:
    """Returns gain and offset of a device's own figure against a meter; None with too little to go by.

    Least squares over the mean powers of the idle window and of every half of the waves,
    without the first half of each, in which a slow meter still follows.
    """
    windows = [idle]
    for wave in waves:
        windows += [*wave.on_windows(), *wave.off_windows()]
    later = [(begin + (end - begin) // 2, end) for begin, end in windows]
    pairs = [
        (fmean(theirs), fmean(ours))
        for theirs, ours in zip(
            series_of(meter.curve).inside(later), series_of(own.curve).inside(later), strict=True
        )
        if theirs and ours
    ]
    if len(pairs) < _FEWEST_POINTS:
        return None
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    middle, level = fmean(xs), fmean(ys)
    spread = math.fsum((x - middle) ** 2 for x in xs)
    if spread <= 0:
        return None
    gain = math.fsum((x - middle) * (y - level) for x, y in pairs) / spread
    offset_w = level - gain * middle
    residual = math.fsum((y - gain * x - offset_w) ** 2 for x, y in pairs) / (len(pairs) - 2)
    return MeterFit(
        own.source,
        own.boundary,
        meter.source,
        meter.boundary,
        gain,
        math.sqrt(residual / spread),
        offset_w,
        len(pairs),
    )


def _share(parts: Sequence[float | None], whole: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    if whole is None or whole <= 0 or len(known) != len(parts):
        return None
    return math.fsum(known) / whole
