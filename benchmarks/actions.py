"""Server actions: what one engagement of six months costs a Temporal server, against what happens in it.

Everything that has to happen needs one action at the least: each message, each answer and the closing. Actions
are counted from the history as a server counts them: starts, timers, activities, signals and updates. Local
activities and the markers that they leave cost none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from temporalio.api.enums.v1 import EventType

from benchmarks.mail import Figure, show
from database.models import Message
from embedded.stack import EmbeddedStack, embedded_stack
from worker.assembly import load_programs

BAR = 1.25
"""The most actions for each thing that happens."""

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2035, 3, 5, 15, tzinfo=UTC)
ENGAGEMENT = "engagement/r-1"

COUNTED = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: "starts",
    EventType.EVENT_TYPE_TIMER_STARTED: "timers",
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "activities",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: "signals",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "updates",
}
"""The events of a history that are actions."""


async def _play(ready: EmbeddedStack) -> int:
    """An engagement in which both always answer; how many answers they gave."""
    await ready.advance(START)
    people = {"mentor": "p-bob", "mentee": "p-ana"}
    for role, profile in people.items():
        member = profile.removeprefix("p-")
        known = {"name": member.capitalize(), "email": f"{member}@example.org", "standing": "good"}
        await ready.send_events(
            START,
            [
                ("member.updated", {"member": member, "years_management": 9, **known}),
                ("profile.created", {"profile": profile, "member": member, "role": role}),
            ],
        )
    day = START + timedelta(days=1)
    await ready.advance(day)
    await ready.send_events(
        day, [("request.created", {"request": "r-1", "mentee": "p-ana", "mentor": "p-bob"})]
    )
    day += timedelta(days=1)
    await ready.advance(day)
    await ready.send_events(day, [("request.accepted", {"request": "r-1"})])
    answers = 0
    asked = [(15, "engagement.discovery", "good_fit")]
    asked += [(63 + 31 * month, "engagement.met", "yes") for month in range(4)]
    for days, kind, answer in asked:
        for profile in people.values():
            at = day + timedelta(days=days, hours=answers % 2)
            await ready.advance(at)
            await ready.send_events(at, [(kind, {"engagement": "r-1", "by": profile, "answer": answer})])
            answers += 1
    await ready.advance(day + timedelta(days=200))
    return answers


async def measure() -> tuple[Counter[str], Counter[str]]:
    """The actions of one engagement by kind, and what happened in it."""
    async with embedded_stack(
        load_programs(ROOT / "programs"), ROOT / "templates/mail", ROOT / "programs"
    ) as ready:
        answers = await _play(ready)
        history = await ready.clock.client.get_workflow_handle(ENGAGEMENT).fetch_history()
        async with ready.database.reading() as session:
            sent = await session.scalar(
                select(func.count())
                .select_from(Message)
                .where(Message.workflow == ENGAGEMENT, Message.state == "sent")
            )
    actions = Counter(COUNTED[event.event_type] for event in history.events if event.event_type in COUNTED)
    return actions, Counter(messages=sent or 0, answers=answers, closing=1)


def main() -> None:
    """Measure, and print the table with its bar."""
    actions, happened = asyncio.run(measure())
    ratio = actions.total() / happened.total()
    figures = [Figure(kind, str(count)) for kind, count in happened.items()]
    figures += [Figure(f"actions: {kind}", str(actions[kind])) for kind in COUNTED.values()]
    figures += [
        Figure("all actions", str(actions.total())),
        Figure("actions for each thing that happened", f"{ratio:.2f}", f"≤ {BAR}", ratio <= BAR),
    ]
    show(figures, "One engagement of six months on a Temporal server")


if __name__ == "__main__":
    main()
