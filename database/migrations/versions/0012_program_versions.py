"""Versions of program files, and the version that each lifecycle goes on by"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LIFECYCLES = ("onboardings", "requests", "engagements", "claims", "surveys")


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "program_versions",
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("policy_version", sa.String(80), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("first_seen_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_program_versions")),
    )
    op.create_index(op.f("ix_program_versions_program"), "program_versions", ["program"])
    for table in LIFECYCLES:
        op.add_column(table, sa.Column("program_version", sa.String(64), nullable=True))


def downgrade() -> None:
    """Take it back."""

    for table in LIFECYCLES:
        with op.batch_alter_table(table) as altered:
            altered.drop_column("program_version")
    op.drop_index(op.f("ix_program_versions_program"), table_name="program_versions")
    op.drop_table("program_versions")
