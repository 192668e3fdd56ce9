"""`throughline event import`: the history of a running program, or the differences of last night's export (T10)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cli.commands.nightly_export import import_differences
from cli.event_files import EventFile, read_event_file, read_export_file
from cli.output import Json, print_errors, print_json, print_table, working
from cli.program_time import program_time
from cli.runner import run
from database import events
from database.models import Member, Profile
from database.session import Database
from embedded.stack import EmbeddedStack, embedded_stack
from rules.events import Envelope
from rules.events.order_of_history import in_order_of_history, unknown_people
from staff.event_import.take_over import (
    EventTrouble,
    TakeOver,
    overdue_plans,
    stored_as,
    take_over_of,
    unapplied,
    written,
)
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure
from workflows.starting import notify_inbox

MOST_SHOWN: Final = 50
"""Refused events, and rows that differ, listed one by one."""

PATIENCE: Final = 180.0
"""Seconds without any progress after which an import stops waiting: what is stored is applied later."""

QUIET: Final = 5.0
"""Seconds without a new record after which all plans are taken as written down."""

POLL: Final = 0.5
SIGNALS_AT_ONCE: Final = 16

SETTLED: Final = timedelta(minutes=2)
"""How far the clock of a dry run goes on after the last event: it skips only once all that runs is done."""

_NAME_LENGTH: Final = 32


def import_events(
    file: Annotated[str, typer.Argument(help="CloudEvents in JSON or JSON Lines; - reads standard input.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Play it on parts of its own, and store nothing.")
    ] = False,
    only_differences: Annotated[
        bool,
        typer.Option(
            "--differences",
            help="An export of members and profiles, in CSV too: send only what differs from what is stored.",
        ),
    ] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="A field and its column of a CSV file, such as member=Number; repeatable."
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days ahead to list mail.")] = 14,
    as_json: Json = False,
) -> None:
    """Take a running program over: apply its history, years back, without mail about the past.

    Each event needs its time. Events are applied in the order of their times, as history unless they have
    "history": false. The whole file is checked first: with one wrong line nothing is stored. Prints what stands then,
    and which mails go out next. Try --dry-run first.

    With --differences the file is last night's export, a row for each member and profile. A wrong row is named by its
    line and left out; all others count. The exit status is 1 then.
    """
    if only_differences:
        import_differences(read_export_file(file, _columns(columns or [])), dry_run, as_json)
        return
    if columns or file.lower().endswith(".csv"):
        raise typer.BadParameter("a CSV file is an export: add --differences")
    history = _history(read_event_file(file))
    result = run(_played(history, days) if dry_run else _imported(history, days))
    if as_json:
        print_json({"dry_run": dry_run, **_as_json(result)})
    else:
        _print(result, dry_run, days)
    if result.refused:
        raise typer.Exit(1)


def _columns(given: Sequence[str]) -> dict[str, str]:
    for each in given:
        if not all(part.strip() for part in each.partition("=")):
            raise typer.BadParameter(f"--column {each} is not like member=Number")
    return {field.strip(): header.strip() for field, _, header in (each.partition("=") for each in given)}


def _history(found: EventFile) -> list[Envelope]:
    """Return the events of a file in the order of their times, marked as history.

    An event without an id gets one of its content, so that a second import knows it. Raises Failure with a line for
    each mistake (T8).
    """
    found = replace(found, events=[(where, _identified(event)) for where, event in found.events]).completed()
    timeless = [
        f"{found.name}: {where}time: is missing, and history needs it"
        for where, event in found.events
        if isinstance(event, Mapping) and event.get("time") is None
    ]
    checked = replace(found, mistakes=[*found.mistakes, *timeless]).checked()
    marked = [
        replace(envelope, history=event.get("history") is not False)
        for (_, event), envelope in zip(found.events, checked, strict=True)
    ]
    return in_order_of_history(marked)


def _identified(event: Any) -> Any:
    if not isinstance(event, Mapping) or "id" in event:
        return event
    digest = hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
    return {"id": f"history-{digest[:_NAME_LENGTH]}", **event}


def _refuse_future(history: Sequence[Envelope], now: datetime) -> None:
    """Raise Failure for events of history whose time lies ahead."""
    ahead = [
        f"{event.type} {event.id}: time: {event.time.isoformat()} lies ahead, and history lies behind"
        for event in history
        if event.history and event.time and event.time > now
    ]
    if ahead:
        raise Failure(*ahead)


async def _imported(history: Sequence[Envelope], days: int) -> TakeOver:
    """Store the events, wait until they are applied, and return what stands then."""
    settings = read_settings()
    programs = read_programs(settings)
    with working("Importing") as update:
        async with database_ready(settings) as database:
            client = await connect()
            at = await program_time(database)
            _refuse_future(history, at)
            async with database.begin() as session:
                # One transaction: no lifecycle is planned by a part of its history.
                new = await events.store(session, history, at)
                numbers = await stored_as(session, history)
            await notify_inbox(client, database)
            await _until_applied(database, numbers, update)
            await _until_planned(database, client, update)
            async with database.reading() as session:
                return await take_over_of(session, programs, numbers, new, at, days)


async def _played(history: Sequence[Envelope], days: int) -> TakeOver:
    """Play the events through the real workflows on parts of their own, which are gone afterwards."""
    settings = read_settings()
    programs = read_programs(settings)
    missing = unknown_people(history)
    people = await _people_of(missing) if missing else []
    with working("Playing the history") as update:
        async with embedded_stack(programs, settings.templates / "mail", settings.programs) as ready:
            at = await ready.clock.now()
            _refuse_future(history, at)
            async with ready.database.begin() as session:
                session.add_all(people)
                await session.flush()
                new = await events.store(session, history, at)
                numbers = await stored_as(session, history)
            await notify_inbox(ready.clock.client, ready.database)
            await _until_applied(ready.database, numbers, update, ready)
            await _have_waiting_planned(ready.database, ready.clock.client, await ready.clock.now(), update)
            await ready.advance(await ready.clock.now() + SETTLED)
            async with ready.database.reading() as session:
                return await take_over_of(session, programs, numbers, new, at, days)


async def _people_of(missing: set[str]) -> list[Member | Profile]:
    """Return copies of the stored members and profiles that a history refers to without making them known."""
    try:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return [copy async for copy in _copies(session, missing)]
    except Failure:
        some = ", ".join(sorted(missing)[:3])
        print_errors(
            f"{len(missing)} people are not in the file, such as {some}, and no database of this deployment is here "
            "to look for them: what refers to them waits"
        )
        return []


async def _copies(session: AsyncSession, missing: set[str]) -> Any:
    profiles = await session.scalars(select(Profile).where(Profile.id.in_(_names(missing, "profile"))))
    found: list[Any] = list(profiles)
    members = {*_names(missing, "member"), *(profile.member_id for profile in found)}
    for row in [*await session.scalars(select(Member).where(Member.id.in_(members))), *found]:
        yield type(row)(**{column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs})


def _names(missing: set[str], kind: str) -> list[str]:
    return [each.partition("/")[2] for each in missing if each.startswith(f"{kind}/")]


class _Patience:
    """Counts the time without progress."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = 0.0

    def quiet_for(self, now: object) -> float:
        """Return for how many seconds a measure has stood still."""
        at = asyncio.get_running_loop().time()
        if now != self._last or not self._since:
            self._last, self._since = now, at
        return at - self._since


