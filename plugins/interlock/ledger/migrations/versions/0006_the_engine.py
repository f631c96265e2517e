"""
Budgets, limits of connections, incidents, outcomes and quotes; costs that are no call of a model.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget_account",
        sa.Column("account", sa.String(length=400), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_budget_account")),
    )
    op.create_table(
        "connection_state",
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("connection", sa.String(length=200), nullable=False),
        sa.Column("requests_at", sa.BigInteger(), nullable=False),
        sa.Column("tokens_at", sa.BigInteger(), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("environment", "connection", name=op.f("pk_connection_state")),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=250), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=200), nullable=True),
        sa.Column("escalated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index("ix_incident_state", "incident", ["environment", "workflow", "state"], unique=False)
    op.create_table(
        "permit",
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("connection", sa.String(length=200), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("environment", "connection", "holder", name=op.f("pk_permit")),
    )
    op.create_table(
        "provider_batch",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("agent_digest", sa.String(length=64), nullable=False),
        sa.Column("connection", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("provider_id", sa.String(length=200), nullable=True),
        sa.Column("cases", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_provider_batch_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_batch")),
    )
    op.create_index(
        "ix_provider_batch_place", "provider_batch", ["environment", "workflow", "task", "state"], unique=False
    )
    op.create_table(
        "quote",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("estimate", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("actual", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_quote_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quote")),
    )
    op.create_index("ix_quote_workflow", "quote", ["environment", "workflow", "created_at"], unique=False)
    op.create_table(
        "reservation",
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=400), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["budget_account.account"], name=op.f("fk_reservation_account")),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_reservation_run_id")),
        sa.PrimaryKeyConstraint("holder", "account", name=op.f("pk_reservation")),
    )
    op.create_index("ix_reservation_account", "reservation", ["account", "expires_at"], unique=False)
    op.create_index("ix_reservation_place", "reservation", ["run_id", "task"], unique=False)
    op.create_table(
        "outcome",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=60), nullable=False),
        sa.Column("value", sa.String(length=40), nullable=True),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("final_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_by", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_outcome_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcome")),
        sa.UniqueConstraint("case_id", "outcome", "happened_at", name="uq_outcome_case_outcome_at"),
    )
    op.create_index(op.f("ix_outcome_case_id"), "outcome", ["case_id"], unique=False)
    op.drop_index("ix_case_place", table_name="case")
    op.create_index("ix_decision_route", "decision", ["route", "created_at"], unique=False)
    op.create_index("ix_case_place", "case", ["run_id", "task", "id", "state"], unique=False)
    op.add_column("case", sa.Column("wait_for", sa.String(length=40), nullable=True))
    op.add_column("case", sa.Column("wait_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("usage", sa.Column("kind", sa.String(length=20), nullable=True))
    op.add_column("usage", sa.Column("connection", sa.String(length=200), nullable=True))
    op.add_column("usage", sa.Column("price", sa.String(length=100), nullable=True))
    with op.batch_alter_table("usage") as batch:
        batch.alter_column("case_id", existing_type=sa.String(length=32), nullable=True)
    op.create_index(op.f("ix_usage_run_id"), "usage", ["run_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_usage_run_id"), table_name="usage")
    op.execute("DELETE FROM usage WHERE case_id IS NULL")
    with op.batch_alter_table("usage") as batch:
        batch.alter_column("case_id", existing_type=sa.String(length=32), nullable=False)
    op.drop_column("usage", "price")
    op.drop_column("usage", "connection")
    op.drop_column("usage", "kind")
    op.drop_column("case", "wait_until")
    op.drop_column("case", "wait_for")
    op.drop_index("ix_decision_route", table_name="decision")
    op.drop_index("ix_case_place", table_name="case")
    op.create_index("ix_case_place", "case", ["run_id", "task", "state"], unique=False)
    op.drop_index(op.f("ix_outcome_case_id"), table_name="outcome")
    op.drop_table("outcome")
    op.drop_index("ix_reservation_place", table_name="reservation")
    op.drop_index("ix_reservation_account", table_name="reservation")
    op.drop_table("reservation")
    op.drop_index("ix_quote_workflow", table_name="quote")
    op.drop_table("quote")
    op.drop_index("ix_provider_batch_place", table_name="provider_batch")
    op.drop_table("provider_batch")
    op.drop_table("permit")
    op.drop_index("ix_incident_state", table_name="incident")
    op.drop_table("incident")
    op.drop_table("connection_state")
    op.drop_table("budget_account")
