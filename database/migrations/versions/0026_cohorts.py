"""Cohorts, who takes part, and their pairs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json, Serial

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


# long: three tables, a line for each column
def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "cohorts",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("opens_on", sa.String(10), nullable=False),
        sa.Column("closes_on", sa.String(10), nullable=False),
        sa.Column("kick_off_on", sa.String(10), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("partners", Json, nullable=False),
        sa.Column("proposal", sa.Integer(), nullable=False),
        sa.Column("proposed_at", Instant, nullable=True),
        sa.Column("figures", Json, nullable=True),
        sa.Column("workflow", sa.String(200), nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("policy_version", sa.String(80), nullable=False),
        sa.Column("program_version", sa.String(64), nullable=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("state_since", Instant, nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant, nullable=True),
        sa.Column("closed_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_cohorts")),
        sa.UniqueConstraint("id", name=op.f("uq_cohorts_id")),
    )
    op.create_index(op.f("ix_cohorts_next_at"), "cohorts", ["next_at"])
    op.create_index(op.f("ix_cohorts_state"), "cohorts", ["state"])
    op.create_index(op.f("ix_cohorts_state_since_workflow"), "cohorts", ["state_since", "workflow"])
    op.create_table(
        "cohort_members",
        sa.Column("cohort_id", sa.String(64), nullable=False),
        sa.Column("profile_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("partner", sa.String(64), nullable=True),
        sa.Column("joined_at", Instant, nullable=False),
        sa.Column("left_at", Instant, nullable=True),
        sa.Column("unpaired_because", sa.Text(), nullable=True),
        sa.Column("unpaired_told_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"], name=op.f("fk_cohort_members_cohort_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_cohort_members_profile_id")),
        sa.PrimaryKeyConstraint("cohort_id", "profile_id", name=op.f("pk_cohort_members")),
    )
    op.create_index(op.f("ix_cohort_members_partner"), "cohort_members", ["partner"])
    op.create_index(op.f("ix_cohort_members_profile_id"), "cohort_members", ["profile_id"])
    op.create_table(
        "cohort_pairs",
        sa.Column("id", Serial, nullable=False),
        sa.Column("cohort_id", sa.String(64), nullable=False),
        sa.Column("mentee_id", sa.String(64), nullable=False),
        sa.Column("mentor_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("mark", sa.String(10), nullable=True),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("fit", sa.Integer(), nullable=True),
        sa.Column("why", Json, nullable=True),
        sa.Column("told_at", Instant, nullable=True),
        sa.Column("confirmed_at", Instant, nullable=True),
        sa.Column("engagement", sa.String(200), nullable=True),
        sa.Column("broken_because", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohorts.id"], name=op.f("fk_cohort_pairs_cohort_id")),
        sa.ForeignKeyConstraint(["mentee_id"], ["profiles.id"], name=op.f("fk_cohort_pairs_mentee_id")),
        sa.ForeignKeyConstraint(["mentor_id"], ["profiles.id"], name=op.f("fk_cohort_pairs_mentor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort_pairs")),
        sa.UniqueConstraint("engagement", name=op.f("uq_cohort_pairs_engagement")),
        sa.UniqueConstraint(
            "cohort_id", "mentee_id", "mentor_id", name=op.f("uq_cohort_pairs_cohort_id_mentee_id_mentor_id")
        ),
    )
    op.create_index(op.f("ix_cohort_pairs_mentee_id"), "cohort_pairs", ["mentee_id"])
    op.create_index(op.f("ix_cohort_pairs_mentor_id"), "cohort_pairs", ["mentor_id"])
    op.create_index(op.f("ix_cohort_pairs_cohort_id_state_id"), "cohort_pairs", ["cohort_id", "state", "id"])
    op.add_column("engagements", sa.Column("cohort", sa.String(64), nullable=True))
    op.create_index(op.f("ix_engagements_cohort"), "engagements", ["cohort"])


def downgrade() -> None:
    """Take it back."""

    op.drop_index(op.f("ix_engagements_cohort"), "engagements")
    op.drop_column("engagements", "cohort")
    op.drop_table("cohort_pairs")
    op.drop_table("cohort_members")
    op.drop_table("cohorts")
