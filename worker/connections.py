"""Opens what a deployment's settings name: database, Temporal, programs, mail server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from time import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from database import mail_limits
from database.erased_file import ErasedFile
from database.links import Links
from database.session import Database
from mail.reports.imap import ImapSettings
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from rules.mail_address import AddressRejected, ascii_domain, mail_address
from rules.program import Program
from worker.connection_file import temporal_variables
from worker.errors import Failure
from worker.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client, Interceptor

    from activities.webhooks import WebhookSender
    from worker.assembly import Components, Composers
    from worker.monitoring.canary_sender import Canary
    from worker.payload_codec import PayloadEncryption

# The assembly and Temporal are imported where they are used: they take a second to load, which every command with a
# database would pay for its `--help`.


def read_settings(kind: type[Settings] = Settings) -> Settings:
    """Return the settings of this deployment. Raises Failure with a line for each wrong one."""
    try:
        return kind()
    except SettingsError as error:
        if "webhook_allow" in str(error):
            raise Failure('THROUGHLINE_WEBHOOK_ALLOW: must be a JSON list, like ["10.1.0.0/16"]') from None
        raise Failure('THROUGHLINE_ALLOW: must be a JSON list, like ["*@example.org"]') from None
    except UnicodeDecodeError:
        raise Failure(".env: is not UTF-8 text") from None
    except ValidationError as error:
        raise Failure(
            *(
                f"THROUGHLINE_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
        ) from None


def read_programs(settings: Settings) -> dict[str, Program]:
    """Return the programs of this deployment. Raises ProgramError, OSError."""
    from worker.assembly import load_programs

    return load_programs(settings.programs)


def composers(settings: Settings, programs: Path | None = None) -> Composers:
    """Return the composers of mail. A program's own texts are in a folder next to its file."""
    from worker.assembly import Composers

    return Composers(settings.templates / "mail", programs or settings.programs)


def open_database(settings: Settings) -> Database:
    """Return the database, not yet connected.

    Commands that only read need no key ring. Raises Failure for an address that cannot be read, or a folder that
    cannot be made.
    """
    keys = None
    with suppress(ValueError):
        keys = settings.key_ring
    try:
        return Database(settings.database, timeout=settings.database_timeout, keys=keys)
    except ValueError as error:
        raise Failure(f"THROUGHLINE_DATABASE: {error}") from None
    except OSError as error:
        raise Failure(f"{_shown(settings)}: {error.strerror}") from None


@asynccontextmanager
async def database_ready(settings: Settings) -> AsyncIterator[Database]:
    """Open the database. Raises Failure if it cannot be reached, or has another schema than this version."""
    _refuse_missing_file(settings)
    database = open_database(settings)
    try:
        await check_database(database, settings)
        yield database
    finally:
        await database.close()


def _refuse_missing_file(settings: Settings) -> None:
    """Raise Failure if the SQLite file is missing: a command that only reads must not create it."""
    try:
        url = make_url(settings.database)
    except ArgumentError:
        return
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        raise Failure(f"{_shown(settings)} has no tables yet: throughline db upgrade")


async def check_database(database: Database, settings: Settings) -> None:
    """Raise Failure unless the database can be reached and has the schema of this version."""
    try:
        await database.check()
    except RuntimeError as error:
        raise Failure(str(error)) from None
    except SQLAlchemyError as error:
        why = database_trouble(error)
        if "alembic_version" in why:
            raise Failure(f"{_shown(settings)} has no tables yet: throughline db upgrade") from None
        raise Failure(f"the database {_shown(settings)} cannot be reached: {why}") from None


