"""The stop of the channel to the mail server that reports cause"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "channel_stop",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stopped_at", Instant, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("probe", sa.String(40), nullable=True),
        sa.Column("probed_at", Instant, nullable=True),
        sa.Column("proved_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_stop")),
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_table("channel_stop")
