"""The take-over of a running program in the console: the command's dry run, then the import that is bound to it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page

from staff.accounts.directory import add_account, find_account
from tests.gateway.console.test_console_in_a_browser import faults_of
from tests.support.console.browsing import ServedConsole, served_console
from tests.support.console.staff import OURS, STAFF, ConsoleFixture, console_fixture
from tests.support.gateway import gateway_fixture
from tests.support.limits import PATIENCE
from tests.support.temporal_workers import TemporalFixture, temporal

__all__ = ["temporal"]

PATH = "/staff/take-over"


def history(mark: str, *, wrong: bool = False) -> str:
    """A mentor who signed up a year ago, one event a line."""
    at = (datetime.now(UTC) - timedelta(days=365)).isoformat()
    member = {"member": mark, "name": "Rosa Vega", "email": f"{mark}@example.org", "standing": "good"}
    profile = {"profile": f"p-{mark}", "member": mark, "role": "boss" if wrong else "mentor"}
    return "".join(
        json.dumps({"source": "/old", "id": f"{mark}-{number}", "type": type, "time": at, "data": data})
        + "\n"
        for number, (type, data) in enumerate((("member.updated", member), ("profile.created", profile)))
    )


async def upload(console: ConsoleFixture, who: str, text: str) -> httpx.Response:
    """The answer to a file that somebody chooses."""
    files = {"file": ("history.jsonl", text.encode(), "application/octet-stream")} if text else {}
    return await (await console.client(who)).post(PATH, files=files, data={"x": "1"}, headers=OURS)


@pytest.fixture
async def console(sqlite_url: str) -> AsyncIterator[ConsoleFixture]:
    """A console without workers."""
    async with console_fixture(sqlite_url) as made:
        yield made


@pytest.mark.rule("T10")
async def test_wrong_file_is_answered_with_its_lines_and_stores_nothing(
    console: ConsoleFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DATABASE", console.gateway.database.url)
    assert "Choose a file first" in (await upload(console, "mia", "")).text
    assert (await upload(console, "mia", history("rosa", wrong=True))).status_code == 303
    async with asyncio.timeout(PATIENCE):
        while "It was not done" not in (page := (await console.get("mia", PATH)).text):
            assert "is being played" in page
            assert (await upload(console, "mia", history("rosa"))).status_code == 409
            await asyncio.sleep(0.2)
    assert "line 2: data.role: " in page
    assert "/tmp" not in page
    assert 'name="digest"' not in page
    assert await console.gateway.events() == []


async def test_only_managers_who_may_set_take_over(console: ConsoleFixture) -> None:
    assert (await console.get("cora", PATH)).status_code == 404
    assert (await upload(console, "cora", history("rosa"))).status_code == 404


@pytest.fixture
async def shown(temporal: TemporalFixture, chromium: Browser) -> AsyncIterator[ServedConsole]:
    """A console on the database of running workers."""
    async with gateway_fixture(temporal.database.url, rows=[]) as gateway:
        gateway.at = datetime.now(UTC)
        made = ConsoleFixture(gateway)
        async with gateway.database.begin() as session:
            if await find_account(session, "mia@staff.example") is None:
                await add_account(session, "mia@staff.example", STAFF["mia"], "test", gateway.at)
        async with served_console(made, chromium, temporal.client) as served:
            yield served


async def until_shown(page: Page, words: str) -> str:
    """The page, once it shows something; it loads itself again."""
    await page.get_by_text(re.compile(words)).first.wait_for()
    return await page.inner_text("main")


@pytest.mark.rule("T10")
async def test_take_over_shows_first_and_does_what_was_shown(
    shown: ServedConsole, temporal: TemporalFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DATABASE", temporal.database.url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.client.service_client.config.target_host)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", temporal.client.namespace)
    name = f"rosa-{temporal.mark}"
    file = tmp_path / "history.jsonl"
    file.write_text(history(name))
    async with shown.page("mia", java_script_enabled=True) as page:
        await page.goto(PATH)
        await page.get_by_label("File of events").set_input_files(file)
        await page.get_by_role("button", name="Try it").click()
        said = await until_shown(page, "What would stand")
        assert "2 events of history.jsonl: 2 applied, 0 refused, 0 waiting, 0 known before." in said
        assert "Nothing goes out in the next 14 days" in said
        assert {event.source for event in await shown.console.gateway.events()} <= {"/tests"}
        assert await faults_of(page) == []
        await page.goto(PATH)
        digest = page.locator("input[name=digest]")
        await digest.evaluate("element => { element.value = element.value.replace(/^./, 'x') }")
        await page.get_by_label("Reason").fill("We move on Monday.")
        await page.get_by_role("button", name="Take over these 2 events").click()
        assert "not what you looked at" in await page.inner_text("main")
        await page.goto(PATH)
        await page.get_by_label("Reason").fill("We move on Monday.")
        await page.get_by_role("button", name="Take over these 2 events").click()
        said = await until_shown(page, "What stands")
        assert "2 events of history.jsonl: 2 applied" in said
        assert await page.locator("input[name=digest]").count() == 0
    stored = [event for event in await shown.console.gateway.events() if event.source == "/old"]
    assert [(event.state, event.history) for event in stored] == [("applied", True), ("applied", True)]
    assert await shown.console.acts("take-over") == [("take over", "mia@staff.example")]
