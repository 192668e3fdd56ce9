"""Meetups and who is invited to them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    _create_meetups()
    _create_invitations()
    op.create_index("ix_messages_workflow_state_due_at", "messages", ["workflow", "state", "due_at"])


def _create_meetups() -> None:
    op.create_table(
        "meetups",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("cohort", sa.String(64), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("starts_local", sa.String(40), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("duration", sa.String(40), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("resources", Json, nullable=False),
        sa.Column("starts_at", Instant, nullable=False),
        sa.Column("ends_at", Instant, nullable=False),
        sa.Column("workflow", sa.String(200), nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("policy_version", sa.String(80), nullable=False),
        sa.Column("program_version", sa.String(64), nullable=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("state_since", Instant, nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant, nullable=True),
        sa.Column("closed_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_meetups")),
        sa.UniqueConstraint("id", name=op.f("uq_meetups_id")),
    )
    op.create_index("ix_meetups_state", "meetups", ["state"])
    op.create_index("ix_meetups_next_at", "meetups", ["next_at"])
    op.create_index("ix_meetups_starts_at", "meetups", ["starts_at"])
    op.create_index("ix_meetups_state_since_workflow", "meetups", ["state_since", "workflow"])


def _create_invitations() -> None:
    op.create_table(
        "meetup_invitations",
        sa.Column("workflow", sa.String(200), nullable=False),
        sa.Column("member_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.String(64), nullable=False),
        sa.Column("uid", sa.String(40), nullable=False),
        sa.Column("invited_at", Instant, nullable=False),
        sa.Column("planned_for", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(8), nullable=True),
        sa.Column("answered_at", Instant, nullable=True),
        sa.Column("answered_by", sa.String(8), nullable=True),
        sa.ForeignKeyConstraint(
            ["workflow"], ["meetups.workflow"], name=op.f("fk_meetup_invitations_workflow")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_meetup_invitations_member_id")),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["profiles.id"], name=op.f("fk_meetup_invitations_profile_id")
        ),
        sa.PrimaryKeyConstraint("workflow", "member_id", name=op.f("pk_meetup_invitations")),
        sa.UniqueConstraint("workflow", "number", name=op.f("uq_meetup_invitations_workflow_number")),
        sa.UniqueConstraint("uid", name=op.f("uq_meetup_invitations_uid")),
    )
    op.create_index("ix_meetup_invitations_member_id", "meetup_invitations", ["member_id"])
    op.create_index(
        "ix_meetup_invitations_planned", "meetup_invitations", ["workflow", "planned_for", "number"]
    )


def downgrade() -> None:
    """Take it back."""

    op.drop_index("ix_messages_workflow_state_due_at", table_name="messages")
    op.drop_table("meetup_invitations")
    op.drop_table("meetups")
