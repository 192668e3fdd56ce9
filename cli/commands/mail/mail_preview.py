"""`throughline mail preview` and `throughline mail test`: messages with sample data."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.arguments import program_named, refuse_unknown_message
from cli.output import Json, print_json_lines, print_table, working
from cli.runner import run
from mail.composer import Composer, TemplateFailed
from mail.samples.mails import (
    SampleMails,
    SampleOrder,
    SampleRefused,
    SampleUndelivered,
    for_browser,
    sample_of,
)
from mail.smtp.channel import SmtpChannel
from mail.smtp.verdicts import Acceptance
from rules.messages import CATALOGUE
from rules.program import Program
from rules.text import for_terminal
from staff.formatting import numbered
from worker.connections import composers, read_programs, read_settings, smtp_of
from worker.errors import Failure

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
    try:
        composed = sample_of(composer, program, message, number, language)
    except TemplateFailed as error:
        raise Failure(str(error)) from None
    stem = ".".join(filter(None, (message, str(number or ""), language)))
    files = {"html": out / f"{stem}.html", "text": out / f"{stem}.txt"}
    files["html"].write_text(for_browser(composed.html, program), encoding="utf-8")
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
        channel = SmtpChannel(smtp)
        samples = SampleMails(composers(settings), settings.templates / "mail", channel, settings.allowlist)
        with working(f"Sending to {to}"):
            try:
                number = CATALOGUE[message].occurrences[0]
                return await samples.send(
                    SampleOrder(program, message, number, locale, to), datetime.now(UTC)
                )
            except SampleUndelivered as answer:
                raise Failure(f"{smtp.host}:{smtp.port} did not take it: {answer}") from None
            except SampleRefused as refused:
                raise Failure(str(refused)) from None
            finally:
                await channel.aclose()

    accepted = run(send())
    answer = f"{accepted.code} {accepted.response}"
    typer.echo(for_terminal(f"{smtp.host}:{smtp.port} took {message} for {to}: {answer}"))
