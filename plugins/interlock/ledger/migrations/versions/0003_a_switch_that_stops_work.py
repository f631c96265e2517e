"""
A switch that stops work.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kill_switch",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=310), nullable=False),
        sa.Column("off_by", sa.String(length=200), nullable=False),
        sa.Column("off_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("off_reason", sa.Text(), nullable=False),
        sa.Column("on_by", sa.String(length=200), nullable=True),
        sa.Column("on_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("on_reason", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kill_switch")),
    )
    op.create_index("ix_kill_switch_name", "kill_switch", ["environment", "kind", "name"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_kill_switch_name", table_name="kill_switch")
    op.drop_table("kill_switch")
