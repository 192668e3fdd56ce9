"""What staff may do to a lifecycle, previewed and done (STA1).

For a command and a browser alike: they pass in the database and a Temporal client, and show the result.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from database import audit
from database.ledger import AgendaChanges
from database.models import Lifecycle
from database.session import Database
from lifecycles.facts import UnreadableFacts
from lifecycles.participants import NotOnRecord, Programs
from lifecycles.registry import find_lifecycle
from rules.acts import Act
from rules.agenda import MessageChange, Refused
from rules.credit import REVOCATIONS
from rules.engagement import END_REASONS
from rules.kinds import KINDS, TARGET, acting_on, kind_of
from rules.program.catalogue import load_catalogue
from staff.people import People
from staff.preview import ComingEffect, Preview, TaskEffect, preview
from workflows.messages import Answer, update_act_id

UPDATE_TIMEOUT: Final = 60
"""Seconds in which a worker must take an act."""

_STATES_OF_CLAIM: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "accept": frozenset({"ready", "submitted", "rejected"}),
        "reject": frozenset({"ready", "submitted"}),
        "revoke": frozenset({"ready", "submitted", "accepted", "rejected"}),
        "reopen": frozenset({"evidence_missing", "outside_cycle"}),
        "cancel": frozenset({"precheck", "awaiting_evidence", "evidence_missing", "outside_cycle"}),
    }
)
"""The states of a claim in which an act makes sense."""

_PAUSED_ONLY: Final = ("resume",)
_NOT_PAUSED_ONLY: Final = ("pause",)


class InvalidAct(ValueError):
    """An act that no lifecycle of this kind takes, or whose values are wrong; the text names what would be right."""


class WrongUnit(InvalidAct):
    """An extension that does not name exactly one of the kind's `units`."""

    def __init__(self, target: str, units: tuple[str, ...]) -> None:
        super().__init__(f"{target} is extended by {' or '.join(units)}, and by nothing else")
        self.units = units


class UnknownLifecycle(LookupError):
    """A target that the database does not have."""


class ActRefused(Exception):
    """An act that the rules or the workflow refused, or that no worker took; the text gives the reason."""


class ActNotTaken(ActRefused):
    """An act that reached no worker in time: it may be applied later, and may be tried again under the same id."""


@dataclass(frozen=True, slots=True)
class StaffAct:
    """An act that a member of staff orders on a lifecycle."""

    name: str
    target: str
    """The workflow id."""
    reason: str
    """Free text for the audit record; one of END_REASONS for the act `end`."""
    actor: str
    details: Mapping[str, str | int] = field(default_factory=dict)
    """The fields of `ActInput` that the act needs: one unit for `extend`, `answer` for `revoke`."""


@dataclass(frozen=True, slots=True)
class ActEffect:
    """A message that an act changes."""

    change: str
    """`not_sent`, `moved` or `added`."""
    message: str
    number: int | None
    to: str
    """The recipient's profile."""
    recipient: str
    """The recipient's name with the profile."""
    was: datetime | None
    """When the message was due (UTC); None if it was held, or is new."""
    due: datetime | None
    """When it is due now; None if it is held, or is not sent."""
    zone: str
    """The recipient's time zone."""


@dataclass(frozen=True, slots=True)
class ActResult:
    """The state after an act, and what it changes; of an act that is done, only its messages."""

    state: str
    effects: tuple[ActEffect, ...]
    before: str = ""
    """The state before the act."""
    coming: tuple[ComingEffect, ...] = ()
    """The states, staff tasks and dates ahead that vanish, move or appear."""
    tasks: tuple[TaskEffect, ...] = ()
    """The staff tasks that open or close at once."""
    claims: tuple[ClaimEffect, ...] = ()
    """The claims of an engagement that change with it."""
    starts: tuple[str, ...] = ()
    """The claims and surveys that begin at once, by workflow id."""
    zone: str = "UTC"
    """The program's time zone, for what is `coming`."""


@dataclass(frozen=True, slots=True)
class ClaimEffect:
    """What an act on an engagement does to one of its claims."""

    claim: str
    """The claim's workflow id."""
    result: ActResult


def check_act(act: StaffAct) -> None:
    """Raise InvalidAct unless the target's kind takes the act, with these values."""
    kind = kind_of(act.target)
    if kind is None or act.name not in kind.staff_acts or not TARGET.fullmatch(act.target):
        kinds = " or ".join(f"{each}/…" for each in acting_on(act.name))
        raise InvalidAct(f"the target of {act.name} is {kinds}, not {act.target}")
    if act.name == "extend" and (len(act.details) != 1 or not act.details.keys() <= set(kind.units)):
        raise WrongUnit(act.target, kind.units)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(act.details.get("end", "0000-00-00"))):
        raise InvalidAct("the end is a date, YYYY-MM-DD")
    if act.name == "end" and act.reason not in END_REASONS:
        raise InvalidAct(f"the reason is one of {', '.join(END_REASONS)}")
    if act.name == "revoke" and act.details.get("answer") not in REVOCATIONS:
        raise InvalidAct(f"credit is revoked as one of {', '.join(REVOCATIONS)}")


