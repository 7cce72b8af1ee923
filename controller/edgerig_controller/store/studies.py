"""Writing studies: registering, reusing results, finishing, cancelling, resuming, deleting.

Every function works inside the caller's transaction. Knows nothing of agents
or of blobs other than their names.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError, UsageError
from edgerig.words import RESULT_FAILURES
from edgerig_controller.fleet.leases import OPEN, Lease, cancel
from edgerig_controller.fleet.schedule import Slot, matches, run_order
from edgerig_controller.store import tables
from edgerig_controller.store.chunks import chunks
from edgerig_controller.store.events import record_event
from edgerig_controller.store.leases import apply, load
from edgerig_controller.store.progress import has_open, settle, written_result
from edgerig_controller.study.prepared import DeviceSelector, PlannedTrial, PreparedStudy

STUDY_ID_CHARS = 12
# A trial whose study gives no limit may take this long.
DEFAULT_BUDGET_S = 3600.0
# Failures that say nothing of the cell: worth another try by `--resume`.
DIED = frozenset(
    {
        "worker_error",
        "killed",
        "agent_lost",
        "rebooted",
        "reboot_failed",
        "precondition",
        "unknown",
        "not_installed",
        "bad_model",
        "bad_data",
    }
)
_CHUNK = 500


@dataclass(frozen=True)
class Created:
    """A registered study, and whether it was there before."""

    study_id: str
    attached: bool
    reused_count: int


@dataclass(frozen=True)
class Cancelled:
    """What a cancellation touched; `held` are leases that devices may be working on."""

    cancelled_count: int
    held: tuple[Lease, ...]


@dataclass(frozen=True)
class Terms:
    """Under which terms a study runs; `owner` '' is this machine's own operator."""

    owner: str = ""
    priority: int = 0
    # '' or `golden`.
    purpose: str = ""


def create_study(
    session: Session, prepared: PreparedStudy, *, reuse: bool, now_unix_s: float, terms: Terms | None = None
) -> Created:
    """Registers a study with its cells and trials, or finds the one with the same digest.

    Cells that fit nowhere get their results at once. With `reuse`, identical
    trials that the device has answered under the same environment do too.
    """
    existing = session.scalars(select(tables.Study).where(tables.Study.digest == prepared.digest)).first()
    if existing is not None:
        return Created(existing.study_id, True, _reused_count(session, existing.study_id))
    study_id = prepared.digest[:STUDY_ID_CHARS]
    _insert_study(session, study_id, prepared, terms or Terms(), now_unix_s)
    # A stored result says nothing of the units that this study is to compare.
    reuse = reuse and prepared.units == 1
    reused = _reusable(session, prepared.trials, prepared.devices) if reuse else {}
    unfit = _unfitting(prepared)
    _insert_trials(session, study_id, prepared, reused, unfit)
    _answer_unfitting(session, study_id, prepared, unfit, now_unix_s)
    record_event(session, now_unix_s, "study_created", study_id=study_id, detail=prepared.name)
    settle(session, study_id, now_unix_s)
    return Created(study_id, False, _reused_count(session, study_id))


def cancel_study(session: Session, study_id: str, *, now_unix_s: float) -> Cancelled:
    """Takes queued trials out and withdraws leases; running attempts end when their devices say so.

    Raises:
        NotFoundError: there is no such study.
    """
    study = require(session, study_id)
    study.state = "cancelled"
    study.finished_unix_s = now_unix_s
    session.flush()
    queued = session.execute(
        update(tables.Trial)
        .where(tables.Trial.study_id == study_id, tables.Trial.state == "queued")
        .values(state="cancelled")
    )
    held = []
    rows = open_attempts(session, study_id)
    for row in rows:
        answer = cancel(load(row), "the study was cancelled")
        apply(session, row, answer, now_unix_s=now_unix_s)
        if row.state in OPEN:
            held.append(answer.lease)
    record_event(session, now_unix_s, "study_cancelled", study_id=study_id)
    count: int = queued.rowcount  # type: ignore[attr-defined]
    return Cancelled(count + len(rows), tuple(held))


