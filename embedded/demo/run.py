"""Starting and stopping the demo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import typer
from fastapi import FastAPI

from embedded.demo.model import PROGRAM, Demo
from embedded.demo.pages import routes
from embedded.mail_pages import PageRenderer, mail_routes
from embedded.mailbox import Mailbox
from embedded.stack import StackOptions, embedded_stack
from embedded.temporal_servers import free_port
from gateway.app import create_app
from gateway.services import services_on
from worker.connections import read_programs, read_settings
from worker.http_server import address, listen, served
from worker.settings import Settings
from worker.shutdown import stopping

WEBHOOK_SECRET: Final = "whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbyBkZW1vIGRlbW8="
"""The demo takes events in from this machine only, until it ends: its secret is none."""


@asynccontextmanager
async def running_demo(settings: Settings, base_url: str) -> AsyncIterator[Demo]:
    """A demo whose sample members have signed up. `base_url` is where its mails' links lead."""
    programs = read_programs(settings)
    mailbox = Mailbox()
    async with embedded_stack(
        programs,
        settings.templates / "mail",
        settings.programs,
        StackOptions(base_url=base_url, on_mail=mailbox.keep),
    ) as ready:
        demo = Demo(ready, programs[PROGRAM], mailbox)
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
    )
    return create_app(
        services,
        webhook_secrets=[WEBHOOK_SECRET],
        routers=[
            routes(demo, look),
            mail_routes(demo.mailbox, look, demo.zone, title=demo.program.name, home=lambda: "/"),
        ],
    )


async def demo(*, port: int | None, script: bool) -> int:
    """Run the demo until Ctrl-C or SIGTERM, or (`script`) until its script ends; return the exit status.

    Raises Failure if the port is taken.
    """
    settings = read_settings()
    async with stopping() as stop, AsyncExitStack() as stack:
        if script:
            from embedded.demo.script import tell_story

            typer.echo("Starting Temporal with a clock to move, a database, a worker and a mail server …")
            base_url = f"http://127.0.0.1:{free_port(port)}"
            demo = await stack.enter_async_context(running_demo(settings, base_url))
            await stop.or_done(tell_story(demo))
            return 0
        listening = listen(port or 0)
        stack.callback(listening.close)
        typer.echo("Starting Temporal with a clock to move, a database, a worker and a mail server …")
        demo = await stack.enter_async_context(running_demo(settings, address(listening)))
        await stack.enter_async_context(served(demo_app(demo, settings), listening))
        typer.echo(f"The demo is at {address(listening)} (Ctrl-C ends it; nothing is kept)")
        await stop.wait()
        typer.echo("Stopping …")
    return 0
