"""`throughline webhook`: the endpoints of other systems that get events."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from activities.webhooks import EndpointAnswer
from cli.groups import command_group
from cli.output import Actor, Json, print_errors, print_json_lines, print_table
from cli.runner import run
from database.session import Database
from rules.events import description
from rules.events.outgoing_types import OUTGOING_TYPES
from staff import endpoints
from staff.endpoints import DeliveryView, EndpointRefused, EndpointView
from staff.formatting import local, local_iso
from worker.connections import (
    connect,
    database_ready,
    links_of,
    read_programs,
    read_settings,
    webhooks_of,
)
from worker.errors import Failure

app = command_group("Send events to other systems: their endpoints, deliveries and secrets.")

Result = TypeVar("Result")

Name = Annotated[str, typer.Argument(help="The name of the endpoint, from webhook list.")]

_SINCE = re.compile(r"(\d{1,4})([hd])")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name for the endpoint: a-z, 0-9 and -.")],
    url: Annotated[str, typer.Argument(help="Its https address.")],
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="A type of event that it gets; repeat it for several. By default, all."),
    ] = None,
    actor: Actor = "",
) -> None:
    """Add an endpoint, and print its secret, this once. It gets what happens from now on."""
    settings = read_settings()
    keys, sender = links_of(settings).keys, webhooks_of(settings)

    async def work(session: AsyncSession, at: datetime) -> str:
        return await endpoints.add(session, keys, sender, name, url, types or [], actor, at)

    secret = run(_written(work, name, starts=True))
    typer.echo(f"{name} gets events. Its secret, which is not shown again:")
    typer.echo(secret)


@app.command("list")
def list_endpoints(
    name: Annotated[str, typer.Argument(help="An endpoint; with it, its last events are listed.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The most events to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List the endpoints, or the last events of one, the newest first. Times are on the clock of the program."""
    settings = read_settings()
    zone = next(iter(read_programs(settings).values())).hours.zone

    async def look() -> tuple[EndpointView, ...] | tuple[DeliveryView, ...]:
        async with database_ready(settings) as database, database.reading() as session:
            if name:
                return await endpoints.last_deliveries(session, name, limit)
            return await endpoints.list_endpoints(session)

    try:
        found = run(look())
    except EndpointRefused as refused:
        raise Failure(str(refused)) from None
    if as_json:
        print_json_lines(_as_json(each, zone) for each in found)
    elif name:
        _print_deliveries([each for each in found if isinstance(each, DeliveryView)], zone)
    else:
        _print_endpoints([each for each in found if isinstance(each, EndpointView)], zone)


@app.command("test")
def send_test(name: Name, actor: Actor = "") -> None:
    """Send a test event to an endpoint now, also while it is disabled. Exit with 1 if it is not taken."""
    settings = read_settings()
    keys, sender = links_of(settings).keys, webhooks_of(settings)

    async def work() -> EndpointAnswer:
        async with database_ready(settings) as database:
            return await endpoints.send_test(database, keys, sender, name, actor, datetime.now(UTC))

    try:
        answer = run(work())
    except EndpointRefused as refused:
        raise Failure(str(refused)) from None
    if not answer.is_success:
        raise Failure(f"{name} did not take the test event: {answer.words}")
    typer.echo(f"{name} took the test event: {answer.words}")


@app.command()
def disable(
    name: Name,
    actor: Actor = "",
    reason: Annotated[str, typer.Option(help="The reason, for the audit record.")] = "",
) -> None:
    """Stop deliveries to an endpoint. Its events wait, for 30 days."""

    async def work(session: AsyncSession, at: datetime) -> None:
        await endpoints.disable(session, name, actor, reason, at)

    run(_written(work, name))
    typer.echo(f"{name} gets no events until it is enabled. They wait for 30 days.")


@app.command()
def enable(name: Name, actor: Actor = "") -> None:
    """Let an endpoint get events again; those that waited go out first."""
    keys = links_of(read_settings()).keys

    async def work(session: AsyncSession, at: datetime) -> None:
        await endpoints.enable(session, keys, name, actor, at)

    run(_written(work, name, starts=True))
    typer.echo(f"{name} gets events again.")


@app.command()
def rotate(
    name: Name,
    grace: Annotated[
        int, typer.Option(min=0, max=720, help="Hours for which the old secret signs beside the new one.")
    ] = 24,
    actor: Actor = "",
) -> None:
    """Give an endpoint a new secret, and print it, this once."""
    keys = links_of(read_settings()).keys

    async def work(session: AsyncSession, at: datetime) -> str:
        return await endpoints.rotate(session, keys, name, actor, at, timedelta(hours=grace))

    secret = run(_written(work, name))
    until = f"The old one signs, too, for {grace} hours." if grace else "The old one no longer signs."
    typer.echo(f"The new secret of {name}, which is not shown again. {until}")
    typer.echo(secret)


