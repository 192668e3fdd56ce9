"""What has to answer: database, Temporal, mail server, mailbox, OpenID provider. Nothing is sent or changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from database import environment
from database.environment import Deployment, EnvironmentRefused
from database.erased_file import ErasedFileError
from database.session import Database
from mail.reports.imap import ImapRefused, check_mailbox
from mail.smtp.channel import SmtpChannel
from mail.smtp.oauth2 import TokenSource
from mail.smtp.verdicts import DeliveryError
from rules.program import Program
from worker.configuration.findings import SettingFinding, off, ok, warning, wrong
from worker.connections import (
    check_database,
    connect,
    database_trouble,
    erased_file_of,
    imap_of,
    open_database,
    smtp_of,
)
from worker.errors import Failure
from worker.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

SKEW: Final = 5.0
"""Seconds by which the clock of the database may differ from the one of this machine."""

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


async def check_database_server(settings: Settings) -> AsyncIterator[SettingFinding]:
    """Yield whether the database can be used: schema, deployment, writes, clock (MAIL8)."""
    about = "database"
    try:
        database = open_database(settings)
    except Failure as failure:
        yield wrong(about, str(failure))
        return
    try:
        await check_database(database, settings)
        yield ok(about, f"{'SQLite' if database.is_sqlite else 'PostgreSQL'}, the schema of this version")
        if database.is_sqlite and settings.production:
            yield warning(about, "SQLite serves one machine only: production wants PostgreSQL")
        yield await _deployment(settings, database)
        await database.check_writable()
        yield ok("database writes", "a row can be written")
        if not database.is_sqlite:
            yield await _clock(database)
    except Failure as failure:
        yield wrong(about, str(failure))
    except (SQLAlchemyError, OSError) as error:
        yield wrong("database writes", f"nothing can be stored: {database_trouble(error)}")
    finally:
        await database.close()


async def _deployment(settings: Settings, database: Database) -> SettingFinding:
    """Return whether the database is this deployment's. The row is not changed, as a start would."""
    about = "environment"
    try:
        process = Deployment(settings.environment, settings.production, settings.key_ring)
    except ValueError:
        return wrong(about, "cannot be compared without a key")
    async with database.reading() as session:
        try:
            known = await environment.compare(session, process)
        except EnvironmentRefused as error:
            return wrong(about, str(error))
    return ok(
        about,
        f"{settings.environment!r}" if known else f"new: the first start names it {settings.environment!r}",
    )


async def _clock(database: Database) -> SettingFinding:
    async with database.reading() as session:
        before = datetime.now(UTC)
        theirs = await session.scalar(select(func.clock_timestamp()))
        away = abs(((theirs or before) - before).total_seconds())
    words = f"differs from the database's by {away:.1f} s"
    return warning("clock", words) if away > SKEW else ok("clock", words)


async def check_temporal() -> AsyncIterator[SettingFinding]:
    """Yield whether Temporal answers, has the namespace, and who works on its task queues."""
    try:
        client = await connect()
    except Failure as failure:
        yield wrong("Temporal", str(failure))
        return
    yield ok("Temporal", f"{client.service_client.config.target_host}, namespace {client.namespace!r}")
    yield await _search_attributes(client)
    async for finding in _pollers(client):
        yield finding
    yield await _current_version(client)


async def _current_version(client: Client) -> SettingFinding:
    """Return which version of the workers has the work, and whether a worker of it runs."""
    from temporalio.service import RPCError

    from worker.rollout.code_version import own_version
    from worker.rollout.version_routing import UNVERSIONED, pollers, routing

    about, own = "worker version", own_version().version
    try:
        found = await routing(client, own.deployment_name)
        polling = await pollers(client, datetime.now(UTC))
    except RPCError as error:
        return warning(about, f"Temporal does not say which one is current ({error.status.name})")
    current = found.current if found else UNVERSIONED
    words = f"{current or 'none'} is current, this code is {own.build_id}"
    if polling and not polling[current]:
        return warning(
            about, f"{words}; no worker of the current one runs: nothing is applied, planned or sent"
        )
    return ok(about, words)


async def _search_attributes(client: Client) -> SettingFinding:
    """Return whether Temporal's pages can be searched for lifecycles. Without the attributes everything else works."""
    from temporalio.service import RPCError

    from activities.search_attributes import NAMES, missing_attributes

    about = "search attributes"
    try:
        missing = await missing_attributes(client)
    except RPCError as error:
        return warning(about, f"Temporal does not say which it has ({error.status.name})")
    if missing:
        return warning(about, f"the namespace lacks {', '.join(missing)}: throughline config register")
    return ok(about, ", ".join(NAMES))