def database_trouble(error: Exception) -> str:
    """Return the database's own error text, in one line."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _shown(settings: Settings) -> str:
    return make_url(settings.database).render_as_string(hide_password=True)


async def connect(interceptors: Sequence[Interceptor] = ()) -> Client:
    """Connect to the Temporal service that Temporal's variables, its profile file or the connection file name.

    `interceptors` are those of the client and of the workers that use it.

    Raises Failure if none is named, or if it cannot be reached.
    """
    from temporalio.client import Client
    from temporalio.converter import DataConverter
    from temporalio.envconfig import ClientConfig

    converter = replace(DataConverter.default, payload_codec=payload_encryption(read_settings()))
    try:
        variables = temporal_variables()
        config = ClientConfig.load_client_connect_config(override_env_vars=variables)
    except (RuntimeError, ValueError, OSError) as error:
        raise Failure(f"Temporal's settings cannot be read: {_first_line(error)}") from None
    if not config.get("target_host"):
        raise Failure("no Temporal server is named: set TEMPORAL_ADDRESS, or start throughline up here")
    try:
        client = await Client.connect(**config, interceptors=interceptors, data_converter=converter)
        await _check_namespace(client)
        return client
    except (RuntimeError, ValueError, OSError) as error:
        raise Failure(
            f"Temporal cannot be reached at {config['target_host']}: {_first_line(error)}"
        ) from None


def payload_encryption(settings: Settings) -> PayloadEncryption | None:
    """Return what encrypts the payloads that Temporal stores; None without keys. Raises Failure for a wrong key."""
    from worker.payload_codec import PayloadEncryption

    keys = [key.strip() for key in settings.payload_keys.get_secret_value().split(",") if key.strip()]
    try:
        return PayloadEncryption(keys) if keys else None
    except ValueError as error:
        raise Failure(f"THROUGHLINE_PAYLOAD_KEYS: {error}") from None


async def _check_namespace(client: Client) -> None:
    """Raise Failure if the Temporal service does not have the namespace: connecting succeeds without it."""
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
    from temporalio.service import RPCError, RPCStatusCode

    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            raise Failure(
                f"Temporal at {client.service_client.config.target_host} has no namespace "
                f"{client.namespace!r} (TEMPORAL_NAMESPACE)"
            ) from None
        # A service may refuse the question and do the work: then the work says what is wrong.


def _first_line(error: Exception) -> str:
    """Return the first line of an error, or of the operating system's text within it."""
    text = str(error).strip()
    if cause := re.search(r'message: "([^"]+)"', text):
        return cause[1]
    return text.splitlines()[0] if text else type(error).__name__


def links_of(settings: Settings) -> Links:
    """Return the signer of personal links. Raises Failure without a key."""
    try:
        return Links(settings.base_url, settings.key_ring)
    except ValueError as error:
        name = "THROUGHLINE_KEYS" if settings.keys.get_secret_value() else "THROUGHLINE_SECRET"
        raise Failure(f"{name}: {error}") from None


def smtp_of(settings: Settings, programs: Mapping[str, Program]) -> SmtpSettings:
    """Return the mail server's settings, with the DKIM key.

    Without a rate limit of its own, it gets the lowest of all programs (MAIL3). Raises Failure for a contradiction.
    """
    try:
        dkim = settings.dkim
    except ValueError as error:
        raise Failure(f"THROUGHLINE_DKIM_…: {error}") from None
    except OSError as error:
        raise Failure(f"THROUGHLINE_DKIM_KEY_FILE: {error.filename}: {error.strerror}") from None
    try:
        smtp, rates = settings.smtp, [program.mail.rate_per_minute for program in programs.values()]
        if smtp.rate_per_minute is None and rates:
            settings = settings.model_copy(update={"smtp_rate_per_minute": min(rates)})
        return replace(settings.smtp, dkim=dkim, helo_name=helo_name(settings, programs))
    except ValueError as error:
        raise Failure(f"THROUGHLINE_SMTP_…: {error}") from None


def imap_of(settings: Settings) -> ImapSettings | None:
    """Return the mailbox that bounces come to, if there is one. Raises Failure for a contradiction."""
    try:
        return settings.imap
    except ValueError as error:
        raise Failure(f"THROUGHLINE_IMAP_…: {error}") from None