async def _until_applied(
    database: Database,
    numbers: Sequence[int],
    update: Callable[[str], None],
    ready: EmbeddedStack | None = None,
) -> None:
    """Wait until each event is applied, held or refused. Raises Failure if nothing happens any more."""
    patience = _Patience()
    while True:
        async with database.reading() as session:
            waiting = await unapplied(session, numbers)
        if not waiting:
            return
        update(f"{len(numbers) - waiting} of {len(numbers)} events applied")
        if ready and ready.alarm.failed.is_set():
            raise Failure(f"a workflow failed: {ready.alarm.text}")
        if patience.quiet_for(waiting) > PATIENCE:
            raise Failure(
                f"no event was applied for {PATIENCE:g} seconds, and {waiting} wait: does a worker run? "
                "They are stored and will be applied. The same import later prints the summary"
            )
        await asyncio.sleep(POLL)


async def _have_waiting_planned(
    database: Database, client: Client, at: datetime, update: Callable[[str], None]
) -> None:
    """Signal the lifecycles that wait for the rest of the history to plan now. They would look again by themselves."""
    async with database.reading() as session:
        waiting = await overdue_plans(session, at)
    for start in range(0, len(waiting), SIGNALS_AT_ONCE):
        update(f"{len(waiting) - start} lifecycles to plan")
        await asyncio.gather(
            *(_have_planned(client, each) for each in waiting[start : start + SIGNALS_AT_ONCE])
        )