async def _pollers(client: Client) -> AsyncIterator[SettingFinding]:
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
    from temporalio.service import RPCError

    from activities.inbox import QUEUE
    from workflows.agenda_loop import MAIL_QUEUE

    kinds = {
        QUEUE: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        MAIL_QUEUE: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    }
    for queue, kind in kinds.items():
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
        )
        try:
            answer = await client.workflow_service.describe_task_queue(request)
        except RPCError as error:
            yield warning(
                f"task queue {queue}", f"Temporal does not say who works on it ({error.status.name})"
            )
            continue
        count = len(answer.pollers)
        yield (
            ok(f"task queue {queue}", f"{count} pollers")
            if count
            else warning(f"task queue {queue}", "no worker runs yet: nothing is applied, planned or sent")
        )


async def check_mail_server(
    settings: Settings, programs: Mapping[str, Program]
) -> AsyncIterator[SettingFinding]:
    """Yield whether the mail server lets us in. No mail is sent."""
    about, server = "SMTP", f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        channel = SmtpChannel(smtp_of(settings, programs))
    except Failure as failure:
        yield wrong(about, str(failure))
        return
    try:
        await channel.check()
    except DeliveryError as error:
        yield wrong(about, f"{server}: {error.response or type(error).__name__}")
    else:
        signed_in = "signed in" if settings.smtp_username else "greeted, without a sign-in"
        yield ok(about, f"{server}: {signed_in}")
        if settings.smtp_tls == "none" and settings.smtp_host not in LOOPBACK:
            yield warning(about, f"{server}: mail and password travel without TLS (THROUGHLINE_SMTP_TLS)")
        elif settings.smtp_tls != "none" and not settings.smtp_verify:
            yield warning(about, f"{server}: its certificate is not verified (THROUGHLINE_SMTP_VERIFY)")
    finally:
        await channel.aclose()


async def check_bounce_mailbox(settings: Settings) -> AsyncIterator[SettingFinding]:
    """Yield whether the mailbox for bounces opens, and has the folders. No mail is read or marked."""
    about = "IMAP"
    try:
        imap = imap_of(settings)
    except Failure as failure:
        yield wrong(about, str(failure))
        return
    if imap is None:
        yield off(about, "no mailbox is read for bounces")
        return
    try:
        token = await TokenSource(imap.oauth2).token() if imap.oauth2 else ""
        await asyncio.to_thread(check_mailbox, imap, token)
    except (ImapRefused, DeliveryError) as error:
        yield wrong(about, f"{imap.host}:{imap.port}: {error}")
    except OSError as error:
        yield wrong(about, f"{imap.host}:{imap.port}: {error.strerror or type(error).__name__}")
    else:
        yield ok(about, f"{imap.host}:{imap.port}: {imap.folder} opens")


async def check_provider(settings: Settings) -> AsyncIterator[SettingFinding]:
    """Yield whether the OpenID provider describes itself as the sign-in of staff needs it."""
    from gateway.console.entry.oidc import OidcProvider, ProviderRefused
    from worker.processes import oidc_of

    about = "OIDC"
    try:
        found = oidc_of(settings)
        keys = settings.key_ring
    except (Failure, ValueError) as failure:
        yield wrong(about, str(failure))
        return
    if found is None:
        yield off(about, "staff sign in with local accounts")
        return
    try:
        await OidcProvider(found, f"{settings.base_url}/staff/sign-in/return", keys).check()
    except ProviderRefused as error:
        yield wrong(about, f"{settings.oidc_issuer}: {error}")
    else:
        yield ok(
            about,
            f"{settings.oidc_issuer} answers; the return address is {settings.base_url}/staff/sign-in/return",
        )


async def check_erased_file(settings: Settings) -> AsyncIterator[SettingFinding]:
    """Yield whether erasures are kept outside of the database, so that no backup brings people back (STA5)."""
    about = "erased people"
    try:
        file = erased_file_of(settings)
    except Failure:
        # The key ring is at fault, which has its own line.
        return
    if file is None:
        yield (
            warning(about, "THROUGHLINE_ERASED_FILE is missing: a restored backup brings erased people back")
            if settings.production
            else off(about, "a restored backup brings erased people back")
        )
        return
    try:
        count = await file.check()
    except ErasedFileError as error:
        yield wrong(about, f"THROUGHLINE_ERASED_FILE: {error}")
    else:
        yield ok(about, f"{count} in {file.path}")
