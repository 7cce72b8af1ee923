"""Everything a report or an export is made of: the rows of one study, read once.

Knows the rows of the store and nothing of the database behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgerig_controller.store.rows import (
    AttemptRow,
    CellRow,
    MeasurementRow,
    ScoreRow,
    StudyRow,
    TrialRow,
)


class Reader(Protocol):
    """The reads of the repository that reports need."""

    def cells(self, study_id: str) -> Sequence[CellRow]: ...
    def trials(self, study_id: str) -> Sequence[TrialRow]: ...
    def attempts(self, study_id: str) -> Sequence[AttemptRow]: ...
    def measurements(self, study_id: str) -> Sequence[MeasurementRow]: ...
    def scores(self, study_id: str) -> Sequence[ScoreRow]: ...


@dataclass(frozen=True)
class StudyData:
    """The rows of one study as they stood when they were read."""

    study: StudyRow
    cells: tuple[CellRow, ...]
    trials: tuple[TrialRow, ...]
    attempts: tuple[AttemptRow, ...]
    measurements: tuple[MeasurementRow, ...]
    scores: tuple[ScoreRow, ...]

    @staticmethod
    def load(reader: Reader, study: StudyRow) -> StudyData:
        """Reads all rows of a study."""
        key = study.study_id
        return StudyData(
            study=study,
            cells=tuple(sorted(reader.cells(key), key=lambda cell: cell.cell_index)),
            trials=tuple(reader.trials(key)),
            attempts=tuple(reader.attempts(key)),
            measurements=tuple(reader.measurements(key)),
            scores=tuple(reader.scores(key)),
        )

    def results(self) -> tuple[AttemptRow, ...]:
        """Returns the attempts whose result counts, in the order of cell, seed and repeat."""
        found = [attempt for attempt in self.attempts if attempt.canonical]
        return tuple(sorted(found, key=lambda row: (row.cell_index, row.seed, row.repeat)))


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
