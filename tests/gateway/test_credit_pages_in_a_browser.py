"""Letters, claims, surveys, feedback and the public check, as people have them before them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser
from structlog.testing import capture_logs

from database.models import Feedback, Member
from rules.credit import fingerprint
from tests.support.badges.badge_fixture import RING
from tests.support.browser import FAULTS, POST, browsing, focused_in_turn
from tests.support.gateway import (
    LETTER,
    MENTEES_CLAIM,
    MENTORS_CLAIM,
    NOW,
    GatewayFixture,
    at_the_gate,
    gateway_fixture,
    letter_row,
)

pytestmark = pytest.mark.rule("MAIL5")

PHONE = {"width": 390, "height": 800}
PURPOSE = "To lead a first site survey.\nTo present it <b>well</b>."
READ = {"purpose": PURPOSE, "domains": "psp-assessment", "step": "read"}
TO_SIGN = ("sign", "p-ana", MENTORS_CLAIM)
TO_WRITE = ("letter", "p-marcus", MENTEES_CLAIM)

SHOWN: dict[str, tuple[str | tuple[str, str, str], dict[str, str] | None]] = {
    "confirmation": (TO_SIGN, None),
    "confirmation with mistakes": (TO_SIGN, {"name": "Eva", "shown": "another"}),
    "letter to write": (TO_WRITE, None),
    "letter with mistakes": (TO_WRITE, {"purpose": ""}),
    "letter to sign": (TO_WRITE, READ),
    "letter too long": (TO_WRITE, {**READ, "purpose": "x" * 10_001}),
    "domains": (("domains", "p-marcus", MENTORS_CLAIM), None),
    "no domains": (("domains", "p-marcus", MENTORS_CLAIM), {}),
    "claim": (("claim", "p-marcus", "claim/r-2/mentor/PCI"), None),
    "claim not yet ready": (("claim", "p-marcus", MENTORS_CLAIM), None),
    "survey of the mentor": (("survey", "p-marcus", "survey/r-2/mentor"), None),
    "survey of the mentee": (("survey", "p-ana", "survey/r-2/mentee"), None),
    "survey with mistakes": (("survey", "p-ana", "survey/r-2/mentee"), {"rating": "4"}),
    "feedback": (("feedback", "p-ana", ""), None),
    "genuine": (f"/verify/{LETTER}", None),
    "genuine certificate": ("/verify/certificate", None),
    "revoked": ("/verify/revoked", None),
    "unknown": ("/verify/nothing", None),
}


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[GatewayFixture]:
    """A gateway with an engagement at its gate, and documents of all kinds."""
    certificate = letter_row("certificate", "certificate")
    certificate.engagement_id = "r-2"
    rows = [
        *at_the_gate(),
        certificate,
        letter_row("mentor_letter", "revoked", revoked_at=NOW, revoked_because="signed by mistake"),
    ]
    async with gateway_fixture(sqlite_url, rows, keys=RING) as made:
        yield made


async def badge_path(gateway: GatewayFixture) -> str:
    """The path of the certificate's badge, made now."""
    async with gateway.database.begin() as session:
        program = gateway.programs["asis-global"]
        badge = await gateway.services.letters.badges.issue(session, program, "certificate", NOW)
    assert badge is not None
    return f"/badges/{badge.id}"


async def speaking(gateway: GatewayFixture, language: str) -> None:
    """Let everybody have chosen a language."""
    for member in ("ana", "marcus"):
        await gateway.change(Member, member, preferences={"language": language})


@pytest.mark.rule("CPE8", "CPE11", "CPE14", "SUR1", "SUR4")
@pytest.mark.parametrize("language", ["en", "es"])
async def test_evidence_pages_are_accessible_in_every_size_and_scheme(
    gateway: GatewayFixture, chromium: Browser, language: str
) -> None:
    await speaking(gateway, language)
    faults: dict[str, list[str]] = {}
    with capture_logs():
        async with browsing(chromium, gateway, locale=language) as (page, complaints):
            shown = {**SHOWN, "badge": (await badge_path(gateway), None)}
            for name, (where, form) in shown.items():
                path = where if isinstance(where, str) else gateway.path(*where)
                if form is None:
                    await page.goto(path)
                else:
                    await page.goto("/healthz")
                    await page.evaluate(POST, [path, form])
                    await page.wait_for_selector("h1")
                found = [] if await page.get_attribute("html", "lang") == language else ["another language"]
                for width in (320, 390, 1280):
                    await page.set_viewport_size({"width": width, "height": 800})
                    found += await page.evaluate(FAULTS)
                await page.emulate_media(color_scheme="dark")
                found += await page.evaluate(FAULTS)
                await page.emulate_media(color_scheme="light")
                if found:
                    faults[name] = found
    assert faults == {}
    assert [text for text in complaints if "status of 4" not in text] == []


