"""The append-only record of what happened to studies, attempts and devices."""

from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.orm import Session

from edgerig_controller.store import tables

_DETAIL_MAX_CHARS = 2000
# Made once and on the table: through the mapped class an insert costs nine times as much.
_EVENT = insert(tables.Base.metadata.tables["event"])


def record_event(
    session: Session,
    now_unix_s: float,
    kind: str,
    *,
    study_id: str = "",
    attempt_id: str = "",
    device_id: str = "",
    detail: str = "",
) -> None:
    """Adds one event in the transaction of the change that it tells of."""
    session.execute(
        _EVENT,
        {
            "at_unix_s": now_unix_s,
            "kind": kind,
            "study_id": study_id,
            "attempt_id": attempt_id,
            "device_id": device_id,
            "detail": detail[:_DETAIL_MAX_CHARS],
        },
    )
