"""The program in the console: its rules in words, its versions, and moving what runs to another one (COH5, CPE12)."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser
from temporalio.testing import WorkflowEnvironment

from gateway.pages import TEMPLATES, Pages
from lifecycles.registry import find_lifecycle
from rules.program import Program
from staff.program_words import SECTIONS, WITHOUT_WORDS, program_words, sentence_of
from tests.gateway.console.test_console_in_a_browser import faults_of
from tests.support.console.browsing import served_console
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import bundled
from tests.support.programs.program_files import changed_program
from worker.assembly import keep_program_versions, load_programs

ROOT = Path(__file__).resolve().parents[4]
PAGE = "/staff/program"
MOVE = "/staff/program/move"


@pytest.fixture
async def changed(console: ConsoleFixture, tmp_path: Path) -> Program:
    """A changed program file, in a console whose lifecycles began with the bundled one."""
    await keep_program_versions(console.gateway.database, {"asis-global": bundled()})
    settings = {"policy_version": '"2035-2"', "answer_business_days": "3", "discovery_days": "60"}
    made = changed_program(tmp_path / "programs", **settings)
    await keep_program_versions(console.gateway.database, {"asis-global": made})
    console.gateway.programs["asis-global"] = made
    return made


def move_path(**changes: str) -> str:
    """The address of the first page of a move."""
    return f"{MOVE}?{urlencode({'program': 'asis-global', 'from': bundled().fingerprint, **changes})}"


async def move_form(console: ConsoleFixture, **changes: str) -> dict[str, str]:
    """The form of that page, as it is sent without a change."""
    page = (await console.get("mia", move_path())).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    return {**fields, "reason": "as decided", **changes}


@pytest.mark.rule("COH5")
@pytest.mark.parametrize("name", ["asis-global", "asis-laac", "mentors4u-colombia"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_every_number_of_the_rules_is_in_a_sentence(language: str, name: str) -> None:
    program = load_programs(ROOT / "programs")[name]
    has = Pages(TEMPLATES / "pages" / "console").texts(language).has
    missing = [
        f"{each.section}.{each.key}"
        for each in program.describe()
        if each.section in SECTIONS
        if (sentence := sentence_of(each, has)) and sentence.key == WITHOUT_WORDS
    ]
    assert missing == []
    words = program_words(program, language, has)
    assert all(each.rules for sentences in words.sentences.values() for each in sentences)
    assert sum(map(len, words.sentences.values())) > 50


@pytest.mark.rule("COH5", "CPE12")
async def test_page_shows_rules_and_versions_with_what_runs(
    console: ConsoleFixture, changed: Program
) -> None:
    page = (await console.get("vito", PAGE)).text
    assert "Business days for the mentor to answer: 3." in page
    assert changed.version in page
    assert "Requests: 1 · Engagements: 1" in page
    assert MOVE not in page
    before = (await console.get("vito", f"{PAGE}?version={bundled().fingerprint}")).text
    assert "Business days for the mentor to answer: 2." in before
    spanish = (await console.get("cora", PAGE)).text
    assert "Días hábiles para que el mentor responda: 3." in spanish
    assert "Mentorías: 1" not in spanish
    for wrong in ("program=asis-mars", "version=" + "e" * 64):
        assert (await console.get("vito", f"{PAGE}?{wrong}")).status_code == 404


@pytest.mark.rule("CPE12", "STA1")
async def test_move_is_for_managers_who_may_set_and_bound_to_its_preview(
    console: ConsoleFixture, changed: Program
) -> None:
    for who in ("vito", "cora", "reader"):
        assert (await console.get(who, move_path())).status_code == 404
        assert (await console.post(who, MOVE, {"program": "asis-global"})).status_code == 404
    form = await move_form(console)
    assert (await console.post("mia", MOVE, {**form, "digest": "x"})).status_code == 409
    assert (await console.post("mia", MOVE, {**form, "after": "request/r-0"})).status_code == 409
    assert (await console.post("mia", MOVE, {**form, "reason": ""})).status_code == 422
    without = await console.post("mia", MOVE, form)
    assert (without.status_code, "no Temporal service" in without.text) == (409, True)
    for wrong in ({"after": "member/ana"}, {"from": "e" * 64}, {"program": "asis-mars"}):
        assert (await console.get("mia", move_path(**wrong))).status_code == 404
    same = await console.get("mia", move_path(to=bundled().fingerprint))
    assert (same.status_code, "both are the same version" in same.text) == (409, True)
    assert await console.acts("request/r-1") == []


@pytest.mark.rule("CPE12", "STA1", "STA3")
async def test_manager_moves_what_runs_in_a_browser(
    console: ConsoleFixture,
    changed: Program,
    chromium: Browser,
    temporal_dev: WorkflowEnvironment,
) -> None:
    """No workflow runs here, so that none is reached: the page says who notifies them."""
    async with served_console(console, chromium, temporal_dev.client) as shown:
        async with shown.page("mia", java_script_enabled=False) as page:
            await page.goto(PAGE)
            await page.get_by_role("link", name="Move to another version").click()
            assert "What changes: 2 of 2" in await page.inner_text("main")
            await page.get_by_label("Reason").fill("The board decided.")
            await page.get_by_role("button", name="Move these 2").click()
            assert "within three hours" in await page.inner_text("[role=status]")
            assert "Nothing is left to move" in await page.inner_text("main")
        async with shown.page("mia") as page:
            faults = {}
            for path in (PAGE, move_path(**{"from": changed.fingerprint, "to": bundled().fingerprint})):
                await page.goto(path)
                faults[path] = await faults_of(page)
        assert not any(faults.values()), faults
    for workflow in ("request/r-1", "engagement/r-2"):
        assert await console.acts(workflow) == [("version moved", "mia@staff.example")]
        async with console.gateway.database.reading() as session:
            row = await find_lifecycle(session, workflow)
        assert row is not None
        assert row.program_version == changed.fingerprint
