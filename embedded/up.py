"""`throughline up`: the whole program in real time on embedded parts that keep their state in a folder."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import typer
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import RedirectResponse
from temporalio.client import Client

from database.environment import EnvironmentRefused
from database.erased_file import ErasedFile, ErasedFileError
from database.key_ring import KeyRing
from database.links import Links
from database.program_versions import ProgramVersionRefused
from database.session import Database
from embedded.data_folder import locked, private_folder
from embedded.mail_catcher import MailCatcher
from embedded.mail_pages import ON_THIS_MACHINE, PageRenderer, mail_routes
from embedded.mailbox import Mailbox
from embedded.temporal_servers import DevServer, dev_server, free_port
from gateway.app import create_app
from gateway.console.shell import HOME
from gateway.services import services_on
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from staff.accounts.local_manager import ADDRESS, local_link
from worker.assembly import Components, Composers, WorkerOptions, keep_texts, workers
from worker.connection_file import NAME, command_for, write_connection
from worker.connections import read_programs, read_settings, webhook_allow
from worker.errors import Failure
from worker.http_server import address, listen, served
from worker.settings import LocalSettings, Settings
from worker.shutdown import stopping
from workflows.starting import housekeeping, notify_inbox

PORT: Final = 8080
TEMPORAL_PORT: Final = 7233
TEMPORAL_UI_PORT: Final = 8233
"""Ports to begin with; others are taken where these are not free. The gateway's is kept, since mail links to it."""

ENVIRONMENT: Final = "up"
DATABASE: Final = "throughline.db"
ERASED: Final = "erased.jsonl"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the embedded parts sign with, made once per folder."""

    links: str
    webhook: str

    @property
    def ring(self) -> KeyRing:
        """The key ring of the folder."""
        return KeyRing((self.links,), (self.webhook,))

    @classmethod
    def of(cls, folder: Path) -> Secrets:
        """Those of a folder, made if it has none. Raises Failure for a file that cannot be read."""
        file = folder / "secrets.json"
        try:
            kept = json.loads(file.read_text("utf-8"))
            return cls(str(kept["links"]), str(kept["webhook"]))
        except FileNotFoundError:
            made = cls(
                secrets.token_urlsafe(32), f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
            )
            half = file.with_suffix(".part")
            half.unlink(missing_ok=True)
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as writing:
                json.dump(asdict(made), writing, indent=1)
            half.replace(file)
            return made
        except (ValueError, KeyError, TypeError):
            raise Failure(f"{file} cannot be read: remove it to have new secrets (old links end)") from None


async def up(*, data: Path, port: int | None, ui: bool = False) -> int:
    """Run everything until Ctrl-C or SIGTERM, Temporal's pages only with `ui`; return the exit status.

    Raises Failure if the folder is in use or cannot be written, the port is taken, or a server does not start.
    """
    settings = read_settings(LocalSettings)
    async with stopping() as stop, AsyncExitStack() as stack:
        folder = private_folder(data)
        lock = await stack.enter_async_context(locked(folder))
        kept = Secrets.of(folder)
        listening = _listening(folder, port)
        stack.callback(listening.close)
        typer.echo("Starting Temporal, a database, a worker and a mail server …")
        mailbox = Mailbox(folder / "mail")
        database = await _database(stack, folder, kept)
        catcher = await _catcher(stack, mailbox)
        server = await _temporal(stack, folder, lock, ui)
        parts = _parts(settings, kept, address(listening), database, catcher)
        stack.push_async_callback(parts.close)
        parts.all.erased = ErasedFile(folder / ERASED, kept.ring)
        await _claim(parts.all)
        options = WorkerOptions(grace_period=timedelta(seconds=5))
        await stack.enter_async_context(workers(server.client, parts.all, options))
        app = _app(settings, kept, parts.all, mailbox, server.client)
        await stack.enter_async_context(served(app, listening))
        await notify_inbox(server.client, database)
        await stack.enter_async_context(
            housekeeping(server.client, database, parts.all.programs, lambda: datetime.now(UTC))
        )
        database_file, temporal = folder / DATABASE, f"127.0.0.1:{server.port}"
        write_connection(folder, _connection(kept, address(listening), database_file, temporal))
        program = next(iter(parts.all.programs.values()))
        _print_ready(folder, address(listening), server, await local_link(database, program))
        await stop.wait()
        typer.echo("Stopping …")
    typer.echo("Stopped.")
    return 0


async def _catcher(stack: AsyncExitStack, mailbox: Mailbox) -> MailCatcher:
    catcher = MailCatcher(on_mail=mailbox.keep)
    await catcher.start()
    stack.push_async_callback(catcher.stop)
    return catcher


async def _claim(parts: Components) -> None:
    """Make the database this deployment's. Raises Failure if it is another's, or has versions that cannot be read."""
    try:
        await parts.claim_environment()
        await parts.apply_erasures(datetime.now(UTC))
        await keep_texts(parts.database, parts.programs, parts.composers)
    except (EnvironmentRefused, ErasedFileError, ProgramVersionRefused) as refused:
        raise Failure(str(refused)) from None


async def _database(stack: AsyncExitStack, folder: Path, kept: Secrets) -> Database:
    database = Database(f"sqlite:///{folder / DATABASE}", keys=kept.ring)
    stack.push_async_callback(database.close)
    await database.upgrade()
    return database


async def _temporal(stack: AsyncExitStack, folder: Path, lock: int, ui: bool) -> DevServer:
    """Start the Temporal server. Its process holds the folder's lock, too. Raises Failure."""
    try:
        return await stack.enter_async_context(
            dev_server(
                folder / "temporal.db",
                port=free_port(TEMPORAL_PORT),
                # Its pages act for anybody who reaches them, a foreign web page by DNS rebinding included.
                ui_port=free_port(TEMPORAL_UI_PORT) if ui else None,
                log=folder / "temporal.log",
                keep=(lock,),
            )
        )
    except RuntimeError as error:
        raise Failure(f"{error}; {folder / 'temporal.log'} may say why") from None


