"""The pages as a browser shows them: on a phone and on a wide screen, by keyboard, in light and dark."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser
from structlog.testing import capture_logs

from database.models import Feedback
from tests.support.browser import FAULTS, POST, browsing
from tests.support.gateway import NOW, GatewayFixture, engagement_row, gateway_fixture, people, request_row

pytestmark = pytest.mark.rule("MAIL5")

LONG = "Maximiliana-Guadalupe" + "x" * 80
WIDTHS = (390, 1280)

SHOWN: dict[str, tuple[tuple[str, ...], dict[str, str] | None]] = {
    "unsubscribe": (("unsubscribe", "p-ana", "", "mentee.checkin"), None),
    "unsubscribed": (("unsubscribe", "p-ana", "", "mentee.checkin"), {"List-Unsubscribe": "One-Click"}),
    "preferences": (("preferences", "p-marcus", ""), None),
    "feedback": (("feedback", "p-marcus", ""), None),
    "feedback with a mistake": (("feedback", "p-ana", ""), {"text": ""}),
    "answer": (("answer", "p-marcus", "request/r-1", "accept"), None),
    "withdraw": (("withdraw", "p-ana", "request/r-1"), None),
    "discovery": (("discovery", "p-marcus", "engagement/r-2", "good_fit"), None),
    "discovery with a mistake": (("discovery", "p-ana", "engagement/r-2"), {}),
    "plan": (("plan", "p-marcus", "engagement/r-2"), None),
    "plan with mistakes": (("plan", "p-ana", "engagement/r-2"), {"months": "x" * 90, "end": "x"}),
    "met": (("met", "p-marcus", "engagement/r-2", "yes"), None),
    "extend": (("extend", "p-marcus", "engagement/r-2"), None),
    "end": (("end", "p-ana", "engagement/r-2"), None),
    "report": (("report", "p-ana", "engagement/r-2"), None),
    "reported": (("report", "p-ana", "engagement/r-2"), {"text": "…"}),
    "over": (("met", "p-marcus", "engagement/r-4"), None),
    "quiet": (("met", "p-marcus", "engagement/r-3"), None),
    "declined": (("withdraw", "p-ana", "request/r-5"), None),
    "tampered": (("feedback", "p-nobody", ""), None),
}


@pytest.fixture
async def full(sqlite_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway with long names and texts, and with matters in several states."""
    rows = [
        *people(),
        request_row(message="A line.\n" + LONG, areas=["Career transition", LONG], months=6),
        engagement_row(
            goals=LONG, facts={"votes": [{"by": "mentee", "end": "2028-12-01", "at": NOW.isoformat()}]}
        ),
        engagement_row("r-3", "suspended"),
        engagement_row("r-4", "completed"),
        request_row("r-5", "declined"),
    ]
    rows[0].name = rows[1].name = LONG
    async with gateway_fixture(sqlite_url, rows) as made:
        yield made


@pytest.mark.parametrize("shown", SHOWN)
async def test_pages_fit_every_size_and_are_accessible(
    full: GatewayFixture, chromium: Browser, shown: str
) -> None:
    link, form = SHOWN[shown]
    with capture_logs():
        async with browsing(chromium, full) as (page, complaints):
            path = full.path(*link)  # type: ignore[arg-type]
            if form is None:
                await page.goto(path)
            else:
                await page.goto("/healthz")
                await page.evaluate(POST, [path, form])
                await page.wait_for_selector("h1")
            for width in WIDTHS:
                await page.set_viewport_size({"width": width, "height": 800})
                assert await page.evaluate(FAULTS) == []
            assert [text for text in complaints if "status of 4" not in text] == []


