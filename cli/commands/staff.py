"""`throughline staff`: acts of staff on a running lifecycle, and what they would change (STA1, STA3)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from cli.groups import command_group
from cli.output import Actor, Json, print_json, print_table, working
from cli.runner import run
from database.ledger import AgendaChanges
from database.models import LIFECYCLES, Lifecycle
from database.session import Database
from rules.acts import Act
from rules.agenda import MessageChange, Refused
from rules.credit import OTHER, REVOCATIONS
from rules.engagement import END_REASONS
from rules.program import Program
from staff.formatting import local, local_iso, numbered
from staff.people import People
from staff.preview import Preview, preview
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure
from workflows.messages import Answer

app = command_group("Act on a running onboarding, request, engagement, claim or survey.")

SECONDS: Final = 60
"""How long an act waits for a worker to take it."""

Target = Annotated[
    str,
    typer.Argument(
        help="A workflow id: onboarding/p-1, request/r-1, engagement/r-1, claim/r-1/mentor/CPP, survey/r-1/mentor."
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the audit record.")]
PreviewOnly = Annotated[bool, typer.Option("--preview", help="Show what would change, and change nothing.")]

MAY: Final = {
    "cancel": ("onboarding", "request", "engagement", "claim", "survey"),
    "extend": ("onboarding", "request", "engagement"),
    "pause": ("onboarding", "engagement"),
    "resume": ("onboarding", "engagement"),
    "end": ("engagement",),
    "accept": ("claim",),
    "reject": ("claim",),
    "revoke": ("claim",),
    "reopen": ("claim",),
}
"""The kinds of lifecycle that each act is for."""

UNITS: Final = {
    "onboarding": ("check_ins",),
    "request": ("business_days",),
    "engagement": ("months", "end"),
}
"""What each kind is extended by: exactly one of these."""


@app.command()
def cancel(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """End it as canceled: nothing planned is sent any more."""
    _act("cancel", target, reason, actor, {}, preview_only, as_json)


@app.command()
def extend(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    check_ins: Annotated[int | None, typer.Option(min=1, help="More check-ins, for an onboarding.")] = None,
    business_days: Annotated[int | None, typer.Option(min=1, help="More days, for a request.")] = None,
    months: Annotated[int | None, typer.Option(min=1, help="More months, for an engagement.")] = None,
    end: Annotated[str, typer.Option(help="The new last day, YYYY-MM-DD, for an engagement.")] = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Give it more time: check-ins, business days, months, or a new end."""
    given: dict[str, Any] = {
        "check_ins": check_ins,
        "business_days": business_days,
        "months": months,
        "end": end or None,
    }
    details = {name: value for name, value in given.items() if value is not None}
    units = UNITS.get(target.partition("/")[0], ())
    if units and (len(details) != 1 or not details.keys() <= set(units)):
        options = " or ".join("--" + unit.replace("_", "-") for unit in units)
        raise typer.BadParameter(f"{target} is extended by {options}, and nothing else")
    if end and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", end):
        raise typer.BadParameter("--end is a date, YYYY-MM-DD")
    _act("extend", target, reason, actor, details, preview_only, as_json)


