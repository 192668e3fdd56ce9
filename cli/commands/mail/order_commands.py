"""`throughline mail skip|hold|send-now|release`: orders of staff about one planned message (MAIL1, STA3)."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli.groups import command_group
from cli.output import Actor, Json, print_json, print_lines, working
from cli.program_time import program_time
from cli.runner import run
from database.staff_orders import HOLD, RELEASE, SEND, SKIP, OrderRefused
from staff.formatting import local, local_iso, numbered
from staff.message_orders import WAKES, MessageOrder, OrderResult, UnknownMessage, give_order, preview_order
from worker.connections import connect, database_ready, read_programs, read_settings
from worker.errors import Failure

app = command_group("Orders about one planned message.")

Delivery = Annotated[str, typer.Argument(help="The id of a delivery, from mail log or mail ahead.")]
Reason = Annotated[str, typer.Option(help="The reason, for the audit record.")]
PreviewOnly = Annotated[bool, typer.Option("--preview", help="Show what would change. Nothing is changed.")]

_WORDS: Final = {
    "skipped": "is skipped when it is due",
    "held": "waits until it is released",
    "sent_now": "goes out at once",
    "sent_when_due": "goes out when it is due",
    "asked": "is too late for its class: it is skipped, and a staff task opens",
}


@app.command()
def skip(
    delivery: Delivery,
    reason: Reason,
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Skip one planned message. Until it is due, it can be released."""
    _order(MessageOrder(SKIP, delivery, reason, actor), preview_only, as_json)


@app.command()
def hold(
    delivery: Delivery,
    reason: Reason,
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Hold one planned message until it is released."""
    _order(MessageOrder(HOLD, delivery, reason, actor), preview_only, as_json)


@app.command("send-now")
def send_now(
    delivery: Delivery,
    reason: Reason,
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Send one planned message now instead of on its day."""
    _order(MessageOrder(SEND, delivery, reason, actor), preview_only, as_json)


@app.command()
def release(
    delivery: Delivery,
    reason: Reason,
    actor: Actor = "",
    preview_only: PreviewOnly = False,
    as_json: Json = False,
) -> None:
    """Take an order back: the message goes by its plan again.

    One that was due meanwhile goes out at once, unless it is too late for its class.
    """
    _order(MessageOrder(RELEASE, delivery, reason, actor), preview_only, as_json)


def _order(order: MessageOrder, preview_only: bool, as_json: bool) -> None:
    result = run(_result(order, preview_only))
    view = result.message
    if as_json:
        print_json(
            {
                "delivery": view.delivery,
                "order": order.order,
                "preview": preview_only,
                "message": view.message,
                "number": view.number,
                "to": view.to,
                "workflow": view.workflow,
                "was": local_iso(result.was, view.zone),
                "due": local_iso(result.due, view.zone),
                "outcome": result.outcome,
            }
        )
        return
    head = "would be: it " if preview_only else ""
    print_lines(
        f"{numbered(view.message, view.number)} to {view.to} {head}{_WORDS[result.outcome]}.",
        f"Due {local(result.due, view.zone) or 'once its pause ends'}"
        + (f", before {local(result.was, view.zone)}." if result.was != result.due else "."),
    )
    if not result.reached:
        print_lines("Temporal cannot be reached. The order stands; the watchdog sees to it within an hour.")


async def _result(order: MessageOrder, preview_only: bool) -> OrderResult:
    settings = read_settings()
    programs = read_programs(settings)
    async with database_ready(settings) as database:
        at = await program_time(database)
        try:
            if preview_only:
                return await preview_order(database, programs, order, at)
            client = await connect() if order.order in WAKES else None
            with working(f"Ordering {order.order}"):
                return await give_order(database, client, programs, order, at)
        except (OrderRefused, UnknownMessage) as refused:
            raise Failure(str(refused)) from None