def acts_now(workflow: str, state: str, closed: bool) -> tuple[str, ...]:
    """Return the acts to offer for an open lifecycle, without those that its state excludes; none for a closed one.

    The rules decide in the end, so an act that is offered may still be refused.
    """
    if closed:
        return ()
    excluded = _NOT_PAUSED_ONLY if state in ("paused", "suspended") else _PAUSED_ONLY
    kind = KINDS[workflow.partition("/")[0]]
    if kind.name == "claim":
        return tuple(act for act in kind.staff_acts if state in _STATES_OF_CLAIM[act])
    return tuple(act for act in kind.staff_acts if act not in excluded)


async def preview_act(database: Database, programs: Programs, act: StaffAct, at: datetime) -> ActResult:
    """Return what an act at `at` would change, and change nothing.

    Raises InvalidAct, UnknownLifecycle, and ActRefused where the rules refuse it.
    """
    check_act(act)
    details = {name: str(value) for name, value in act.details.items()}
    asked = Act(str(uuid4()), act.name, act.actor, act.reason, details)
    async with database.reading() as session:
        row = await _find(session, act.target)
        try:
            seen = await preview(session, row, asked, programs, at, load_catalogue())
        except (Refused, UnreadableFacts, NotOnRecord) as refused:
            raise ActRefused(f"{act.target}: {refused}") from None
        return await act_result(session, programs, seen)


async def act_result(session: AsyncSession, programs: Programs, seen: Preview) -> ActResult:
    """Return a preview with the names of people and programs."""
    claims = [
        ClaimEffect(claim.workflow, await act_result(session, programs, claim)) for claim in seen.claims
    ]
    return ActResult(
        seen.state,
        await _effects(session, programs, seen.program, seen.changes),
        before=seen.before,
        coming=seen.coming,
        tasks=seen.tasks,
        claims=tuple(claims),
        starts=seen.starts,
        zone=programs[seen.program].hours.zone if seen.program in programs else "UTC",
    )


async def execute_act(
    database: Database, client: Client, programs: Programs, act: StaffAct, update_id: str | None = None
) -> ActResult:
    """Do an act by an update of the workflow, and return what it changed. With an `update_id` it is done once.

    Raises InvalidAct, UnknownLifecycle, and ActRefused where the workflow refuses it or no worker takes it. An act
    that was applied and whose answer was lost, as when the workflow ended or a connection broke, is done: the audit
    record has it.
    """
    check_act(act)
    async with database.reading() as session:
        await _find(session, act.target)
    update_id = update_id or f"staff {uuid4()}"
    argument = {"reason": act.reason, "actor": act.actor, **act.details}
    answer: Answer | None = None
    try:
        answer = await update(client, act.target, act.name, argument, update_id)
    except ActRefused:
        if not await is_on_record(database, act.target, update_id):
            raise
    async with database.reading() as session:
        row = await _find(session, act.target)
        if answer is None:
            return ActResult(row.state, ())
        changes = AgendaChanges(answer.added, answer.moved, answer.dropped)
        return ActResult(answer.state, await _effects(session, programs, row.program, changes))


async def update(
    client: Client, target: str, name: str, argument: dict[str, Any], update_id: str | None = None
) -> Answer:
    """Return the workflow's answer to an update. Raises ActRefused if it is refused, or no worker takes it.

    The workflow applies an update once for each `update_id`.
    """
    handle = client.get_workflow_handle(target)
    try:
        async with asyncio.timeout(UPDATE_TIMEOUT):
            answer: Answer = await handle.execute_update(name, argument, id=update_id, result_type=Answer)
            return answer
    except WorkflowUpdateFailedError as failed:
        cause = failed.cause
        words = cause.message if isinstance(cause, ApplicationError) else "the workflow refused it"
        if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
            words = "it ended before it answered"
        raise ActRefused(f"{target}: {words}") from None
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise ActRefused(f"{target} is closed, or was never started") from None
        away = error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
        refusal = ActNotTaken if away else ActRefused
        raise refusal(f"Temporal refused it: {error.message}") from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        # The SDK raises its own error where the deadline, or the end of this process, cancels a call.
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError from None
        raise ActNotTaken(
            f"no worker took it within {UPDATE_TIMEOUT} seconds; "
            f"throughline show {target} shows whether it was done later"
        ) from None


async def is_on_record(database: Database, target: str, update_id: str) -> bool:
    """Return whether an update of a lifecycle was applied."""
    async with database.reading() as session:
        acts = await audit.records_of(session, target, "act")
    return any(act.get("id") == update_act_id(update_id) for act in acts)


async def _find(session: AsyncSession, target: str) -> Lifecycle:
    row = await find_lifecycle(session, target)
    if row is None:
        raise UnknownLifecycle(f"there is no {target}")
    return row


async def _effects(
    session: AsyncSession, programs: Programs, program: str, changes: AgendaChanges
) -> tuple[ActEffect, ...]:
    found = (("not_sent", changes.dropped), ("moved", changes.moved), ("added", changes.added))
    named = [(name, change) for name, changed in found for change in changed]
    people = await People.of(session, {change.to for _, change in named}, programs)
    return tuple(_effect(name, change, people, program) for name, change in named)


def _effect(name: str, change: MessageChange, people: People, program: str) -> ActEffect:
    return ActEffect(
        change=name,
        message=change.message,
        number=change.number,
        to=change.to,
        recipient=people.label(change.to),
        was=change.was,
        due=change.due,
        zone=people.zone(change.to, program),
    )