def helo_name(settings: Settings, programs: Mapping[str, Program]) -> str:
    """Return the name by which a worker greets the mail server (RFC 5321, 4.1.1.1): a full domain name.

    Many servers refuse a bare host name, and a container's is a hash. Without a setting it is the host of the
    gateway's public address, or the domain that mail comes from. Raises Failure for a name that is not full.
    """
    if settings.smtp_helo_name:
        try:
            return ascii_domain(settings.smtp_helo_name)
        except AddressRejected:
            raise Failure(
                f"THROUGHLINE_SMTP_HELO_NAME: must be a full domain name, like mail.example.org, "
                f"not {settings.smtp_helo_name!r}"
            ) from None
    senders = (program.sender.rpartition("@")[2] for program in programs.values())
    for name in (urlsplit(settings.base_url).hostname or "", *senders):
        with suppress(AddressRejected):
            return ascii_domain(name)
    return "localhost.localdomain"


def build_components(settings: Settings, database: Database, programs: Mapping[str, Program]) -> Components:
    """Return all that a worker needs in addition to Temporal. Raises Failure for contradictory settings."""
    from worker.assembly import Components

    return Components(
        database,
        programs,
        composers(settings),
        SmtpChannel(smtp_of(settings, programs), partial(reserve_departure, database)),
        links_of(settings),
        settings.allowlist,
        settings.environment,
        webhook_allow=webhook_allow(settings),
        erased=erased_file_of(settings),
    )


def erased_file_of(settings: Settings) -> ErasedFile | None:
    """Return the file of erased people, where the settings name one. Raises Failure without a key ring."""
    if settings.erased_file is None:
        return None
    return ErasedFile(settings.erased_file, links_of(settings).keys)


def canary_of(settings: Settings, components: Components) -> Canary | None:
    """Return what sends the canary; None without an address. Raises Failure for one that may not be mailed (MAIL8)."""
    from worker.monitoring.canary_sender import Canary

    name, given = "THROUGHLINE_CANARY_ADDRESS", settings.canary_address
    if not given:
        return None
    try:
        address = mail_address(given).ascii
    except AddressRejected as error:
        raise Failure(f"{name}: {error}") from None
    if not settings.allowlist.allows(address):
        raise Failure(f"{name}: THROUGHLINE_ALLOW does not let this deployment mail it")
    sender = next(iter(components.programs.values())).sender
    interval = timedelta(seconds=settings.canary_interval)
    return Canary(components.database, components.channel, sender, address, interval)


def webhook_allow(settings: Settings) -> Sequence[str]:
    """Return the networks that events may go to beside public addresses. Raises Failure for what is no network."""
    for entry in settings.webhook_allow:
        try:
            ip_network(entry)
        except ValueError as error:
            raise Failure(f"THROUGHLINE_WEBHOOK_ALLOW: {error}") from None
    return settings.webhook_allow


def webhooks_of(settings: Settings) -> WebhookSender:
    """Return what sends events to other systems. Raises Failure for what is no network."""
    from worker.assembly import webhook_sender

    return webhook_sender(settings.environment, webhook_allow(settings))


async def reserve_departure(database: Database, step: float, within: float) -> float | None:
    """Reserve the next departure of a mail among those of all workers (MAIL3).

    Return the seconds until then; None if it is not `within` so many, or the database does not answer.
    """
    try:
        async with database.begin() as session:
            return await mail_limits.reserve_departure(session, time(), step, within)
    except (SQLAlchemyError, OSError):
        return None


def webhook_secrets(settings: Settings) -> list[str]:
    """Return the secrets that verify events; the first one signs. Raises Failure if there is none."""
    secrets = settings.webhook_secrets
    if not secrets:
        raise Failure("THROUGHLINE_WEBHOOK_SECRET is missing: base64 after whsec_, at least 16 bytes")
    return secrets


def gateway_address(settings: Settings) -> str:
    """Return the address of the gateway."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return (settings.gateway_url or f"http://{host}:{settings.port}").rstrip("/")
