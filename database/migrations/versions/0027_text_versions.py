"""The versions of the texts of mails"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant, Json, Serial

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "text_versions",
        sa.Column("id", Serial, nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("file", sa.String(120), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("first_seen_at", Instant, nullable=False),
        sa.Column("seen_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_versions")),
        sa.UniqueConstraint(
            "program", "file", "fingerprint", name=op.f("uq_text_versions_program_file_fingerprint")
        ),
    )
    op.create_index("ix_text_versions_fingerprint", "text_versions", ["fingerprint"])
    op.add_column("messages", sa.Column("text_version", sa.String(64), nullable=True))
    op.create_index("ix_messages_text_version", "messages", ["text_version"])


def downgrade() -> None:
    """Take it back."""

    op.drop_index("ix_messages_text_version", "messages")
    op.drop_column("messages", "text_version")
    op.drop_index("ix_text_versions_fingerprint", "text_versions")
    op.drop_table("text_versions")
