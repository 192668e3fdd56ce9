"""When a mail was delivered, where a report says so"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("messages", sa.Column("delivered_at", Instant, nullable=True))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("messages") as table:
        table.drop_column("delivered_at")
