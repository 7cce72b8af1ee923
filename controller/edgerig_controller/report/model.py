"""The report as an object: what the pages, the terminal and `--json` are rendered from.

Holds findings only, in stored units; how they are worded and drawn is the
business of render, svg and the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgerig_controller.guidelines.estimate import ScoreEstimate
from edgerig_controller.report.aggregate import Figure
from edgerig_controller.report.drift import CanaryReport
from edgerig_controller.report.units import UnitsReport
from edgerig_controller.report.weights import Weights


@dataclass(frozen=True)
class Failure:
    """Trials of one cell that ended without a usable result for the same reason."""

    cell_index: int
    cell: str
    status: str
    failure_class: str
    phase: str
    message: str
    # A limit of the configuration (a finding) or an accident of the run.
    is_result: bool
    runs: tuple[str, ...]
    attempt_ids: tuple[str, ...]
    last_available_bytes: int | None
    last_rss_bytes: int | None


@dataclass(frozen=True)
class DeviceFigures:
    """The figures of one cell on one device; figures of devices are never pooled.

    `energy` has one entry per power boundary and sensor.
    """

    device_id: str
    run_count: int
    ttft: Figure | None
    decode: Figure | None
    ram: Figure | None
    train: Figure | None
    energy: tuple[Figure, ...]
    energy_unavailable: tuple[str, ...]
    everything: tuple[Figure, ...]


@dataclass(frozen=True)
class CellReport:
    """One cell: its quality over all its runs, and its figures per device."""

    index: int
    label: str
    factors: dict[str, str]
    trial_count: int
    ok_count: int
    metric: str
    quality: ScoreEstimate
    devices: tuple[DeviceFigures, ...]
    failures: tuple[Failure, ...]
    flags: tuple[str, ...]
    # What the planner's formula said before the run.
    predicted_ram_bytes: float | None = None
    weights: tuple[Weights, ...] = ()


@dataclass(frozen=True)
class Contrast:
    """The paired difference of a cell to the cell that differs only in one factor being `none`."""

    factor: str
    cell_index: int
    cell: str
    baseline_index: int
    baseline: str
    # The value of the factor that is contrasted, in words.
    treatment: str
    metric: str
    difference: ScoreEstimate


@dataclass(frozen=True)
class CoverageEntry:
    """What became of one trial: ok, a failure class, or a state without result."""

    seed: int
    repeat: int
    state: str
    attempt_id: str
    reused: bool


@dataclass(frozen=True)
class CoverageRow:
    cell_index: int
    cell: str
    entries: tuple[CoverageEntry, ...]


@dataclass(frozen=True)
class Unavailable:
    """Figures that runs of some cells could not measure for one reason.

    `reasons` are that reason in all its wordings, which differ in numbers only.
    """

    names: tuple[str, ...]
    phases: tuple[str, ...]
    reasons: tuple[str, ...]
    cell_count: int

    @property
    def words(self) -> str:
        """Words the reason once, and says how many others are like it."""
        more = len(self.reasons) - 1
        return f"{self.reasons[0]} (and {more} similar)" if more else self.reasons[0]


@dataclass(frozen=True)
class WorkerKind:
    """One hardware and software environment that runs came from."""

    device_id: str
    environment_digest: str
    run_count: int
    facts: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Everything that is said about one study."""

    schema_version: int
    study_id: str
    name: str
    digest: str
    state: str
    protocol: str
    created_unix_s: float
    finished_unix_s: float | None
    written_unix_s: float
    edgerig_version: str
    seeds: tuple[int, ...]
    trial_count: int
    ok_count: int
    failed_count: int
    open_count: int
    # Left out because settled claims or precise figures did not need them.
    settled_count: int
    reused_count: int
    # Figures come from short runs: see the protocol.
    indicative: bool
    # Starter models test the instrument; they say nothing about language models.
    instrument_check: bool
    cells: tuple[CellReport, ...]
    contrasts: tuple[Contrast, ...]
    coverage: tuple[CoverageRow, ...]
    exclusions: tuple[dict[str, str], ...]
    failures: tuple[Failure, ...]
    unavailable: tuple[Unavailable, ...]
    workers: tuple[WorkerKind, ...]
    claims: tuple[str, ...]
    # sha256 of model folders and task data by name; '' for what lies on the device only.
    models: dict[str, str]
    tasks: dict[str, str]
    inference: dict[str, Any]
    # The cell that every block repeats; None under `quick`.
    canary: CanaryReport | None = None
    # How units of one device type differ; None for a study of one unit.
    units: UnitsReport | None = None
