"""`throughline mail`: what went out, how it looks, and what to do about what did not arrive."""

from __future__ import annotations

import asyncio
import hashlib
import html
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.delivery import Outcome, SendMail
from activities.inbox import QUEUE
from cli.output import Actor, Json, plain, print_json_lines, print_table, working
from cli.runner import run
from database import audit, ledger, suppressions
from database.models import DECISIONS, Member, Message, Suppression
from mail.addresses import AddressRefused
from mail.bounces import collect_bounces
from mail.composer import Composer, TemplateFailed
from mail.context import program_context
from mail.mime import MailEnvelope, build_mail
from mail.samples import sample_context
from mail.smtp.channel import SmtpChannel
from mail.smtp.dkim_signing import sign
from mail.smtp.verdicts import DeliveryError
from rules.calendar import instant_in
from rules.messages import CATALOGUE
from rules.program import Program
from staff.formatting import local, local_iso, numbered
from staff.people import People
from worker.connections import composers, connect, database_ready, read_programs, read_settings, smtp_of
from worker.errors import Failure
from workflows.resend import ResendWorkflow
from workflows.starting import notify_inbox

app = typer.Typer(help="What went out, how it looks, and what to do about the rest.", no_args_is_help=True)
suppressions_app = typer.Typer(help="Addresses that are not mailed.", no_args_is_help=True)
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
    _known_message(message)
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


def _known_message(message: str) -> None:
    if message and message not in CATALOGUE:
        raise typer.BadParameter(f"no message {message}; there are {', '.join(sorted(CATALOGUE))}")


@app.command()
def preview(
    message: Annotated[str, typer.Argument(help="A message's name; by default, all of them.")] = "",
    locale: Annotated[str, typer.Option(help="Only this language.")] = "",
    program: Annotated[str, typer.Option(help="The program whose words to use; by default, the first.")] = "",
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path("mail-preview"),
    as_json: Json = False,
) -> None:
    """Render messages with sample data: an .html and a .txt file each, and an index.html to see them all."""
    _known_message(message)
    settings = read_settings()
    used = _program(read_programs(settings), program)

    async def render() -> list[dict[str, Any]]:
        with working("rendering") as tell:
            composer = composers(settings)(used)
            if locale and locale not in composer.languages:
                raise Failure(f"there are no templates in {locale}: only in {', '.join(composer.languages)}")
            out.mkdir(parents=True, exist_ok=True)
            written = []
            for name, number, language in composer.written():
                if message in ("", name) and locale in ("", language):
                    tell(name)
                    written.append(_written(composer, used, name, number, language, out))
            (out / "index.html").write_text(_gallery(used, written), encoding="utf-8")
            return written

    written = run(render())
    if not written:
        raise Failure(f"there is no template for {message}")
    if as_json:
        print_json_lines(written)
        return
    print_table(
        ("message", "language", "subject", "file"),
        ((numbered(w["message"], w["number"]), w["locale"], w["subject"], w["html"]) for w in written),
    )
    typer.echo(f"\nAll of them: {out / 'index.html'}")


def _program(programs: Mapping[str, Program], name: str) -> Program:
    if name and name not in programs:
        raise Failure(f"there is no program {name}: it is one of {', '.join(programs)}")
    return programs[name] if name else next(iter(programs.values()))


def _written(
    composer: Composer, program: Program, message: str, number: int | None, language: str, out: Path
) -> dict[str, Any]:
    context = {**sample_context(message, number, language), "program": program_context(program)}
    try:
        composed = composer.compose(message, number, language, context)
    except TemplateFailed as error:
        raise Failure(str(error)) from None
    stem = ".".join(filter(None, (message, str(number or ""), language)))
    files = {"html": out / f"{stem}.html", "text": out / f"{stem}.txt"}
    files["html"].write_text(composed.html, encoding="utf-8")
    files["text"].write_text(composed.text, encoding="utf-8")
    return {
        "message": message,
        "number": number,
        "locale": language,
        "subject": composed.subject,
        **{kind: str(file) for kind, file in files.items()},
    }


