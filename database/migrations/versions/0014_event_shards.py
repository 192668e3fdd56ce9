"""Which shard of the inbox applies an event, and whom or what the event concerns"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models import Serial

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward. Events that wait are routed by the first shard that looks for work."""

    op.add_column("events", sa.Column("shard", sa.Integer, nullable=True))
    op.create_index("ix_events_shard_state_id", "events", ["shard", "state", "id"])
    op.create_table(
        "event_subjects",
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("event_id", Serial, nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_event_subjects_event_id")),
        sa.PrimaryKeyConstraint("subject", "event_id", name=op.f("pk_event_subjects")),
    )
    op.create_index("ix_event_subjects_event_id", "event_subjects", ["event_id"])


def downgrade() -> None:
    """Take it back."""

    op.drop_table("event_subjects")
    with op.batch_alter_table("events") as table:
        table.drop_index("ix_events_shard_state_id")
        table.drop_column("shard")
