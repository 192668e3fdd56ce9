"""`throughline mail ahead`: every message that is still to go out, of the next days or of one person (MAIL1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from cli.arguments import program_named
from cli.output import Json, print_json_lines, print_table
from cli.program_time import program_time
from cli.runner import run
from staff.ahead import AheadFilter, AheadMessage, AheadPage, ahead
from staff.formatting import local, local_iso, numbered
from staff.views import NotFound, member_named
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure


def list_ahead(
    member: Annotated[str, typer.Option(help="All messages to this member, whatever their day.")] = "",
    days: Annotated[int, typer.Option(min=1, help="The messages of so many days.")] = 7,
    program: Annotated[str, typer.Option(help="Only messages of this program.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the next ones.")] = 1000,
    as_json: Json = False,
) -> None:
    """List every message that is still to go out, with the rule that makes it due.

    Times are on the clock of the recipient, then on the clock of the program.
    """
    programs = read_programs(read_settings())
    if program:
        program_named(programs, program)

    async def look() -> AheadPage:
        async with database_ready(read_settings()) as database:
            now = await program_time(database)
            async with database.reading() as session:
                try:
                    who = await member_named(session, member) if member else ""
                except NotFound as unknown:
                    raise Failure(str(unknown)) from None
                until = None if who else now + timedelta(days=days)
                return await ahead(session, AheadFilter(until, who, program, limit=limit), programs)

    page = run(look())
    if as_json:
        print_json_lines(_as_json(each) for each in page.messages)
        return
    print_table(
        ("due", "for the program", "message", "to", "why", "delivery"),
        (
            (
                _moment(each.view.due, each.view.zone),
                _moment(each.view.due, each.manager_zone),
                numbered(each.view.message, each.view.number),
                each.recipient,
                each.view.why,
                each.view.delivery,
            )
            for each in page.messages
        ),
        none="No message is planned.",
    )
    if page.next is not None:
        typer.echo(f"Only the next {limit}: more follow (--limit).")


def _moment(at: datetime | None, zone: str) -> str:
    return local(at, zone) or "held"


def _as_json(each: AheadMessage) -> dict[str, Any]:
    view = each.view
    return {
        "delivery": view.delivery,
        "message": view.message,
        "number": view.number,
        "to": view.to,
        "member": each.member,
        "workflow": view.workflow,
        "state": view.state,
        "due": local_iso(view.due, view.zone),
        "due_for_program": local_iso(view.due, each.manager_zone),
        "rule": view.rule,
        "day": view.day,
        "order": view.order,
        "ordered_by": view.ordered_by,
        "orders": each.orders,
    }