_GALLERY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 2rem; background: #f4f4f2; color: #222 }}
main {{ display: grid; gap: 2rem; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)) }}
h2 {{ font-size: 1rem; margin: 0 }} p {{ margin: .2rem 0 .6rem }}
iframe {{ width: 100%; height: 34rem; border: 1px solid #bbb; background: #fff }}
</style></head><body><h1>{title}</h1><main>
{cards}
</main></body></html>
"""

_CARD = """<section><h2><a href="{page}">{name}</a> · {locale} · <a href="{text}">text</a></h2>
<p>{subject}</p><iframe src="{page}" title="{name}, {locale}" loading="lazy" sandbox></iframe></section>"""


def _gallery(program: Program, written: list[dict[str, Any]]) -> str:
    cards = [
        _CARD.format(
            name=html.escape(numbered(each["message"], each["number"])),
            locale=html.escape(each["locale"]),
            subject=html.escape(each["subject"]),
            page=html.escape(Path(each["html"]).name),
            text=html.escape(Path(each["text"]).name),
        )
        for each in written
    ]
    return _GALLERY.format(title=html.escape(f"Mail of {program.name}"), cards="\n".join(cards))


@app.command("test")
def send_sample(
    to: Annotated[str, typer.Option(help="The address to send to.")],
    message: Annotated[str, typer.Option(help="The message to send, with sample data.")] = "mentee.checkin",
    locale: Annotated[str, typer.Option(help="Its language.")] = "en",
) -> None:
    """Send one sample message through the configured mail server, and tell what it answers."""
    _known_message(message)
    settings = read_settings()
    programs = read_programs(settings)
    program = _program(programs, "")
    if not settings.outgoing.allows(to):
        raise Failure(f"{to} is not on this environment's allow-list (THROUGHLINE_ALLOW)")
    smtp = smtp_of(settings, programs)

    async def send() -> str:
        number = CATALOGUE[message].occurrences[0]
        context = {**sample_context(message, number, locale), "program": program_context(program)}
        delivery = uuid4().hex
        domain = program.sender.rpartition("@")[2]
        envelope = MailEnvelope(
            message_id=f"<test-{delivery}@{domain}>",
            date=datetime.now(UTC),
            from_name=program.manager.name,
            from_address=program.sender,
            reply_to=program.mailbox,
            to_name="",
            to_address=to,
            delivery=delivery,
            language=locale,
        )

        async def nothing_to_record() -> None:
            """The ledger knows nothing of samples."""

        with working(f"sending to {to}"):
            channel = SmtpChannel(smtp)
            try:
                composed = composers(settings)(program).compose(message, number, locale, context)
                content = build_mail(composed, envelope)
                if dkim := settings.dkim:
                    content = await asyncio.to_thread(sign, content, dkim)
                accepted = await channel.deliver(
                    program.sender, to, content, before_last_byte=nothing_to_record
                )
            except (AddressRefused, TemplateFailed, ValueError) as error:
                raise Failure(f"{to}: {error}") from None
            except DeliveryError as error:
                raise Failure(f"{smtp.host}:{smtp.port} did not take it: {error.response or error}") from None
            finally:
                await channel.aclose()
        return f"{accepted.code} {accepted.response}"

    answer = run(send())
    typer.echo(plain(f"{smtp.host}:{smtp.port} took {message} for {to}: {answer}"))


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
    zone = _program(read_programs(read_settings()), "").hours.zone

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


async def _subjects(session: AsyncSession, address: str) -> list[str]:
    """The members with an address; for an address of nobody's, its digest, which names no person."""
    members = await session.scalars(select(Member.id).where(Member.email.ilike(address, escape="\\")))
    digest = hashlib.sha256(address.lower().encode()).hexdigest()[:16]
    return [f"member/{member}" for member in members] or [f"address/{digest}"]


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
