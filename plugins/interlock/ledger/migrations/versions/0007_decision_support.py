"""
Readings of datasets and the facts that rest on them; the instant that a run reads as of.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workflow_run", sa.Column("as_of", sa.DateTime(timezone=True), nullable=True))
    op.add_column("quality_report", sa.Column("reading_id", sa.String(length=32), nullable=True))
    op.create_table(
        "reading",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("dataset", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("newest_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snapshot", sa.String(length=64), nullable=True),
        sa.Column("quarantine", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_reading_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading")),
        sa.UniqueConstraint("run_id", "dataset", name=op.f("uq_reading_run_id")),
    )
    op.create_index("ix_reading_dataset", "reading", ["dataset", "created_at"])
    op.create_table(
        "fact",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=250), nullable=False),
        sa.Column("dataset", sa.String(length=100), nullable=False),
        sa.Column("indicator", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_run.id"], name=op.f("fk_fact_run_id")),
        sa.PrimaryKeyConstraint("run_id", "id", name=op.f("pk_fact")),
    )
    op.create_index("ix_fact_id", "fact", ["id"])


def downgrade() -> None:
    op.drop_index("ix_fact_id", table_name="fact")
    op.drop_table("fact")
    op.drop_index("ix_reading_dataset", table_name="reading")
    op.drop_table("reading")
    op.drop_column("quality_report", "reading_id")
    op.drop_column("workflow_run", "as_of")
