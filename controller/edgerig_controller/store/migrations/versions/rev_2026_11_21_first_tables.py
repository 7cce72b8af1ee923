"""The first tables.

Revision: 2026_11_21_first_tables. After: none.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_first_tables"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("added_unix_s", sa.Double(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=True),
        sa.Column("facts_unix_s", sa.Double(), nullable=True),
        sa.Column("environment_digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name="pk_device"),
    )
    op.create_table(
        "event",
        sa.Column("event_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at_unix_s", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_event"),
    )
    op.create_index("ix_event_kind", "event", ["kind"], unique=False)
    op.create_table(
        "study",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_unix_s", sa.Double(), nullable=False),
        sa.Column("finished_unix_s", sa.Double(), nullable=True),
        sa.Column("resolved", sa.JSON(), nullable=False),
        sa.Column("source_yaml", sa.Text(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("exclusions", sa.JSON(), nullable=False),
        sa.Column("device_names", sa.JSON(), nullable=False),
        sa.Column("device_labels", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("study_id", name="pk_study"),
        sa.UniqueConstraint("digest", name="uq_study_digest"),
        sa.UniqueConstraint("submission", name="uq_study_submission"),
    )
    op.create_index("ix_study_name", "study", ["name"], unique=False)
    op.create_index("ix_study_state", "study", ["state"], unique=False)
    op.create_table(
        "cell",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("cell_index", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("factors", sa.JSON(), nullable=False),
        sa.Column("predicted_ram_bytes", sa.Double(), nullable=True),
        sa.Column("predicted_duration_s", sa.Double(), nullable=True),
        sa.Column("does_not_fit", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.study_id"], name="fk_cell_study_id_study", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "cell_index", name="pk_cell"),
    )
    op.create_table(
        "certificate",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("issued_unix_s", sa.Double(), nullable=False),
        sa.Column("not_after_unix_s", sa.Double(), nullable=False),
        sa.Column("revoked_unix_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.device_id"], name="fk_certificate_device_id_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_certificate"),
    )
    op.create_index("ix_certificate_device_id", "certificate", ["device_id"], unique=False)
    op.create_table(
        "enroll_token",
        sa.Column("token_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("expires_unix_s", sa.Double(), nullable=False),
        sa.Column("used_unix_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.device_id"], name="fk_enroll_token_device_id_device", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", name="pk_enroll_token"),
        sa.UniqueConstraint("sha256", name="uq_enroll_token_sha256"),
    )
    op.create_table(
        "study_blob",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.study_id"], name="fk_study_blob_study_id_study", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "sha256", name="pk_study_blob"),
    )
    op.create_index("ix_study_blob_sha256", "study_blob", ["sha256"], unique=False)
    op.create_table(
        "trial",
        sa.Column("trial_id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("cell_index", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("budget_s", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("ran_count", sa.Integer(), nullable=False),
        sa.Column("canonical_attempt_id", sa.Text(), nullable=True),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.study_id"], name="fk_trial_study_id_study", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", name="pk_trial"),
    )
    op.create_index("ix_trial_canonical_attempt_id", "trial", ["canonical_attempt_id"], unique=False)
    op.create_index("ix_trial_digest", "trial", ["digest"], unique=False)
    op.create_index(
        "ix_trial_study_id_state_position", "trial", ["study_id", "state", "position"], unique=False
    )
    op.create_table(
        "attempt",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.Text(), nullable=True),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("budget_s", sa.Double(), nullable=False),
        sa.Column("began", sa.Boolean(), nullable=False),
        sa.Column("deadline_unix_s", sa.Double(), nullable=True),
        sa.Column("quiet_until_unix_s", sa.Double(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("created_unix_s", sa.Double(), nullable=False),
        sa.Column("began_unix_s", sa.Double(), nullable=True),
        sa.Column("ended_unix_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trial.trial_id"], name="fk_attempt_trial_id_trial", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_attempt"),
    )
    op.create_index("ix_attempt_state_deadline_unix_s", "attempt", ["state", "deadline_unix_s"], unique=False)
    op.create_index("ix_attempt_trial_id", "attempt", ["trial_id"], unique=False)
    op.create_index(
        "uq_attempt_open_device",
        "attempt",
        ["device_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('offered', 'accepted', 'running', 'unknown')"),
        postgresql_where=sa.text("state IN ('offered', 'accepted', 'running', 'unknown')"),
    )
    op.create_table(
        "result",
        sa.Column("result_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.Text(), nullable=True),
        sa.Column("trial_digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("canonical", sa.Boolean(), nullable=False),
        sa.Column("primary", sa.Boolean(), nullable=False),
        sa.Column("committed_unix_s", sa.Double(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_class", sa.Text(), nullable=False),
        sa.Column("failure_message", sa.Text(), nullable=False),
        sa.Column("failure_phase", sa.Text(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=True),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("environment_digest", sa.Text(), nullable=False),
        sa.Column("worker", sa.JSON(), nullable=False),
        sa.Column("last_available_bytes", sa.BigInteger(), nullable=True),
        sa.Column("last_rss_bytes", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempt.attempt_id"], name="fk_result_attempt_id_attempt", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trial.trial_id"], name="fk_result_trial_id_trial", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("result_id", name="pk_result"),
        sa.UniqueConstraint("attempt_id", "kind", "sha256", name="uq_result_attempt_id_kind_sha256"),
    )
    op.create_index("ix_result_trial_digest", "result", ["trial_digest"], unique=False)
    op.create_index("ix_result_trial_id", "result", ["trial_id"], unique=False)
    op.create_index(
        "uq_result_canonical_trial",
        "result",
        ["trial_id"],
        unique=True,
        sqlite_where=sa.text("canonical"),
        postgresql_where=sa.text("canonical"),
    )
    op.create_table(
        "artifact",
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["result_id"], ["result.result_id"], name="fk_artifact_result_id_result", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("result_id", "path", name="pk_artifact"),
    )
    op.create_index("ix_artifact_sha256", "artifact", ["sha256"], unique=False)
    op.create_table(
        "item_score",
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("retrieved_count", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["result_id"], ["result.result_id"], name="fk_item_score_result_id_result", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("result_id", "position", name="pk_item_score"),
    )
    op.create_table(
        "measurement",
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("statistic", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("unavailable_reason", sa.Text(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("interval_kind", sa.Text(), nullable=False),
        sa.Column("boundary", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("sample_count", sa.Integer(), nullable=False),
        sa.Column("effective_rate_hz", sa.Double(), nullable=True),
        sa.Column("coverage", sa.Double(), nullable=True),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["result_id"], ["result.result_id"], name="fk_measurement_result_id_result", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("result_id", "position", name="pk_measurement"),
    )


def downgrade() -> None:
    op.drop_table("measurement")
    op.drop_table("item_score")
    op.drop_index("ix_artifact_sha256", table_name="artifact")
    op.drop_table("artifact")
    op.drop_index(
        "uq_result_canonical_trial",
        table_name="result",
        sqlite_where=sa.text("canonical"),
        postgresql_where=sa.text("canonical"),
    )
    op.drop_index("ix_result_trial_id", table_name="result")
    op.drop_index("ix_result_trial_digest", table_name="result")
    op.drop_table("result")
    op.drop_index(
        "uq_attempt_open_device",
        table_name="attempt",
        sqlite_where=sa.text("state IN ('offered', 'accepted', 'running', 'unknown')"),
        postgresql_where=sa.text("state IN ('offered', 'accepted', 'running', 'unknown')"),
    )
    op.drop_index("ix_attempt_trial_id", table_name="attempt")
    op.drop_index("ix_attempt_state_deadline_unix_s", table_name="attempt")
    op.drop_table("attempt")
    op.drop_index("ix_trial_study_id_state_position", table_name="trial")
    op.drop_index("ix_trial_digest", table_name="trial")
    op.drop_index("ix_trial_canonical_attempt_id", table_name="trial")
    op.drop_table("trial")
    op.drop_index("ix_study_blob_sha256", table_name="study_blob")
    op.drop_table("study_blob")
    op.drop_table("enroll_token")
    op.drop_index("ix_certificate_device_id", table_name="certificate")
    op.drop_table("certificate")
    op.drop_table("cell")
    op.drop_index("ix_study_state", table_name="study")
    op.drop_index("ix_study_name", table_name="study")
    op.drop_table("study")
    op.drop_index("ix_event_kind", table_name="event")
    op.drop_table("event")
    op.drop_table("device")
