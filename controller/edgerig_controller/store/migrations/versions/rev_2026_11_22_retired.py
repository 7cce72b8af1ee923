"""Certificates that another has replaced, told apart from those that a person revoked.

Revision: 2026_11_22_retired. After: 2026_11_22_lookups.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_retired"
down_revision = "2026_11_22_lookups"
branch_labels = None
depends_on = None

# What was written without a person; nothing, before reasons were kept.
_REASONS = ("", "it was renewed again", "a newer one is in use", "the device was enrolled anew")


def upgrade() -> None:
    op.add_column(
        "certificate", sa.Column("retired", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    certificate = sa.table(
        "certificate",
        sa.column("retired", sa.Boolean()),
        sa.column("revoked_reason"),
        sa.column("revoked_unix_s"),
    )
    op.execute(
        certificate.update()
        .where(certificate.c.revoked_unix_s.is_not(None), certificate.c.revoked_reason.in_(_REASONS))
        .values(retired=sa.true())
    )


def downgrade() -> None:
    op.drop_column("certificate", "retired")
