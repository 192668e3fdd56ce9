"""Nudges that wait for the next morning, and the places of a person's day"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("messages", sa.Column("postponed_from", Instant, nullable=True))
    op.create_index("ix_messages_waiting", "messages", ["member_id", "state", "due_at"])
    op.create_table(
        "nudge_places",
        sa.Column("member_id", sa.String(64), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("delivery", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "day", "place", name="pk_nudge_places"),
        sa.UniqueConstraint("delivery", name="uq_nudge_places_delivery"),
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_table("nudge_places")
    op.drop_index("ix_messages_waiting", "messages")
    with op.batch_alter_table("messages") as table:
        table.drop_column("postponed_from")
