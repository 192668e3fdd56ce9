"""`throughline event import --differences`: last night's export, of which only the differences are sent (T10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import typer

from cli.event_files import EventFile
from cli.output import print_errors, print_json, print_table, working
from cli.program_time import program_time
from cli.runner import run
from database import events
from rules.events import Envelope
from staff.event_import.export_differences import EXPORTED, Differences, differences
from worker.connections import connect, database_ready, read_settings
from worker.errors import Failure
from workflows.starting import notify_inbox

MOST_SHOWN: Final = 50
"""Rows that differ, and mistakes, listed one by one."""


def import_differences(found: EventFile, dry_run: bool, as_json: bool) -> None:
    """Send what differs. A wrong row is named and left out: it must not keep a night's changes of others out."""
    rows, mistakes = found.completed().checked_one_by_one()
    mistakes += [
        f"{found.name}: {where}type: {event.type} is no row of an export, only {', '.join(EXPORTED)}"
        for where, event in rows
        if event.type not in EXPORTED
    ]
    rows = [(where, event) for where, event in rows if event.type in EXPORTED]
    if not rows:
        raise Failure(*(mistakes[:MOST_SHOWN] or [f"{found.name}: contains no event"]))
    result = run(_compared(rows, dry_run))
    mistakes += [f"{found.name}: {mistake}" for mistake in result.mistakes]
    if as_json:
        print_json({"dry_run": dry_run, **_differences_as_json(result), "refused": mistakes})
    else:
        _print_differences(result, dry_run)
    print_errors(*mistakes[:MOST_SHOWN])
    if mistakes:
        print_errors(f"{len(mistakes)} mistakes: the rows above are left out, all others count")
        raise typer.Exit(1)


def _print_differences(result: Differences, dry_run: bool) -> None:
    shown = result.changes[:MOST_SHOWN]
    print_table(
        ("who", "event", "differs in"),
        ((each.subject, each.event.type, ", ".join(each.fields) or "new") for each in shown),
    )
    if len(result.changes) > MOST_SHOWN:
        typer.echo(f"and {len(result.changes) - MOST_SHOWN} more")
    older = f", {result.older} older than what is stored" if result.older else ""
    typer.echo(
        f"{len(result.changes)} {'would be ' if dry_run else ''}sent, {result.unchanged} unchanged{older}"
    )


async def _compared(rows: Sequence[tuple[str, Envelope]], dry_run: bool) -> Differences:
    """Compare an export with what is stored, and store the differences."""
    with working("Comparing the export"):
        async with database_ready(read_settings()) as database:
            client = None if dry_run else await connect()
            async with database.begin() as session:
                result = await differences(session, rows)
                if client is not None:
                    at = await program_time(database)
                    await events.store(session, [change.event for change in result.changes], at)
            if client is not None and result.changes:
                await notify_inbox(client, database)
            return result


def _differences_as_json(result: Differences) -> dict[str, Any]:
    return {
        "changes": [
            {"subject": each.subject, "event": each.event.type, "id": each.event.id, "fields": each.fields}
            for each in result.changes
        ],
        "unchanged": result.unchanged,
        "older": result.older,
    }
