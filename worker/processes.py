"""The two processes of a deployment, worker and gateway, from start to graceful shutdown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
from temporalio.client import Client

from database.environment import Deployment, EnvironmentRefused
from database.erased_file import ErasedFile, ErasedFileError
from database.links import Links
from database.program_versions import ProgramVersionRefused
from database.session import Database
from lifecycles.participants import Programs
from mail.reports.canary import forget_canary
from mail.samples.mails import SampleMails
from mail.smtp.channel import SmtpChannel
from mail.smtp.verdicts import DeliveryError
from rules.program.catalogue import load_catalogue
from worker.assembly import (
    Components,
    WorkerOptions,
    begin_trials,
    claim_environment,
    keep_program_versions,
    keep_texts,
    letter_service,
    versions_of,
    workers,
)
from worker.bounce_listener import BounceHandler, bounce_listener
from worker.bounce_mailbox import BounceMailbox, polling
from worker.connections import (
    build_components,
    canary_of,
    composers,
    connect,
    database_ready,
    erased_file_of,
    imap_of,
    links_of,
    read_programs,
    smtp_of,
    webhook_secrets,
    webhooks_of,
)
from worker.erasures import apply_erasures
from worker.errors import Failure
from worker.http_server import served
from worker.monitoring.canary_sender import canaries
from worker.monitoring.metrics import ProcessMetrics
from worker.monitoring.tracing import tracing
from worker.rollout.code_version import own_version
from worker.rollout.version_routing import following
from worker.settings import Settings
from worker.shutdown import STOP_MARGIN, stopping
from workflows.starting import housekeeping, notify_inbox

if TYPE_CHECKING:
    from gateway.console.entry.oidc import OidcSettings
    from gateway.provider_signatures import ProviderSecrets
    from gateway.services import Check

log = structlog.get_logger()


async def run_worker(settings: Settings, core_metrics: str = "") -> None:
    """Run a worker until it is asked to stop; then running activities have `stop_seconds` to finish.

    `core_metrics` is where Temporal's core serves its metrics, if it does. Raises Failure if a dependency is missing or
    cannot be reached: database, Temporal, mail server.
    """
    programs = read_programs(settings)
    async with tracing("worker") as interceptors, database_ready(settings) as database:
        components = build_components(settings, database, programs)
        try:
            await _claim_environment(settings, database, links_of(settings), programs)
            await _apply_erasures(database, components.erased)
            await _keep_program_versions(database, programs)
            await keep_texts(database, programs, components.composers)
            if settings.production:
                await begin_trials(database, programs)
            client = await connect(interceptors)
            await _check_mail_server(components, settings)
            metrics = ProcessMetrics(
                "worker", database, lambda: components.channel.circuit.open, core_metrics
            )
            async with _health_server(settings, database, client, metrics):
                await _work(settings, database, components, client)
        finally:
            await components.close()
    log.info("worker_stopped")


async def _claim_environment(
    settings: Settings, database: Database, links: Links, programs: Programs
) -> None:
    """Make the database this deployment's. Raises Failure if it is another's, naming what differs (MAIL8)."""
    process = Deployment(settings.environment, settings.production, links.keys, versions_of(programs))
    try:
        await claim_environment(database, process)
    except EnvironmentRefused as error:
        raise Failure(str(error)) from None


async def _apply_erasures(database: Database, file: ErasedFile | None) -> None:
    """Erase again whom a restored database has back, before anything is sent or answered. Raises Failure (STA5)."""
    if file is None:
        return
    try:
        await apply_erasures(database, file, datetime.now(UTC))
    except ErasedFileError as error:
        raise Failure(f"THROUGHLINE_ERASED_FILE: {error}") from None


async def _keep_program_versions(database: Database, programs: Programs) -> None:
    """Keep the versions of the programs. Raises Failure where a kept one cannot be read (CPE12)."""
    try:
        await keep_program_versions(database, programs)
    except ProgramVersionRefused as error:
        raise Failure(str(error)) from None


async def _check_mail_server(components: Components, settings: Settings) -> None:
    try:
        await components.channel.check()
    except DeliveryError as error:
        server = f"{settings.smtp_host}:{settings.smtp_port}"
        raise Failure(
            f"the mail server {server} cannot be used: {error.response or type(error).__name__}"
        ) from None


async def _work(settings: Settings, database: Database, components: Components, client: Client) -> None:
    # The program's rate holds for all workers together, so that the server limits the queue, too (MAIL3).
    per_minute = smtp_of(settings, components.programs).rate_per_minute
    own = own_version()
    options = WorkerOptions(
        max_cached_workflows=settings.max_cached_workflows,
        mails_per_second=per_minute / 60 if per_minute else None,
        grace_period=timedelta(seconds=settings.stop_seconds),
        version=own.version,
    )
    async with (
        stopping(settings.stop_seconds + STOP_MARGIN) as stop,
        workers(client, components, options) as running,
        AsyncExitStack() as stack,
    ):
        if own.routes_itself:
            await stack.enter_async_context(following(client, own.version))
        if settings.bounce_port is not None:
            handler = BounceHandler(database, partial(notify_inbox, client, database))
            await _listen_for_bounces(stack, handler, settings.bounce_host, settings.bounce_port)
        if imap := imap_of(settings):
            mailbox = BounceMailbox(imap, database, partial(notify_inbox, client, database))
            await stack.enter_async_context(polling(mailbox, settings.imap_interval))
        if canary := canary_of(settings, components):
            await stack.enter_async_context(canaries(canary))
        else:
            await forget_canary(database)
        await notify_inbox(client, database)
        await stack.enter_async_context(
            housekeeping(client, database, components.programs, lambda: datetime.now(UTC))
        )
        log.info(
            "worker_started",
            environment=settings.environment,
            programs=", ".join(components.programs),
            version=own.version.build_id,
        )
        await stop.wait()
        log.info("worker_shutdown_started")
        await asyncio.gather(*(worker.shutdown() for worker in running))


@asynccontextmanager
async def _health_server(
    settings: Settings, database: Database, client: Client, metrics: ProcessMetrics
) -> AsyncIterator[None]:
    """Answer operators on the port that the settings name, if they do."""
    # Imported when called: a worker without the port does not need it.
    from gateway.health import DatabaseCheck
    from worker.monitoring.health_server import health_server

    async def temporal_ready() -> None:
        await client.service_client.check_health()

    checks: dict[str, Check] = {"database": DatabaseCheck(database), "temporal": temporal_ready}
    async with health_server(settings.health_host, settings.health_port, checks, metrics) as port:
        if port is not None:
            log.info("health_server_started", address=f"http://{settings.health_host}:{port}")
        yield


async def _listen_for_bounces(stack: AsyncExitStack, handler: BounceHandler, host: str, port: int) -> None:
    """Listen for reports until the stack closes; a worker whose port is taken by another one does without."""
    try:
        await stack.enter_async_context(bounce_listener(handler, host, port))
    except OSError as error:
        log.warning(
            "bounce_listener_not_started", address=f"{host}:{port}", error=error.strerror or str(error)
        )


# long: one part after the other, in the order of their start
async def run_gateway(settings: Settings, core_metrics: str = "") -> None:
    """Run a gateway until it is asked to stop; then it answers the requests that it has, and takes no new ones.

    `core_metrics` is where Temporal's core serves its metrics, if it does. Raises Failure if a dependency is missing or
    cannot be reached, or its port is taken.
    """
    # Imported when called: the worker does not need it.
    from gateway.app import create_app
    from gateway.provider_reports import router as provider_reports
    from gateway.services import services_on

    programs = read_programs(settings)
    links, secrets = links_of(settings), webhook_secrets(settings)
    letters = letter_service(load_catalogue(), links)
    async with tracing("gateway") as interceptors, database_ready(settings) as database:
        await _claim_environment(settings, database, links, programs)
        await _apply_erasures(database, erased_file_of(settings))
        client = await connect(interceptors)
        samples = _samples_of(settings, programs)
        services = services_on(
            client,
            database=database,
            programs=programs,
            links=links,
            letters=letters,
            oidc=oidc_of(settings),
            samples=samples,
            webhooks=webhooks_of(settings),
        )
        try:
            reports = provider_reports(services, _provider_secrets(settings))
            app = create_app(services, webhook_secrets=secrets, routers=[reports])
        except ValueError as error:
            raise Failure(f"THROUGHLINE_WEBHOOK_SECRET: {error}") from None
        try:
            listening = socket.create_server((settings.host, settings.port))
        except OSError as error:
            raise Failure(f"{settings.host}:{settings.port}: {error.strerror}") from None
        metrics = ProcessMetrics("gateway", database, core=core_metrics)
        async with (
            stopping(settings.stop_seconds + STOP_MARGIN) as stop,
            _health_server(settings, database, client, metrics),
            served(app, listening),
        ):
            port = listening.getsockname()[1]
            log.info("gateway_started", address=f"http://{settings.host}:{port}")
            await stop.wait()
        if samples.channel:
            await samples.channel.aclose()
    log.info("gateway_stopped")


def _samples_of(settings: Settings, programs: Programs) -> SampleMails:
    """Return the texts of mails with sample data. A gateway may lack what only workers need to send, such as a key."""
    channel = None
    try:
        channel = SmtpChannel(smtp_of(settings, programs))
    except Failure as failure:
        log.warning("sample_mail_unavailable", reason=str(failure))
    return SampleMails(composers(settings), settings.templates / "mail", channel, settings.allowlist)


def oidc_of(settings: Settings) -> OidcSettings | None:
    """Return the provider by which staff sign in, if there is one. Raises Failure if only a part of it is set."""
    from gateway.console.entry.oidc import OidcSettings

    issuer, client, secret = (
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_client_secret.get_secret_value(),
    )
    if not any((issuer, client, secret)):
        return None
    if not all((issuer, client, secret)):
        raise Failure(
            "the sign-in of staff needs all of THROUGHLINE_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET"
        )
    if not issuer.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise Failure("THROUGHLINE_OIDC_ISSUER: must begin with https://")
    return OidcSettings(issuer, client, secret, settings.oidc_trust_email)


def _provider_secrets(settings: Settings) -> ProviderSecrets:
    from gateway.provider_signatures import ProviderSecrets

    return ProviderSecrets(
        settings.bounce_ses_topic,
        settings.bounce_sendgrid_key,
        settings.bounce_postmark_login.get_secret_value(),
        settings.bounce_mailgun_key.get_secret_value(),
    )
