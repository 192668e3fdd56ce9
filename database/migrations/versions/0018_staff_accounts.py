"""Accounts of staff, their sessions, links and assignments"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from database.models.base import Instant

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema forward."""

    op.create_table(
        "staff_accounts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("may_send", sa.Boolean(), nullable=False),
        sa.Column("may_set", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(10), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.String(700), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("closed_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_staff_accounts_email")),
        sa.UniqueConstraint("oidc_subject", name=op.f("uq_staff_accounts_oidc_subject")),
    )
    op.create_table(
        "staff_sessions",
        sa.Column("token", sa.String(64), nullable=False),
        _account("staff_sessions"),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_staff_sessions")),
    )
    op.create_table(
        "staff_links",
        sa.Column("token", sa.String(64), nullable=False),
        _account("staff_links"),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_staff_links")),
    )
    op.create_table(
        "staff_assignments",
        _account("staff_assignments"),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "subject", name=op.f("pk_staff_assignments")),
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_attempts")),
    )
    for table in ("staff_sessions", "staff_links"):
        for column in ("account_id", "expires_at"):
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.create_index(op.f("ix_sign_in_attempts_last_at"), "sign_in_attempts", ["last_at"])


def _account(table: str) -> sa.Column[str]:
    key = sa.ForeignKey("staff_accounts.id", name=op.f(f"fk_{table}_account_id"))
    return sa.Column("account_id", sa.String(32), key, nullable=False)


def downgrade() -> None:
    """Take it back."""

    for table in (
        "sign_in_attempts",
        "staff_assignments",
        "staff_links",
        "staff_sessions",
        "staff_accounts",
    ):
        op.drop_table(table)