def resume_study(session: Session, study_id: str, *, now_unix_s: float) -> int:
    """Queues the trials that died or were cancelled again and returns how many.

    Earlier results stay stored, they only no longer count.

    Raises:
        NotFoundError: there is no such study.
    """
    study = require(session, study_id)
    died = (
        select(tables.Trial.trial_id)
        .outerjoin(tables.Result, (tables.Result.trial_id == tables.Trial.trial_id) & tables.Result.canonical)
        .where(
            tables.Trial.study_id == study_id,
            or_(tables.Trial.state == "cancelled", tables.Result.failure_class.in_(DIED)),
            tables.Trial.state.in_(("cancelled", "done")),
        )
    )
    trial_ids = session.scalars(died).all()
    for piece in chunks(trial_ids, _CHUNK):
        _queue_again(session, piece)
    session.flush()
    if has_open(session, study_id):
        study.state = "active"
        study.finished_unix_s = None
    elif study.state == "cancelled":
        study.state = "finished"
    if trial_ids:
        detail = f"{len(trial_ids)} trials"
        record_event(session, now_unix_s, "study_resumed", study_id=study_id, detail=detail)
    return len(trial_ids)


def delete_study(session: Session, study_id: str, *, now_unix_s: float) -> None:
    """Removes a study; results that another study reuses stay.

    Raises:
        NotFoundError: there is no such study.
        UsageError: a device may still be working on it.
    """
    study = require(session, study_id)
    if open_attempts(session, study_id):
        raise UsageError(
            f"Study {study.name} ({study_id}) is still running, or out in a batch.",
            hint=f"edgerig cancel {study_id}",
        )
    session.execute(delete(tables.Study).where(tables.Study.study_id == study_id))
    record_event(session, now_unix_s, "study_deleted", study_id=study_id, detail=study.name)


def require(session: Session, study_id: str) -> tables.Study:
    """Returns the study with this id.

    Raises:
        NotFoundError: there is none.
    """
    study = session.get(tables.Study, study_id)
    if study is None:
        raise NotFoundError(f"There is no study {study_id[:80]!r}.", hint="edgerig studies")
    return study


def open_attempts(session: Session, study_id: str) -> Sequence[tables.Attempt]:
    """Lists the attempts of a study that a device has or may have, those in batches too."""
    return session.scalars(
        select(tables.Attempt)
        .join(tables.Trial, tables.Trial.trial_id == tables.Attempt.trial_id)
        .where(tables.Trial.study_id == study_id, tables.Attempt.state.in_((*OPEN, "batch")))
    ).all()


def _queue_again(session: Session, trial_ids: list[str]) -> None:
    # Nothing of these rows is loaded, so nothing in the session needs to hear of the change.
    unheard = {"synchronize_session": False}
    session.execute(
        update(tables.Result).where(tables.Result.trial_id.in_(trial_ids)).values(canonical=False),
        execution_options=unheard,
    )
    session.execute(
        update(tables.Trial)
        .where(tables.Trial.trial_id.in_(trial_ids))
        .values(state="queued", canonical_attempt_id=None, ran_count=0),
        execution_options=unheard,
    )


def _insert_study(
    session: Session, study_id: str, prepared: PreparedStudy, terms: Terms, now_unix_s: float
) -> None:
    newest = session.scalar(select(func.max(tables.Study.submission))) or 0
    session.add(
        tables.Study(
            study_id=study_id,
            submission=newest + 1,
            name=prepared.name,
            digest=prepared.digest,
            state="active",
            created_unix_s=now_unix_s,
            finished_unix_s=None,
            resolved=prepared.resolved,
            source_yaml=prepared.source_yaml,
            claims=list(prepared.claims),
            exclusions=[
                {"factors": item.factors, "reason": item.reason, "source": item.source}
                for item in prepared.exclusions
            ],
            device_names=list(prepared.devices.names),
            device_labels=list(prepared.devices.labels),
            owner=terms.owner,
            priority=terms.priority,
            purpose=terms.purpose,
            max_attempts=prepared.retry.max_attempts,
            retry_on=list(prepared.retry.retry_on),
            units=prepared.units,
        )
    )
    session.flush()
    blobs = [{"study_id": study_id, "sha256": sha256} for sha256 in sorted(prepared.blobs)]
    cells = [
        {
            "study_id": study_id,
            "cell_index": cell.index,
            "label": cell.label,
            "factors": cell.factors,
            "predicted_ram_bytes": cell.ram_peak_bytes.value,
            "predicted_duration_s": cell.duration_s.value,
            "does_not_fit": cell.does_not_fit,
        }
        for cell in prepared.cells
    ]
    _insert_all(session, tables.StudyBlob, blobs)
    _insert_all(session, tables.Cell, cells)


def _unfitting(prepared: PreparedStudy) -> dict[int, str]:
    """Gives every trial of a cell that fits nowhere the id of the attempt that answers it."""
    cells = {cell.index for cell in prepared.cells if cell.does_not_fit}
    return {
        index: str(uuid.uuid4())
        for index, planned in enumerate(prepared.trials)
        if planned.cell_index in cells
    }


