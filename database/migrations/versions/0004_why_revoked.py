"""What anybody may know of why a letter was revoked"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("letters", sa.Column("revoked_class", sa.String(length=12), nullable=True))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("letters") as table:
        table.drop_column("revoked_class")
