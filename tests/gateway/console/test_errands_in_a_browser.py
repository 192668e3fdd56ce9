"""A manager's five errands, as `docs/console.md` has them: each takes at most four clicks from Today, typing aside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from playwright.async_api import Browser, Locator, Page

from database import ledger
from database.models import Message, Request
from tests.gateway.console.mail.test_ahead_page import mail
from tests.gateway.console.test_console_in_a_browser import rows
from tests.support.cli import ROOT
from tests.support.console.browsing import ServedConsole, served_console
from tests.support.console.staff import console_fixture
from tests.support.gateway import NOW

MOST = 4


@dataclass
class Errand:
    """A page, and the clicks made on it."""

    page: Page
    clicks: list[str] = field(default_factory=list)

    async def click(self, name: str, *, role: str = "link", within: str = "body") -> None:
        """Click what has a name, and wait for the page that follows."""
        self.clicks.append(name)
        assert len(self.clicks) <= MOST, self.clicks
        found: Locator = self.page.locator(within).get_by_role(role, name=name)  # type: ignore[arg-type]
        await found.first.click()
        await self.page.wait_for_load_state()


@pytest.fixture
async def shown(sqlite_url: str, chromium: Browser) -> AsyncIterator[ServedConsole]:
    """A console with a request that nobody answered, mail of tomorrow, and a reminder that was not sent."""
    found = rows()
    for row in found:
        if isinstance(row, Request) and row.id == "r-1":
            row.state, row.closed_at = "past_due", None
    reminder = mail("reminder", 0)
    found += [mail("tomorrow", 1), reminder]
    async with console_fixture(sqlite_url, found) as console, served_console(console, chromium) as made:
        async with console.gateway.database.begin() as session:
            row = await session.get_one(Message, reminder.id)
            await ledger.decide(session, row, "skipped", "not opted in to reminders", NOW)
        yield made


async def test_who_is_waiting_for_an_answer(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        errand = Errand(page)
        await errand.click("past due", within="main")
        assert "r-1" in await page.inner_text("main")


async def test_why_ana_did_not_get_the_reminder(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        errand = Errand(page)
        await errand.click("People")
        await page.get_by_label("Name, address or id").fill("ana")
        await errand.click("Search", role="button")
        await errand.click("Ana Pérez", within="tbody")
        assert "not opted in to reminders" in await page.inner_text("main")


async def test_stop_everything_for_a_pair(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        errand = Errand(page)
        await errand.click("Engagements")
        await errand.click("Ana Pérez", within="tbody")
        await errand.click("Cancel")
        await page.get_by_label("Reason").fill("She moved away.")
        button = page.get_by_role("button", name="Cancel, and stop")
        assert "message" in await button.inner_text()
        assert len(errand.clicks) < MOST


async def test_extend_by_two_months_and_see_what_moves(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        errand = Errand(page)
        await errand.click("Engagements")
        await errand.click("Ana Pérez", within="tbody")
        await errand.click("Extend")
        await page.get_by_label("How many months to add").fill("2")
        await errand.click("Show what would change", role="button")
        assert "What changes" in await page.inner_text("main")


async def test_what_goes_out_tomorrow(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        errand = Errand(page)
        await errand.click("Ahead")
        tomorrow = (NOW + timedelta(days=1)).strftime("%Y-%m-%d")
        await page.locator(f"nav a[href*='day={tomorrow}']").click()
        assert await page.locator("main").get_by_role("link", name="Skip").count() == 1


def test_page_of_the_console_lists_the_errands() -> None:
    text = (ROOT / "docs" / "console.md").read_text("utf-8")
    for errand in (
        "waiting for an answer",
        "not get the reminder",
        "Stop everything",
        "two months",
        "tomorrow",
    ):
        assert errand in text
