"""The trial of a program: whom it mails, its checklist, and how it goes live."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser
from sqlalchemy import select

from database import program_trials
from database.models import Profile, ProgramTrial, TrialGuest
from database.session import Database
from lifecycles.registry import LIFECYCLES
from tests.gateway.console.test_console_in_a_browser import faults_of
from tests.support.console.browsing import served_console
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.delivery import migrate
from tests.support.gateway import NOW, bundled, people

TABLES = [entry.table for entry in LIFECYCLES.values()]
PATH = "/staff/program/trial?program=asis-global"


@pytest.fixture
async def trying(migrated_url: str) -> AsyncIterator[ConsoleFixture]:
    """A console on both databases, whose program is in trial."""
    async with console_fixture(migrated_url) as made:
        await made.add(ProgramTrial(program="asis-global", since=NOW))
        yield made


async def trial(console: ConsoleFixture) -> ProgramTrial:
    """The row of the trial."""
    async with console.gateway.database.reading() as session:
        return await session.get_one(ProgramTrial, "asis-global")


async def mailed(console: ConsoleFixture, *addresses: str) -> set[str]:
    """Those of some addresses that the program mails now."""
    async with console.gateway.database.reading() as session:
        return {each for each in addresses if await program_trials.mails(session, bundled(), each)}


@pytest.mark.parametrize("runs", [False, True])
async def test_new_program_is_in_trial_and_one_that_runs_is_live(migrated_url: str, runs: bool) -> None:
    migrate(migrated_url)
    database = Database(migrated_url)
    async with database.begin() as session:
        if runs:
            session.add_all([each for each in people() if not isinstance(each, Profile)])
            await session.flush()
            session.add_all([each for each in people() if isinstance(each, Profile)])
    for _ in range(2):
        async with database.begin() as session:
            await program_trials.begin_new(session, [bundled()], TABLES, NOW)
    async with database.reading() as session:
        (row,) = await session.scalars(select(ProgramTrial))
        assert (row.live_at is not None) is runs
        assert await program_trials.mails(session, bundled(), "ana@example.org") is runs
    await database.close()


async def test_trial_mails_staff_and_guests_only(trying: ConsoleFixture) -> None:
    others = ("ana@example.org", "guest@example.org", "mia@staff.example", "mentoring@asisonline.org")
    assert await mailed(trying, *others) == {"mia@staff.example", "mentoring@asisonline.org"}
    form = {"act": "add", "address": "Guest@Example.org", "reason": "She tries it."}
    assert (await trying.post("mia", PATH, form)).status_code == 303
    assert "guest@example.org" in await mailed(trying, "guest@example.org", "GUEST@example.org")
    assert "guest@example.org" in (await trying.get("mia", PATH)).text
    form = {"act": "remove", "address": "guest@example.org", "reason": "Done."}
    assert (await trying.post("mia", PATH, form)).status_code == 303
    assert await mailed(trying, "guest@example.org") == set()
    acts = await trying.acts("program/asis-global")
    assert acts == [("guest added", "mia@staff.example"), ("guest removed", "mia@staff.example")]


async def test_program_goes_live_only_with_its_open_points_named(trying: ConsoleFixture) -> None:
    page = (await trying.get("mia", PATH)).text
    ticked = page.partition('name="although" value="')[2].partition('"')[0]
    assert ticked == "server,mail,texts"
    form = {"act": "go-live", "reason": "All is well."}
    assert (await trying.post("mia", PATH, form)).status_code == 422
    assert (await trying.post("mia", PATH, {**form, "although": "server"})).status_code == 422
    assert (await trial(trying)).live_at is None
    assert (await trying.post("mia", PATH, {**form, "although": ticked})).status_code == 303
    row = await trial(trying)
    assert (row.live_by, row.live_because) == ("mia@staff.example", "All is well.")
    assert await mailed(trying, "ana@example.org") == {"ana@example.org"}
    assert (await trying.post("mia", PATH, {**form, "although": ticked})).status_code == 409
    assert await trying.acts("program/asis-global") == [("go live", "mia@staff.example")]


async def test_trial_is_for_managers_and_its_changes_for_those_who_may_set(trying: ConsoleFixture) -> None:
    form = {"act": "add", "address": "x@example.org", "reason": "x"}
    for who in ("cora", "vito"):
        assert (await trying.get(who, PATH)).status_code == 404
        assert "trial" not in (await trying.get(who, PATH)).text.lower()
    assert (await trying.get("reader", PATH)).status_code == 200
    for who in ("cora", "vito", "reader"):
        assert (await trying.post(who, PATH, form)).status_code == 404
    for bad in ({**form, "address": "x"}, {**form, "address": "a@b@c"}):
        assert (await trying.post("mia", PATH, bad)).status_code == 409
    assert (await trying.post("mia", PATH, {**form, "reason": ""})).status_code == 422
    assert (await trying.post("mia", PATH, {**form, "act": "x"})).status_code == 404
    async with trying.gateway.database.reading() as session:
        assert await session.scalar(select(TrialGuest)) is None


async def test_trial_page_is_accessible_and_works_without_script(sqlite_url: str, chromium: Browser) -> None:
    async with console_fixture(sqlite_url) as console, served_console(console, chromium) as shown:
        await console.add(ProgramTrial(program="asis-global", since=NOW))
        async with shown.page("mia", java_script_enabled=True) as page:
            await page.goto(PATH)
            assert await faults_of(page) == []
        async with shown.page("mia", java_script_enabled=False) as page:
            await page.goto("/staff/program?program=asis-global")
            await page.get_by_role("link", name="Trial").click()
            section = page.locator("section", has_text="Go live")
            await page.get_by_label("Email").fill("eva@example.org")
            await page.locator("#why-add").fill("She helps.")
            await page.get_by_role("button", name="Add guest").click()
            assert "eva@example.org" in await page.inner_text("main")
            await section.get_by_label("Go live although 3 points are open").check()
            await page.locator("#why-live").fill("We start.")
            await section.get_by_role("button", name="Go live").click()
            assert "mails everybody from now on" in await page.inner_text("[role=status]")