async def test_database_error_page_keeps_the_input(full: GatewayFixture, chromium: Browser) -> None:
    text = "We spoke twice, and it was worth every minute.\nThank you!"
    async with browsing(chromium, full, viewport={"width": 390, "height": 800}) as (page, _):
        await page.goto(full.path("feedback", "p-marcus", ""))
        await page.get_by_label("Your feedback").fill(text)
        full.clock_broken = True
        with capture_logs():
            await page.get_by_role("button", name="Send").click()
            await page.wait_for_selector("text=One moment, please")
        assert await page.evaluate(FAULTS) == []
        assert await page.get_by_label("Your text").input_value() == text
        full.clock_broken = False
        await page.get_by_role("button", name="Send it again").click()
        await page.wait_for_selector("text=Thank you for telling us")
    assert [kept.text for kept in await full.all(Feedback)] == [text]


@pytest.mark.rule("REQ5", "REQ6")
async def test_request_can_be_declined_by_keyboard(full: GatewayFixture, chromium: Browser) -> None:
    async with browsing(chromium, full) as (page, _):
        await page.goto(full.path("answer", "p-marcus", "request/r-1", "accept"))
        await page.keyboard.press("Tab")
        focused = (
            "() => [document.activeElement.value, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert await page.evaluate(focused) == ["accept", "solid"]
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Tab")
        await page.keyboard.type("No time this year")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=You declined")
    (event,) = await full.events()
    assert (event.type, event.data) == ("request.declined", {"request": "r-1", "reason": "No time this year"})


@pytest.mark.rule("ENG4")
async def test_pulse_takes_one_choice_and_one_click(full: GatewayFixture, chromium: Browser) -> None:
    async with browsing(chromium, full, viewport={"width": 390, "height": 800}, has_touch=True) as (page, _):
        await page.goto(full.path("met", "p-ana", "engagement/r-2"))
        await page.get_by_text("Sí, nos reunimos").tap()
        await page.get_by_role("button", name="Enviar mi respuesta").tap()
        await page.wait_for_selector("text=Nos alegra saberlo")
    assert [event.data["answer"] for event in await full.events()] == ["yes"]


async def test_reload_and_back_after_a_form_need_no_second_post(
    full: GatewayFixture, chromium: Browser
) -> None:
    async with browsing(chromium, full) as (page, complaints):
        await page.goto(full.path("met", "p-marcus", "engagement/r-2"))
        await page.get_by_text("Yes, we met").click()
        await page.get_by_role("button", name="Send my answer").click()
        await page.wait_for_selector("text=Good to hear")
        await page.reload()
        await page.wait_for_selector("text=Good to hear")
        await page.go_back()
        await page.wait_for_selector("text=Your answer so far: Yes, we met")
        await page.go_forward()
        await page.wait_for_selector("text=Good to hear")
        assert complaints == []
    assert len(await full.events()) == 1


async def test_error_summary_links_to_its_field(full: GatewayFixture, chromium: Browser) -> None:
    async with browsing(chromium, full) as (page, _):
        await page.goto(full.path("plan", "p-marcus", "engagement/r-2"))
        await page.get_by_label("For how many months?").fill("six")
        await page.get_by_role("button", name="Save our plan").click()
        await page.get_by_role("alert").get_by_role("link").click()
        field = page.get_by_label("For how many months?")
        assert await field.evaluate("field => field === document.activeElement || field.matches(':target')")
        assert await field.input_value() == "six"
        assert await field.get_attribute("aria-invalid") == "true"


async def test_page_follows_the_color_scheme(full: GatewayFixture, chromium: Browser) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        async with browsing(chromium, full, color_scheme=scheme) as (page, _):
            await page.goto(full.path("preferences", "p-ana", ""))
            grounds.append(
                await page.evaluate("() => getComputedStyle(document.querySelector('.card')).backgroundColor")
            )
    assert grounds == ["rgb(255, 255, 255)", "rgb(27, 36, 42)"]


async def test_injected_script_does_not_run(full: GatewayFixture, chromium: Browser) -> None:
    async with browsing(chromium, full) as (page, complaints):
        await page.goto(full.path("feedback", "p-ana", ""))
        ran = """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          return window.ran === true;
        }"""
        assert await page.evaluate(ran) is False
        assert any("Content Security Policy" in text for text in complaints)
