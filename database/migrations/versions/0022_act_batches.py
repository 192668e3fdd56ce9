"""One act of staff on many lifecycles"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json, Serial

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "act_batches",
        sa.Column("id", Serial, nullable=False),
        sa.Column("account_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("act", sa.String(20), nullable=False),
        sa.Column("given", Json, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("started_at", Instant, nullable=True),
        sa.Column("ended_at", Instant, nullable=True),
        sa.Column("held_until", Instant, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["staff_accounts.id"], name=op.f("fk_act_batches_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act_batches")),
    )
    op.create_index("ix_act_batches_account_id", "act_batches", ["account_id"])
    op.create_index("ix_act_batches_state", "act_batches", ["state"])
    op.create_table(
        "act_batch_items",
        sa.Column("batch_id", Serial, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=True),
        sa.Column("outcome", Json, nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["act_batches.id"], name=op.f("fk_act_batch_items_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", "number", name=op.f("pk_act_batch_items")),
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_table("act_batch_items")
    op.drop_table("act_batches")
