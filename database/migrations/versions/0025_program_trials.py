"""The trial of a program before it mails everybody"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "program_trials",
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("live_at", Instant, nullable=True),
        sa.Column("live_by", sa.String(200), nullable=True),
        sa.Column("live_because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("program", name=op.f("pk_program_trials")),
    )
    op.create_table(
        "trial_guests",
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("added_by", sa.String(200), nullable=False),
        sa.Column("added_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("program", "address", name=op.f("pk_trial_guests")),
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_table("trial_guests")
    op.drop_table("program_trials")
