"""People, their certificates and the audit; intent, administration and health of devices.

Revision: 2026_11_21_people_and_fleet. After: 2026_11_21_first_tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_people_and_fleet"
down_revision = "2026_11_21_first_tables"
branch_labels = None
depends_on = None

_REFUSAL = "the audit is only ever added to"


def upgrade() -> None:
    op.add_column("study", sa.Column("owner", sa.Text(), nullable=False, server_default=""))
    op.add_column("study", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("study", sa.Column("purpose", sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "enroll_token", sa.Column("replace", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("certificate", sa.Column("revoked_reason", sa.Text(), nullable=False, server_default=""))
    _devices()
    _people()
    _audit()


def downgrade() -> None:
    _allow_changes()
    for name in ("audit", "person_certificate", "person_token", "person"):
        op.drop_table(name)
    for name in ("health_point", "device_health", "device_admin", "device_intent"):
        op.drop_table(name)
    for table, column in (
        ("certificate", "revoked_reason"),
        ("enroll_token", "replace"),
        ("study", "purpose"),
        ("study", "priority"),
        ("study", "owner"),
    ):
        # Not in batch mode: copying a table drops it, and with it whatever refers to it.
        op.drop_column(table, column)


def _devices() -> None:
    op.create_table(
        "device_intent",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("applied_unix_s", sa.Double(), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.Column("mismatch", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name="pk_device_intent"),
    )
    op.create_table(
        "device_admin",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_unix_s", sa.Double(), nullable=False),
        sa.Column("until_unix_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.device_id"], name="fk_device_admin_device_id_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", name="pk_device_admin"),
    )
    op.create_table(
        "device_health",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_unix_s", sa.Double(), nullable=False),
        sa.Column("baseline_after_unix_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.device_id"], name="fk_device_health_device_id_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", name="pk_device_health"),
    )
    op.create_table(
        "health_point",
        sa.Column("point_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("at_unix_s", sa.Double(), nullable=False),
        sa.Column("figure", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("environment_digest", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.device_id"], name="fk_health_point_device_id_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("point_id", name="pk_health_point"),
        sa.UniqueConstraint(
            "attempt_id", "figure", "source", name="uq_health_point_attempt_id_figure_source"
        ),
    )
    op.create_index(
        "ix_health_point_device_id_at_unix_s", "health_point", ["device_id", "at_unix_s"], unique=False
    )


def _people() -> None:
    op.create_table(
        "person",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("added_unix_s", sa.Double(), nullable=False),
        sa.Column("revoked_unix_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_person"),
    )
    op.create_table(
        "person_token",
        sa.Column("token_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("expires_unix_s", sa.Double(), nullable=False),
        sa.Column("used_unix_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["name"], ["person.name"], name="fk_person_token_name_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", name="pk_person_token"),
        sa.UniqueConstraint("sha256", name="uq_person_token_sha256"),
    )
    op.create_table(
        "person_certificate",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("issued_unix_s", sa.Double(), nullable=False),
        sa.Column("not_after_unix_s", sa.Double(), nullable=False),
        sa.Column("revoked_unix_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["name"], ["person.name"], name="fk_person_certificate_name_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_person_certificate"),
    )
    op.create_index("ix_person_certificate_name", "person_certificate", ["name"], unique=False)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("entry_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at_unix_s", sa.Double(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )


def _allow_changes() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(f"DROP TRIGGER audit_no_{verb}")
    else:
        op.execute("DROP TRIGGER audit_no_change ON audit")
        op.execute("DROP FUNCTION audit_refuse()")
