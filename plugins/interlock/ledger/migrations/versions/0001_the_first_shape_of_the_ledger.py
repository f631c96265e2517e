"""The first shape of the ledger"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_version",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_agent_version")),
    )
    op.create_table(
        "audit_chain",
        sa.Column("chain", sa.String(length=120), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_chain")),
    )
    op.create_table(
        "audit_event",
        sa.Column("chain", sa.String(length=120), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain", "number", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_subject", "audit_event", ["subject"], unique=False)
    op.create_table(
        "workflow_version",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("bundle", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_version")),
        sa.UniqueConstraint("environment", "workflow", "number", name=op.f("uq_workflow_version_environment")),
    )
    op.create_table(
        "version_in_force",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["workflow_version.id"], name=op.f("fk_version_in_force_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version_in_force")),
    )
    op.create_index(
        "ix_version_in_force_workflow", "version_in_force", ["environment", "workflow", "since"], unique=False
    )
    op.create_table(
        "workflow_run",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("run_id", sa.String(length=250), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("wiring", sa.Text(), nullable=False),
        sa.Column("triggered_by", sa.String(length=200), nullable=True),
        sa.Column("is_resume", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["workflow_version.id"], name=op.f("fk_workflow_run_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_run")),
        sa.UniqueConstraint("environment", "dag_id", "run_id", name=op.f("uq_workflow_run_environment")),
    )
    op.create_table(
        "case",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("business_key", sa.String(length=250), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("route", sa.String(length=100), nullable=True),
        sa.Column("task", sa.String(length=250), nullable=True),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("contract", sa.String(length=120), nullable=False),
        sa.Column("payload_digest", sa.String(length=64), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("handoff_id", sa.String(length=32), nullable=True),
        sa.Column("draft_id", sa.String(length=32), nullable=True),
        sa.Column("decision_id", sa.String(length=32), nullable=True),
        sa.Column("review_asked_by", sa.String(length=200), nullable=True),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["case.id"], name=op.f("fk_case_parent_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_case_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case")),
        sa.UniqueConstraint("environment", "workflow", "business_key", name=op.f("uq_case_environment")),
    )
    op.create_index("ix_case_parent", "case", ["parent_id"], unique=False)
    op.create_index("ix_case_place", "case", ["run_id", "task", "state"], unique=False)
    op.create_index("ix_case_state", "case", ["environment", "workflow", "state"], unique=False)
    op.create_table(
        "gate_listing",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("listed", sa.Text(), nullable=False),
        sa.Column("release_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_gate_listing_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_listing")),
        sa.UniqueConstraint("run_id", "task", name="uq_gate_listing_run_task"),
    )
    op.create_table(
        "quality_report",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("suite", sa.String(length=100), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_quality_report_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_report")),
    )
    op.create_index(op.f("ix_quality_report_run_id"), "quality_report", ["run_id"], unique=False)
    op.create_table(
        "task_attempt",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_task_attempt_run_id")),
        sa.PrimaryKeyConstraint("run_id", "task", "number", name=op.f("pk_task_attempt")),
    )
    op.create_table(
        "authorisation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("payload_digest", sa.String(length=64), nullable=False),
        sa.Column("basis", sa.String(length=80), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=200), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_authorisation_case_id")),
        sa.ForeignKeyConstraint(["version_id"], ["workflow_version.id"], name=op.f("fk_authorisation_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorisation")),
    )
    op.create_index(op.f("ix_authorisation_case_id"), "authorisation", ["case_id"], unique=False)
    op.create_table(
        "case_run",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_case_run_case_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_case_run_run_id")),
        sa.PrimaryKeyConstraint("run_id", "case_id", name=op.f("pk_case_run")),
    )
    op.create_index(op.f("ix_case_run_case_id"), "case_run", ["case_id"], unique=False)
    op.create_table(
        "case_secret",
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("secret", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_case_secret_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_case_secret")),
    )
    op.create_table(
        "gate_request",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("gate", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("payload_digest", sa.String(length=64), nullable=False),
        sa.Column("seen_digest", sa.String(length=64), nullable=False),
        sa.Column("votes_needed", sa.Integer(), nullable=False),
        sa.Column("voters", sa.Text(), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_gate_request_case_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_gate_request_run_id")),
        sa.ForeignKeyConstraint(["version_id"], ["workflow_version.id"], name=op.f("fk_gate_request_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_request")),
    )
    op.create_index(op.f("ix_gate_request_case_id"), "gate_request", ["case_id"], unique=False)
    op.create_index("ix_gate_request_place", "gate_request", ["run_id", "task", "state"], unique=False)
    op.create_index("ix_gate_request_state", "gate_request", ["state"], unique=False)
    op.create_table(
        "handoff",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("contract", sa.String(length=120), nullable=False),
        sa.Column("contract_name", sa.String(length=100), nullable=False),
        sa.Column("contract_digest", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("agent_digest", sa.String(length=64), nullable=False),
        sa.Column("input_digest", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("payload_digest", sa.String(length=64), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_handoff_case_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_handoff_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handoff")),
        sa.UniqueConstraint("case_id", "task", "key", name="uq_handoff_case_task_key"),
    )
    op.create_index(op.f("ix_handoff_case_id"), "handoff", ["case_id"], unique=False)
    op.create_table(
        "label",
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("field", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_label_case_id")),
        sa.PrimaryKeyConstraint("case_id", "field", name=op.f("pk_label")),
    )
    op.create_table(
        "payload",
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_payload_case_id")),
        sa.PrimaryKeyConstraint("case_id", "digest", name=op.f("pk_payload")),
    )
    op.create_table(
        "usage",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.String(length=40), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_usage_case_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_usage_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_case_id"), "usage", ["case_id"], unique=False)
    op.create_table(
        "decision",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=300), nullable=False),
        sa.Column("route", sa.String(length=100), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("inputs_digest", sa.String(length=64), nullable=False),
        sa.Column("handoff_id", sa.String(length=32), nullable=True),
        sa.Column("decided_by", sa.String(length=200), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_decision_case_id")),
        sa.ForeignKeyConstraint(["handoff_id"], ["handoff.id"], name=op.f("fk_decision_handoff_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_decision_run_id")),
        sa.ForeignKeyConstraint(["version_id"], ["workflow_version.id"], name=op.f("fk_decision_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index(op.f("ix_decision_case_id"), "decision", ["case_id"], unique=False)
    op.create_index("ix_decision_run", "decision", ["run_id"], unique=False)
    op.create_table(
        "effect",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("payload_digest", sa.String(length=64), nullable=False),
        sa.Column("authorisation_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["authorisation_id"], ["authorisation.id"], name=op.f("fk_effect_authorisation_id")),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_effect_case_id")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_effect_run_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_effect")),
    )
    op.create_index(op.f("ix_effect_case_id"), "effect", ["case_id"], unique=False)
    op.create_table(
        "vote",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("answer", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("seen_digest", sa.String(length=64), nullable=False),
        sa.Column("edited_digest", sa.String(length=64), nullable=True),
        sa.Column("way", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_vote_case_id")),
        sa.ForeignKeyConstraint(["request_id"], ["gate_request.id"], name=op.f("fk_vote_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vote")),
        sa.UniqueConstraint("request_id", "person", name="uq_vote_request_person"),
    )
    op.create_index(op.f("ix_vote_case_id"), "vote", ["case_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_vote_case_id"), table_name="vote")
    op.drop_table("vote")
    op.drop_index(op.f("ix_effect_case_id"), table_name="effect")
    op.drop_table("effect")
    op.drop_index("ix_decision_run", table_name="decision")
    op.drop_index(op.f("ix_decision_case_id"), table_name="decision")
    op.drop_table("decision")
    op.drop_index(op.f("ix_usage_case_id"), table_name="usage")
    op.drop_table("usage")
    op.drop_table("payload")
    op.drop_table("label")
    op.drop_index(op.f("ix_handoff_case_id"), table_name="handoff")
    op.drop_table("handoff")
    op.drop_index("ix_gate_request_state", table_name="gate_request")
    op.drop_index("ix_gate_request_place", table_name="gate_request")
    op.drop_index(op.f("ix_gate_request_case_id"), table_name="gate_request")
    op.drop_table("gate_request")
    op.drop_table("case_secret")
    op.drop_index(op.f("ix_case_run_case_id"), table_name="case_run")
    op.drop_table("case_run")
    op.drop_index(op.f("ix_authorisation_case_id"), table_name="authorisation")
    op.drop_table("authorisation")
    op.drop_table("task_attempt")
    op.drop_index(op.f("ix_quality_report_run_id"), table_name="quality_report")
    op.drop_table("quality_report")
    op.drop_table("gate_listing")
    op.drop_index("ix_case_state", table_name="case")
    op.drop_index("ix_case_place", table_name="case")
    op.drop_index("ix_case_parent", table_name="case")
    op.drop_table("case")
    op.drop_table("workflow_run")
    op.drop_index("ix_version_in_force_workflow", table_name="version_in_force")
    op.drop_table("version_in_force")
    op.drop_table("workflow_version")
    op.drop_index("ix_audit_event_subject", table_name="audit_event")
    op.drop_table("audit_event")
    op.drop_table("audit_chain")
    op.drop_table("agent_version")