@pytest.mark.rule("CPE5", "CPE8")
async def test_mentee_signs_by_keyboard_with_visible_focus(
    gateway: GatewayFixture, chromium: Browser
) -> None:
    async with browsing(chromium, gateway, viewport=PHONE) as (page, _):
        await page.goto(gateway.path(*TO_SIGN))
        assert await focused_in_turn(page) == [
            "a mentoring@example.org",
            "input name",
            "input consent=yes",
            "button Firmar la carta",
        ]
        letter = page.get_by_role("region", name="La carta")
        assert "Marcus Oyelaran" in await letter.inner_text()
        await page.get_by_label("Su nombre completo").focus()
        await page.keyboard.type("ana perez castillo")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=La carta quedó firmada")
    (event,) = await gateway.events()
    assert (event.type, event.data["name"]) == ("letter.signed", "ana perez castillo")


@pytest.mark.rule("CPE6", "CPE8")
async def test_mentor_writes_and_signs_without_script_and_loses_no_text(
    gateway: GatewayFixture, chromium: Browser
) -> None:
    async with browsing(chromium, gateway, viewport=PHONE, java_script_enabled=False) as (page, _):
        await page.goto(gateway.path(*TO_WRITE))
        purpose = page.get_by_label("What was the purpose of this mentoring?")
        assert "Two or three sentences" in (await page.locator("#purpose-hint").inner_text())
        assert await page.get_by_text("A good example").is_visible()
        await purpose.fill(PURPOSE)
        await page.get_by_role("button", name="Read the letter").click()

        await page.get_by_role("alert").get_by_role("link", name="Please choose at least one domain.").click()
        assert page.url.endswith("#domains")
        assert await purpose.input_value() == PURPOSE
        await page.get_by_label("Physical Security Assessment").check()
        await page.get_by_role("button", name="Read the letter").click()

        letter = page.get_by_role("region", name="The letter")
        assert PURPOSE in await letter.inner_text()
        await page.get_by_role("button", name="Change what I wrote").click()
        assert await page.get_by_role("alert").count() == 0
        assert await purpose.input_value() == PURPOSE
        assert await page.get_by_label("Physical Security Assessment").is_checked()
        await purpose.fill(f"{PURPOSE}\nAnd more.")
        await page.get_by_role("button", name="Read the letter").click()

        await page.get_by_label("Your full name").fill("Marcus O.")
        await page.get_by_label("All of this is true").check()
        await page.get_by_role("button", name="Sign the letter").click()
        assert "Please check the following" in await page.get_by_role("alert").inner_text()
        assert (await page.title()).startswith("Please check")
        name = page.get_by_label("Your full name")
        assert await name.input_value() == "Marcus O."
        assert await page.get_by_label("All of this is true").is_checked()
        await name.fill("Marcus Oyelaran")
        shown = await letter.inner_text()
        await page.get_by_role("button", name="Sign the letter").click()
        await page.wait_for_selector("text=The letter is signed")
    (event,) = await gateway.events()
    assert event.data["purpose"] == f"{PURPOSE}\nAnd more."
    assert event.data["shown"] == fingerprint(re.sub(r"\n{2,}", "\n\n", shown))


@pytest.mark.rule("CPE8")
async def test_letter_with_changed_data_is_shown_again_before_signing(
    gateway: GatewayFixture, chromium: Browser
) -> None:
    async with browsing(chromium, gateway, locale="es") as (page, _):
        await page.goto(gateway.path(*TO_SIGN))
        await page.get_by_label("Su nombre completo").fill("Ana Pérez Castillo")
        await page.get_by_label("Todo esto es cierto").check()
        await gateway.change(Member, "marcus", name="Marcus A. Oyelaran")
        await page.get_by_role("button", name="Firmar la carta").click()
        await page.get_by_role("alert").get_by_role("link", name="La carta cambió").click()
        letter = page.get_by_role("region", name="La carta")
        assert "Marcus A. Oyelaran" in await letter.inner_text()
        assert await letter.evaluate("letter => letter === document.activeElement")
        assert await page.get_by_label("Su nombre completo").input_value() == "Ana Pérez Castillo"
        assert not await page.get_by_label("Todo esto es cierto").is_checked()
        assert not await gateway.events()
        await page.get_by_label("Todo esto es cierto").check()
        await page.get_by_role("button", name="Firmar la carta").click()
        await page.wait_for_selector("text=La carta quedó firmada")
    assert len(await gateway.events()) == 1


