"""Making a result durable: one transaction, idempotent, at most one canonical result per trial.

Works inside the caller's transaction. The files of the manifest are blobs
already; this module knows only their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from edgerig.documents import to_json
from edgerig.v1 import attempt_pb2
from edgerig.v1.attempt_pb2 import AttemptResult, ItemScore, Manifest
from edgerig.words import word
from edgerig_controller.fleet import leases
from edgerig_controller.fleet.leases import OPEN, Answer
from edgerig_controller.store import tables
from edgerig_controller.store.events import record_event
from edgerig_controller.store.leases import apply, find, load, retry_of
from edgerig_controller.store.progress import release_trial, settle

Outcome = Literal["canonical", "superseded", "already_have", "conflict", "discarded"]

# Made once: making a statement costs as much as running it.
_RESULTS_OF = select(tables.Result).where(tables.Result.attempt_id == bindparam("attempt_id"))
_CANONICAL = select(tables.Result).where(
    tables.Result.trial_id == bindparam("trial_id"), tables.Result.canonical
)
_RIVALS = select(tables.Attempt).where(
    tables.Attempt.trial_id == bindparam("trial_id"),
    tables.Attempt.attempt_id != bindparam("attempt_id"),
    tables.Attempt.state.in_(OPEN),
)
_MEASUREMENT, _SCORE, _ARTIFACT = (
    insert(tables.Base.metadata.tables[name]) for name in ("measurement", "item_score", "artifact")
)


@dataclass(frozen=True)
class Submission:
    """A result as a device commits it, validated and with its files in place."""

    device_id: str
    attempt_id: str
    epoch: int
    kind: str
    sha256: str
    manifest: Manifest
    result: AttemptResult
    scores: Sequence[ItemScore]


@dataclass(frozen=True)
class Committed:
    """What became of a submission. `study_id` is empty where it was not taken."""

    outcome: Outcome
    reason: str = ""
    study_id: str = ""


def commit_result(session: Session, submission: Submission, *, now_unix_s: float) -> Committed:
    """Stores a result with its measurements, item scores and files."""
    row = find(session, submission.attempt_id)
    if row is None or row.device_id != submission.device_id or row.trial_id is None:
        return Committed("discarded", "the attempt is unknown here")
    if row.epoch != submission.epoch:
        return Committed("discarded", f"epoch {submission.epoch} is not the lease's epoch {row.epoch}")
    trial = session.get_one(tables.Trial, row.trial_id)
    if submission.result.trial_digest != trial.digest:
        return Committed("discarded", "the result is of another trial than the attempt")
    earlier = _results_of(session, submission.attempt_id)
    reported = [item for item in earlier if item.kind == submission.kind]
    if any(item.sha256 == submission.sha256 for item in reported):
        return Committed("already_have", "", trial.study_id)
    if reported:
        _store(session, submission, trial, "conflict", now_unix_s)
        _tell(session, now_unix_s, "alarm_conflict", row, trial, "a second, different result of one attempt")
        return Committed("conflict", "another result of this attempt is stored", trial.study_id)
    outcome = _place(session, row, trial, submission, earlier)
    _store(session, submission, trial, outcome, now_unix_s)
    _close(session, row, trial, outcome, now_unix_s)
    detail = f"{outcome}: {word(attempt_pb2.Status, submission.result.status)}"
    _tell(session, now_unix_s, "result", row, trial, detail)
    settle(session, trial.study_id, now_unix_s)
    return Committed(outcome, "", trial.study_id)


def _place(
    session: Session,
    row: tables.Attempt,
    trial: tables.Trial,
    submission: Submission,
    earlier: Sequence[tables.Result],
) -> Literal["canonical", "superseded"]:
    """Decides whether this is the trial's result, and takes a mere `agent_lost` out of its way."""
    for result in earlier:
        result.primary = False
    if row.cancel_reason and submission.result.failure_class == attempt_pb2.FAILURE_CLASS_KILLED:
        # It died because somebody withdrew it: that says nothing of the trial.
        return "superseded"
    if trial.reused or _runs_again(session, row, trial, submission.result):
        return "superseded"
    standing = session.scalars(_CANONICAL, {"trial_id": trial.trial_id}).first()
    if standing is not None and standing.kind != "lost":
        return "superseded"
    if standing is not None:
        standing.canonical = False
        standing.outcome = "superseded"
    session.flush()
    return "canonical"


def _runs_again(session: Session, row: tables.Attempt, trial: tables.Trial, result: AttemptResult) -> bool:
    """Tells whether the study wants this end of a trial tried again; the result is kept beside the next."""
    if trial.state != "leased" or trial.epoch != row.epoch:
        return False
    began_count = trial.ran_count + (not row.began)
    return retry_of(session, trial).again(word(attempt_pb2.FailureClass, result.failure_class), began_count)


