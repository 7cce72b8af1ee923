"""Everything a report or an export is made of: the rows of one study, read once.

Knows the rows of the store and nothing of the database behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from edgerig_controller.store.rows import (
    AttemptRow,
    CellRow,
    MeasurementRow,
    PointRow,
    ScoreRow,
    StudyRow,
    TrialRow,
)

if TYPE_CHECKING:
    from edgerig_controller.store.devices import DeviceRow


class Reader(Protocol):
    """The reads of the repository that reports need."""

    def cells(self, study_id: str) -> Sequence[CellRow]: ...
    def trials(self, study_id: str) -> Sequence[TrialRow]: ...
    def attempts(self, study_id: str) -> Sequence[AttemptRow]: ...
    def measurements(self, study_id: str) -> Sequence[MeasurementRow]: ...
    def scores(self, study_id: str) -> Sequence[ScoreRow]: ...
    def points(self, study_id: str) -> Sequence[PointRow]: ...
    def devices(self) -> Sequence[DeviceRow]: ...


@dataclass(frozen=True)
class DeviceSummary:
    """What a device is, as far as results are judged by it; 0 bytes = not known.

    `accelerator_bytes` is the memory of the largest accelerator with memory of its own.
    """

    device_id: str
    machine: str
    memory_bytes: int
    accelerator: str
    accelerator_bytes: int
    power_mode: str


@dataclass(frozen=True)
class StudyData:
    """The rows of one study as they stood when they were read."""

    study: StudyRow
    cells: tuple[CellRow, ...]
    trials: tuple[TrialRow, ...]
    attempts: tuple[AttemptRow, ...]
    measurements: tuple[MeasurementRow, ...]
    scores: tuple[ScoreRow, ...]
    # Of the devices that ran something.
    devices: tuple[DeviceSummary, ...] = ()
    # Training curves, where the study asked for points of the budget.
    points: tuple[PointRow, ...] = ()
    # Task -> user -> items of history, where they were asked for.
    histories: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    # Task -> difficulty as far as its data tell it (`evidence.difficulties.of_data`).
    difficulty: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @staticmethod
    def load(reader: Reader, study: StudyRow) -> StudyData:
        """Reads all rows of a study."""
        key = study.study_id
        attempts = tuple(reader.attempts(key))
        used = {row.device_id for row in attempts}
        return StudyData(
            study=study,
            cells=tuple(sorted(reader.cells(key), key=lambda cell: cell.cell_index)),
            trials=tuple(reader.trials(key)),
            attempts=attempts,
            measurements=tuple(reader.measurements(key)),
            scores=tuple(reader.scores(key)),
            points=tuple(reader.points(key)),
            devices=tuple(_summary(row) for row in reader.devices() if row.device_id in used),
        )

    def results(self) -> tuple[AttemptRow, ...]:
        """Returns the attempts whose result counts, in the order of cell, seed and repeat."""
        found = [attempt for attempt in self.attempts if attempt.canonical]
        return tuple(sorted(found, key=lambda row: (row.cell_index, row.seed, row.repeat)))


def _summary(row: DeviceRow) -> DeviceSummary:
    facts = row.facts
    if facts is None:
        return DeviceSummary(row.device_id, "", 0, "", 0, "")
    largest = max(facts.accelerators, key=lambda found: found.memory_bytes, default=None)
    return DeviceSummary(
        device_id=row.device_id,
        machine=facts.machine,
        memory_bytes=facts.memory_bytes,
        accelerator=largest.name if largest is not None else "",
        accelerator_bytes=largest.memory_bytes if largest is not None else 0,
        power_mode=facts.power_mode,
    )


def protocol(study: StudyRow) -> str:
    """Returns the measuring protocol of a study: quick, standard or publishable."""
    return str(study.resolved.get("protocol", ""))


def factor_words(value: Any) -> str:
    """Words a factor's value: `lora alpha=16 r=8`, `starter/small`, `16`."""
    if not isinstance(value, dict):
        return str(value)
    kind = str(value.get("kind", value.get("name", "")))
    parameters = value.get("parameters", {key: value[key] for key in value if key not in ("kind", "name")})
    return " ".join([kind, *(f"{key}={parameters[key]}" for key in sorted(parameters))]).strip()
