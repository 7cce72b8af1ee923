"""What planning hands to the store and to a dry run: a study, resolved and expanded.

Knows nothing of YAML, of the database or of devices other than by the names
in the study.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgerig.v1.trial_pb2 import Trial

Basis = Literal["measured", "formula", "unknown"]


@dataclass(frozen=True)
class Prediction:
    """A figure predicted before the run; `value` is None exactly when `basis` is unknown.

    `low` and `high` are its error bar, where one is known.
    """

    value: float | None
    basis: Basis
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One combination of factors.

    `factors` maps factor name (task, model, method, compression, history, ...)
    to the value as the study wrote it, defaults filled in: a string, a number,
    or {"kind": ..., parameters ...}. `label` is short and unique in the study.
    """

    index: int
    factors: dict[str, Any]
    label: str
    ram_peak_bytes: Prediction
    duration_s: Prediction
    # Set when the cell cannot run anywhere allowed: it is stored as a result, not leased.
    does_not_fit: str = ""


@dataclass(frozen=True)
class PlannedTrial:
    """One cell with a seed and a repeat; `trial.digest` is set."""

    cell_index: int
    trial: Trial
    # Which of the study's units runs it, from 1.
    unit: int = 1


@dataclass(frozen=True)
class Exclusion:
    """A combination that is not run, and why."""

    factors: dict[str, Any]
    reason: str
    # study: written in the file; catalogue: the workload declares it invalid.
    source: Literal["study", "catalogue"]


@dataclass(frozen=True)
class DeviceSelector:
    """Which devices may run the trials: by name, or by all of the labels."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetryRule:
    """How often a trial may begin, and the failure classes after which it runs again by itself."""

    max_attempts: int = 1
    retry_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedStudy:
    """A study ready to be stored. `resolved` is what `digest` was taken of."""

    name: str
    digest: str
    resolved: dict[str, Any]
    source_yaml: str
    cells: tuple[Cell, ...]
    trials: tuple[PlannedTrial, ...]
    exclusions: tuple[Exclusion, ...]
    devices: DeviceSelector
    # sha256 of every blob that the trials refer to (models, task data).
    blobs: frozenset[str]
    claims: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    retry: RetryRule = RetryRule()
    # On how many devices of one type the whole of it runs.
    units: int = 1
