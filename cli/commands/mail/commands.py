"""`throughline mail`: the ledger of messages, copies of them, and addresses that get none."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Select, select
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.delivery import Outcome, SendMail
from activities.inbox import QUEUE
from cli.arguments import program_named, refuse_unknown_message
from cli.commands.mail import mail_preview, order_commands
from cli.commands.mail.ahead_command import list_ahead
from cli.commands.mail.health_command import show_health
from cli.commands.mail.service_level_command import show_service_level
from cli.commands.mail.show_command import show_mail
from cli.groups import command_group
from cli.output import Actor, Json, print_json_lines, print_table, working
from cli.runner import run
from database import ledger, suppressions
from database.models import DECISIONS, Message, Suppression
from database.session import Database
from mail.reports.bounces import StoredReports, collect_bounces
from mail.reports.report_reader import read_report, weightiest
from rules.calendar import instant_in
from rules.mail_address import AddressRejected, mail_address
from staff.formatting import local, local_iso, numbered
from staff.mail_acts import lift_suppression
from staff.mail_fate import came_back_cause, fate
from staff.people import People
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure
from workflows.resend import ResendWorkflow
from workflows.starting import notify_inbox

app = command_group("List, preview and resend messages; manage suppressed addresses.")
suppressions_app = command_group("List suppressed addresses, and lift a suppression.")
app.add_typer(mail_preview.app)
app.add_typer(order_commands.app)
app.command("ahead")(list_ahead)
app.command("show")(show_mail)
app.command("health")(show_health)
app.command("service-level")(show_service_level)
app.add_typer(suppressions_app, name="suppressions")

STATES = ("planned", "claimed", "handed_over", *sorted(DECISIONS))


@app.command()
def log(
    member: Annotated[str, typer.Option(help="Only messages to this member.")] = "",
    message: Annotated[str, typer.Option(help="Only messages with this name.")] = "",
    state: Annotated[str, typer.Option(help=f"Only messages in this state: {', '.join(STATES)}.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only messages that were due or decided since this day."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the latest ones.")] = 1000,
    as_json: Json = False,
) -> None:
    """List messages with their decisions. Times are on the clock of the recipient."""
    if state and state not in STATES:
        raise typer.BadParameter(f"--state is one of {', '.join(STATES)}")
    refuse_unknown_message(message)
    programs = read_programs(read_settings())
    start = None
    if since:
        start = instant_in(program_named(programs, "").hours.zone, since.date(), since.time())
    wanted = _wanted(member.removeprefix("member/"), message, state, start).limit(limit)

    async def look() -> tuple[list[Message], People]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            rows = list(await session.scalars(wanted))[::-1]
            return rows, await People.of(session, {row.to_profile for row in rows}, programs)

    rows, people = run(look())
    if as_json:
        print_json_lines(_as_json(row, people.zone(row.to_profile, row.program)) for row in rows)
        return
    print_table(
        ("due", "message", "to", "state", "decided", "why", "delivery"),
        (
            (
                local(row.due_at, zone := people.zone(row.to_profile, row.program)),
                numbered(row.message, row.number),
                people.label(row.to_profile),
                row.state,
                local(row.decided_at, zone),
                fate(row, zone) or row.reason or row.trouble or row.response,
                row.delivery,
            )
            for row in rows
        ),
        none="No message matches.",
    )


def _wanted(member: str, message: str, state: str, since: datetime | None) -> Select[Message]:
    """Return the query for the ledger's rows that match all filters, the latest first."""
    filters = {Message.member_id: member, Message.message: message, Message.state: state}
    wanted = select(Message).where(*(column == value for column, value in filters.items() if value))
    if since:
        wanted = wanted.where((Message.due_at >= since) | (Message.decided_at >= since))
    return wanted.order_by(Message.due_at.desc(), Message.id.desc())


def _as_json(row: Message, zone: str) -> dict[str, Any]:
    return {
        "delivery": row.delivery,
        "message": row.message,
        "number": row.number,
        "to": row.to_profile,
        "member": row.member_id,
        "workflow": row.workflow,
        "state": row.state,
        "due": local_iso(row.due_at, zone),
        "decided": local_iso(row.decided_at, zone),
        "came_back": row.came_back,
        "came_back_cause": came_back_cause(row),
        "came_back_reason": row.came_back_reason,
        "delivered": local_iso(row.delivered_at, zone),
        "reason": row.reason,
        "trouble": row.trouble,
        "attempts": row.attempts,
        "subject": row.subject,
        "response": row.response,
    }