def _close(
    session: Session,
    row: tables.Attempt,
    trial: tables.Trial,
    outcome: Literal["canonical", "superseded"],
    now_unix_s: float,
) -> None:
    was_its_turn = trial.state == "leased" and trial.epoch == row.epoch
    apply(
        session,
        row,
        Answer(leases.commit(load(row)), "already_have"),
        now_unix_s=now_unix_s,
    )
    if outcome == "canonical":
        trial.state = "done"
        trial.canonical_attempt_id = row.attempt_id
        _withdraw_rivals(session, row, now_unix_s)
    elif was_its_turn:
        if trial.canonical_attempt_id is None:
            release_trial(session, trial)
        else:
            trial.state = "done"


def _withdraw_rivals(session: Session, row: tables.Attempt, now_unix_s: float) -> None:
    """Takes back offers of the same trial; a rival that already works may finish."""
    rivals = session.scalars(_RIVALS, {"trial_id": row.trial_id, "attempt_id": row.attempt_id}).all()
    for rival in rivals:
        if rival.state == "offered":
            answer = leases.cancel(load(rival), "another attempt has brought the result")
            apply(session, rival, answer, now_unix_s=now_unix_s)


def _store(
    session: Session,
    submission: Submission,
    trial: tables.Trial,
    outcome: Literal["canonical", "superseded", "conflict"],
    now_unix_s: float,
) -> None:
    result = _result_row(submission, trial, outcome, now_unix_s)
    session.add(result)
    session.flush()
    key = {"result_id": result.result_id}
    measurements = [
        {**key, "position": index, **measurement_values(item)}
        for index, item in enumerate(submission.result.measurements)
    ]
    scores = [
        {**key, "position": index, **score_values(item)} for index, item in enumerate(submission.scores)
    ]
    files = [
        {**key, "path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes}
        for file in submission.manifest.files
    ]
    if measurements:
        session.execute(_MEASUREMENT, measurements)
    if scores:
        session.execute(_SCORE, scores)
    if files:
        session.execute(_ARTIFACT, files)


def _result_row(
    submission: Submission,
    trial: tables.Trial,
    outcome: Literal["canonical", "superseded", "conflict"],
    now_unix_s: float,
) -> tables.Result:
    result = submission.result
    return tables.Result(
        attempt_id=submission.attempt_id,
        trial_id=trial.trial_id,
        trial_digest=trial.digest,
        kind=submission.kind,
        sha256=submission.sha256,
        outcome=outcome,
        canonical=outcome == "canonical",
        primary=outcome != "conflict",
        committed_unix_s=now_unix_s,
        status=word(attempt_pb2.Status, result.status),
        failure_class=word(attempt_pb2.FailureClass, result.failure_class),
        failure_message=result.failure_message,
        failure_phase=word(attempt_pb2.Phase, result.failure_phase),
        quality=result.quality if result.HasField("quality") else None,
        item_count=result.item_count,
        flags=list(result.flags),
        duration_s=_duration_s(result),
        environment_digest=result.environment_digest,
        worker=to_json(result.worker),
        last_available_bytes=result.last_available_bytes if result.HasField("last_available_bytes") else None,
        last_rss_bytes=result.last_rss_bytes if result.HasField("last_rss_bytes") else None,
        document=result.SerializeToString(deterministic=True),
    )


def measurement_values(item: attempt_pb2.Measurement) -> dict[str, Any]:
    """Returns the columns of a measurement; what is absent is NULL, never zero."""
    return {
        "name": item.name,
        "phase": word(attempt_pb2.Phase, item.phase),
        "statistic": item.statistic,
        "value": item.value if item.HasField("value") else None,
        "unavailable_reason": item.unavailable_reason,
        "low": item.low if item.HasField("low") else None,
        "high": item.high if item.HasField("high") else None,
        "interval_kind": item.interval_kind,
        "boundary": word(attempt_pb2.Boundary, item.boundary),
        "source": item.source,
        "method": item.method,
        "sample_count": item.sample_count,
        "effective_rate_hz": item.effective_rate_hz if item.HasField("effective_rate_hz") else None,
        "coverage": item.coverage if item.HasField("coverage") else None,
        "flags": list(item.flags),
    }


def score_values(item: ItemScore) -> dict[str, Any]:
    """Returns the columns of an item score."""
    return {
        "item_id": item.item_id,
        "user_id": item.user_id,
        "score": item.score,
        "output": item.output,
        "expected": item.expected,
        "retrieved_count": item.retrieved_count,
        "truncated": item.truncated,
        "tokens_in": item.tokens_in,
    }


def _duration_s(result: AttemptResult) -> float | None:
    if result.begin_mono_ns and result.end_mono_ns > result.begin_mono_ns:
        return (result.end_mono_ns - result.begin_mono_ns) / 1e9
    return None


def _results_of(session: Session, attempt_id: str) -> Sequence[tables.Result]:
    return session.scalars(_RESULTS_OF, {"attempt_id": attempt_id}).all()


def _tell(
    session: Session, now_unix_s: float, kind: str, row: tables.Attempt, trial: tables.Trial, detail: str
) -> None:
    record_event(
        session,
        now_unix_s,
        kind,
        study_id=trial.study_id,
        attempt_id=row.attempt_id,
        device_id=row.device_id,
        detail=detail,
    )
