"""What a search of staff finds members by"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rules.text import folded_member

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BATCH = 500


def upgrade() -> None:
    """Bring the schema forward."""

    op.add_column("members", sa.Column("folded", sa.Text(), nullable=False, server_default=sa.text("''")))
    for table in ("onboardings", "requests", "engagements", "claims", "surveys"):
        op.create_index(f"ix_{table}_state_since_workflow", table, ["state_since", "workflow"])
    members = sa.table(
        "members", *(sa.column(name) for name in ("id", "name", "email", "email_given", "folded"))
    )
    connection, last = op.get_bind(), ""
    while rows := connection.execute(
        sa.select(members.c.id, members.c.name, members.c.email, members.c.email_given)
        .where(members.c.id > last)
        .order_by(members.c.id)
        .limit(BATCH)
    ).all():
        last = rows[-1].id
        for row in rows:
            words = folded_member(row.name, row.email_given or row.email, row.id)
            connection.execute(sa.update(members).where(members.c.id == row.id).values(folded=words))


def downgrade() -> None:
    """Take it back."""

    for table in ("onboardings", "requests", "engagements", "claims", "surveys"):
        op.drop_index(f"ix_{table}_state_since_workflow", table_name=table)
    with op.batch_alter_table("members") as altered:
        altered.drop_column("folded")
