"""What the repository returns: plain rows, detached from the database.

Words (states, statuses, classes, phases, boundaries) are the short ones of
`edgerig.words`. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

StudyState = Literal["active", "finished", "cancelled"]
# settled: left out, because what it would tell is known well enough; the event `trials_left_out` says why.
TrialState = Literal["queued", "leased", "done", "cancelled", "settled"]
# batch: on its way to a device without a network, and no lease that ends by itself.
AttemptState = Literal["offered", "accepted", "running", "unknown", "batch", "lost", "committed", "cancelled"]


@dataclass(frozen=True)
class StudyRow:
    study_id: str
    name: str
    digest: str
    state: StudyState
    created_unix_s: float
    finished_unix_s: float | None
    trial_count: int
    done_count: int
    # Trials whose result is a failure of any class.
    failed_count: int
    reused_count: int
    resolved: dict[str, Any]
    source_yaml: str
    claims: list[dict[str, Any]]
    exclusions: list[dict[str, Any]]


@dataclass(frozen=True)
class CellRow:
    cell_index: int
    label: str
    factors: dict[str, Any]
    predicted_ram_bytes: float | None
    predicted_duration_s: float | None


@dataclass(frozen=True)
class TrialRow:
    trial_id: str
    study_id: str
    cell_index: int
    seed: int
    repeat: int
    digest: str
    state: TrialState
    # The attempt whose result counts; it may belong to another study (reused).
    canonical_attempt_id: str | None
    reused: bool
    attempt_count: int


@dataclass(frozen=True)
class AttemptRow:
    attempt_id: str
    # The trial of this study that the attempt answers (also for reused results).
    trial_id: str
    cell_index: int
    seed: int
    repeat: int
    device_id: str
    epoch: int
    state: AttemptState
    # ok, failed, invalid, not_run; '' while there is no result.
    status: str
    failure_class: str
    failure_message: str
    failure_phase: str
    quality: float | None
    item_count: int
    flags: list[str]
    canonical: bool
    reused: bool
    created_unix_s: float
    ended_unix_s: float | None
    duration_s: float | None
    environment_digest: str
    worker: dict[str, Any]
    last_available_bytes: int | None
    last_rss_bytes: int | None


@dataclass(frozen=True)
class MeasurementRow:
    attempt_id: str
    cell_index: int
    seed: int
    repeat: int
    name: str
    phase: str
    statistic: str
    value: float | None
    unavailable_reason: str
    low: float | None
    high: float | None
    interval_kind: str
    boundary: str
    source: str
    method: str
    sample_count: int
    effective_rate_hz: float | None
    coverage: float | None
    flags: list[str]


@dataclass(frozen=True)
class ScoreRow:
    attempt_id: str
    cell_index: int
    seed: int
    repeat: int
    item_id: str
    user_id: str
    score: float
    output: str
    expected: str
    retrieved_count: int
    truncated: bool
    tokens_in: int


@dataclass(frozen=True)
class PointRow:
    """What training had used and come to at one point of its budget, in one attempt.

    `energy_j` maps power boundaries to joules; a boundary with two sources is left out.
    """

    attempt_id: str
    index: int
    budget_share: float
    samples: int
    duration_s: float
    energy_j: dict[str, float]
    score: float | None
