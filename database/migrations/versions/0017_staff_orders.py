"""What staff ordered for one planned message: to skip it, hold it or send it early"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("messages", sa.Column("staff_order", sa.String(8), nullable=True))
    op.add_column("messages", sa.Column("ordered_by", sa.String(200), nullable=True))
    op.add_column("messages", sa.Column("ordered_at", Instant, nullable=True))
    op.add_column("messages", sa.Column("order_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("messages") as table:
        for column in ("order_reason", "ordered_at", "ordered_by", "staff_order"):
            table.drop_column(column)
