"""`throughline replay`: whether what runs would go on under this version; `version`: which version has the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.service import RPCError

from cli.groups import command_group
from cli.output import Json, print_json_lines, print_table, working
from cli.runner import run
from worker.connections import connect, read_settings
from worker.errors import Failure
from worker.rollout.code_version import OwnVersion, own_version
from worker.rollout.history_replay import ReplayFinding, replay_latest
from worker.rollout.version_routing import UNVERSIONED, pollers, routing, set_current
from worker.rollout.workflow_moves import count_on, lifecycles_elsewhere, wake_all

version_app = command_group("Show which version of the workers has the work, and give it to another one.")

NO_VERSION: Final = "unversioned"
"""How a person names workers without a version."""

SETTLED_AFTER: Final = 30.0
"""Seconds that all task queues may take to hear of a change."""

NOTHING_MOVES_FOR: Final = 60.0
"""Seconds without a workflow that moved, after which those that did not are named."""

MOST_NAMED: Final = 20
"""Ids in an error."""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of the workers, as people see it."""

    version: str
    routing: str
    """`current`, `before` for one that was, `new` for one that never was."""
    since: datetime | None
    """When it was current for the first time."""
    workers: int
    """Polls for workflow tasks; a worker has several."""
    workflows: int
    """Running ones whose last task was on it."""
    is_this_code: bool


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


@version_app.command()
def show(as_json: Json = False) -> None:
    """Show the versions: which one is current, who polls, and how many workflows had their last task there."""
    read_settings()
    rows = run(_rows())
    if as_json:
        print_json_lines(asdict(row) for row in rows)
        return
    print_table(
        ("version", "routing", "first current", "polls", "workflows", ""),
        (
            (
                row.version,
                row.routing,
                row.since and row.since.isoformat(timespec="seconds"),
                row.workers,
                row.workflows,
                "this code" if row.is_this_code else "",
            )
            for row in rows
        ),
    )


async def _rows() -> list[VersionRow]:
    async with _temporal() as (client, own):
        found = await routing(client, own.version.deployment_name)
        polling = await pollers(client, datetime.now(UTC))
        current = found.current if found else UNVERSIONED
        seen = {**(found.seen if found else {}), UNVERSIONED: None}
        return [
            VersionRow(
                build or NO_VERSION,
                "current" if build == current else "before" if since or build == UNVERSIONED else "new",
                since,
                polling[build],
                await count_on(client, own.version.deployment_name, build),
                build == own.version.build_id,
            )
            for build, since in seen.items()
        ]


@version_app.command("set-current")
def set_current_version(
    version: Annotated[
        str,
        typer.Argument(help="A version from version show, or `unversioned`. By default, that of this code."),
    ] = "",
) -> None:
    """Give all work to a version. Each workflow follows with its next task.

    Workers make a new version current by themselves. This command is for the way back, and for versions that are named
    by TEMPORAL_WORKER_BUILD_ID.
    """
    read_settings()
    now_current = run(_made_current(version))
    typer.echo(f"All work goes to {now_current} now. Workflows that sleep follow when they wake.")


async def _made_current(wanted: str) -> str:
    async with _temporal() as (client, own):
        build = UNVERSIONED if wanted == NO_VERSION else wanted or own.version.build_id
        deployment = own.version.deployment_name
        if await routing(client, deployment) is None:
            raise Failure(f"no worker of {deployment!r} has registered a version: start one, and repeat")
        try:
            await set_current(client, own.version, build=build)
        except RPCError as error:
            raise Failure(f"{build or NO_VERSION} cannot be made current: {error.message}") from None
        try:
            async with asyncio.timeout(SETTLED_AFTER):
                while (found := await routing(client, deployment)) and not found.is_settled:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise Failure("Temporal has taken the change; not every task queue has heard of it yet") from None
        return build or NO_VERSION


@version_app.command("wake")
def wake_sleeping(
    per_second: Annotated[
        float, typer.Option(min=0.1, max=1000, help="The most workflows to wake in a second.")
    ] = 20,
) -> None:
    """Have each lifecycle that sleeps go on under the current version now, and wait for it.

    What cannot go on shows at once. Nothing is mailed that was not due. The exit status is 1 if some have not moved.
    """
    read_settings()
    moved, late = run(_woken(per_second))
    typer.echo(f"{moved} workflows moved to the current version.")
    if late:
        raise Failure(
            f"{len(late)} have not moved for a minute: no worker of the current version runs, or they cannot go on",
            *late[:MOST_NAMED],
        )


async def _woken(per_second: float) -> tuple[int, list[str]]:
    """Wake what is elsewhere, and return how many moved, and the ids of those that did not."""
    async with _temporal() as (client, own):
        found = await routing(client, own.version.deployment_name)
        if found is None or found.current == UNVERSIONED:
            raise Failure(
                "no version is current: start a worker, or name one by `throughline version set-current`"
            )
        current = WorkerDeploymentVersion(own.version.deployment_name, found.current)
        with working("Waking workflows") as show:
            woken = set[str]()
            async with aclosing(wake_all(client, current, per_second)) as waking:
                async for workflow in waking:
                    woken.add(workflow)
                    show(f"{len(woken)}")
            late = await _until_moved(client, current, woken)
        return len(woken) - len(late), sorted(late)


async def _until_moved(client: Client, version: WorkerDeploymentVersion, woken: set[str]) -> set[str]:
    """Wait while woken workflows move to a version; return those that do not."""
    late, loop = woken, asyncio.get_running_loop()
    until = loop.time() + NOTHING_MOVES_FOR
    while late and loop.time() < until:
        still = {each async for each in lifecycles_elsewhere(client, version)} & late
        if len(still) < len(late):
            until = loop.time() + NOTHING_MOVES_FOR
        late = still
        await asyncio.sleep(0.5)
    return late


@asynccontextmanager
async def _temporal() -> AsyncIterator[tuple[Client, OwnVersion]]:
    """Connect, and say in one line what Temporal refuses."""
    own = own_version()
    client = await connect()
    try:
        yield client, own
    except RPCError as error:
        raise Failure(f"Temporal refuses: {error.message}") from None
