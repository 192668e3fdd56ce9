"""Starting and stopping the demo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import typer
from fastapi import FastAPI

from embedded.data_folder import FolderInUse, locked, private_folder
from embedded.demo.cast import GLOBAL
from embedded.demo.cohorts.cohort_casts import CASTS
from embedded.demo.model import Demo
from embedded.demo.pages import BAR, routes
from embedded.mail_pages import PageRenderer, mail_routes
from embedded.mailbox import Mailbox
from embedded.stack import StackOptions, embedded_stack
from embedded.temporal_servers import free_port
from gateway.app import create_app
from gateway.services import services_on
from worker.connection_file import NAME, command_for, write_connection
from worker.connections import read_programs, read_settings
from worker.errors import Failure
from worker.http_server import address, listen, served
from worker.settings import LocalSettings, Settings
from worker.shutdown import stopping

WEBHOOK_SECRET: Final = "whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbyBkZW1vIGRlbW8="
"""The demo takes events in from this machine only, until it ends: its secret is none."""


STARTING: Final = "Starting Temporal with a clock to move, a database, a worker and a mail server …"


@asynccontextmanager
async def running_demo(
    settings: Settings, base_url: str, folder: Path | None = None, program: str = GLOBAL.program
) -> AsyncIterator[Demo]:
    """Run a demo of a program of CASTS, whose sample members have signed up.

    `base_url` is where its mails' links lead, `folder` where its database is; by default, a temporary one.
    Raises Failure where the program's file is missing.
    """
    programs = read_programs(settings)
    if program not in programs:
        raise Failure(f"there is no program {program} in {settings.programs}")
    mailbox = Mailbox()
    async with embedded_stack(
        programs,
        settings.templates / "mail",
        settings.programs,
        StackOptions(base_url=base_url, on_mail=mailbox.keep, folder=folder),
    ) as ready:
        demo = Demo(ready, programs[program], CASTS[program], mailbox)
        await demo.begin()
        yield demo


def demo_app(demo: Demo, settings: Settings) -> FastAPI:
    """The gateway with the demo's pages: personal links in its mails lead to the same app."""
    look, client = PageRenderer(settings.templates), demo.stack.clock.client

    services = services_on(
        client,
        database=demo.stack.database,
        programs=demo.stack.programs,
        links=demo.stack.parts.links,
        letters=demo.stack.parts.letters,
        clock=demo.now,
        samples=demo.stack.parts.samples(settings.templates / "mail"),
    )
    return create_app(
        replace(services, local=BAR),
        webhook_secrets=[WEBHOOK_SECRET],
        routers=[
            routes(demo, look),
            mail_routes(demo.mailbox, look, demo.zone, title=demo.program.name, home=lambda: "/"),
        ],
    )


async def demo(*, port: int | None, script: bool, data: Path, program: str = GLOBAL.program) -> int:
    """Run the demo of a program until Ctrl-C or SIGTERM, or (`script`) until its script ends; return the exit status.

    Raises Failure if the port is taken, or the data folder cannot be used.
    """
    settings = read_settings(LocalSettings)
    async with stopping() as stop, AsyncExitStack() as stack:
        if script:
            from embedded.demo.cohorts.cohort_script import tell_cohort_story
            from embedded.demo.script import tell_story

            typer.echo(STARTING)
            base_url = f"http://127.0.0.1:{free_port(port)}"
            demo = await stack.enter_async_context(running_demo(settings, base_url, program=program))
            await stop.or_done(tell_cohort_story(demo, demo.cohort) if demo.cohort else tell_story(demo))
            return 0
        listening = listen(port or 0)
        stack.callback(listening.close)
        typer.echo(STARTING)
        home = await _home(stack, data)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="demo-", dir=home)))
        demo = await stack.enter_async_context(running_demo(settings, address(listening), folder, program))
        await stack.enter_async_context(served(demo_app(demo, settings), listening))
        _connect(stack, home, demo)
        typer.echo(f"The demo is at {address(listening)} (Ctrl-C ends it; nothing is kept)")
        typer.echo("It opens on the console, signed in as a manager; the bar on each page moves the clock.")
        typer.echo(f"Its database is {demo.stack.database_file}; commands find it, for example")
        typer.echo(f"  {command_for(home)} {demo.example}")
        await stop.wait()
        typer.echo("Stopping …")
    return 0


async def _home(stack: AsyncExitStack, data: Path) -> Path:
    """Return the folder for the connection file: a temporary one while `throughline up` runs in the data folder."""
    try:
        folder = private_folder(data)
        await stack.enter_async_context(locked(folder, seconds=0.2))
    except FolderInUse:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="throughline-demo-")))
        await stack.enter_async_context(locked(folder))
    return folder


def _connect(stack: AsyncExitStack, home: Path, demo: Demo) -> None:
    """Write the connection file; at the end, put back the one of `throughline up`, or remove it."""
    file, base_url = home / NAME, demo.stack.parts.links.base_url
    before = file.read_bytes() if file.exists() else None
    settings = {
        "THROUGHLINE_ENVIRONMENT": demo.stack.parts.environment,
        "THROUGHLINE_DATABASE": f"sqlite:///{demo.stack.database_file}",
        "THROUGHLINE_BASE_URL": base_url,
        "THROUGHLINE_GATEWAY_URL": base_url,
        "THROUGHLINE_SECRET": StackOptions().secret,
        "THROUGHLINE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "TEMPORAL_ADDRESS": demo.stack.clock.client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": demo.stack.clock.client.namespace,
    }
    write_connection(home, settings)
    stack.callback(lambda: file.write_bytes(before) if before is not None else file.unlink(missing_ok=True))
