"""The console in Chromium: accessible in each size and theme, and whole without script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from database.models import Feedback, Message, Report, Suppression, Survey, Task
from tests.support.browser import focused_in_turn
from tests.support.console.browsing import ServedConsole, served_console
from tests.support.console.cohorts import COHORT, cohort_rows
from tests.support.console.staff import console_fixture
from tests.support.gateway import NOW, at_the_gate
from tests.support.programs.meetup_rows import with_answers

PAGES = {
    "today": "/staff?tasks=all",
    "ahead": "/staff/ahead",
    "hold": "/staff/messages/d-planned/hold",
    "send": "/staff/messages/d-planned/send",
    "mail health": "/staff/mail",
    "mail again": "/staff/mail/lift?address=old%40example.org",
    "mail ana again": "/staff/mail/lift?address=ana%40example.org",
    "a copy": "/staff/mail/again?delivery=d-failed",
    "figures": "/staff/figures?since=2027-10-01&until=2028-03-31",
    "curriculum": "/staff/curriculum",
    "people": "/staff/people",
    "search": "/staff/search?q=perez",
    "cohorts": "/staff/cohorts",
    "a cohort": f"/staff/cohorts/{COHORT}",
    "empty search": "/staff/search",
    "nobody found": "/staff/people?search=nobody",
    "meetups": "/staff/meetups",
    "a meetup": "/staff/show/meetup/m-1",
    "requests": "/staff/requests",
    "engagements": "/staff/engagements",
    "claims": "/staff/claims",
    "mail": "/staff/mail/trouble?trouble=failed",
    "one mail": "/staff/mail/sent/d-failed",
    "events": "/staff/events",
    "person": "/staff/show/member/ana",
    "engagement": "/staff/show/engagement/r-2",
    "claim": "/staff/show/claim/r-2/mentor/CPP",
    "cancel": "/staff/act/cancel?target=engagement/r-2",
    "extend": "/staff/act/extend?target=engagement/r-2&months=x",
    "end": "/staff/act/end?target=engagement/r-2&because=no_time",
    "acts on many": "/staff/many",
    "values for many": "/staff/many/1",
    "preview for many": "/staff/many/2",
    "reports": "/staff/reports",
    "feedback": "/staff/feedback",
    "not there": "/staff/show/engagement/none",
}
OPEN = {"sign in": "/staff/sign-in", "used link": "/staff/link/none"}

LAYOUT = """() => {
  const faults = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`scrolls sideways: ${root.scrollWidth}`);
  for (const target of document.querySelectorAll("a, button, summary, input:not([type=hidden]), select")) {
    const box = target.getBoundingClientRect();
    if (!box.width || target.closest(".skip")) continue;
    if (box.height < 24) faults.push(`hard to hit: ${target.outerHTML.slice(0, 80)} ${box.height}`);
    if (box.right > root.clientWidth + 1) faults.push("sticks out: " + target.outerHTML.slice(0, 80));
  }
  const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice: " + ids);
  return faults;
}"""


def rows() -> list[Any]:
    """An engagement with claims and surveys, tasks of several kinds, and mail that failed."""
    found = at_the_gate()
    for row in found:
        if isinstance(row, Survey):
            row.facts = {"engagement": "r-2", "role": row.role, "profile": row.profile_id}
            row.facts["opened_at"] = NOW.isoformat()
    kinds = {"misconduct": "engagement/r-2", "inactive": "engagement/r-2", "address_suppressed": "member/ana"}
    tasks = [
        Task(kind=kind, subject=about, cause=kind, action="Ask them.", opened_at=NOW, due_at=NOW)
        for kind, about in kinds.items()
    ]
    mail = [
        Message(
            delivery=f"d-{state}",
            workflow="engagement/r-2",
            step=state,
            occurrence=1,
            message="mentee.pulse",
            number=3,
            message_class="nudge",
            program="asis-global",
            to_profile="p-ana",
            member_id="ana",
            planned_at=NOW,
            due_at=NOW,
            decided_at=NOW if state == "failed" else None,
            state=state,
            reason="550 no such user" if state == "failed" else None,
        )
        for state in ("failed", "planned")
    ]
    report = Report(engagement_id="r-2", by_profile="p-ana", event_id="e", text="…", reported_at=NOW)
    words = Feedback(profile_id="p-ana", event_id="f", text="Thank you.", given_at=NOW)
    stopped = [
        Suppression(address=f"{name}@example.org", kind="hard", reason="550 unknown", last_at=NOW, since=NOW)
        for name in ("old", "ana")
    ]
    return [*found, *tasks, *mail, report, words, *stopped, *cohort_rows(), *with_answers(NOW)]


@pytest.fixture
async def shown(sqlite_url: str, chromium: Browser) -> AsyncIterator[ServedConsole]:
    """A console for a browser."""
    async with console_fixture(sqlite_url, rows()) as console, served_console(console, chromium) as made:
        for act in ("extend", "cancel"):
            form = {"kind": "engagement", "act": act, "target": "engagement/r-2"}
            await console.post("mia", "/staff/many", form)
        yield made


async def faults_of(page: Page) -> list[str]:
    """What is wrong with a page in both themes, on a phone and on a desk."""
    found: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        results = await Axe().run(page)
        found += [
            f"{scheme}: {each['id']}: {each['nodes'][0]['html'][:120]}"
            for each in results.response["violations"]
        ]
    for width in (320, 390, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        found += [f"{width}: {fault}" for fault in await page.evaluate(LAYOUT)]
    return found


IN_SPANISH = ("today", "search", "ahead", "hold", "people", "engagement", "cancel", "not there")
"""Words are of another length there; the colors are the same."""


@pytest.mark.parametrize("who", ["mia", "cora"])
async def test_pages_have_no_violation_in_any_size_and_theme(shown: ServedConsole, who: str) -> None:
    faults: dict[str, list[str]] = {}
    complaints: list[str] = []
    async with shown.page(who) as page:
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        chosen = {**PAGES, **OPEN} if who == "mia" else {name: PAGES[name] for name in IN_SPANISH}
        for name, path in chosen.items():
            await page.goto(path)
            if found := await faults_of(page):
                faults[name] = found
    assert faults == {}, faults
    assert [text for text in complaints if "status of 4" not in text] == []


async def test_task_is_dealt_with_without_script_and_leads_back(shown: ServedConsole) -> None:
    async with shown.page("mia", java_script_enabled=False) as page:
        await page.goto("/staff?tasks=all")
        assert "Misconduct" in await page.inner_text("section >> nth=0")
        task = page.locator("li", has=page.locator(".tag", has_text="Address not mailed"))
        await task.get_by_role("button", name="Done").click()
        assert page.url.endswith("/staff?tasks=all&said=done")
        assert "The task is closed" in await page.inner_text("[role=status]")
        task = page.locator("li", has=page.locator(".tag", has_text="Pair without meetings"))
        await task.locator("summary", has_text="Dismiss").click()
        await task.get_by_label("Why nothing has to be done").fill("They met in June.")
        await task.get_by_role("button", name="Dismiss").click()
        assert "on record" in await page.inner_text("[role=status]")
        assert await page.locator(".tasks > li").count() == 1


async def test_search_on_each_page_finds_a_pair(shown: ServedConsole) -> None:
    async with shown.page("cora", java_script_enabled=False) as page:
        await page.goto("/staff/ahead")
        await page.get_by_label("Persona, pareja o identificador").fill("pérez")
        await page.get_by_label("Persona, pareja o identificador").press("Enter")
        await page.locator("section", has_text="Mentorías").locator("a").first.click()
        assert "Ana Pérez Castillo" in await page.inner_text("h1")


async def test_search_preview_and_reading_work_without_script(shown: ServedConsole) -> None:
    async with shown.page("mia", java_script_enabled=False) as page:
        await page.get_by_role("link", name="Engagements").click()
        await page.get_by_label("Name, address or id").fill("perez")
        await page.get_by_role("button", name="Search").click()
        await page.locator("tbody a").click()
        assert "Ana Pérez Castillo" in await page.inner_text("h1")
        await page.get_by_role("link", name="Extend").click()
        await page.get_by_label("How many months to add").fill("2")
        await page.get_by_role("button", name="Show what would change").click()
        assert "What changes" in await page.inner_text("main")
        assert await page.get_by_role("button", name="Extend").count() == 1
        await page.goto("/staff/reports")
        await page.get_by_role("button", name="Read report 1").click()
        assert await page.locator(".words").count() == 1


async def test_keyboard_reaches_everything_and_shows_where_it_is(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        await page.goto("/staff/people")
        found = await focused_in_turn(page)
        assert found[0].startswith("a Skip to the content")
        assert not [each for each in found if each.endswith("(unseen)")]
        assert any(each.startswith("button Search") for each in found)


async def test_password_can_be_pasted(shown: ServedConsole) -> None:
    context = await shown.browser.new_context(base_url=shown.url)
    page = await context.new_page()
    await page.goto("/staff/sign-in")
    await page.locator("#email").fill("correct horse battery")
    await page.locator("#email").press("Control+a")
    await page.locator("#email").press("Control+x")
    await page.locator("#password").press("Control+v")
    assert await page.input_value("#password") == "correct horse battery"
    await context.close()


async def test_form_of_another_site_is_refused_by_the_browsers_word(shown: ServedConsole) -> None:
    async with shown.page("mia") as page:
        foreign = shown.url.replace("127.0.0.1", "localhost")
        await page.goto(f"{foreign}/healthz")
        script = f"""() => {{
          const form = document.createElement("form");
          form.method = "post"; form.action = "{shown.url}/staff/tasks/1";
          form.innerHTML = '<input name="change" value="done">';
          document.body.append(form); form.submit();
        }}"""
        async with page.expect_navigation() as navigation:
            await page.evaluate(script)
        answer = await navigation.value
        assert answer is not None
        assert answer.status == 403
