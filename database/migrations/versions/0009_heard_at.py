"""When the engine heard of an event, and whether the event is history"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("events", sa.Column("heard_at", Instant, nullable=True))
    op.add_column("events", sa.Column("history", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("events") as table:
        table.drop_column("heard_at")
        table.drop_column("history")
