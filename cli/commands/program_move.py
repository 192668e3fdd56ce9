"""`throughline program move`: have running lifecycles go on by another version of their program file (CPE12, STA1)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from cli.output import Actor, Json, print_json, print_lines, print_table, working
from cli.program_time import program_time
from cli.runner import run
from database.session import Database
from lifecycles.participants import Programs
from staff.formatting import local_iso
from staff.program_moves import (
    MovePreview,
    MoveRefused,
    MoveResult,
    VersionMove,
    is_changed,
    move_batch,
    next_batch,
    summary_of,
    version_named,
)
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure


def register(app: typer.Typer) -> None:
    """Add the command to `throughline program`."""
    app.command()(move)


# long: each parameter is an option of the command
def move(
    program: Annotated[str, typer.Argument(help="A program's id.", metavar="ID")],
    source: Annotated[
        str,
        typer.Option(
            "--from", help="The version that they go on by now: its fingerprint, or the first digits."
        ),
    ],
    target: Annotated[
        str, typer.Option("--to", help="The version to go on by. Without it, the one in the program folder.")
    ] = "",
    reason: Annotated[str, typer.Option(help="The reason, for the audit record.")] = "",
    actor: Actor = "",
    preview_only: Annotated[
        bool, typer.Option("--preview", help="Show what would change. Nothing is changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Move running onboardings, requests and engagements to another version of their program.

    It goes in batches, and can be interrupted: doing it again goes on with the rest. An engagement whose claim has
    begun stays with its version. Claims and surveys have the version of their engagement.
    """
    if not (preview_only or reason):
        raise typer.BadParameter("a move needs a --reason, for the audit record")
    done = run(_moved(program, source, target, "" if preview_only else reason, actor))
    if as_json:
        print_json(_as_json(done, preview_only))
    else:
        _print(done, preview_only)


class _Done:
    """What a move shows or did, over all its batches."""

    def __init__(self, wanted: VersionMove, at: datetime) -> None:
        self.move = wanted
        self.at = at
        self.previews: list[MovePreview] = []
        self.staying = 0
        self.moved: list[str] = []
        self.unreached = 0


async def _moved(program: str, source: str, target: str, reason: str, actor: str) -> _Done:
    settings = read_settings()
    programs = read_programs(settings)
    async with database_ready(settings) as database:
        try:
            return await _in_batches(
                database, programs, await _named(database, programs, program, source, target), reason, actor
            )
        except MoveRefused as refused:
            raise Failure(str(refused)) from None


async def _named(
    database: Database, programs: Programs, program: str, source: str, target: str
) -> VersionMove:
    if program not in programs:
        raise MoveRefused(f"there is no program {program}: it is one of {', '.join(programs)}")
    async with database.reading() as session:
        to = await version_named(session, program, target) if target else programs[program].fingerprint
        return VersionMove(program, await version_named(session, program, source), to)


async def _in_batches(
    database: Database, programs: Programs, wanted: VersionMove, reason: str, actor: str
) -> _Done:
    """Preview all batches; with a reason, do each."""
    at = await program_time(database)
    client = await connect() if reason else None
    done, last = _Done(wanted, at), ""
    with working("Moving lifecycles" if reason else "Looking at lifecycles") as tell:
        while (batch := await next_batch(database, programs, wanted, at, after=last)).previews:
            workflows = [each.workflow for each in batch.previews]
            if client is not None:
                result: MoveResult = await move_batch(
                    database, client, programs, wanted, workflows, at, actor=actor, reason=reason
                )
                done.moved += result.moved
                done.unreached += result.unreached
            done.previews += batch.previews
            done.staying, last = batch.staying, workflows[-1]
            tell(f"{len(done.previews)} lifecycles, {batch.waiting - len(workflows)} to go")
        done.staying = batch.staying
    return done


def _print(done: _Done, preview_only: bool) -> None:
    found = summary_of(done.previews, done.at)
    changed = [each for each in done.previews if each.refused or (each.result and is_changed(each.result))]
    print_table(
        ("lifecycle", "state", "messages that move", "stop", "are added", ""),
        (_row(each) for each in changed),
        none="No lifecycle changes in what it does.",
    )
    print_lines(
        f"{found.unchanged} unchanged; {found.moved} messages move, {found.not_sent} stop, {found.added} are added; "
        f"{found.now} of them due now; {found.states} lifecycles change their state; "
        f"{found.refused} cannot be moved."
    )
    if done.staying:
        print_lines(f"{done.staying} engagements stay with their version: a claim has begun.")
    if not preview_only:
        print_lines(f"{len(done.moved)} lifecycles moved to version {done.move.target[:12]}.")
    if done.unreached:
        print_lines(
            f"{done.unreached} of their workflows could not be notified. The watchdog notifies them within three hours."
        )


def _row(each: MovePreview) -> tuple[str, str, int, int, int, str]:
    if each.result is None:
        return (each.workflow, "", 0, 0, 0, each.refused)
    result = each.result
    counts = [
        sum(effect.change == name for effect in result.effects) for name in ("moved", "not_sent", "added")
    ]
    state = result.state if result.state == result.before else f"{result.before} → {result.state}"
    return (each.workflow, state, counts[0], counts[1], counts[2], "")


def _as_json(done: _Done, preview_only: bool) -> dict[str, object]:
    return {
        "program": done.move.program,
        "from": done.move.source,
        "to": done.move.target,
        "preview": preview_only,
        **asdict(summary_of(done.previews, done.at)),
        "staying": done.staying,
        "moved_lifecycles": done.moved,
        "unreached": done.unreached,
        "lifecycles": [_one(each) for each in done.previews],
    }


def _one(each: MovePreview) -> dict[str, object]:
    if each.result is None:
        return {"workflow": each.workflow, "refused": each.refused}
    return {
        "workflow": each.workflow,
        "before": each.result.before,
        "state": each.result.state,
        "changes": [
            {
                "change": effect.change,
                "message": effect.message,
                "number": effect.number,
                "to": effect.to,
                "was": local_iso(effect.was, effect.zone),
                "due": local_iso(effect.due, effect.zone),
            }
            for effect in each.result.effects
        ],
        "starts": list(each.result.starts),
    }
