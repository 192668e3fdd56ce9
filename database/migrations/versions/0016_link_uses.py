"""How often the personal links of a question were used within the last hour"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "link_uses",
        sa.Column("purpose", sa.String(40), nullable=False),
        sa.Column("profile", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("times", Json, nullable=False),
        sa.Column("last_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("purpose", "profile", "subject", name=op.f("pk_link_uses")),
    )
    op.create_index("ix_link_uses_last_at", "link_uses", ["last_at"])


def downgrade() -> None:
    """Take it back."""

    op.drop_table("link_uses")
