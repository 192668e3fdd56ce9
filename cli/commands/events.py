"""`throughline event`: send CloudEvents to a running gateway, or straight to the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import uuid4

import httpx
import typer

from cli.commands.event_import import import_events
from cli.commands.event_relay import relay_outbox
from cli.event_files import dotted, read_event_file
from cli.groups import command_group
from cli.output import Json, event_row, print_json, print_json_lines, print_table, working
from cli.runner import run
from database import events
from gateway.webhook_signatures import sign_events
from rules.events import EVENT_TYPES, Envelope, description
from rules.events.schema import EventData
from rules.text import for_terminal
from staff.formatting import local
from staff.views import OpenEvent, unapplied_events
from worker.connections import (
    connect,
    database_ready,
    gateway_address,
    read_programs,
    read_settings,
    webhook_secrets,
)
from worker.errors import Failure
from workflows.starting import notify_inbox

app = command_group("Send events, as other systems do, import history, and list their types.")
app.command("import")(import_events)
app.command("relay")(relay_outbox)


class UnappliedState(StrEnum):
    """A state of an event that is not applied, as `event list` filters by it."""

    HELD = "held"
    REFUSED = "refused"
    STORED = "stored"


MOST_AT_ONCE: Final = 200
"""Events in one request. At their usual size they stay far below the gateway's limit of 1 MiB."""


@app.command()
def send(
    file: Annotated[str, typer.Argument(help="CloudEvents in JSON or JSON Lines; - reads standard input.")],
    url: Annotated[
        str, typer.Option(help="The address of the gateway; by default, the one in the settings.")
    ] = "",
    direct: Annotated[
        bool,
        typer.Option("--direct", help="Store them in the database without a gateway, and notify Temporal."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Send events to the gateway, signed, or with --direct straight to the database and Temporal.

    A missing specversion, id or source is filled in. An event without a time happens when it arrives.
    """
    if direct and url:
        raise typer.BadParameter("--url cannot be combined with --direct")
    found = read_event_file(file).completed()
    checked = found.checked()
    accepted = run(store_directly(checked) if direct else _post([event for _, event in found.events], url))
    known = len(checked) - accepted
    if as_json:
        ignored = [
            f"/{position}{pointer}" for position, event in enumerate(checked) for pointer in event.ignored
        ]
        print_json({"accepted": accepted, "known": known, **({"ignored": ignored} if ignored else {})})
        return
    typer.echo(f"{accepted} accepted" + (f", {known} already known" if known else ""))
    for (where, _), event in zip(found.events, checked, strict=True):
        for pointer in event.ignored:
            typer.echo(for_terminal(f"{where}{dotted(pointer)}: ignored, as {event.type} has no such field"))


@app.command("list")
def list_events(
    state: Annotated[
        UnappliedState | None,
        typer.Option(help="Only those that wait for something, were refused, or are not looked at yet."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The most events to list, the newest ones.")] = 100,
    as_json: Json = False,
) -> None:
    """List the events that are not applied, the newest last: what each is about, and why.

    Times are on the clock of the program.
    """
    zone = next(iter(read_programs(read_settings()).values())).hours.zone

    async def look() -> tuple[OpenEvent, ...]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return await unapplied_events(session, state.value if state else "", limit, zone)

    found = run(look())
    if as_json:
        print_json_lines(map(event_row, found))
        return
    print_table(
        ("event", "type", "about", "state", "at", "why"),
        (
            (
                each.number,
                each.type,
                each.subject,
                each.state,
                local(each.at, zone),
                each.why + (f", until {local(each.held_until, zone)}" if each.held_until else ""),
            )
            for each in found
        ),
        none="Every event is applied.",
    )


@app.command()
def types(
    as_json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page about events, docs/events.md.")
    ] = False,
) -> None:
    """List the types of events with their fields; with --json, each with its JSON schema and an example."""
    if as_json and markdown:
        raise typer.BadParameter("--markdown has no place beside --json")
    if markdown:
        typer.echo(description.page(), nl=False)
    elif as_json:
        print_json_lines(
            {
                "type": name,
                "about": model.about,
                "waits_for": model.waits_for,
                "schema": description.data_schema(name),
                "example": description.example(name),
            }
            for name, model in EVENT_TYPES.items()
        )
    else:
        print_table(
            ("type", "required", "optional"),
            (
                (name, *(_names(model, required=required) for required in (True, False)))
                for name, model in EVENT_TYPES.items()
            ),
            title="Types of events",
        )


@app.command("example")
def print_example(
    type: Annotated[str, typer.Argument(help="The type of an event, such as member.updated.")],
) -> None:
    """Print an event of a type, ready to send; each time with a new id."""
    if type not in EVENT_TYPES:
        near = get_close_matches(type, EVENT_TYPES, 1)
        raise typer.BadParameter(f"no event {type}{f'; did you mean {near[0]}?' if near else ''}")
    event = {**description.example(type), "id": str(uuid4())}
    # Without a time it happens when it arrives: that of the description lies in the future.
    del event["time"]
    print_json(event)


def _names(model: type[EventData], *, required: bool) -> str:
    return ", ".join(field.name for field in description.fields_of(model) if field.required == required)


async def store_directly(checked: Sequence[Envelope]) -> int:
    """Store events in the database, and notify the inbox; return how many are new."""
    with working("Storing the events"):
        async with database_ready(read_settings()) as database:
            client = await connect()
            async with database.begin() as session:
                new = await events.store(session, checked)
            await notify_inbox(client, database)
    return new


async def _post(given: Sequence[Mapping[str, Any]], url: str) -> int:
    settings = read_settings()
    address = url.rstrip("/") or gateway_address(settings)
    secret = webhook_secrets(settings)[0]
    accepted = 0
    with working(f"Sending to {address}") as update:
        async with httpx.AsyncClient(timeout=60) as client:
            for start in range(0, len(given), MOST_AT_ONCE):
                chunk = given[start : start + MOST_AT_ONCE]
                update(f"{start} of {len(given)}")
                try:
                    headers, body = sign_events(secret, chunk)
                    answer = await client.post(f"{address}/events", content=body, headers=headers)
                except ValueError as error:
                    raise Failure(f"THROUGHLINE_WEBHOOK_SECRET: {error}") from None
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise Failure(
                        f"the gateway at {address} cannot be reached: {error or type(error).__name__}"
                    ) from None
                accepted += _accepted(answer, address, start)
    return accepted


def _accepted(answer: httpx.Response, address: str, start: int) -> int:
    """Return how many events were new. Raises Failure with the gateway's reasons if it refused them."""
    try:
        said = answer.json()
    except ValueError:
        said = {}
    if answer.status_code == 202 and isinstance(said, Mapping):
        return int(said.get("accepted", 0))
    detail = said.get("detail") if isinstance(said, Mapping) else None
    lines = [f"{address} answered {answer.status_code}: {detail or answer.reason_phrase}"]
    for wrong in (said.get("errors") or []) if isinstance(said, Mapping) else []:
        index, _, field = str(wrong.get("pointer", "")).lstrip("/").partition("/")
        place = f"event {int(index) + start + 1}" if index.isdigit() else index
        lines.append(f"{place}: {field.replace('/', '.')}: {wrong.get('reason')}")
    raise Failure(*lines)
