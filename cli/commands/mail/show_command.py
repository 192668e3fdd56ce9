"""`throughline mail show`: a mail as it was sent (MAIL1)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.output import Actor, Json, print_facts, print_json, print_lines
from cli.program_time import program_time
from cli.runner import run
from staff.formatting import local, local_iso, numbered
from staff.sent_mail import SentMail, read_sent_mail
from staff.views import NotFound
from worker.connections import database_ready, read_programs, read_settings
from worker.errors import Failure

_GONE: Final = {
    "none": "The body of this message is not kept: it never went out, or went out before bodies were kept.",
    "erased": "The body was erased with the person's data.",
    "unreadable": "The body cannot be read: the key ring no longer has the key that protects it.",
}


def show_mail(
    delivery: Annotated[str, typer.Argument(help="The id of a delivery, from mail log.")],
    actor: Actor = "",
    out: Annotated[Path | None, typer.Option(help="Write the whole mail into this file, as .eml.")] = None,
    as_json: Json = False,
) -> None:
    """Show a mail as it was sent. Each reading is on record."""
    found = run(_read(delivery, actor))
    view = found.view
    if out is not None:
        if found.content is None:
            raise Failure(_gone(found))
        try:
            out.write_bytes(found.content)
        except OSError as error:
            raise Failure(f"{out}: {error.strerror or error}") from None
    if as_json:
        print_json(_as_json(found))
        return
    print_facts(
        {
            "message": numbered(view.message, view.number),
            "state": view.state,
            "decided": local(view.decided, view.zone),
            "from": found.sent_from,
            "to": found.sent_to or view.to,
            "subject": found.subject or view.subject,
            "attached": ", ".join(found.attachments),
        }
    )
    print_lines("", found.text if found.body == "kept" else _gone(found))


def _as_json(found: SentMail) -> dict[str, Any]:
    view = found.view
    return {
        "delivery": view.delivery,
        "message": view.message,
        "number": view.number,
        "to": view.to,
        "state": view.state,
        "decided": local_iso(view.decided, view.zone),
        "body": found.body,
        "removed": local_iso(found.removed_at, view.zone),
        "sent_to": found.sent_to or None,
        "sent_from": found.sent_from or None,
        "subject": found.subject or view.subject,
        "text": found.text or None,
        "attachments": found.attachments,
    }


def _gone(found: SentMail) -> str:
    if found.body == "removed":
        return f"The body was removed on {local(found.removed_at, found.view.zone)}: its time was over."
    return _GONE[found.body]


async def _read(delivery: str, actor: str) -> SentMail:
    settings = read_settings()
    programs = read_programs(settings)
    async with database_ready(settings) as database:
        at = await program_time(database)
        async with database.begin() as session:
            try:
                return await read_sent_mail(session, delivery, actor, at, programs)
            except NotFound as unknown:
                raise Failure(str(unknown)) from None
