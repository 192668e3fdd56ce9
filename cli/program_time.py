"""Program time for a command: the clock by which the workflows of a deployment go (T6)."""

from __future__ import annotations

from datetime import UTC, datetime

from database.environment import environment_name
from database.session import Database
from embedded.stack import ENVIRONMENT
from embedded.temporal_servers import SkippingClock
from worker.connections import connect


async def program_time(database: Database) -> datetime:
    """Return the present instant of a deployment: this machine's clock, or that of a demo, which skips.

    Raises Failure if the demo's server cannot be reached.
    """
    async with database.reading() as session:
        skips = await environment_name(session) == ENVIRONMENT
    return await SkippingClock(await connect()).now() if skips else datetime.now(UTC)
