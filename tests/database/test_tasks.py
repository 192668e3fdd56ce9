"""Staff tasks in the database: what one transaction closes, it does not close again (STA2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from database.models import Task
from database.session import Database
from database.tasks import close_task_of, has_open_task, open_task, settle_tasks

AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
CLAIM = "claim/r-1/mentor/CPP"


@pytest.mark.rule("STA2")
async def test_task_closed_but_not_written_yet_is_open_no_more(database: Database) -> None:
    """A plan writes its changes at its end; meanwhile several of its parts look for open tasks."""
    async with database.begin() as session:
        await open_task(session, "member_lapsed", CLAIM, "standing", "Look.", AT)
    async with database.begin() as session:
        with session.no_autoflush:
            await settle_tasks(session, CLAIM, "member_lapsed", (), "good standing has returned", AT)
            assert not await has_open_task(session, CLAIM, "member_lapsed")
            await settle_tasks(session, CLAIM, "member_lapsed", (), "once more", AT)
            await close_task_of(session, CLAIM, "standing", "once more", AT)
    async with database.reading() as session:
        task = (await session.scalars(select(Task))).one()
    assert (task.state, task.note) == ("done", "good standing has returned")
