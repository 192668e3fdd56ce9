"""`throughline member`: what is held about a member (STA5)."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from cli.groups import command_group
from cli.output import Actor
from cli.program_time import program_time
from cli.runner import run
from staff.confidential import record_reading
from staff.member_export import export_member
from staff.views import NotFound
from worker.connections import database_ready, read_settings
from worker.errors import Failure

app = command_group("Export what is held about a member.")


@app.callback()
def _group() -> None:
    pass


@app.command("export")
def export(
    member: Annotated[str, typer.Argument(help="The member's id, like ana.")],
    actor: Actor = "",
) -> None:
    """Print all that is held about a member, as one JSON object. That it was read goes on record."""
    typer.echo(json.dumps(run(_exported(member, actor)), ensure_ascii=False, indent=1))


async def _exported(member: str, actor: str) -> dict[str, Any]:
    async with database_ready(read_settings()) as database:
        at = await program_time(database)
        async with database.begin() as session:
            try:
                held = await export_member(session, member)
            except NotFound as unknown:
                raise Failure(str(unknown)) from None
            await record_reading(session, f"member/{member}", "member exported", actor, at)
    return held
