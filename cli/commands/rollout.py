"""`throughline replay`: whether what runs would go on under this version."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated

import typer
from temporalio.service import RPCError

from cli.output import Json, print_json_lines, print_table, working
from cli.runner import run
from worker.connections import connect, read_settings
from worker.errors import Failure
from worker.rollout.history_replay import ReplayFinding, replay_latest


def replay(
    from_server: Annotated[
        int,
        typer.Option("--from-server", min=1, max=10_000, help="How many of each type, running ones first."),
    ],
    as_json: Json = False,
) -> None:
    """Replay workflows of the Temporal service under this code.

    Nothing is changed. The exit status is 1 if one of them would not go on.
    """
    read_settings()
    found = run(_replayed(from_server))
    if as_json:
        print_json_lines(asdict(each) | {"replays": each.replays} for each in found)
    else:
        print_table(
            ("workflow", "type", "status", "events", "result"),
            (
                (each.workflow, each.type, each.status, each.events, each.reason or "replays")
                for each in found
            ),
            none="Temporal has no workflow of ours in this namespace.",
        )
    if failed := [each for each in found if not each.replays]:
        raise Failure(
            f"{len(failed)} of {len(found)} histories do not replay: under this code these workflows stand still,",
            "and nothing of them is lost. Do not roll this version out: a changed order of commands needs",
            "workflow.patched (docs/upgrading.md).",
        )


async def _replayed(count: int) -> list[ReplayFinding]:
    """Return what became of each history. Raises Failure if Temporal refuses to list or to show them."""
    client = await connect()
    found = []
    try:
        with working("Replaying") as show:
            async with aclosing(replay_latest(client, count)) as findings:
                async for finding in findings:
                    found.append(finding)
                    show(f"{len(found)} histories")
    except RPCError as error:
        raise Failure(f"Temporal does not show its workflows: {error.status.name}") from None
    return found
