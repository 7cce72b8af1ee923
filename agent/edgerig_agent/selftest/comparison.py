"""Rails against the total they are part of, and a device's own figure against a meter; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from edgerig_agent.measure.sources import PowerSource
from edgerig_agent.probes.rails import CARRIER_RAILS
from edgerig_agent.selftest.response import Response, series_of
from edgerig_agent.selftest.wave import Wave, Window

# Rails may fall short of the total that feeds them, by what nobody measures; they cannot exceed it.
_MOST_SHARE = 1.05
_FEWEST_POINTS = 4
# Sensors of a board by its own drivers (`ina3221:1-0040:...`), and those among them that measure rails.
_ON_BOARD = "ina"
_RAILS_OF = "ina3221:"


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
    """Compares each input of a module or a carrier board with what it is known to feed, load by load.

    A module's input feeds the rails of the module; a carrier's input feeds the module, by
    its input where that is measured, else by its rails. Rails of a carrier are left out: some
    are branches of others.
    """
    found = []
    for total in responses:
        rails = _fed_by(total, [one for one in responses if one.load == total.load])
        if rails:
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


def _fed_by(total: Response, others: Sequence[Response]) -> list[Response]:
    """Returns the known parts of an input; none of anything else, a meter included."""
    if total.boundary not in ("module_in", "carrier_in") or not _is_on_board(total):
        return []
    modules = [one for one in others if one.boundary == "module_in" and _is_on_board(one)]
    if total.boundary == "carrier_in" and modules:
        return modules
    return [
        one
        for one in others
        if one.boundary == "rail"
        and one.source.startswith(_RAILS_OF)
        and one.source.rpartition(":")[2] not in CARRIER_RAILS
    ]


def _is_on_board(one: Response) -> bool:
    return one.source.startswith(_ON_BOARD)


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
