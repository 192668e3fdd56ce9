"""The two processes of a deployment, from their start to their graceful end."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog

from mail.smtp.verdicts import DeliveryError
from rules.program.catalogue import load_catalogue
from worker.assembly import workers
from worker.bounce_listener import BounceHandler, bounces_taken_in
from worker.connections import (
    build_components,
    connect,
    database_ready,
    links_of,
    read_programs,
    webhook_secrets,
)
from worker.errors import Failure
from worker.http_server import served
from worker.settings import Settings
from worker.shutdown import stopping
from workflows.starting import notify_inbox, start_housekeeping

log = structlog.get_logger()


async def run_worker(settings: Settings) -> None:
    """A worker until it is told to stop: then it takes nothing new, and what runs has 20 seconds to end.

    Raises Failure if something that it needs is missing or cannot be reached: database, Temporal, mail server.
    """
    programs = read_programs(settings)
    async with database_ready(settings) as database:
        parts = build_components(settings, database, programs)
        try:
            await parts.claim_environment()
        except RuntimeError as error:
            raise Failure(str(error)) from None
        client = await connect()
        try:
            await parts.channel.check()  # type: ignore[attr-defined]
        except DeliveryError as error:
            server = f"{settings.smtp_host}:{settings.smtp_port}"
            raise Failure(
                f"the mail server {server} cannot be used: {error.response or type(error).__name__}"
            ) from None
        try:
            async with (
                stopping() as stop,
                workers(
                    client,
                    parts,
                    max_cached_workflows=settings.max_cached_workflows,
                    per_second=settings.smtp_rate_per_minute and settings.smtp_rate_per_minute / 60,
                ) as running,
                AsyncExitStack() as stack,
            ):
                if settings.bounce_port is not None:
                    handler = BounceHandler(database, lambda: notify_inbox(client))
                    await stack.enter_async_context(
                        bounces_taken_in(handler, settings.host, settings.bounce_port)
                    )
                await notify_inbox(client)
                await start_housekeeping(client)
                log.info("worker runs", environment=settings.environment, programs=", ".join(programs))
                await stop.wait()
                log.info("worker stops")
                await asyncio.gather(*(worker.shutdown() for worker in running))
        finally:
            await parts.mail.aclose()
            await parts.channel.aclose()  # type: ignore[attr-defined]
    log.info("worker stopped")


async def run_gateway(settings: Settings) -> None:
    """A gateway until it is told to stop: then it answers what came, and takes nothing new.

    Raises Failure if something that it needs is missing or cannot be reached, or its port is taken.
    """
    from evidence.letters import letter_text
    from gateway.app import create_app
    from worker.assembly import letter_service

    catalogue = load_catalogue()
    programs = read_programs(settings)
    links, secrets = links_of(settings), webhook_secrets(settings)
    async with database_ready(settings) as database:
        client = await connect()

        async def clock() -> datetime:
            return datetime.now(UTC)

        async def temporal_ready() -> None:
            await client.service_client.check_health()

        async def tell_inbox() -> None:
            await notify_inbox(client)

        try:
            app = create_app(
                database=database,
                programs=programs,
                links=links,
                webhook_secrets=secrets,
                poke=tell_inbox,
                clock=clock,
                temporal_ready=temporal_ready,
                catalogue=catalogue,
                statement=letter_text(programs, letter_service(catalogue, links)),
            )
        except ValueError as error:
            raise Failure(f"THROUGHLINE_WEBHOOK_SECRET: {error}") from None
        try:
            listening = socket.create_server((settings.host, settings.port))
        except OSError as error:
            raise Failure(f"{settings.host}:{settings.port}: {error.strerror}") from None
        async with stopping() as stop, served(app, listening):
            log.info("gateway runs", address=f"http://{settings.host}:{listening.getsockname()[1]}")
            await stop.wait()
    log.info("gateway stopped")
