"""`throughline program trial`, `guests` and `go-live`: a program in trial mails staff and its guests only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from cli.groups import command_group
from cli.output import Actor, Json, print_json_lines, print_table
from cli.runner import run
from rules.program import Program
from staff.formatting import local_iso
from staff.program_trial import (
    TrialRefused,
    TrialView,
    add_guest,
    begin,
    go_live,
    remove_guest,
    trial_view,
)
from worker.connections import database_ready, read_programs, read_settings, smtp_of
from worker.errors import Failure

POINTS = {
    "manager": "a manager who may send has an account",
    "server": "mail is signed by DKIM, or goes to a relay with a login over TLS",
    "event": "somebody has signed up: events arrive",
    "mail": "a mail of the program was sent",
    "texts": "a test of a text was sent from the console, in each language",
}
"""The points of the checklist, in words."""

guests_app = command_group("The guests of a program in trial.")

Id = Annotated[str, typer.Argument(help="A program's id.", metavar="ID")]
Address = Annotated[str, typer.Argument(help="A mail address.")]
Reason = Annotated[str, typer.Option(help="The reason, for the audit record.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `throughline program`."""
    app.command()(trial)
    app.command("go-live")(live)
    app.add_typer(guests_app, name="guests")


def trial(
    program: Annotated[str, typer.Argument(help="A program's id; by default, all.", metavar="[ID]")] = "",
    begins: Annotated[
        bool, typer.Option("--begin", help="Put a program into trial that has no people yet.")
    ] = False,
    reason: Reason = "",
    actor: Actor = "",
    as_json: Json = False,
) -> None:
    """Show which programs are in trial, and what of the checklist is open.

    A program that is new to a deployment in production is in trial: it mails staff and its guests only. Messages to all
    others are suppressed, also after it has gone live.
    """
    if begins:
        if not (program and reason):
            raise typer.BadParameter("--begin needs a program and a --reason, for the audit record")

        async def put(session: AsyncSession, found: Program, view: TrialView, at: datetime) -> None:
            await begin(session, found, actor, reason, at)

        _do(program, put)
    views = run(_views(program))
    if as_json:
        print_json_lines(_row(view) for view in views)
        return
    print_table(
        ("program", "state", "since", "guests", "open points"),
        (
            (
                view.program,
                "in trial" if view.is_in_trial else "live",
                f"{at:%Y-%m-%d}" if (at := view.since if view.is_in_trial else view.live_at) else "",
                len(view.guests),
                "; ".join(_point(view, key) for key in view.open_points) if view.is_in_trial else "",
            )
            for view in views
        ),
    )


def live(
    program: Id,
    reason: Reason = "",
    actor: Actor = "",
    although: Annotated[
        bool, typer.Option("--although-open", help="Go live with points of the checklist open.")
    ] = False,
) -> None:
    """Have a program in trial mail everybody from now on.

    What was withheld in trial stays withheld: nothing goes out late.
    """
    if not reason:
        raise typer.BadParameter("to go live needs a --reason, for the audit record")

    async def go(session: AsyncSession, found: Program, view: TrialView, at: datetime) -> None:
        if view.is_in_trial and view.open_points and not although:
            open_points = "; ".join(_point(view, key) for key in view.open_points)
            raise TrialRefused(f"open points: {open_points} (--although-open)")
        await go_live(session, view, found, actor, reason, at)

    _do(program, go)
    typer.echo(f"{program} is live: it mails everybody from now on.")


@guests_app.command("add")
def add(program: Id, address: Address, reason: Reason = "", actor: Actor = "") -> None:
    """Have a program in trial mail an address."""

    async def put(session: AsyncSession, found: Program, _: TrialView, at: datetime) -> None:
        await add_guest(session, found, address, actor, reason, at)

    _do(program, put)


@guests_app.command("remove")
def remove(program: Id, address: Address, reason: Reason = "", actor: Actor = "") -> None:
    """Have a program in trial no longer mail an address."""

    async def drop(session: AsyncSession, found: Program, _: TrialView, at: datetime) -> None:
        await remove_guest(session, found, address, actor, reason, at)

    _do(program, drop)


@guests_app.command("list")
def show(program: Id, as_json: Json = False) -> None:
    """List the guests of a program."""
    (view,) = run(_views(program))
    if as_json:
        print_json_lines({"address": guest} for guest in view.guests)
        return
    print_table(("address",), ((guest,) for guest in view.guests), none=f"{program} has no guests.")


def _do(program: str, act: Callable[[AsyncSession, Program, TrialView, datetime], Awaitable[None]]) -> None:
    """Do something about a program's trial. Raises Failure."""

    async def done() -> None:
        settings = read_settings()
        if not settings.production:
            raise Failure("only a deployment in production has programs in trial (THROUGHLINE_PRODUCTION)")
        programs = read_programs(settings)
        if program not in programs:
            raise Failure(f"there is no program {program}: it is one of {', '.join(programs)}")
        smtp, found = smtp_of(settings, programs), programs[program]
        async with database_ready(settings) as database, database.begin() as session:
            try:
                await act(session, found, await trial_view(session, found, smtp), datetime.now(UTC))
            except TrialRefused as refused:
                raise Failure(str(refused)) from None

    run(done())


async def _views(program: str) -> list[TrialView]:
    settings = read_settings()
    programs = read_programs(settings)
    if program and program not in programs:
        raise Failure(f"there is no program {program}: it is one of {', '.join(programs)}")
    chosen = [programs[program]] if program else [*programs.values()]
    async with database_ready(settings) as database, database.reading() as session:
        return [await trial_view(session, each, smtp_of(settings, programs)) for each in chosen]


def _point(view: TrialView, key: str) -> str:
    lacking = next(point.lacking for point in view.points if point.key == key)
    return POINTS[key] + (f" (not yet: {', '.join(lacking)})" if lacking else "")


def _row(view: TrialView) -> dict[str, object]:
    return {
        "program": view.program,
        "in_trial": view.is_in_trial,
        "since": local_iso(view.since, "UTC"),
        "live_at": local_iso(view.live_at, "UTC"),
        "live_by": view.live_by,
        "reason": view.because,
        "guests": list(view.guests),
        "points": {point.key: point.is_met for point in view.points},
    }
