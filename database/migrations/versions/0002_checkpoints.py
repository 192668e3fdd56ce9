"""Add checkpoints of the audit record"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""

    op.create_table(
        "checkpoints",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("chains", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint("hash", name=op.f("uq_checkpoints_hash")),
        sa.UniqueConstraint("previous", name=op.f("uq_checkpoints_previous")),
    )
    op.create_table(
        "checkpoint_heads",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("chain", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["checkpoints.number"], name=op.f("fk_checkpoint_heads_number")),
        sa.PrimaryKeyConstraint("number", "chain", name=op.f("pk_checkpoint_heads")),
    )
    op.create_index(op.f("ix_checkpoint_heads_chain"), "checkpoint_heads", ["chain"], unique=False)


def downgrade() -> None:
    """Revert the migration."""

    op.drop_index(op.f("ix_checkpoint_heads_chain"), table_name="checkpoint_heads")
    op.drop_table("checkpoint_heads")
    op.drop_table("checkpoints")
