"""
Approvals, deployments, people who stand in, and stages of gates.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "delegation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("giver", sa.String(length=200), nullable=False),
        sa.Column("taker", sa.String(length=200), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegation")),
    )
    op.create_index("ix_delegation_taker", "delegation", ["environment", "taker", "until"], unique=False)
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("set_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
    )
    op.create_index("ix_deployment_workflow", "deployment", ["environment", "workflow", "since"], unique=False)
    op.create_table(
        "approval",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("person_name", sa.String(length=200), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("answer", sa.String(length=20), nullable=False),
        sa.Column("stage_order", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["workflow_version.id"], name=op.f("fk_approval_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sa.UniqueConstraint("version_id", "person", name="uq_approval_version_person"),
    )
    op.add_column("decision", sa.Column("policy_route", sa.String(length=100), nullable=True))
    op.add_column("decision", sa.Column("sample_rate", sa.Float(), nullable=True))
    op.add_column("gate_request", sa.Column("stages", sa.Text(), nullable=True))
    op.add_column("gate_request", sa.Column("barred", sa.Text(), nullable=True))
    op.add_column("vote", sa.Column("person_name", sa.String(length=200), nullable=True))
    op.add_column("vote", sa.Column("roles", sa.Text(), nullable=True))
    op.add_column("vote", sa.Column("stage_order", sa.Integer(), nullable=True))
    op.add_column("vote", sa.Column("on_behalf_of", sa.String(length=200), nullable=True))
    op.add_column("workflow_run", sa.Column("company_id", sa.String(length=32), nullable=True))
    op.add_column("workflow_version", sa.Column("origin", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("workflow_version", "origin")
    op.drop_column("workflow_run", "company_id")
    op.drop_column("vote", "on_behalf_of")
    op.drop_column("vote", "stage_order")
    op.drop_column("vote", "roles")
    op.drop_column("vote", "person_name")
    op.drop_column("gate_request", "barred")
    op.drop_column("gate_request", "stages")
    op.drop_column("decision", "sample_rate")
    op.drop_column("decision", "policy_route")
    op.drop_table("approval")
    op.drop_index("ix_deployment_workflow", table_name="deployment")
    op.drop_table("deployment")
    op.drop_index("ix_delegation_taker", table_name="delegation")
    op.drop_table("delegation")