@app.command()
def resend(
    delivery: Annotated[str, typer.Argument(help="The id of a delivery, from mail log.")],
    reason: Annotated[str, typer.Option(help="The reason, for the audit record.")] = "",
    actor: Actor = "",
    wait: Annotated[int, typer.Option(min=0, help="How many seconds to wait for the decision.")] = 30,
) -> None:
    """Send a copy of a message that is ambiguous, failed or skipped.

    The copy gets a decision of its own.
    """

    async def again() -> tuple[Message, Outcome | None]:
        with working("Sending a copy"):
            async with database_ready(read_settings()) as database:
                client = await connect()
                async with database.begin() as session:
                    try:
                        row = await ledger.copy(session, delivery, actor, reason, datetime.now(UTC))
                    except ValueError as error:
                        raise Failure(str(error)) from None
                return row, await _outcome(client, row, wait)

    row, outcome = run(again())
    if outcome is None:
        typer.echo(f"{row.delivery} is planned. It goes out as soon as a worker and the mail server take it.")
        return
    if outcome.decision != "sent":
        raise Failure(
            f"{row.delivery} is {outcome.decision}; see throughline why {row.member_id} {row.message}"
        )
    typer.echo(f"{row.delivery} is sent.")


async def _outcome(client: Client, copy: Message, wait: int) -> Outcome | None:
    """Have a copy delivered, and return the decision; None if there is none within `wait` seconds."""
    handle = await client.start_workflow(
        ResendWorkflow.run,
        SendMail(copy.workflow, [f"{copy.step}/{copy.occurrence}"]),
        id=f"resend/{copy.delivery}",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=f"resend as {copy.delivery}",
    )
    try:
        async with asyncio.timeout(wait):
            return (await handle.result())[0]
    except TimeoutError:
        return None


@suppressions_app.command("list")
def list_suppressions(as_json: Json = False) -> None:
    """List the suppressed addresses with the reasons, the newest first."""
    zone = program_named(read_programs(read_settings()), "").hours.zone

    async def look() -> list[Suppression]:
        async with database_ready(read_settings()) as database, database.reading() as session:
            return await suppressions.listed(session)

    rows = run(look())
    if as_json:
        print_json_lines(
            {
                "address": row.address,
                "kind": row.kind,
                "since": local_iso(row.since, zone),
                "reason": row.reason,
            }
            for row in rows
        )
        return
    print_table(
        ("address", "kind", "since", "why"),
        ((row.address, row.kind, local(row.since, zone), row.reason) for row in rows),
        none="No address is suppressed.",
    )


@suppressions_app.command()
def lift(
    address: Annotated[str, typer.Argument(help="The address to send mail to again.")],
    actor: Actor = "",
    reason: Annotated[str, typer.Option(help="The reason, for the audit record.")] = "",
) -> None:
    """Lift a suppression, so that an address gets mail again."""
    with suppress(AddressRejected):
        address = mail_address(address).ascii

    async def write() -> None:
        async with database_ready(read_settings()) as database, database.begin() as session:
            if not await lift_suppression(session, address, actor, reason, datetime.now(UTC)):
                raise Failure(f"{address} is not suppressed")

    run(write())
    typer.echo(f"{address} gets mail again.")


@app.command()
def bounces(
    mailbox: Annotated[Path, typer.Argument(help="A Maildir, an mbox file, or a file with one message.")],
) -> None:
    """Read delivery reports from a mailbox, and count the bounces."""

    async def read() -> StoredReports:
        settings = read_settings()
        async with database_ready(settings) as database:
            try:
                found = await collect_bounces(database, mailbox, datetime.now(UTC))
            except OSError as error:
                raise Failure(f"{mailbox}: {error.strerror or error}") from None
            if found.new:
                await _wake_inbox(database)
        return found

    found = run(read())
    typer.echo(f"{found.new} new reports.")
    if found.refused:
        typer.echo(f"{found.refused} refused: they name no mail of ours.")


async def _wake_inbox(database: Database) -> None:
    """Notify the inbox of stored reports. Where Temporal is away, a gateway or the watchdog does it later."""
    try:
        await notify_inbox(await connect(), database)
    except (Failure, RPCError):
        Console(stderr=True).print(
            "Temporal cannot be reached. The reports are stored, and are counted as soon as it is back."
        )


@app.command()
def classify(
    files: Annotated[list[Path], typer.Argument(help="Files with one mail each.")], as_json: Json = False
) -> None:
    """Print what each report of a mail server is read as, and why. Changes nothing.

    hard: the mailbox. soft: temporary, a full mailbox, a rate, or unclear. refused: policy, content, size or sender.
    """
    rows = []
    with working("Reading reports"):
        for file in files:
            try:
                found = weightiest(read_report(file.read_bytes()))
            except OSError as error:
                raise Failure(f"{file}: {error.strerror or error}") from None
            rows.append((str(file), found.report_class.value, found.cause))
    if as_json:
        print_json_lines(dict(zip(("file", "class", "reason"), row, strict=True)) for row in rows)
        return
    print_table(("file", "class", "reason"), rows, none="No file.")
