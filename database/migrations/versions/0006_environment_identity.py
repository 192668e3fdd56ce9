"""By what a process recognises its own deployment: production flag, keys, program versions"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Json

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("environment", sa.Column("production", sa.Boolean(), nullable=True))
    op.add_column("environment", sa.Column("keys", Json, nullable=True))
    op.add_column("environment", sa.Column("versions", Json, nullable=True))


def downgrade() -> None:
    """Take it back."""

    with op.batch_alter_table("environment") as table:
        for name in ("versions", "keys", "production"):
            table.drop_column(name)
