"""The bodies of mail as sent, and the keys of the people that they are encrypted under"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "person_keys",
        sa.Column("member_id", sa.String(64), nullable=False),
        sa.Column("wrapped", sa.Text(), nullable=True),
        sa.Column("wrapped_by", sa.String(16), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_person_keys")),
    )
    op.create_index(op.f("ix_person_keys_wrapped_by"), "person_keys", ["wrapped_by"])
    op.create_table(
        "mail_bodies",
        sa.Column("delivery", sa.String(40), nullable=False),
        sa.Column("member_id", sa.String(64), nullable=False),
        sa.Column("program", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("kept_at", Instant, nullable=False),
        sa.Column("removed_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("delivery", name=op.f("pk_mail_bodies")),
    )
    op.create_index("ix_mail_bodies_kept", "mail_bodies", ["program", "removed_at", "kept_at"])
    op.create_index(op.f("ix_mail_bodies_member_id"), "mail_bodies", ["member_id"])


def downgrade() -> None:
    """Take it back."""

    op.drop_table("mail_bodies")
    op.drop_table("person_keys")
