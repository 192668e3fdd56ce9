"""What the data of an event had that nobody knows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("events", sa.Column("ignored", Json, nullable=False, server_default="[]"))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("events") as table:
        table.drop_column("ignored")