async def test_error_summary_comes_first_and_links_to_its_question(
    gateway: GatewayFixture, chromium: Browser
) -> None:
    async with browsing(chromium, gateway, viewport=PHONE) as (page, _):
        await page.goto(gateway.path("survey", "p-marcus", "survey/r-2/mentor"))
        await page.locator("form").evaluate("form => form.noValidate = true")
        await page.get_by_role("group", name="how was it for you").get_by_label("4").check()
        await page.get_by_label("Is there anything you would like us to know").fill("Thank you, José!")
        await page.get_by_role("button", name="Send my answers").click()
        alert = page.get_by_role("alert")
        await alert.wait_for()
        assert await alert.evaluate("alert => alert === document.activeElement")
        assert await alert.get_by_role("link").count() == 3
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        where = await page.evaluate("() => document.activeElement.id")
        assert where == "goals_met"
        assert await page.get_by_role("group", name="how was it for you").get_by_label("4").is_checked()
        assert await page.get_by_label("Is there anything").input_value() == "Thank you, José!"


@pytest.mark.rule("SUR1", "SUR3")
async def test_survey_page_has_touch_sized_controls(gateway: GatewayFixture, chromium: Browser) -> None:
    await speaking(gateway, "en")
    async with browsing(chromium, gateway, viewport=PHONE, has_touch=True) as (page, _):
        await page.goto(gateway.path("survey", "p-ana", "survey/r-2/mentee"))
        assert "Marcus Oyelaran" in await page.get_by_role("heading", level=1).inner_text()
        for question, answer in [
            ("Did you reach the goals", "Some of them"),
            ("Did your mentor help", "Yes"),
            ("Did you both do what", "No"),
            ("how was your mentoring", "5"),
        ]:
            await page.get_by_role("group", name=question).get_by_text(answer, exact=True).tap()
        await page.get_by_role("button", name="Send my answers").tap()
        await page.wait_for_selector("text=Thank you for your answers")
    (event,) = await gateway.events()
    assert event.data["answers"] == {
        "goals_met": "partly",
        "mentor_helped": True,
        "expectations_met": False,
        "rating": 5,
    }


@pytest.mark.rule("CPE10")
async def test_form_values_stand_beside_the_submission_button(
    gateway: GatewayFixture, chromium: Browser
) -> None:
    async with browsing(chromium, gateway, viewport=PHONE) as (page, _):
        await page.goto(gateway.path("claim", "p-marcus", "claim/r-2/mentor/PCI"))
        values = await page.locator("dl").inner_text()
        for value in ("PCI", "Category 3: Instructor", "9", "July 10, 2028", "ASIS International", "Online"):
            assert value in values
        await page.get_by_label("Yes, I have reported my PCI credits.").check()
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_selector("text=We have noted it")
    assert [event.type for event in await gateway.events()] == ["claim.submitted"]


@pytest.mark.rule("SUR4")
@pytest.mark.parametrize("language", ["en", "es"])
async def test_feedback_page_accepts_free_text(
    gateway: GatewayFixture, chromium: Browser, language: str
) -> None:
    await speaking(gateway, language)
    label, button, thanks = {
        "en": ("Your feedback", "Send", "Thank you for telling us"),
        "es": ("Su opinión", "Enviar", "Gracias por contarnos"),
    }[language]
    async with browsing(chromium, gateway, viewport=PHONE) as (page, _):
        await page.goto(gateway.path("feedback", "p-ana", ""))
        await page.get_by_label(label).fill("Muy útil — ¡gracias!")
        await page.get_by_role("button", name=button).click()
        await page.wait_for_selector(f"text={thanks}")
    assert [kept.text for kept in await gateway.all(Feedback)] == ["Muy útil — ¡gracias!"]
