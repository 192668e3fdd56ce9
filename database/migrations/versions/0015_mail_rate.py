"""When the next message of a deployment may leave"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "mail_rate",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_mail_rate"),
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_table("mail_rate")
