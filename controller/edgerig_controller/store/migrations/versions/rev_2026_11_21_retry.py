"""How often a trial that died runs again, and an index for the next deadline.

Revision: 2026_11_21_retry. After: 2026_11_21_people_and_fleet.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_retry"
down_revision = "2026_11_21_people_and_fleet"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('offered', 'accepted', 'running', 'unknown')")


def upgrade() -> None:
    op.add_column("study", sa.Column("max_attempts", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("study", sa.Column("retry_on", sa.JSON(), nullable=False, server_default="[]"))
    op.create_index(
        "ix_attempt_open_deadline",
        "attempt",
        ["deadline_unix_s"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )


def downgrade() -> None:
    op.drop_index("ix_attempt_open_deadline", table_name="attempt")
    op.drop_column("study", "retry_on")
    op.drop_column("study", "max_attempts")
