"""The canary mail"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "mail_canary",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token", sa.String(32), nullable=True),
        sa.Column("began_at", Instant, nullable=False),
        sa.Column("sent_at", Instant, nullable=True),
        sa.Column("taken_at", Instant, nullable=True),
        sa.Column("seen_at", Instant, nullable=True),
        sa.Column("seen_sent_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_canary")),
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_table("mail_canary")
