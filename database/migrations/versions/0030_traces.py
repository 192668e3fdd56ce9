"""The trace in which an event was received"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("events", sa.Column("trace", sa.String(55), nullable=True))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("events") as table:
        table.drop_column("trace")
