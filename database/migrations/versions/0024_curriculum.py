"""Progress in a program's curriculum, and the partner of a profile"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "curriculum_progress",
        sa.Column("engagement_id", sa.String(64), nullable=False),
        sa.Column("profile_id", sa.String(64), nullable=False),
        sa.Column("step", sa.String(40), nullable=False),
        sa.Column("done_at", Instant, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("engagement_id", "profile_id", "step", name=op.f("pk_curriculum_progress")),
    )
    op.create_index(op.f("ix_curriculum_progress_profile_id"), "curriculum_progress", ["profile_id"])
    op.add_column("profiles", sa.Column("partner", sa.String(64), nullable=True))
    op.create_index(op.f("ix_profiles_partner"), "profiles", ["partner"])


def downgrade() -> None:
    """Take it back."""

    op.drop_index(op.f("ix_profiles_partner"), "profiles")
    op.drop_column("profiles", "partner")
    op.drop_table("curriculum_progress")
