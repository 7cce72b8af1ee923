"""Energy while it is used: reads the traces that the sampler is writing, for a budget in joules.

Follows one power figure that is a total, from record to record. The energy of a phase is
reduced from the whole trace afterwards and does not come from here: this is what a stop
rule goes by, some tenths of a second behind. Knows nothing of processes.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgerig_agent.measure.energy import wrapped_step
from edgerig_agent.measure.trace import Field, Trace, read_trace
from edgerig_agent.measure.tracefile import HEADER_BYTES
from edgerig_agent.probes.base import CURRENT_A, ENERGY_J, LAST_UNREAD, POWER_W, VOLTAGE_V
from edgerig_agent.probes.rails import rails_of_total

# The boundary that holds most of the box comes first.
WIDEST_FIRST = (
    "wall_ac",
    "dc_in",
    "carrier_in",
    "module_in",
    "rails_sum",
    "gpu_board",
    "cpu_pkg",
    "estimate",
)
# A record read at one time: its values, None where a field could not be read.
_Power = Callable[["array[int]"], "float | None"]


@dataclass(frozen=True)
class Figure:
    """One power figure of a trace: a counter's column, or power as a function of a record."""

    source: str
    boundary: str
    update_ns: int
    power_w: _Power | None = None
    counter: int = 0
    scale_j: float = 0.0
    wrap_raw: int = 0


@dataclass
class LiveEnergy:
    """Energy since the first record of a growing trace. `resolution_s` is how far the sensor lags."""

    path: Path
    figure: Figure
    width: int
    offset_bytes: int
    resolution_s: float
    energy_j: float = 0.0
    t_mono_ns: int = 0
    _last: array[int] | None = field(default=None, repr=False)

    def update(self) -> None:
        """Take in what was written since. The newest record is left for the next time: it may be torn.

        Raises:
            OSError: the trace cannot be read.
        """
        record_bytes = 8 * self.width
        with self.path.open("rb") as file:
            file.seek(self.offset_bytes)
            data = file.read()
        words = array("q")
        words.frombytes(data[: len(data) // record_bytes * record_bytes])
        if sys.byteorder == "big":
            words.byteswap()
        written = 0
        # The file is longer than what is written; behind the newest record stand zeros.
        while written * self.width < len(words) and words[written * self.width]:
            written += 1
        for index in range(max(0, written - 1)):
            self._add(words[index * self.width : (index + 1) * self.width])
            self.offset_bytes += record_bytes

    def _add(self, record: array[int]) -> None:
        figure = self.figure
        if figure.power_w is None:
            if record[figure.counter] <= LAST_UNREAD:
                return
            if self._last is not None:
                step = wrapped_step(self._last[figure.counter], record[figure.counter], figure.wrap_raw)
                self.energy_j += max(0, step) * figure.scale_j
        else:
            power_w = figure.power_w(record)
            if power_w is None:
                return
            if self._last is not None:
                before_w = figure.power_w(self._last)
                assert before_w is not None
                # A hole is bridged: a budget must not be outrun by a sensor that stumbles.
                self.energy_j += (before_w + power_w) / 2 * (record[0] - self._last[0]) * 1e-9
        self._last = record
        self.t_mono_ns = record[0]


def open_live(folder: Path) -> LiveEnergy | None:
    """Return the widest total of an attempt whose sampler has begun; None where there is none.

    Raises:
        StorageError: a trace cannot be read.
    """
    found = [
        (WIDEST_FIRST.index(figure.boundary), number, path, trace, figure)
        for number, path in enumerate(sorted((folder / "trace").glob("*.trace")))
        for trace in [read_trace(path)]
        for figure in _figures(trace)
        if figure.boundary in WIDEST_FIRST
    ]
    if not found:
        return None
    _, _, path, trace, figure = min(found, key=lambda entry: entry[:2])
    with path.open("rb") as file:
        header_bytes = len(file.readline(64 * HEADER_BYTES))
    resolution_s = (trace.interval_ns + max(trace.interval_ns, figure.update_ns)) * 1e-9
    return LiveEnergy(path, figure, 1 + len(trace.fields), header_bytes, resolution_s)


def _figures(trace: Trace) -> list[Figure]:
    columns = {id(entry): place for place, entry in enumerate(trace.fields, start=1)}
    figures: list[Figure] = []
    rails: dict[str, tuple[Field, Field]] = {}
    for entry in trace.fields:
        if entry.unit == ENERGY_J:
            figures.append(
                Figure(
                    entry.source,
                    entry.boundary,
                    entry.update_interval_ns,
                    counter=columns[id(entry)],
                    scale_j=entry.scale,
                    wrap_raw=entry.wrap_raw,
                )
            )
        elif entry.unit == POWER_W:
            power = _reading(columns[id(entry)], entry.scale)
            figures.append(Figure(entry.source, entry.boundary, entry.update_interval_ns, power))
        elif entry.unit == CURRENT_A:
            voltages = [one for one in trace.fields if one.source == entry.source and one.unit == VOLTAGE_V]
            if voltages:
                rails[entry.source] = (entry, voltages[0])
    for source, pair in rails.items():
        power = _product([pair], columns)
        figures.append(Figure(source, pair[0].boundary, pair[0].update_interval_ns, power))
    by_label = {source.rpartition(":")[2]: pair for source, pair in rails.items()}
    names = rails_of_total([source.rpartition(":")[2] for source in rails])
    if names:
        pairs = [by_label[name] for name in names]
        update_ns = max(current.update_interval_ns for current, _ in pairs)
        figures.append(
            Figure(f"{trace.name}:{'+'.join(names)}", "rails_sum", update_ns, _product(pairs, columns))
        )
    return figures


def _reading(column: int, scale: float) -> _Power:
    def power_w(record: array[int]) -> float | None:
        return None if record[column] <= LAST_UNREAD else record[column] * scale

    return power_w


def _product(pairs: list[tuple[Field, Field]], columns: dict[int, int]) -> _Power:
    places = [
        (columns[id(current)], columns[id(voltage)], current.scale * voltage.scale)
        for current, voltage in pairs
    ]

    def power_w(record: array[int]) -> float | None:
        if any(min(record[current], record[voltage]) <= LAST_UNREAD for current, voltage, _ in places):
            return None
        return sum(record[current] * record[voltage] * scale for current, voltage, scale in places)

    return power_w
