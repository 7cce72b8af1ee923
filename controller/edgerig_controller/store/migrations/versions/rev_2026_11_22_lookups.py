"""Indexes for what is asked with every Sync and after every commit.

Revision: 2026_11_22_lookups. After: 2026_11_21_units.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_lookups"
down_revision = "2026_11_21_units"
branch_labels = None
depends_on = None

_JUDGED = sa.text("kind = 'golden'")


def upgrade() -> None:
    op.create_index("ix_attempt_ended_unix_s", "attempt", ["ended_unix_s"])
    op.create_index("ix_study_purpose_created_unix_s", "study", ["purpose", "created_unix_s"])
    op.create_index(
        "ix_event_golden_attempt_id",
        "event",
        ["attempt_id"],
        sqlite_where=_JUDGED,
        postgresql_where=_JUDGED,
    )


def downgrade() -> None:
    op.drop_index("ix_event_golden_attempt_id", "event")
    op.drop_index("ix_study_purpose_created_unix_s", "study")
    op.drop_index("ix_attempt_ended_unix_s", "attempt")
