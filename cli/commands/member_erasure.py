"""`throughline erase`: a member's personal data go for good, and what runs for them ends quietly (STA5)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

from cli.output import Actor, Json, print_json, print_lines, print_table, working
from cli.program_time import program_time
from cli.runner import run
from staff.erasure_orders import ErasurePreview, ErasureRefused, order_erasure, preview_erasure, until_erased
from staff.views import NotFound
from worker.connections import connect, database_ready, read_settings
from worker.errors import Failure
from workflows.starting import notify_inbox

PATIENCE: Final = 60.0
"""Seconds in which a worker must have applied the order."""


# long: each parameter is an option of the command
def erase(
    member: Annotated[str, typer.Argument(help="The member's id, like ana.")],
    reason: Annotated[
        str, typer.Option(help="Why, for the audit record, without names: it stays on record.")
    ] = "",
    actor: Actor = "",
    preview_only: Annotated[
        bool, typer.Option("--preview", help="Show what would be erased and kept. Nothing is changed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a member for good: nobody can undo it.

    What the law or the other side of a pair needs is kept, each item with its last day.
    """
    if not preview_only and not reason.strip():
        raise typer.BadParameter("--reason is needed (or --preview, which changes nothing)")
    if as_json and not preview_only and not yes:
        raise typer.BadParameter("--json asks nothing: add --yes")
    seen = run(_previewed(member))
    if preview_only:
        _print(seen, as_json, "would be erased")
        return
    if not yes:
        _print(seen, False, "would be erased")
        typer.confirm(f"Erase {member} for good?", abort=True)
    run(_ordered(member, actor, reason))
    if as_json:
        _print(seen, True, "is erased")
    else:
        typer.echo(f"member/{member} is erased.")


async def _previewed(member: str) -> ErasurePreview:
    async with database_ready(read_settings()) as database:
        at = await program_time(database)
        async with database.reading() as session:
            try:
                return await preview_erasure(session, member, at)
            except NotFound as unknown:
                raise Failure(str(unknown)) from None


async def _ordered(member: str, actor: str, reason: str) -> None:
    async with database_ready(read_settings()) as database:
        client = await connect()
        with working("Waiting for a worker"):
            try:
                number = await order_erasure(database, member, actor, reason, await program_time(database))
                await notify_inbox(client, database)
                applied = await until_erased(database, number, PATIENCE)
            except (NotFound, ErasureRefused) as refused:
                raise Failure(str(refused)) from None
    if not applied:
        raise Failure(
            f"the order is stored as event {number}, and no worker has applied it within {PATIENCE:.0f} seconds; "
            f"throughline show member/{member} shows when it is done"
        )


def _print(seen: ErasurePreview, as_json: bool, words: str) -> None:
    if as_json:
        print_json(
            {
                "member": seen.member,
                "erased_before": seen.is_erased,
                "items": [asdict(item) for item in seen.report.items],
                "ends": list(seen.ends),
            }
        )
        return
    before = ", as it was before" if seen.is_erased else ""
    typer.echo(f"member/{seen.member} {words}{before}.")
    print_table(
        ("table", "what", "rows", "outcome", "why", "until"),
        (
            (each.table, each.what, each.count, each.outcome, each.why, each.until or "")
            for each in seen.report.items
        ),
        none="Nothing personal is there.",
    )
    print_lines(*(f"{workflow} ends" for workflow in seen.ends))
