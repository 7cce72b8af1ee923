"""Studies that run on several units of one device type, and which unit a trial is of.

Revision: 2026_11_21_units. After: 2026_11_21_controllers.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_units"
down_revision = "2026_11_21_controllers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("study", sa.Column("units", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("trial", sa.Column("unit", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    op.drop_column("trial", "unit")
    op.drop_column("study", "units")
