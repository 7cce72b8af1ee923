"""What nothing refers to any more: blobs, and attempts whose studies are gone.

Works inside the caller's transaction; deleting the blobs themselves is the
caller's, after the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from edgerig_controller.store import tables
from edgerig_controller.store.chunks import chunks

_CHUNK = 500


@dataclass(frozen=True)
class Orphans:
    """Attempts without a study that no other study reuses, and the bytes of their files."""

    attempt_ids: tuple[str, ...]
    file_bytes: int


def referenced_blobs(session: Session) -> set[str]:
    """Returns every blob that a study or a stored result needs."""
    return {
        *session.scalars(select(tables.StudyBlob.sha256)),
        *session.scalars(select(tables.Artifact.sha256)),
    }


def orphans(session: Session) -> Orphans:
    """Finds attempts that nothing refers to."""
    reused = select(tables.Trial.canonical_attempt_id).where(tables.Trial.canonical_attempt_id.is_not(None))
    ids = session.scalars(
        select(tables.Attempt.attempt_id).where(
            tables.Attempt.trial_id.is_(None), tables.Attempt.attempt_id.not_in(reused)
        )
    ).all()
    file_bytes = 0
    for piece in chunks(ids, _CHUNK):
        # PostgreSQL sums whole numbers to a decimal.
        file_bytes += int(
            session.scalar(
                select(func.sum(tables.Artifact.size_bytes))
                .join(tables.Result, tables.Result.result_id == tables.Artifact.result_id)
                .where(tables.Result.attempt_id.in_(piece))
            )
            or 0
        )
    return Orphans(tuple(ids), file_bytes)


def delete_attempts(session: Session, attempt_ids: tuple[str, ...]) -> None:
    """Removes attempts with their results, measurements, scores and file names."""
    for piece in chunks(attempt_ids, _CHUNK):
        session.execute(delete(tables.Attempt).where(tables.Attempt.attempt_id.in_(piece)))
