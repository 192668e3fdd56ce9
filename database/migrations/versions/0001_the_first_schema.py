"""Create the first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Instant, Json, Serial

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the migration."""

    op.create_table(
        "audit_records",
        sa.Column("id", Serial, nullable=False),
        sa.Column("chain", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=True),
        sa.Column("veiled", Json, nullable=True),
        sa.Column("salt", sa.String(length=64), nullable=True),
        sa.Column("veil", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_records")),
        sa.UniqueConstraint("chain", "previous", name=op.f("uq_audit_records_chain_previous")),
        sa.UniqueConstraint("chain", "sequence", name=op.f("uq_audit_records_chain_sequence")),
    )
    op.create_index(op.f("ix_audit_records_at"), "audit_records", ["at"], unique=False)
    op.create_index(op.f("ix_audit_records_kind"), "audit_records", ["kind"], unique=False)
    op.create_index(op.f("ix_audit_records_subject"), "audit_records", ["subject"], unique=False)
    op.create_table(
        "environment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environment")),
    )
    op.create_table(
        "events",
        sa.Column("id", Serial, nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("occurred_at", Instant(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("waits_for", sa.String(length=200), nullable=True),
        sa.Column("held_until", Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("effects", Json, nullable=False),
        sa.Column("applied_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("source", "event_id", name=op.f("uq_events_source_event_id")),
    )
    op.create_index(op.f("ix_events_state"), "events", ["state"], unique=False)
    op.create_index(op.f("ix_events_subject"), "events", ["subject"], unique=False)
    op.create_index(op.f("ix_events_waits_for"), "events", ["waits_for"], unique=False)
    op.create_table(
        "letters",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("engagement_id", sa.String(length=64), nullable=False),
        sa.Column("claim", sa.String(length=200), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("certification", sa.String(length=10), nullable=True),
        sa.Column("signer_profile", sa.String(length=64), nullable=True),
        sa.Column("signer_name", sa.Text(), nullable=True),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("signed_at", Instant(), nullable=False),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.Column("revoked_because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letters")),
    )
    op.create_index(op.f("ix_letters_claim"), "letters", ["claim"], unique=False)
    op.create_index(op.f("ix_letters_engagement_id"), "letters", ["engagement_id"], unique=False)
    op.create_table(
        "meetings",
        sa.Column("id", Serial, nullable=False),
        sa.Column("engagement_id", sa.String(length=64), nullable=False),
        sa.Column("by_profile", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("answer", sa.String(length=5), nullable=False),
        sa.Column("met_on", sa.String(length=10), nullable=True),
        sa.Column("answered_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meetings")),
        sa.UniqueConstraint("event_id", name=op.f("uq_meetings_event_id")),
    )
    op.create_index(op.f("ix_meetings_engagement_id"), "meetings", ["engagement_id"], unique=False)
    op.create_table(
        "members",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("standing", sa.String(length=10), nullable=False),
        sa.Column("standing_since", Instant(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=True),
        sa.Column("country", sa.String(length=2), nullable=True),
        sa.Column("subdivision", sa.String(length=10), nullable=True),
        sa.Column("languages", Json, nullable=False),
        sa.Column("nationality", sa.String(length=2), nullable=True),
        sa.Column("birth_year", sa.Integer(), nullable=True),
        sa.Column("years_management", sa.Integer(), nullable=True),
        sa.Column("certifications", Json, nullable=False),
        sa.Column("preferences", Json, nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    op.create_table(
        "messages",
        sa.Column("id", Serial, nullable=False),
        sa.Column("delivery", sa.String(length=40), nullable=False),
        sa.Column("workflow", sa.String(length=200), nullable=False),
        sa.Column("step", sa.String(length=60), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("message", sa.String(length=60), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("message_class", sa.String(length=12), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("to_profile", sa.String(length=64), nullable=False),
        sa.Column("member_id", sa.String(length=64), nullable=True),
        sa.Column("context", Json, nullable=False),
        sa.Column("planned_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("decided_at", Instant(), nullable=True),
        sa.Column("claimed_at", Instant(), nullable=True),
        sa.Column("claimed_by", sa.String(length=200), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempted_at", Instant(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("message_id", sa.String(length=255), nullable=True),
        sa.Column("recipient", sa.String(length=320), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("delivery", name=op.f("uq_messages_delivery")),
        sa.UniqueConstraint(
            "workflow", "step", "occurrence", name=op.f("uq_messages_workflow_step_occurrence")
        ),
    )
    op.create_index(op.f("ix_messages_decided_at"), "messages", ["decided_at"], unique=False)
    op.create_index(op.f("ix_messages_member_id"), "messages", ["member_id"], unique=False)
    op.create_index(op.f("ix_messages_message_id"), "messages", ["message_id"], unique=False)
    op.create_index("ix_messages_open", "messages", ["state", "due_at"], unique=False)
    op.create_index(op.f("ix_messages_to_profile"), "messages", ["to_profile"], unique=False)
    op.create_table(
        "reports",
        sa.Column("id", Serial, nullable=False),
        sa.Column("engagement_id", sa.String(length=64), nullable=False),
        sa.Column("by_profile", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reported_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
        sa.UniqueConstraint("event_id", name=op.f("uq_reports_event_id")),
    )
    op.create_index(op.f("ix_reports_engagement_id"), "reports", ["engagement_id"], unique=False)
    op.create_table(
        "suppressions",
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.Column("since", Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_suppressions")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", Serial, nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("cause", sa.String(length=200), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("closed_by", sa.String(length=200), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("subject", "cause", name=op.f("uq_tasks_subject_cause")),
    )
    op.create_index(op.f("ix_tasks_state"), "tasks", ["state"], unique=False)
    op.create_index(op.f("ix_tasks_subject"), "tasks", ["subject"], unique=False)
    op.create_table(
        "profiles",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("member_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("mentees_at_a_time", sa.Integer(), nullable=True),
        sa.Column("areas", Json, nullable=False),
        sa.Column("interests", Json, nullable=False),
        sa.Column("goals", sa.Text(), nullable=True),
        sa.Column("languages", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("withdrawn_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_profiles_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
    )
    op.create_index(op.f("ix_profiles_member_id"), "profiles", ["member_id"], unique=False)
    op.create_table(
        "claims",
        sa.Column("engagement_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("profile_id", sa.String(length=64), nullable=False),
        sa.Column("member_id", sa.String(length=64), nullable=False),
        sa.Column("certification", sa.String(length=10), nullable=False),
        sa.Column("credit_date", sa.String(length=10), nullable=True),
        sa.Column("cycle_start", sa.String(length=10), nullable=True),
        sa.Column("cycle_end", sa.String(length=10), nullable=True),
        sa.Column("earned", sa.Integer(), nullable=False),
        sa.Column("countable", sa.Integer(), nullable=False),
        sa.Column("domains", Json, nullable=False),
        sa.Column("decision", Json, nullable=False),
        sa.Column("workflow", sa.String(length=200), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("policy_version", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_since", Instant(), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_claims_member_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_claims_profile_id")),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_claims")),
    )
    op.create_index(op.f("ix_claims_engagement_id"), "claims", ["engagement_id"], unique=False)
    op.create_index(op.f("ix_claims_member_id"), "claims", ["member_id"], unique=False)
    op.create_index(op.f("ix_claims_next_at"), "claims", ["next_at"], unique=False)
    op.create_index(op.f("ix_claims_profile_id"), "claims", ["profile_id"], unique=False)
    op.create_index(op.f("ix_claims_state"), "claims", ["state"], unique=False)
    op.create_table(
        "engagements",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("mentee_id", sa.String(length=64), nullable=False),
        sa.Column("mentor_id", sa.String(length=64), nullable=False),
        sa.Column("goals", sa.Text(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("workflow", sa.String(length=200), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("policy_version", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_since", Instant(), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["mentee_id"], ["profiles.id"], name=op.f("fk_engagements_mentee_id")),
        sa.ForeignKeyConstraint(["mentor_id"], ["profiles.id"], name=op.f("fk_engagements_mentor_id")),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_engagements")),
        sa.UniqueConstraint("id", name=op.f("uq_engagements_id")),
    )
    op.create_index(op.f("ix_engagements_mentee_id"), "engagements", ["mentee_id"], unique=False)
    op.create_index(op.f("ix_engagements_mentor_id"), "engagements", ["mentor_id"], unique=False)
    op.create_index(op.f("ix_engagements_next_at"), "engagements", ["next_at"], unique=False)
    op.create_index(op.f("ix_engagements_state"), "engagements", ["state"], unique=False)
    op.create_table(
        "feedback",
        sa.Column("id", Serial, nullable=False),
        sa.Column("profile_id", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("given_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_feedback_profile_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("event_id", name=op.f("uq_feedback_event_id")),
    )
    op.create_index(op.f("ix_feedback_profile_id"), "feedback", ["profile_id"], unique=False)
    op.create_table(
        "onboardings",
        sa.Column("profile_id", sa.String(length=64), nullable=False),
        sa.Column("workflow", sa.String(length=200), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("policy_version", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_since", Instant(), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_onboardings_profile_id")),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_onboardings")),
        sa.UniqueConstraint("profile_id", name=op.f("uq_onboardings_profile_id")),
    )
    op.create_index(op.f("ix_onboardings_next_at"), "onboardings", ["next_at"], unique=False)
    op.create_index(op.f("ix_onboardings_state"), "onboardings", ["state"], unique=False)
    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("mentee_id", sa.String(length=64), nullable=False),
        sa.Column("mentor_id", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("areas", Json, nullable=False),
        sa.Column("months", sa.Integer(), nullable=True),
        sa.Column("answer_reason", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("workflow", sa.String(length=200), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("policy_version", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_since", Instant(), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["mentee_id"], ["profiles.id"], name=op.f("fk_requests_mentee_id")),
        sa.ForeignKeyConstraint(["mentor_id"], ["profiles.id"], name=op.f("fk_requests_mentor_id")),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_requests")),
        sa.UniqueConstraint("id", name=op.f("uq_requests_id")),
    )
    op.create_index(op.f("ix_requests_mentee_id"), "requests", ["mentee_id"], unique=False)
    op.create_index(op.f("ix_requests_mentor_id"), "requests", ["mentor_id"], unique=False)
    op.create_index(op.f("ix_requests_next_at"), "requests", ["next_at"], unique=False)
    op.create_index(op.f("ix_requests_state"), "requests", ["state"], unique=False)
    op.create_table(
        "surveys",
        sa.Column("engagement_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("profile_id", sa.String(length=64), nullable=False),
        sa.Column("answers", Json, nullable=False),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("workflow", sa.String(length=200), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("policy_version", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_since", Instant(), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_surveys_profile_id")),
        sa.PrimaryKeyConstraint("workflow", name=op.f("pk_surveys")),
    )
    op.create_index(op.f("ix_surveys_engagement_id"), "surveys", ["engagement_id"], unique=False)
    op.create_index(op.f("ix_surveys_next_at"), "surveys", ["next_at"], unique=False)
    op.create_index(op.f("ix_surveys_profile_id"), "surveys", ["profile_id"], unique=False)
    op.create_index(op.f("ix_surveys_state"), "surveys", ["state"], unique=False)


def downgrade() -> None:
    """Revert the migration."""

    op.drop_index(op.f("ix_surveys_state"), table_name="surveys")
    op.drop_index(op.f("ix_surveys_profile_id"), table_name="surveys")
    op.drop_index(op.f("ix_surveys_next_at"), table_name="surveys")
    op.drop_index(op.f("ix_surveys_engagement_id"), table_name="surveys")
    op.drop_table("surveys")
    op.drop_index(op.f("ix_requests_state"), table_name="requests")
    op.drop_index(op.f("ix_requests_next_at"), table_name="requests")
    op.drop_index(op.f("ix_requests_mentor_id"), table_name="requests")
    op.drop_index(op.f("ix_requests_mentee_id"), table_name="requests")
    op.drop_table("requests")
    op.drop_index(op.f("ix_onboardings_state"), table_name="onboardings")
    op.drop_index(op.f("ix_onboardings_next_at"), table_name="onboardings")
    op.drop_table("onboardings")
    op.drop_index(op.f("ix_feedback_profile_id"), table_name="feedback")
    op.drop_table("feedback")
    op.drop_index(op.f("ix_engagements_state"), table_name="engagements")
    op.drop_index(op.f("ix_engagements_next_at"), table_name="engagements")
    op.drop_index(op.f("ix_engagements_mentor_id"), table_name="engagements")
    op.drop_index(op.f("ix_engagements_mentee_id"), table_name="engagements")
    op.drop_table("engagements")
    op.drop_index(op.f("ix_claims_state"), table_name="claims")
    op.drop_index(op.f("ix_claims_profile_id"), table_name="claims")
    op.drop_index(op.f("ix_claims_next_at"), table_name="claims")
    op.drop_index(op.f("ix_claims_member_id"), table_name="claims")
    op.drop_index(op.f("ix_claims_engagement_id"), table_name="claims")
    op.drop_table("claims")
    op.drop_index(op.f("ix_profiles_member_id"), table_name="profiles")
    op.drop_table("profiles")
    op.drop_index(op.f("ix_tasks_subject"), table_name="tasks")
    op.drop_index(op.f("ix_tasks_state"), table_name="tasks")
    op.drop_table("tasks")
    op.drop_table("suppressions")
    op.drop_index(op.f("ix_reports_engagement_id"), table_name="reports")
    op.drop_table("reports")
    op.drop_index(op.f("ix_messages_to_profile"), table_name="messages")
    op.drop_index("ix_messages_open", table_name="messages")
    op.drop_index(op.f("ix_messages_message_id"), table_name="messages")
    op.drop_index(op.f("ix_messages_member_id"), table_name="messages")
    op.drop_index(op.f("ix_messages_decided_at"), table_name="messages")
    op.drop_table("messages")
    op.drop_table("members")
    op.drop_index(op.f("ix_meetings_engagement_id"), table_name="meetings")
    op.drop_table("meetings")
    op.drop_index(op.f("ix_letters_engagement_id"), table_name="letters")
    op.drop_index(op.f("ix_letters_claim"), table_name="letters")
    op.drop_table("letters")
    op.drop_index(op.f("ix_events_waits_for"), table_name="events")
    op.drop_index(op.f("ix_events_subject"), table_name="events")
    op.drop_index(op.f("ix_events_state"), table_name="events")
    op.drop_table("events")
    op.drop_table("environment")
    op.drop_index(op.f("ix_audit_records_subject"), table_name="audit_records")
    op.drop_index(op.f("ix_audit_records_kind"), table_name="audit_records")
    op.drop_index(op.f("ix_audit_records_at"), table_name="audit_records")
    op.drop_table("audit_records")
