"""What closes each kind of staff task by itself: its cause is gone, or its subject is over (STA2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, Task
from database.tasks import OPEN, PROGRAM, close_task, write_changed
from rules.agenda import Agenda

Gone = Callable[[Any, str], str]
"""Return why a cause is gone, from the facts of its lifecycle; empty while it is there."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What closes the tasks of one kind."""

    words: str
    """What closes them, for staff to read."""
    gone: Gone = lambda facts, cause: ""
    states: frozenset[str] | None = None
    """The states of the lifecycle in which such a task makes sense; None for any."""
    follows_agenda: bool = False
    """Whether it closes once the agenda no longer has it by now: a deadline was moved, a record came."""


def _answered_well(facts: Any, cause: str) -> str:
    answers = getattr(facts, "discovery", ())
    return "a good fit was reported" if any(each.answer == "good_fit" for each in answers) else ""


def _met_since(facts: Any, cause: str) -> str:
    """Return whether a pulse since the first of those that the cause names was answered with yes."""
    first = min((int(word.strip(",")) for word in cause.split() if word.strip(",").isdigit()), default=0)
    return "they have met since" if any(number >= first for number in getattr(facts, "met", ())) else ""


def _decided(facts: Any, cause: str) -> str:
    """Return what staff decided after a report. One that came after the end stays until staff close it."""
    about, _, number = cause.rpartition(" ")
    if about != "misconduct, report" or not number.isdigit() or int(number) > len(facts.reports):
        return ""
    if facts.ended:
        return f"staff decided: it is {facts.ended.state} now" if facts.ended_by == "staff" else ""
    at = facts.reports[int(number) - 1].at
    resumed = any(pause.until is not None and pause.since <= at < pause.until for pause in facts.pauses)
    return "staff resumed the engagement" if resumed else ""


_RUNNING = frozenset({"waiting", "blocked", "active", "paused", "suspended", "open", "past_due"})

CLOSINGS: Mapping[str, Closing] = MappingProxyType(
    {
        "mentor_review": Closing(
            "the record has the experience by now, or the profile is withdrawn",
            states=frozenset({"waiting", "blocked", "active", "paused", "welcomed"}),
            follows_agenda=True,
        ),
        "member_lapsed": Closing(
            "good standing has returned, or the lifecycle is over",
            states=_RUNNING | {"precheck", "awaiting_evidence", "evidence_missing", "outside_cycle"},
        ),
        "mentee_unmatched": Closing("the mentee has a match, or withdrew the profile"),
        "request_unanswered": Closing(
            "the request is answered or over, or has more time", states=_RUNNING, follows_agenda=True
        ),
        "discovery_stalled": Closing(
            "one of the two called it a good fit, or the engagement is over", _answered_well, _RUNNING
        ),
        "inactive": Closing("a meeting was confirmed, or the engagement is over", _met_since, _RUNNING),
        "curriculum_lagging": Closing(
            "enough steps are done, or the engagement is over", states=_RUNNING, follows_agenda=True
        ),
        "party_withdrawn": Closing(
            "staff resumed the engagement or ended it", states=frozenset({"paused", "suspended"})
        ),
        "evidence_missing": Closing(
            "the letter came, or the claim was decided in another way",
            states=frozenset({"awaiting_evidence", "evidence_missing"}),
        ),
        "outside_cycle": Closing("the claim was reopened or decided", states=frozenset({"outside_cycle"})),
        "misconduct": Closing(
            "staff resumed, ended or cancelled the engagement; one about an engagement that was over stays",
            _decided,
        ),
        "mail_channel": Closing("the mail server takes messages again"),
        "mail_failed": Closing("the message was sent again, or the mail server takes mail again"),
        "mail_ambiguous": Closing("the message was sent again"),
        "address_suppressed": Closing("staff lifted the suppression, or the member has another address"),
        "event_unapplied": Closing("an event of the same type about the same subject was applied"),
        "record_altered": Closing("staff alone: the next checkpoint takes an altered record as it is"),
        "letter_failed": Closing("the document was made"),
        "letter_script_missing": Closing("staff alone: a letter that is signed stays as it is"),
        "workflow_stalled": Closing("the workflow and the lifecycle agree again"),
        "webhook_disabled": Closing("the endpoint is enabled again"),
        "webhook_undelivered": Closing("every event that was given up is sent again, or no longer kept"),
        "act_failed": Closing("staff alone: the program does not know whether the act is still wanted"),
        "pairing_review": Closing(
            "staff confirmed the pairs, or cancelled the cohort", states=frozenset({"review"})
        ),
        "pair_broken": Closing(
            "there is another pair, or the cohort is over",
            states=frozenset({"review", "confirmed", "running"}),
        ),
        "workflow_gone": Closing("the workflow runs again"),
        "plan_failed": Closing("the lifecycle was planned again", lambda facts, task: "it was planned again"),
    }
)
"""By kind of task. Those without states, facts or agenda here close where their cause ends."""


def settled_because(kind: str, cause: str, state: str, facts: Any) -> str:
    """Return why a task of this cause is not needed, by the state and facts of its lifecycle; empty if it is (STA2)."""
    closing = CLOSINGS.get(kind)
    if closing is None:
        return ""
    if closing.states is not None and state not in closing.states:
        return f"it is {state} now"
    return closing.gone(facts, cause)


async def settled_tasks(
    session: AsyncSession, subject: str, state: str, agenda: Agenda, facts: Any, at: datetime
) -> list[tuple[Task, str]]:
    """Return the open tasks about a lifecycle that are not needed any more, each with the reason (STA2)."""
    await write_changed(session)
    found = await session.scalars(
        select(Task).where(Task.subject == subject, Task.state.in_(OPEN), Task.kind.in_(CLOSINGS))
    )
    due = {(task.kind, task.cause) for task in agenda.tasks if task.due <= at}
    settled = []
    for task in found:
        why = settled_because(task.kind, task.cause, state, facts)
        if not why and CLOSINGS[task.kind].follows_agenda and (task.kind, task.cause) not in due:
            why = "its cause is gone"
        if why:
            settled.append((task, why))
    return settled


async def close_settled_tasks(
    session: AsyncSession, row: Lifecycle, agenda: Agenda, facts: Any, at: datetime
) -> None:
    """Close the tasks about a lifecycle whose cause is gone, or that its state makes pointless (STA2)."""
    for task, why in await settled_tasks(session, row.workflow, row.state, agenda, facts, at):
        await close_task(session, task, "done", PROGRAM, why, at)
