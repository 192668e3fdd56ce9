"""The versions of texts: kept at a start, shown with what changed, named by the mail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.async_api import Browser
from sqlalchemy import func, select

from database.models import Message, TextVersion
from database.text_versions import keep
from mail.samples import sample_context
from tests.gateway.console.test_console_in_a_browser import faults_of, rows
from tests.support.console.browsing import served_console
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.delivery import composers
from tests.support.gateway import NOW, bundled
from worker.assembly import keep_texts

FILE = "es/mentee.match"
PATH = f"/staff/program/text-versions?program=asis-global&file={FILE}"
OLD = {"subject": "Hola", "text": "Hola\nuno <b>\ntres", "mjml": "<p>uno</p>"}
NEW = {**OLD, "text": "Hola\ndos\ntres"}


async def keep_both(console: ConsoleFixture) -> None:
    """Two versions of a text, a day apart."""
    for day, (fingerprint, content) in enumerate((("a" * 64, OLD), ("b" * 64, NEW))):
        async with console.gateway.database.begin() as session:
            at = NOW + timedelta(days=day)
            await keep(session, "asis-global", {FILE: (fingerprint, content)}, "ops on host", at)


async def test_text_is_kept_once_at_each_start(console: ConsoleFixture) -> None:
    programs = {"asis-global": bundled()}
    for _ in range(2):
        await keep_texts(console.gateway.database, programs, composers())
    async with console.gateway.database.reading() as session:
        count = await session.scalar(select(func.count()).select_from(TextVersion))
        (row,) = await session.scalars(select(TextVersion).where(TextVersion.file == FILE))
    sources = composers()(bundled()).sources()
    assert count == len(sources)
    assert sources[FILE][0] == row.fingerprint
    assert row.content == sources[FILE][1]
    assert "throughline " in row.seen_by


async def test_composed_mail_has_the_version_of_its_text() -> None:
    composer = composers()(bundled())
    composed = composer.compose("mentee.match", None, "es-CO", sample_context("mentee.match", None, "es"))
    assert composed.text_version == composer.sources()[FILE][0]


async def test_page_shows_what_a_version_changed(console: ConsoleFixture) -> None:
    await keep_both(console)
    page = (await console.get("vito", PATH)).text
    assert "<ins>dos</ins>" in page
    assert "<del>uno &lt;b&gt;</del>" in page
    assert "ops on host" in page
    first = (await console.get("vito", f"{PATH}&version={'a' * 64}")).text
    assert "The first version that was kept" in first
    assert (await console.get("cora", PATH)).status_code == 200
    assert (await console.get("mia", f"{PATH}&version={'c' * 64}")).status_code == 404
    unknown = await console.get("mia", "/staff/program/text-versions?file=es/none")
    assert (unknown.status_code, "No worker has kept" in unknown.text) == (200, True)


@pytest.mark.rule("MAIL1")
async def test_sent_mail_names_the_version_of_its_text(sqlite_url: str, chromium: Browser) -> None:
    async with console_fixture(sqlite_url, rows()) as console, served_console(console, chromium) as shown:
        await keep_both(console)
        async with console.gateway.database.begin() as session:
            row = (await session.scalars(select(Message).where(Message.delivery == "d-failed"))).one()
            row.text_version, row.claimed_at = "b" * 64, NOW
        async with shown.page("mia", java_script_enabled=True) as page:
            await page.goto("/staff/mail/sent/d-failed")
            await page.get_by_role("link", name="b" * 12).click()
            assert "Mails written with it: 1" in await page.inner_text("main")
            assert await faults_of(page) == []
