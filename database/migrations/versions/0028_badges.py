"""Badges, the keys that sign them, and their status lists"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json, Serial

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "badge_keys",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kid", sa.String(43), nullable=False),
        sa.Column("public", Json, nullable=False),
        sa.Column("private", sa.Text(), nullable=True),
        sa.Column("sealed_by", sa.String(16), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("retired_at", Instant, nullable=True),
        sa.Column("withdrawn_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_badge_keys")),
        sa.UniqueConstraint("kid", name=op.f("uq_badge_keys_kid")),
    )
    op.create_index(op.f("ix_badge_keys_sealed_by"), "badge_keys", ["sealed_by"])
    op.create_table(
        "badge_status",
        sa.Column("number", Serial, nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("opened_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_badge_status")),
    )
    op.create_index(op.f("ix_badge_status_program"), "badge_status", ["program"])
    op.create_table(
        "badge_achievements",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_badge_achievements")),
    )
    op.create_table(
        "badges",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("letter_id", sa.String(64), nullable=False),
        sa.Column("member_id", sa.String(64), nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("achievement", sa.String(32), nullable=False),
        sa.Column("status_list", Serial, nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("kid", sa.String(43), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["achievement"], ["badge_achievements.id"], name=op.f("fk_badges_achievement")
        ),
        sa.ForeignKeyConstraint(["status_list"], ["badge_status.number"], name=op.f("fk_badges_status_list")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_badges")),
        sa.UniqueConstraint("letter_id", name=op.f("uq_badges_letter_id")),
        sa.UniqueConstraint("status_list", "status_index", name=op.f("uq_badges_status_list_status_index")),
    )
    op.create_index(op.f("ix_badges_member_id"), "badges", ["member_id"])
    op.create_index(op.f("ix_badges_kid"), "badges", ["kid"])


def downgrade() -> None:
    """Take it back."""

    op.drop_table("badges")
    op.drop_table("badge_achievements")
    op.drop_table("badge_status")
    op.drop_table("badge_keys")
