"""`throughline mail`: what went out, how it looks, and what to do about what did not arrive."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.delivery import Outcome, SendMail
from activities.inbox import QUEUE
from cli import mail_preview
from cli.arguments import program_named, refuse_unknown_message
from cli.output import Actor, Json, print_json_lines, print_table, working
from cli.runner import run
from database import audit, ledger, suppressions
from database.models import DECISIONS, Member, Message, Suppression
from mail.bounces import collect_bounces
from rules.calendar import instant_in
from staff.formatting import local, local_iso, numbered
from staff.people import People
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure
from workflows.resend import ResendWorkflow
from workflows.starting import notify_inbox

app = typer.Typer(help="What went out, how it looks, and what to do about the rest.", no_args_is_help=True)
suppressions_app = typer.Typer(help="Addresses that are not mailed.", no_args_is_help=True)
app.add_typer(mail_preview.app)
app.add_typer(suppressions_app, name="suppressions")

STATES = ("planned", "claimed", "handed_over", *sorted(DECISIONS))


@app.command()
def log(
    member: Annotated[str, typer.Option(help="Only mail to this member.")] = "",
    message: Annotated[str, typer.Option(help="Only messages of this name.")] = "",
    state: Annotated[str, typer.Option(help=f"Only messages in this state: {', '.join(STATES)}.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only what was due, or decided, since this day."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest.")] = 1000,
    as_json: Json = False,
) -> None:
    """The ledger: every message with its decision. Times are the recipient's."""
    if state and state not in STATES:
        raise typer.BadParameter(f"--state is one of {', '.join(STATES)}")
    refuse_unknown_message(message)
    programs = read_programs(read_settings())

    async def look() -> tuple[list[Message], People]:
        wanted = select(Message)
        if member:
            wanted = wanted.where(Message.member_id == member.removeprefix("member/"))
        if message:
            wanted = wanted.where(Message.message == message)
        if state:
            wanted = wanted.where(Message.state == state)
        if since:
            zone = next(iter(programs.values())).hours.zone
            start = instant_in(zone, since.date(), since.time())
            wanted = wanted.where((Message.due_at >= start) | (Message.decided_at >= start))
        wanted = wanted.order_by(Message.due_at.desc(), Message.id.desc()).limit(limit)
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
                people.name(row.to_profile),
                row.state,
                local(row.decided_at, zone),
                row.reason or row.trouble or row.response,
                row.delivery,
            )
            for row in rows
        ),
        none="No such message.",
    )


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
        "reason": row.reason,
        "trouble": row.trouble,
        "attempts": row.attempts,
        "subject": row.subject,
        "response": row.response,
    }


@app.command()
def resend(
    delivery: Annotated[str, typer.Argument(help="A delivery, as mail log names it.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit record.")] = "",
    actor: Actor = "",
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait for the decision.")] = 30,
) -> None:
    """Send a message again that is ambiguous, failed or skipped: a copy, with a decision of its own."""

    async def again() -> tuple[Message, Outcome | None]:
        with working("sending it again"):
            async with database_ready(read_settings()) as database:
                client = await connect()
                async with database.begin() as session:
                    try:
                        row = await ledger.copy(session, delivery, actor, reason, datetime.now(UTC))
                    except ValueError as error:
                        raise Failure(str(error)) from None
                handle = await client.start_workflow(
                    ResendWorkflow.run,
                    SendMail(row.workflow, [f"{row.step}/{row.occurrence}"]),
                    id=f"resend/{row.delivery}",
                    task_queue=QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    static_summary=f"resend {delivery}",
                )
                try:
                    async with asyncio.timeout(wait):
                        return row, (await handle.result())[0]
                except TimeoutError:
                    return row, None

    row, outcome = run(again())
    if outcome is None:
        typer.echo(
            f"{row.delivery} is planned, and goes out as soon as a worker and the mail server take it."
        )
        return
    if outcome.decision != "sent":
        raise Failure(f"{row.delivery} is {outcome.decision}: throughline why {row.member_id} {row.message}")
    typer.echo(f"{row.delivery} is sent.")


@suppressions_app.command("list")
def list_suppressions(as_json: Json = False) -> None:
    """Addresses that are not mailed, and why; the newest first."""
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
    address: Annotated[str, typer.Argument(help="The address to mail again.")],
    actor: Actor = "",
    reason: Annotated[str, typer.Option(help="Why, for the audit record.")] = "",
) -> None:
    """Mail an address again."""

    async def write() -> None:
        async with database_ready(read_settings()) as database, database.begin() as session:
            if not await suppressions.lift(session, address):
                raise Failure(f"{address} is not suppressed")
            now = datetime.now(UTC).replace(microsecond=0)
            for subject in await _subjects(session, address):
                await audit.append(
                    session,
                    subject,
                    "act",
                    now,
                    {"act": "lift suppression"},
                    actor=actor,
                    veiled={"reason": reason, "address": address},
                )

    run(write())
    typer.echo(f"{address} is mailed again.")


@app.command()
def bounces(
    mailbox: Annotated[Path, typer.Argument(help="A Maildir, an mbox file, or one mail in a file.")],
) -> None:
    """Read the reports of mail servers that came back, and have them counted (MAIL7)."""

    async def read() -> int:
        settings = read_settings()
        async with database_ready(settings) as database:
            try:
                new = await collect_bounces(database, mailbox, datetime.now(UTC))
            except OSError as error:
                raise Failure(f"{mailbox}: {error.strerror or error}") from None
            if new:
                await notify_inbox(await connect())
        return new

    typer.echo(f"{run(read())} new reports")


async def _subjects(session: AsyncSession, address: str) -> list[str]:
    """The members with an address; for an address of nobody's, its digest, which names no person."""
    members = await session.scalars(select(Member.id).where(Member.email.ilike(address, escape="\\")))
    digest = hashlib.sha256(address.lower().encode()).hexdigest()[:16]
    return [f"member/{member}" for member in members] or [f"address/{digest}"]
