"""`throughline mail preview` and `throughline mail test`: messages with sample data."""

from __future__ import annotations

import asyncio
import html
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.arguments import program_named, refuse_unknown_message
from cli.output import Json, print_json_lines, print_table, working
from cli.runner import run
from mail.addresses import AddressRefused
from mail.branding import logo_image
from mail.composer import Composer, TemplateFailed
from mail.context import inline_images, program_context
from mail.mime import MailEnvelope, build_mail
from mail.samples import sample_context
from mail.smtp.channel import SmtpChannel
from mail.smtp.dkim_signing import sign
from mail.smtp.settings import SmtpSettings
from mail.smtp.verdicts import Acceptance, DeliveryError
from rules.messages import CATALOGUE
from rules.program import Program
from rules.text import for_terminal
from staff.formatting import numbered
from worker.connections import composers, read_programs, read_settings, smtp_of
from worker.errors import Failure
from worker.settings import Settings

app = typer.Typer()
"""Its commands are part of `throughline mail`."""


@app.command()
def preview(
    message: Annotated[str, typer.Argument(help="The name of a message; by default, all messages.")] = "",
    locale: Annotated[str, typer.Option(help="Only this language.")] = "",
    program: Annotated[str, typer.Option(help="The program whose texts to use; by default, the first.")] = "",
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path("mail-preview"),
    as_json: Json = False,
) -> None:
    """Render messages with sample data into HTML and text files.

    An index.html shows them all.
    """
    refuse_unknown_message(message)
    settings = read_settings()
    used = program_named(read_programs(settings), program)

    async def render() -> list[dict[str, Any]]:
        with working("Rendering") as update:
            composer = composers(settings)(used)
            if locale and locale not in composer.languages:
                raise Failure(f"there are no templates in {locale}, only in {', '.join(composer.languages)}")
            out.mkdir(parents=True, exist_ok=True)
            written = []
            for name, number, language in composer.written():
                if message in ("", name) and locale in ("", language):
                    update(name)
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
    typer.echo(f"\nAll messages: {out / 'index.html'}")


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
    files["html"].write_text(_with_images(composed.html, program), encoding="utf-8")
    files["text"].write_text(composed.text, encoding="utf-8")
    return {
        "message": message,
        "number": number,
        "locale": language,
        "subject": composed.subject,
        **{kind: str(file) for kind, file in files.items()},
    }


def _with_images(page: str, program: Program) -> str:
    """Return a mail's HTML for a browser, which has no parts of a mail to look in."""
    if program.logo is None:
        return page
    image = logo_image(program.logo)
    return page.replace(f"cid:{image.content_id}", image.data_url)


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
    locale: Annotated[str, typer.Option(help="The language of the message.")] = "en",
) -> None:
    """Send a sample message through the configured mail server, and print its answer."""
    refuse_unknown_message(message)
    settings = read_settings()
    programs = read_programs(settings)
    program = program_named(programs, "")
    if not settings.allowlist.allows(to):
        raise Failure(f"{to} is not on this environment's allow-list (THROUGHLINE_ALLOW)")
    smtp = smtp_of(settings, programs)

    async def send() -> Acceptance:
        with working(f"Sending to {to}"):
            try:
                content = await asyncio.to_thread(_sample, settings, program, message, locale, to)
                return await _deliver(smtp, program.sender, to, content)
            except (AddressRefused, TemplateFailed, ValueError) as error:
                raise Failure(f"{to}: {error}") from None

    accepted = run(send())
    answer = f"{accepted.code} {accepted.response}"
    typer.echo(for_terminal(f"{smtp.host}:{smtp.port} took {message} for {to}: {answer}"))


def _sample(settings: Settings, program: Program, message: str, locale: str, to: str) -> bytes:
    """Return a message with sample data, DKIM-signed where the settings have a key."""
    number = CATALOGUE[message].occurrences[0]
    context = {**sample_context(message, number, locale), "program": program_context(program)}
    composed = composers(settings)(program).compose(message, number, locale, context)
    delivery = uuid4().hex
    envelope = MailEnvelope(
        message_id=f"<test-{delivery}@{program.sender.rpartition('@')[2]}>",
        date=datetime.now(UTC),
        from_name=program.manager.name,
        from_address=program.sender,
        reply_to=program.mailbox,
        to_name="",
        to_address=to,
        delivery=delivery,
        language=locale,
        images=inline_images(program),
    )
    content = build_mail(composed, envelope)
    return sign(content, settings.dkim) if settings.dkim else content


async def _deliver(smtp: SmtpSettings, sender: str, to: str, content: bytes) -> Acceptance:
    """Hand a message to the mail server. Raises Failure if the server refuses it or cannot be reached."""

    async def nothing_to_record() -> None:
        """Samples have no row in the ledger."""

    channel = SmtpChannel(smtp)
    try:
        return await channel.deliver(sender, to, content, before_last_byte=nothing_to_record)
    except DeliveryError as error:
        raise Failure(f"{smtp.host}:{smtp.port} did not take it: {error.response or error}") from None
    finally:
        await channel.aclose()
