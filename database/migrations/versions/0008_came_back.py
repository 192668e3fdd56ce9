"""What came back for a delivery that the mail server had taken"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("messages", sa.Column("came_back", sa.String(12), nullable=True))
    op.add_column("messages", sa.Column("came_back_at", Instant, nullable=True))
    op.add_column("messages", sa.Column("came_back_reason", sa.Text(), nullable=True))
    op.create_index("ix_messages_came_back_at", "messages", ["came_back_at"])


def downgrade() -> None:
    """Take it back."""

    op.drop_index("ix_messages_came_back_at", "messages")
    with op.batch_alter_table("messages") as table:
        for name in ("came_back_reason", "came_back_at", "came_back"):
            table.drop_column(name)
