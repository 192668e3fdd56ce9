"""The console on a port of this machine, for a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from playwright.async_api import Browser, Page
from temporalio.client import Client

from database.links import Links
from gateway.app import create_app
from tests.support.console.staff import ConsoleFixture
from tests.support.limits import PATIENCE
from worker.http_server import address, listen, served


@dataclass(frozen=True)
class ServedConsole:
    """A console that a browser can open."""

    console: ConsoleFixture
    url: str
    browser: Browser

    @asynccontextmanager
    async def page(self, who: str, **options: object) -> AsyncIterator[Page]:
        """A page in which somebody has signed in by a link, as a person does it."""
        context = await self.browser.new_context(base_url=self.url, bypass_csp=False, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE * 1000)
        try:
            page = await context.new_page()
            await page.goto(await self.console.link(who))
            await page.click("main button")
            await page.wait_for_url(f"{self.url}/staff")
            yield page
        finally:
            await context.close()


@asynccontextmanager
async def served_console(
    console: ConsoleFixture, browser: Browser, temporal: Client | None = None
) -> AsyncIterator[ServedConsole]:
    """Serve a console. On plain http its cookie has another name, as on the embedded parts."""
    listening = listen(0)
    url = address(listening)
    links = Links(url, console.gateway.links.keys)
    services = replace(console.gateway.services, links=links, temporal=temporal)
    app = create_app(services, webhook_secrets=[])
    try:
        async with served(app, listening):
            yield ServedConsole(console, url, browser)
    finally:
        listening.close()