def _insert_trials(
    session: Session,
    study_id: str,
    prepared: PreparedStudy,
    reused: dict[str, str],
    unfit: dict[int, str],
) -> None:
    slots = [
        Slot(item.cell_index, item.trial.seed, item.trial.repeat, item.trial.settings.power_mode)
        for item in prepared.trials
    ]
    positions = run_order(prepared.digest, slots)
    rows = []
    for index, planned in enumerate(prepared.trials):
        trial = planned.trial
        stored = None if index in unfit else reused.get(trial.digest)
        answer = unfit.get(index, stored)
        rows.append(
            {
                "trial_id": _trial_id(study_id, index),
                "study_id": study_id,
                "cell_index": planned.cell_index,
                "seed": trial.seed,
                "repeat": trial.repeat,
                "digest": trial.digest,
                "document": trial.SerializeToString(deterministic=True),
                "budget_s": trial.budgets.attempt.duration_s or DEFAULT_BUDGET_S,
                "state": "done" if answer else "queued",
                "position": positions[index],
                "epoch": 0,
                "ran_count": 0,
                "canonical_attempt_id": answer,
                "reused": stored is not None,
                "unit": planned.unit,
            }
        )
    _insert_all(session, tables.Trial, rows)


def _answer_unfitting(
    session: Session, study_id: str, prepared: PreparedStudy, unfit: dict[int, str], now_unix_s: float
) -> None:
    reasons = {cell.index: cell.does_not_fit for cell in prepared.cells}
    attempts, results = [], []
    for index, attempt_id in unfit.items():
        planned = prepared.trials[index]
        trial_id = _trial_id(study_id, index)
        attempts.append(_planned_attempt(attempt_id, trial_id, now_unix_s))
        results.append(
            written_result(
                attempt_id,
                trial_id,
                planned.trial.digest,
                kind="planned",
                failure_class="does_not_fit",
                message=reasons[planned.cell_index],
                now_unix_s=now_unix_s,
            )
        )
    _insert_all(session, tables.Attempt, attempts)
    _insert_all(session, tables.Result, results)


def _planned_attempt(attempt_id: str, trial_id: str, now_unix_s: float) -> dict[str, Any]:
    """Returns the row of an attempt that planning answered and no device ran."""
    return {
        "attempt_id": attempt_id,
        "trial_id": trial_id,
        "device_id": "",
        "epoch": 0,
        "state": "committed",
        "budget_s": 0.0,
        "began": False,
        "deadline_unix_s": None,
        "quiet_until_unix_s": None,
        "cancel_reason": "",
        "boot_id": "",
        "created_unix_s": now_unix_s,
        "began_unix_s": None,
        "ended_unix_s": now_unix_s,
    }


def _reusable(session: Session, trials: Sequence[PlannedTrial], devices: DeviceSelector) -> dict[str, str]:
    """Finds stored answers: trial digest to attempt id, the newest first."""
    query = (
        select(
            tables.Result.trial_digest,
            tables.Result.attempt_id,
            tables.Device.device_id,
            tables.Device.labels,
        )
        .join(tables.Attempt, tables.Attempt.attempt_id == tables.Result.attempt_id)
        .join(tables.Device, tables.Device.device_id == tables.Attempt.device_id)
        .where(
            tables.Result.canonical,
            tables.Result.kind == "attempt",
            tables.Result.environment_digest != "",
            tables.Result.environment_digest == tables.Device.environment_digest,
            or_(tables.Result.status == "ok", tables.Result.failure_class.in_(RESULT_FAILURES)),
        )
        .order_by(tables.Result.committed_unix_s.desc())
    )
    found: dict[str, str] = {}
    for digests in chunks(sorted({item.trial.digest for item in trials}), _CHUNK):
        for digest, attempt_id, device_id, labels in session.execute(
            query.where(tables.Result.trial_digest.in_(digests))
        ):
            if matches(devices.names, devices.labels, device_id, labels):
                found.setdefault(digest, attempt_id)
    return found


def _reused_count(session: Session, study_id: str) -> int:
    return (
        session.scalar(
            select(func.count())
            .select_from(tables.Trial)
            .where(tables.Trial.study_id == study_id, tables.Trial.reused)
        )
        or 0
    )


def _trial_id(study_id: str, index: int) -> str:
    return f"{study_id}-{index:05d}"


def _insert_all(session: Session, table: type[tables.Base], rows: list[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(table), rows)
