"""`throughline event relay`: an association's outbox table, sent row by row to the gateway."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from cli.outbox_relay.gateway_client import GatewayClient
from cli.outbox_relay.outbox_table import OutboxTable
from cli.outbox_relay.relay import Relay, RelayCounts
from cli.output import Json, print_json
from cli.runner import run
from worker.connections import gateway_address, read_settings, webhook_secrets
from worker.errors import Failure
from worker.log_setup import set_up_logging


# long: an option for each part that differs between deployments
def relay_outbox(
    database: Annotated[
        str,
        typer.Option(
            help="The database of the table, postgresql://… or sqlite:///file; by default, "
            "THROUGHLINE_OUTBOX_DATABASE, which hides its password from other users of the machine."
        ),
    ] = "",
    table: Annotated[str, typer.Option(help="The outbox table: outbox or schema.outbox.")] = "outbox",
    source: Annotated[str, typer.Option(help="The source of the events, such as /members.")] = "/members",
    url: Annotated[
        str, typer.Option(help="The address of the gateway; by default, the one in the settings.")
    ] = "",
    interval: Annotated[
        float, typer.Option(min=0.05, max=3600, help="Seconds between two looks at an empty table.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Send what waits, and exit: for cron.")] = False,
    as_json: Json = False,
) -> None:
    """Send the rows of an outbox table to the gateway as signed events: each once, in order.

    Runs until SIGTERM, and retries while the database or the gateway is away. A row that is no event is marked with the
    reason in its column `refused`. Several relays of one table are safe: one sends, the others stand by.
    """
    settings = read_settings()
    address = url.rstrip("/") or gateway_address(settings)
    outbox = OutboxTable(_database(database), table, source)
    try:
        gateway = GatewayClient(address, webhook_secrets(settings)[0])
    except ValueError as error:
        raise Failure(f"THROUGHLINE_WEBHOOK_SECRET: {error}") from None
    set_up_logging(logging.WARNING if once else logging.INFO, json=settings.log_format == "json")
    counts = run(_relayed(Relay(outbox, gateway, interval=interval), outbox, gateway, once))
    if as_json:
        print_json({"sent": counts.sent, "known": counts.known, "refused": counts.refused})
    else:
        typer.echo(
            f"{counts.sent} sent"
            + (f", {counts.known} already known" if counts.known else "")
            + (f", {counts.refused} refused: see the column refused of {table}" if counts.refused else "")
        )
    if counts.refused:
        raise typer.Exit(1)


def _database(given: str) -> str:
    address = given or read_settings().outbox_database.get_secret_value()
    if not address:
        raise Failure("no database is named: --database, or THROUGHLINE_OUTBOX_DATABASE")
    return address


async def _relayed(relay: Relay, outbox: OutboxTable, gateway: GatewayClient, once: bool) -> RelayCounts:
    try:
        await (relay.run_once() if once else relay.run())
    finally:
        await gateway.close()
        await outbox.close()
    return relay.counts
