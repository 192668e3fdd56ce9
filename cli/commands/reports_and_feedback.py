"""`throughline report` and `throughline feedback`: what only staff may read; each reading is on record (ENG8, SUR4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from cli.groups import command_group
from cli.output import Actor, Json, print_facts, print_json_lines, print_table
from cli.runner import run
from staff.confidential import ReportSummary, read_feedback, read_reports, reports
from staff.formatting import local, local_iso
from staff.views import NotFound
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

report_app = command_group("Read reports of misconduct. Each reading is on record.")
feedback_app = command_group("Read feedback. Each reading is on record.")


@report_app.command("list")
def list_reports(as_json: Json = False) -> None:
    """List the reports of misconduct, the newest first, without their words and without who made them."""
    programs = read_programs(read_settings())
    found = _do(lambda session: reports(session, programs))
    if as_json:
        print_json_lines(map(_summary, found))
        return
    print_table(
        ("report", "about", "state", "reported", "task"),
        (
            (each.id, each.engagement, each.state, local(each.reported, each.zone), each.task)
            for each in found
        ),
        none="There is no report.",
    )


@report_app.command("show")
def show_report(
    report: Annotated[
        str, typer.Argument(help="The number of a report, or the id of an engagement for all about it.")
    ],
    actor: Actor = "",
    as_json: Json = False,
) -> None:
    """Print a report of misconduct with its words. That you read it is put on record."""
    programs, now = read_programs(read_settings()), datetime.now(UTC)
    found = _do(lambda session: read_reports(session, report, actor, now, programs))
    if as_json:
        print_json_lines(
            {**_summary(each.summary), "by": each.by, "other": each.about, "text": each.text}
            for each in found
        )
        return
    for number, each in enumerate(found):
        if number:
            typer.echo()
        head = each.summary
        print_facts(
            {
                "report": head.id,
                "about": f"{head.engagement}, {head.state}",
                "reported": local(head.reported, head.zone),
                "by": each.by,
                "other party": each.about,
                "text": each.text,
            }
        )


@feedback_app.command("list")
def list_feedback(actor: Actor = "", as_json: Json = False) -> None:
    """Print the feedback of members, the newest first. That you read it is put on record."""
    programs, now = read_programs(read_settings()), datetime.now(UTC)
    found = _do(lambda session: read_feedback(session, actor, now, programs))
    if as_json:
        print_json_lines(
            {
                "id": each.id,
                "by": each.by,
                "profile": each.profile,
                "given": local_iso(each.given, each.zone),
                "text": each.text,
            }
            for each in found
        )
        return
    print_table(
        ("feedback", "by", "given", "text"),
        ((each.id, each.by, local(each.given, each.zone), each.text) for each in found),
        none="There is no feedback.",
    )


def _summary(each: ReportSummary) -> dict[str, Any]:
    return {
        "id": each.id,
        "engagement": each.engagement,
        "state": each.state,
        "reported": local_iso(each.reported, each.zone),
        "task": each.task,
    }


def _do(read: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
    """Return what a function reads, with what it records. Raises Failure for what is not there."""

    async def work() -> Any:
        async with database_ready(read_settings()) as database, database.begin() as session:
            try:
                return await read(session)
            except NotFound as error:
                raise Failure(str(error)) from None

    return run(work())