@app.command()
def replay(
    name: Name,
    since: Annotated[
        str, typer.Option(help="From when on: an instant with offset, or how long ago, such as 12h or 3d.")
    ],
    actor: Actor = "",
) -> None:
    """Send again what happened since an instant, with the same ids. Events are kept for 30 days."""

    async def work(session: AsyncSession, at: datetime) -> int:
        return await endpoints.replay(session, name, _instant(since, at), actor, at)

    count = run(_written(work, name))
    typer.echo(f"{count} events go to {name} again.")


@app.command()
def remove(name: Name, actor: Actor = "") -> None:
    """Remove an endpoint, with the events that wait for it."""

    async def work(session: AsyncSession, at: datetime) -> None:
        await endpoints.remove(session, name, actor, at)

    run(_written(work, name))
    typer.echo(f"{name} is removed.")


@app.command()
def types(as_json: Json = False) -> None:
    """List the types of events that go out; with --json, each with its JSON schema and an example."""
    if as_json:
        print_json_lines(
            {"type": name, "schema": description.outgoing_schema(name), "example": dict(model.example)}
            for name, model in OUTGOING_TYPES.items()
        )
        return
    print_table(
        ("type", "fields", "meaning"),
        (
            (name, ", ".join(field.name for field in description.fields_of(model)), model.__doc__)
            for name, model in OUTGOING_TYPES.items()
        ),
        title="Types of events that go out",
    )


async def _written(
    work: Callable[[AsyncSession, datetime], Awaitable[Result]], name: str, *, starts: bool = False
) -> Result:
    """Return what a change gives, in a transaction of its own. Raises Failure where it is refused."""
    async with database_ready(read_settings()) as database:
        try:
            async with database.begin() as session:
                result = await work(session, datetime.now(UTC))
        except EndpointRefused as refused:
            raise Failure(str(refused)) from None
        if starts:
            await _start(database, name)
    return result


async def _start(database: Database, name: str) -> None:
    """Start the endpoint's workflow. Without Temporal, a worker does so within ten minutes."""
    try:
        await endpoints.start(await connect(), name)
    except Failure as failure:
        print_errors(*failure.lines, "A worker starts the deliveries within ten minutes.")


def _instant(text: str, at: datetime) -> datetime:
    if ago := _SINCE.fullmatch(text):
        return at - int(ago[1]) * (timedelta(hours=1) if ago[2] == "h" else timedelta(days=1))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise Failure("--since is an instant with offset, such as 2028-03-06T10:00-05:00, or 12h or 3d")
    return instant.astimezone(UTC)


def _print_endpoints(found: list[EndpointView], zone: str) -> None:
    print_table(
        ("endpoint", "address", "types", "state", "waiting", "given up", "failing since"),
        (
            (
                each.name,
                each.url,
                ", ".join(each.types) or "all",
                each.state + (f": {each.disabled_because}" if each.disabled_because else ""),
                each.waiting,
                each.failed,
                local(each.failing_since, zone),
            )
            for each in found
        ),
        none="There is no endpoint.",
    )


def _print_deliveries(found: list[DeliveryView], zone: str) -> None:
    print_table(
        ("event", "type", "about", "at", "state", "attempts", "answer", "next"),
        (
            (
                each.event,
                each.type,
                each.subject,
                local(each.at, zone),
                each.state,
                each.attempts,
                each.answer,
                local(each.next_at, zone),
            )
            for each in found
        ),
        none="It has no events yet.",
    )


def _as_json(each: EndpointView | DeliveryView, zone: str) -> dict[str, object]:
    if isinstance(each, DeliveryView):
        return {
            "event": each.event,
            "type": each.type,
            "subject": each.subject,
            "at": local_iso(each.at, zone),
            "state": each.state,
            "attempts": each.attempts,
            "answer": each.answer,
            "next": local_iso(each.next_at, zone),
            "decided": local_iso(each.decided_at, zone),
        }
    return {
        "endpoint": each.name,
        "url": each.url,
        "types": list(each.types),
        "state": each.state,
        "because": each.disabled_because,
        "disabled": local_iso(each.disabled_at, zone),
        "failing_since": local_iso(each.failing_since, zone),
        "old_secret_until": local_iso(each.old_secret_until, zone),
        "waiting": each.waiting,
        "failed": each.failed,
    }
