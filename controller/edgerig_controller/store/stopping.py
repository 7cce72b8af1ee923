"""Leaving trials out of a running study, with the reason.

Every function works inside the caller's transaction. What may be left out is
decided by `evidence.stopping`; a trial that a device has taken meanwhile runs on.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.orm import Session

from edgerig_controller.store import tables
from edgerig_controller.store.chunks import chunks
from edgerig_controller.store.events import record_event
from edgerig_controller.store.progress import settle

_CHUNK = 500
# Asked after every result: made once.
_ENDED = select(tables.Trial.seed, tables.Trial.repeat).where(
    tables.Trial.study_id == bindparam("study_id"),
    tables.Trial.canonical_attempt_id == bindparam("attempt_id"),
)
# The first that is found answers; a count would read the whole queue after every result.
_OPEN = (
    select(tables.Trial.trial_id)
    .where(tables.Trial.study_id == bindparam("study_id"), tables.Trial.state.in_(("queued", "leased")))
    .limit(1)
)
_OPEN_IN_BLOCK = _OPEN.where(
    tables.Trial.seed == bindparam("seed"), tables.Trial.repeat == bindparam("repeat")
)


def block_ended(session: Session | Connection, study_id: str, attempt_id: str) -> bool:
    """Tells whether the trial of an attempt was the last open one of its seed and repeat, and others wait."""
    trial = session.execute(_ENDED, {"study_id": study_id, "attempt_id": attempt_id}).first()
    if trial is None:
        return False
    block = {"study_id": study_id, "seed": trial.seed, "repeat": trial.repeat}
    return session.scalar(_OPEN_IN_BLOCK, block) is None and (
        session.scalar(_OPEN, {"study_id": study_id}) is not None
    )


def leave_out(session: Session, study_id: str, reasons: Mapping[str, str], now_unix_s: float) -> int:
    """Takes waiting trials out of the queue and returns how many; the study may be finished by that.

    Args:
        session: the caller's transaction.
        study_id: the study.
        reasons: trial id to why it need not run.
        now_unix_s: the time.
    """
    count = 0
    by_reason: dict[str, list[str]] = {}
    for trial_id, reason in reasons.items():
        by_reason.setdefault(reason, []).append(trial_id)
    for reason, trial_ids in sorted(by_reason.items()):
        taken = 0
        for piece in chunks(sorted(trial_ids), _CHUNK):
            changed = session.execute(
                update(tables.Trial)
                .where(
                    tables.Trial.study_id == study_id,
                    tables.Trial.trial_id.in_(piece),
                    tables.Trial.state == "queued",
                )
                .values(state="settled")
            )
            taken += changed.rowcount  # type: ignore[attr-defined]
        if taken:
            detail = f"{taken} trials: {reason}"
            record_event(session, now_unix_s, "trials_left_out", study_id=study_id, detail=detail)
        count += taken
    if count:
        settle(session, study_id, now_unix_s)
    return count
