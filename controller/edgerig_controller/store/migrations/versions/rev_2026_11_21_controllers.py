"""Several controllers on one database, and which of them leads.

Revision: 2026_11_21_controllers. After: 2026_11_21_retry.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_controllers"
down_revision = "2026_11_21_retry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "controller",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("control", sa.Text(), nullable=False),
        sa.Column("agents", sa.Text(), nullable=False),
        sa.Column("enroll", sa.Text(), nullable=False),
        sa.Column("seen_unix_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", name="pk_controller"),
    )
    op.create_table(
        "leadership",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("files_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("since_unix_s", sa.Double(), nullable=False),
        sa.Column("connected", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name="pk_leadership"),
    )


def downgrade() -> None:
    op.drop_table("leadership")
    op.drop_table("controller")
