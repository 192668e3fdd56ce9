"""The employer of a member"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("members", sa.Column("employer", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it back."""

    op.drop_column("members", "employer")
