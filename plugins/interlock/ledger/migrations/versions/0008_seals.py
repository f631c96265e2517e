"""
Seals of the rows that give authority.

Rows that are there already have none: ``airflow interlock ledger seal --unsealed`` gives them one, after a look.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SEALED = (
    "workflow_version",
    "approval",
    "version_in_force",
    "deployment",
    "delegation",
    "workflow_run",
    "case",
    "handoff",
    "decision",
    "authorisation",
    "gate_request",
    "vote",
)


def upgrade() -> None:
    for table in SEALED:
        op.add_column(table, sa.Column("seal", sa.String(length=120), nullable=True))


def downgrade() -> None:
    for table in reversed(SEALED):
        op.drop_column(table, "seal")