@app.command()
def pause(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Mail nothing until it is resumed."""
    _act("pause", target, reason, actor, {}, preview_only, as_json)


@app.command()
def resume(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Let it go on; what is left moves by the length of the pause."""
    _act("resume", target, reason, actor, {}, preview_only, as_json)


@app.command()
def end(
    target: Target,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(END_REASONS)}.")],
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """End an engagement for one of the reasons of the rules."""
    if reason not in END_REASONS:
        raise typer.BadParameter(f"--reason is one of {', '.join(END_REASONS)}")
    _act("end", target, reason, actor, {}, preview_only, as_json)


@app.command()
def accept(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Record that a submitted claim was accepted."""
    _act("accept", target, reason, actor, {}, preview_only, as_json)


@app.command()
def reject(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Record that a submitted claim was rejected, and why."""
    _act("reject", target, reason, actor, {}, preview_only, as_json)


@app.command()
def revoke(
    target: Target,
    reason: Reason = "",
    because: Annotated[
        str, typer.Option(help=f"What the letter's public check says: {', '.join(REVOCATIONS)}.")
    ] = OTHER,
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Take credit back that was earned, and say why; nothing is deleted."""
    if because not in REVOCATIONS:
        raise typer.BadParameter(f"--because is one of {', '.join(REVOCATIONS)}")
    _act("revoke", target, reason, actor, {"answer": because}, preview_only, as_json)


@app.command()
def reopen(
    target: Target,
    reason: Reason = "",
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Ask once more for the evidence of a claim that had none in time."""
    _act("reopen", target, reason, actor, {}, preview_only, as_json)


def _act(
    name: str,
    target: str,
    reason: str,
    actor: str,
    details: dict[str, Any],
    preview_only: bool,
    as_json: bool,
) -> None:
    kind, _, rest = target.partition("/")
    if kind not in MAY[name] or not rest:
        kinds = " or ".join(f"{each}/…" for each in MAY[name])
        raise typer.BadParameter(f"the target of {name} is {kinds}, not {target}")
    programs = read_programs(read_settings())
    run(_done(name, target, reason, actor, details, preview_only, as_json, programs))


async def _done(
    name: str,
    target: str,
    reason: str,
    actor: str,
    details: dict[str, Any],
    preview_only: bool,
    as_json: bool,
    programs: dict[str, Program],
) -> None:
    async with database_ready(read_settings()) as database:
        if preview_only:
            told = {key: str(value) for key, value in details.items()}
            act = Act(str(uuid4()), name, actor, reason, told)
            seen = await _previewed(database, target, act, programs)
        else:
            seen = await _executed(database, target, name, {"reason": reason, "actor": actor, **details})
        changes = seen.changes
        async with database.reading() as session:
            row = await _lifecycle(session, target)
            readers = {change.to for change in (*changes.dropped, *changes.moved, *changes.added)}
            people = await People.of(session, readers, programs)
    fates = [
        (fate, change, people.zone(change.to, row.program))
        for fate, found in (("not sent", changes.dropped), ("moved", changes.moved), ("added", changes.added))
        for change in found
    ]
    if as_json:
        head = {"target": target, "act": name, "preview": preview_only, "state": seen.state}
        print_json({**head, "changes": [_as_json(*each) for each in fates]})
        return
    typer.echo(f"{target} {'would be' if preview_only else 'is'} {seen.state}.")
    print_table(
        ("", "message", "to", "was due", "now due"),
        (
            (
                fate,
                numbered(change.message, change.number),
                people.name(change.to),
                _due(change.was, zone) if fate != "added" else "",
                _due(change.due, zone) if fate != "not sent" else "",
            )
            for fate, change, zone in fates
        ),
        none="No planned message changes.",
    )


async def _previewed(database: Database, target: str, act: Act, programs: Mapping[str, Program]) -> Preview:
    async with database.reading() as session:
        row = await _lifecycle(session, target)
        try:
            return await preview(session, row, act, programs, datetime.now(UTC))
        except Refused as refused:
            raise Failure(f"{target}: {refused}") from None


async def _executed(database: Database, target: str, name: str, argument: dict[str, Any]) -> Preview:
    """Do it, and take the workflow's answer of what that changed."""
    async with database.reading() as session:
        await _lifecycle(session, target)
    answer = await _update(target, name, argument)
    return Preview(answer.state, AgendaChanges(*map(_changes, (answer.added, answer.moved, answer.dropped))))


def _changes(shifts: Sequence[MessageChange]) -> list[MessageChange]:
    return [
        MessageChange(each.key, each.message, each.number, each.to, each.was, each.due) for each in shifts
    ]


async def _lifecycle(session: AsyncSession, target: str) -> Lifecycle:
    row: Lifecycle | None = await session.get(LIFECYCLES[target.partition("/")[0]], target)
    if row is None:
        raise Failure(f"there is no {target}")
    return row


async def _update(target: str, name: str, argument: dict[str, Any]) -> Answer:
    """The answer to a workflow's update. Raises Failure if it is refused, or nobody takes it."""
    with working(f"telling {target} to {name}"):
        handle = (await connect()).get_workflow_handle(target)
        try:
            async with asyncio.timeout(SECONDS):
                answer: Answer = await handle.execute_update(name, argument, result_type=Answer)
                return answer
        except WorkflowUpdateFailedError as failed:
            cause = failed.cause
            words = cause.message if isinstance(cause, ApplicationError) else "the workflow refused it"
            raise Failure(f"{target}: {words}") from None
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise Failure(f"{target} is over, or was never started") from None
            raise Failure(f"Temporal refused it: {error.message}") from None
        except TimeoutError:
            raise Failure(
                f"no worker took it within {SECONDS} seconds; throughline show {target} tells whether it was done"
            ) from None


def _due(at: datetime | None, zone: str) -> str:
    return local(at, zone) or "held"


def _as_json(fate: str, change: MessageChange, zone: str) -> dict[str, Any]:
    return {
        "change": fate.replace(" ", "_"),
        "message": change.message,
        "number": change.number,
        "to": change.to,
        "was": local_iso(change.was, zone),
        "due": local_iso(change.due, zone),
    }
