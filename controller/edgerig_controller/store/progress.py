"""Where a study stands, and the results that the controller writes itself.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from edgerig.v1 import attempt_pb2
from edgerig.words import number
from edgerig_controller.store import tables
from edgerig_controller.store.events import record_event

_OPEN_TRIAL = (
    select(tables.Trial.trial_id)
    .where(tables.Trial.study_id == bindparam("study_id"), text("state IN ('queued', 'leased')"))
    .limit(1)
)


def settle(session: Session, study_id: str, now_unix_s: float) -> bool:
    """Marks an active study finished when nothing of it is left to run; tells whether it did."""
    session.flush()
    study = session.get_one(tables.Study, study_id)
    if study.state != "active" or has_open(session, study_id):
        return False
    study.state = "finished"
    study.finished_unix_s = now_unix_s
    record_event(session, now_unix_s, "study_finished", study_id=study_id)
    return True


def has_open(session: Session, study_id: str) -> bool:
    """Tells whether a trial of a study is queued or leased; looks no further than the first."""
    return session.scalar(_OPEN_TRIAL, {"study_id": study_id}) is not None


def release_trial(session: Session, trial: tables.Trial) -> None:
    """Takes a trial off its withdrawn attempt: cancelled, or queued if its study goes on."""
    study = session.get_one(tables.Study, trial.study_id)
    trial.state = "queued" if study.state == "active" else "cancelled"


def written_result(
    attempt_id: str,
    trial_id: str,
    trial_digest: str,
    *,
    kind: Literal["lost", "planned"],
    failure_class: str,
    message: str,
    now_unix_s: float,
    boot_id: str = "",
) -> dict[str, Any]:
    """Returns the row of a canonical failure that no device reported."""
    document = attempt_pb2.AttemptResult(
        attempt_id=attempt_id,
        trial_digest=trial_digest,
        status=attempt_pb2.STATUS_FAILED,
        failure_class=number(attempt_pb2.FailureClass, failure_class),  # type: ignore[arg-type]
        failure_message=message,
        boot_id=boot_id,
    )
    return {
        "attempt_id": attempt_id,
        "trial_id": trial_id,
        "trial_digest": trial_digest,
        "kind": kind,
        "sha256": "",
        "outcome": "canonical",
        "canonical": True,
        "primary": True,
        "committed_unix_s": now_unix_s,
        "status": "failed",
        "failure_class": failure_class,
        "failure_message": message,
        "failure_phase": "",
        "quality": None,
        "item_count": 0,
        "flags": [],
        "duration_s": None,
        "environment_digest": "",
        "worker": {},
        "last_available_bytes": None,
        "last_rss_bytes": None,
        "document": document.SerializeToString(deterministic=True),
    }
