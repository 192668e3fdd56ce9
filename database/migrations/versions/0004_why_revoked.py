"""Add the class of a revocation, which the public check of a letter shows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""

    op.add_column("letters", sa.Column("revoked_class", sa.String(length=12), nullable=True))


def downgrade() -> None:
    """Revert the migration."""

    with op.batch_alter_table("letters") as table:
        table.drop_column("revoked_class")
