"""A member's address as it was given, beside the one that mail servers take"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("members", sa.Column("email_given", sa.String(length=320), nullable=True))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("members") as table:
        table.drop_column("email_given")
