"""The audit: who changed what, and who was refused. Rows are only ever added.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from edgerig_controller.store import tables

MAX_ROWS = 1000
_TEXT_MAX_CHARS = 1000


@dataclass(frozen=True)
class AuditRow:
    """One entry. `entry_id` 0 = not stored yet."""

    at_unix_s: float
    who: str
    role: str
    what: str
    subject: str
    # allowed, denied, or the class of the error that an allowed call ended with.
    outcome: str
    detail: str = ""
    entry_id: int = 0


def add(session: Session, row: AuditRow) -> None:
    """Adds one entry; texts of peers are cut."""
    session.execute(
        insert(tables.Audit).values(
            at_unix_s=row.at_unix_s,
            who=row.who[:_TEXT_MAX_CHARS],
            role=row.role,
            what=row.what[:_TEXT_MAX_CHARS],
            subject=row.subject[:_TEXT_MAX_CHARS],
            outcome=row.outcome,
            detail=row.detail[:_TEXT_MAX_CHARS],
        )
    )


def entries(session: Session, *, before_entry_id: int = 0, limit: int = 100) -> list[AuditRow]:
    """Lists entries, the newest first, at most MAX_ROWS; 0 = from the newest."""
    query = select(tables.Audit).order_by(tables.Audit.entry_id.desc())
    if before_entry_id:
        query = query.where(tables.Audit.entry_id < before_entry_id)
    rows = session.scalars(query.limit(min(max(limit, 1), MAX_ROWS)))
    return [
        AuditRow(
            row.at_unix_s, row.who, row.role, row.what, row.subject, row.outcome, row.detail, row.entry_id
        )
        for row in rows
    ]