def _connection(kept: Secrets, base_url: str, database: Path, temporal: str) -> dict[str, str]:
    """Return the settings by which every command reaches what runs here."""
    return {
        "THROUGHLINE_ENVIRONMENT": ENVIRONMENT,
        "THROUGHLINE_DATABASE": f"sqlite:///{database}",
        "THROUGHLINE_ERASED_FILE": f"{database.parent / ERASED}",
        "THROUGHLINE_BASE_URL": base_url,
        "THROUGHLINE_GATEWAY_URL": base_url,
        "THROUGHLINE_SECRET": kept.links,
        "THROUGHLINE_WEBHOOK_SECRET": kept.webhook,
        "TEMPORAL_ADDRESS": temporal,
        "TEMPORAL_NAMESPACE": "default",
    }


def _print_ready(folder: Path, base_url: str, server: DevServer, sign_in: str) -> None:
    typer.echo(f"Console    {base_url}{sign_in}")
    typer.echo(f"           (once, within 15 minutes; then: {command_for(folder)} staff sign-in {ADDRESS})")
    typer.echo(f"Gateway    {base_url}   (events: POST {base_url}/events, signed)")
    typer.echo(f"Inbox      {base_url}/inbox")
    pages = f"pages: http://127.0.0.1:{server.ui_port}" if server.ui_port else "its pages: --temporal-ui"
    typer.echo(f"Temporal   127.0.0.1:{server.port}   ({pages})")
    typer.echo(f"Kept in    {folder}   (how commands and systems connect: {folder / NAME})")
    typer.echo("First event, from another terminal:")
    typer.echo(f"  throughline event example member.updated | {command_for(folder)} event send -")
    typer.echo("  (docs/connect.md goes on from there)")
    typer.echo("Ready. Ctrl-C stops all of it; the next start continues.")


@dataclass(frozen=True, slots=True)
class _Parts:
    all: Components
    channel: SmtpChannel

    async def close(self) -> None:
        await self.all.mail.aclose()
        await self.channel.aclose()


def _parts(
    settings: Settings, kept: Secrets, base_url: str, database: Database, catcher: MailCatcher
) -> _Parts:
    channel = SmtpChannel(SmtpSettings(host=catcher.host, port=catcher.port, pool_size=4))
    parts = Components(
        database,
        read_programs(settings),
        Composers(settings.templates / "mail", settings.programs),
        channel,
        Links(base_url, kept.ring),
        # Whatever the address: all mail goes to the catcher, and none of it leaves.
        RecipientAllowlist(production=False, allowed=("*",)),
        ENVIRONMENT,
        webhook_allow=webhook_allow(settings),
    )
    return _Parts(parts, channel)


def _app(settings: Settings, kept: Secrets, parts: Components, mailbox: Mailbox, client: Client) -> FastAPI:
    program = next(iter(parts.programs.values()))
    look = PageRenderer(settings.templates)
    front = APIRouter(dependencies=ON_THIS_MACHINE, include_in_schema=False)

    @front.get("/")
    async def to_the_console() -> Response:
        return RedirectResponse(HOME, 303)

    services = services_on(
        client,
        database=parts.database,
        programs=parts.programs,
        links=parts.links,
        letters=parts.letters,
        samples=parts.samples(settings.templates / "mail"),
    )
    return create_app(
        services,
        webhook_secrets=[kept.webhook],
        routers=[front, mail_routes(mailbox, look, program.hours.zone, title=program.name)],
    )


def _listening(folder: Path, port: int | None) -> socket.socket:
    """The gateway's socket: on the port that was asked for, that of the last time, or one that is free."""
    file = folder / "port"
    known = file.read_text("ascii").strip() if file.exists() else ""
    if port is None:
        port = int(known) if known.isdigit() and 0 < int(known) < 65536 else free_port(PORT)
    listening = listen(port)
    file.write_text(f"{listening.getsockname()[1]}\n", "ascii")
    return listening
