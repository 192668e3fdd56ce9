"""Endpoints of other systems, and the events that go out to them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json, Serial

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "webhook_endpoints",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", Json, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("collects", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("disabled_because", sa.Text(), nullable=True),
        sa.Column("disabled_at", Instant, nullable=True),
        sa.Column("failing_since", Instant, nullable=True),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=True),
        sa.Column("old_until", Instant, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", Serial, nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(60), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_tried_at", Instant, nullable=True),
        sa.Column("next_at", Instant, nullable=True),
        sa.Column("decided_at", Instant, nullable=True),
        sa.Column("answer", sa.String(200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("endpoint", "event_id", name=op.f("uq_outbox_endpoint_event_id")),
    )
    op.create_index("ix_outbox_endpoint_state_subject_id", "outbox", ["endpoint", "state", "subject", "id"])
    op.create_index("ix_outbox_decided", "outbox", ["endpoint", "decided_at"])


def downgrade() -> None:
    """Take it back."""

    op.drop_table("outbox")
    op.drop_table("webhook_endpoints")
