"""Add bounces, one per delivery and kind"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""

    op.create_table(
        "bounces",
        sa.Column("delivery", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("delivery", "kind", name=op.f("pk_bounces")),
    )


def downgrade() -> None:
    """Revert the migration."""

    op.drop_table("bounces")