async def _have_planned(client: Client, workflow: str) -> None:
    try:
        await client.get_workflow_handle(workflow).signal("replan")
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


async def _until_planned(database: Database, client: Client, update: Callable[[str], None]) -> None:
    """Have each lifecycle planned with all history, and wait until it is, as far as workers do so."""
    await _have_waiting_planned(database, client, await program_time(database), update)
    records, plans = _Patience(), _Patience()
    while True:
        now = await program_time(database)
        async with database.reading() as session:
            last, overdue = await written(session), await overdue_plans(session, now - timedelta(seconds=1))
        if records.quiet_for(last) > QUIET and not overdue:
            return
        update(f"{len(overdue)} to plan")
        if plans.quiet_for((last, len(overdue))) > PATIENCE:
            print_errors(f"{len(overdue)} lifecycles are not planned yet, so the summary lacks their mail")
            return
        await asyncio.sleep(POLL)


def _as_json(result: TakeOver) -> dict[str, Any]:
    return {
        **asdict(result),
        "mails": [{**asdict(each), "day": each.day.isoformat()} for each in result.mails],
    }


def _print(result: TakeOver, dry_run: bool, days: int) -> None:
    known = f", {result.events - result.new} known before" if result.events != result.new else ""
    typer.echo(
        f"{result.events} events: {result.applied} applied, {len(result.refused)} refused, "
        f"{len(result.held)} waiting{known}."
    )
    for title, troubles in (("Refused", result.refused), ("Waiting", result.held)):
        _print_troubles(title, troubles)
    print_table(
        ("kind", "states"),
        (
            (kind, ", ".join(f"{count} {state}" for state, count in states.items()))
            for kind, states in result.states.items()
        ),
        title="What would stand" if dry_run else "What stands",
    )
    if result.tasks:
        typer.echo("Tasks: " + ", ".join(f"{count} {kind}" for kind, count in result.tasks.items()))
    print_table(
        ("day", "message", "mails", "to"),
        (
            (
                f"{each.day:%a %Y-%m-%d}",
                each.message,
                each.mails,
                ", ".join(each.to)
                + (f" and {each.mails - len(each.to)} more" if each.mails > len(each.to) else ""),
            )
            for each in result.mails
        ),
        title=f"What {'would go' if dry_run else 'goes'} out in the next {days} days, if nobody acts",
        none=f"Nothing goes out in the next {days} days.",
    )
    if result.later:
        typer.echo(f"{result.later} more mails are planned for later.")


def _print_troubles(title: str, troubles: Sequence[EventTrouble]) -> None:
    if not troubles:
        return
    shown = troubles[:MOST_SHOWN]
    rows = ((each.event, each.subject, each.why, each.id) for each in shown)
    print_table(("event", "about", "why", "id"), rows, title=title)
    if len(troubles) > len(shown):
        typer.echo(f"and {len(troubles) - len(shown)} more: throughline event list")
