"""The demo: its page on a real stack, with a clock that the tests move; its story in a terminal."""

from __future__ import annotations

import asyncio
import html
import io
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.async_api import Browser, expect
from pypdf import PdfReader

from embedded.demo.cast import SAMPLES
from embedded.demo.model import Demo, demo_start
from embedded.demo.run import demo_app, running_demo
from embedded.mailbox import Mail
from tests.support.cli import throughline
from tests.support.limits import PATIENCE
from worker.http_server import address, listen, served
from worker.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")
ZONES = {f"{sample.member}@example.org": ZoneInfo(sample.time_zone) for sample in SAMPLES}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %}",
    "${7*7} #{7*7} %s %(name)s {0}",
    "مرحبا\u202eevil",
    "Robert'); DROP TABLE members;--",
)


@dataclass
class Visit:
    """A demo, and somebody who uses its page."""

    demo: Demo
    client: httpx.AsyncClient

    async def press(self, path: str, **fields: str) -> str:
        """Press a button; the page that comes then."""
        answer = await self.client.post(path, data=fields)
        assert answer.status_code == 303, answer.text
        return await self.page(answer.headers["location"])

    async def page(self, path: str = "/clock") -> str:
        """A page."""
        answer = await self.client.get(path)
        assert answer.status_code == 200
        return answer.text

    async def happened(self, kind: str) -> list[str]:
        """What happened of a kind, as lines."""
        lines = (await self.demo.overview()).happened
        return [f"{line.who}: {line.what}" for line in lines if line.kind == kind]

    async def states(self) -> dict[str, str]:
        """The states of all lifecycles."""
        people = (await self.demo.overview()).people
        return {case.workflow: case.state for person in people for case in person.cases}

    def mail_to(self, address: str) -> list[Mail]:
        """The mail that somebody got."""
        return [mail for mail in self.demo.mailbox if mail.address == address]


@pytest.fixture
async def lively() -> AsyncIterator[Visit]:
    """A demo that has just begun, whose people live on by themselves."""
    settings = Settings()
    async with running_demo(settings, "http://127.0.0.1:8080") as demo:
        app = demo_app(demo, settings)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as client,
        ):
            yield Visit(demo, client)


@pytest.fixture
async def visit(lively: Visit) -> Visit:
    """A demo that has just begun, in which nobody acts but the test."""
    await lively.demo.set_autoplay(False)
    return lively


@pytest.mark.parametrize(
    ("now", "start"),
    [
        (datetime(2026, 11, 21, 23, 0, tzinfo=UTC), datetime(2026, 11, 23, 15, 0, tzinfo=UTC)),
        (datetime(2026, 11, 22, 15, 0, tzinfo=UTC), datetime(2026, 11, 23, 15, 0, tzinfo=UTC)),
        (datetime(2026, 11, 22, 15, 1, tzinfo=UTC), datetime(2026, 11, 30, 15, 0, tzinfo=UTC)),
        (datetime(2026, 3, 4, 12, 0, tzinfo=UTC), datetime(2026, 3, 9, 14, 0, tzinfo=UTC)),
    ],
)
def test_demo_starts_on_a_monday_at_ten_at_least_a_day_ahead(now: datetime, start: datetime) -> None:
    assert demo_start(now, "America/New_York") == start
    assert start.astimezone(NEW_YORK).strftime("%a %H:%M") == "Mon 10:00"


@pytest.mark.rule("MEM1", "MEM3", "MEM5", "ONB1", "ONB2", "T4")
async def test_sample_members_sign_up_and_next_event_shows_what_is_due(visit: Visit) -> None:
    page = await visit.page()
    assert (await visit.demo.now()).astimezone(NEW_YORK).strftime("%a %H:%M") == "Mon 10:00"
    for name in ("Ana Pérez", "Marcus Oyelaran", "Lucía Ferrer", "Grace Lindqvist"):
        assert name in page
    assert "A mentoring program, on a clock that you move" in page
    assert str(visit.demo.stack.database_file) in page
    assert list(visit.demo.mailbox) == []
    assert {task.kind for task in (await visit.demo.overview()).tasks} == {"mentor review"}

    due = await visit.demo.next_due()
    page = await visit.press("/advance", by="next")
    now = await visit.demo.now()
    assert due is not None
    assert due <= now < due + timedelta(minutes=1)
    fresh = [mail for mail in visit.demo.mailbox if mail.at and due <= mail.at <= now]
    assert fresh
    for mail in fresh:
        assert due.astimezone(ZONES[mail.address]).strftime("%H:%M") == "09:00"
        assert html.escape(mail.subject) in page

    await visit.press("/advance", by="week")
    assert [len(visit.mail_to(f"{name}@example.org")) for name in ("ana", "marcus", "grace")] == [1, 1, 1]
    assert len(visit.mail_to("lucia@example.org")) == 2


@pytest.mark.rule("MAIL5")
async def test_hostile_names_are_shown_as_text(visit: Visit) -> None:
    for number, name in enumerate(HOSTILE):
        page = await visit.press(
            "/people",
            name=name,
            email=f"g{number}@example.org",
            role="mentee",
            language="en",
            zone="Asia/Tokyo",
        )
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    for name in HOSTILE[:3]:
        assert str(html.escape(name)) in page.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
    await visit.press("/advance", by="week")
    await visit.press("/advance", by="week")
    for number in range(len(HOSTILE)):
        (mail,) = visit.mail_to(f"g{number}@example.org")
        assert mail.text
        assert "<h1" in mail.html
        assert "<script>alert" not in mail.html
        assert "49" not in mail.text.partition("http")[0]
        page = await visit.page(f"/mail/{mail.number}")
        assert "<script" not in page
        assert f'src="/mail/{mail.number}/html"' in page


async def test_mail_is_shown_in_a_sandboxed_frame(visit: Visit) -> None:
    await visit.press("/advance", by="next")
    answer = await visit.client.get("/mail/1/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox;")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "allow-scripts" not in policy
    assert '<base target="_blank">' in answer.text
    source = await visit.client.get("/mail/1/source")
    assert source.headers["content-type"].startswith("text/plain")
    assert "Message-ID:" in source.text
    assert (await visit.client.get("/mail/999")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "A" * 10_000}, "at most 200 characters"),
        ({"name": " \n "}, "must"),
        ({"email": "nobody"}, "mail address"),
        ({"email": "a@example.org\nBcc: b@example.org"}, "mail address"),
        ({"role": "admin"}, "Choose one of the two."),
        ({"language": "xx"}, "Choose one of the program"),
        ({"zone": "Mars/Olympus"}, "Choose one of the places."),
    ],
)
async def test_invalid_member_is_refused_and_the_form_keeps_its_values(
    one_visit: Visit, fields: dict[str, str], expected: str
) -> None:
    right = {
        "name": "Eva",
        "email": "eva@example.org",
        "role": "mentor",
        "language": "es",
        "zone": "Asia/Tokyo",
    }
    answer = await one_visit.client.post("/people", data={**right, **fields})
    assert answer.status_code == 400
    assert expected in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert len((await one_visit.demo.overview()).people) == 5


@pytest.fixture(scope="module")
async def one_visit() -> AsyncIterator[Visit]:
    """A demo for tests that change nothing."""
    settings = Settings()
    async with running_demo(settings, "http://127.0.0.1:8080") as demo:
        app = demo_app(demo, settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield Visit(demo, client)


async def test_other_sites_can_neither_post_to_nor_read_the_demo(one_visit: Visit) -> None:
    before = await one_visit.demo.now()
    for site in ("cross-site", "same-site"):
        answer = await one_visit.client.post(
            "/advance", data={"by": "month"}, headers={"sec-fetch-site": site}
        )
        assert answer.status_code == 403
    answer = await one_visit.client.get("/", headers={"host": "evil.example.org"})
    assert answer.status_code == 421
    assert await one_visit.demo.now() < before + timedelta(hours=1)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/advance", {"by": "century"}),
        ("/demo/staff", {"act": "fire"}),
        ("/demo/staff", {"act": "extend", "target": "onboarding/p-ana", "count": "many"}),
        ("/standing", {"member": "ana", "standing": "great"}),
        ("/cast", {"acts": "perhaps"}),
    ],
)
async def test_request_that_no_button_sends_is_refused(
    one_visit: Visit, path: str, fields: dict[str, str]
) -> None:
    assert (await one_visit.client.post(path, data=fields)).status_code == 400


async def test_request_waits_while_the_clock_advances(visit: Visit) -> None:
    before = (await visit.demo.now()).astimezone(NEW_YORK)
    await asyncio.gather(*(visit.press("/advance", by="day") for _ in range(3)))
    after = (await visit.demo.now()).astimezone(NEW_YORK)
    assert (after.date() - before.date()).days == 3


@pytest.mark.rule("ONB5", "STA1", "STA3")
async def test_staff_acts_on_the_page_show_their_changes(visit: Visit) -> None:
    first = [item.at for item in (await visit.demo.overview()).coming if item.who == "Grace Lindqvist"]
    page = await visit.press("/demo/staff", target="onboarding/p-grace", act="pause", reason="<b>away</b>")
    assert "onboarding as mentee is paused" in page
    assert "held until it is resumed" in page
    assert "<b>away" not in page
    await visit.press("/advance", by="week")
    page = await visit.press("/demo/staff", target="onboarding/p-grace", act="pause")
    assert "Refused: it is paused already" in page
    await visit.press("/demo/staff", target="onboarding/p-grace", act="resume")
    moved = [item.at for item in (await visit.demo.overview()).coming if item.who == "Grace Lindqvist"]
    assert moved[0]
    assert first[0]
    assert timedelta(days=6) <= moved[0] - first[0] <= timedelta(days=9)
    await visit.press("/demo/staff", target="onboarding/p-grace", act="extend", count="2")
    coming = [item.what for item in (await visit.demo.overview()).coming if item.who == "Grace Lindqvist"]
    assert "mail: check-in 6" in coming
    page = await visit.press("/demo/staff", target="onboarding/p-grace", act="cancel", reason="moved")
    assert "No longer sent: check-in 1" in page
    assert "canceled: cancelled by staff: moved" in page
    page = await visit.press("/demo/staff", target="onboarding/p-grace", act="extend", count="1")
    assert "Refused" in page
    await visit.press("/advance", by="month")
    assert visit.mail_to("grace@example.org") == []


@pytest.mark.rule("MEM1")
async def test_returning_standing_starts_the_onboarding(visit: Visit) -> None:
    await visit.demo.set_autoplay(True)
    await visit.press("/advance", by="week")
    await visit.press("/advance", by="week")
    await visit.demo.set_autoplay(False)
    assert len(visit.mail_to("diego@example.org")) == 1
    assert "standing lapsed" in await visit.page()
    page = await visit.press("/standing", member="diego", standing="good")
    assert "Diego Rojas: the member database now reports good standing." in page
    await visit.press("/advance", by="week")
    await visit.press("/advance", by="week")
    assert [mail.language for mail in visit.mail_to("diego@example.org")] == ["es", "es"]


@pytest.mark.rule("MEM5", "STA2")
async def test_refused_request_is_not_announced_as_sent(visit: Visit) -> None:
    page = await visit.press("/requests", mentee="p-lucia-mentee", mentor="p-lucia")
    assert "Refused, and nothing was sent" in page
    assert "asks Lucía" not in page


@pytest.mark.rule("ENG8", "STA2")
async def test_misconduct_is_first_among_the_tasks(visit: Visit) -> None:
    request = await visit.demo.ask("p-ana", "p-marcus")
    await visit.demo.answer(request, "accepted")
    report = {"engagement": request, "by": "p-ana", "text": "Not as agreed."}
    now = await visit.demo.now()
    await visit.demo.stack.send_events(now, [("engagement.misconduct_reported", report)])
    await visit.press("/advance", by="day")
    kinds = [task.kind for task in (await visit.demo.overview()).tasks]
    assert kinds[0] == "misconduct"
    assert "mentor review" in kinds


@pytest.mark.rule("REQ1", "REQ5", "ONB3", "ENG1")
async def test_links_in_the_mail_lead_to_the_same_demo(visit: Visit) -> None:
    await visit.press("/requests", mentee="p-ana", mentor="p-marcus", message="¿Me acompaña?")
    (asked,) = visit.mail_to("marcus@example.org")
    links = re.findall(r"http://127\.0\.0\.1:8080(/l/\S+)", asked.text)
    answer = await visit.client.get(links[0])
    assert answer.status_code == 200
    answer = await visit.client.post(links[0], data={"answer": "accept"}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    await visit.press("/advance", by="day")
    states = await visit.states()
    assert states["request/r-1"] == "accepted"
    assert states["engagement/r-1"] == "active"
    assert states["onboarding/p-ana"] == "matched"


@pytest.mark.rule(
    "ENG1", "ENG2", "ENG3", "ENG4", "ENG5", "ENG7", "ENG9", "CPE5", "CPE6", "CPE8", "CPE10", "SUR2"
)
async def test_autoplay_runs_mentorships_up_to_a_signed_letter(
    lively: Visit,
) -> None:
    for _ in range(7):
        page = await lively.press("/advance", by="month")
    states = await lively.states()
    assert {name: state for name, state in states.items() if not name.startswith("onboarding/")} == {
        "request/r-1": "accepted",
        "engagement/r-1": "completed",
        "claim/r-1/mentor/CPP": "submitted",
        "claim/r-1/mentee/PSP": "submitted",
        "survey/r-1/mentor": "answered",
        "survey/r-1/mentee": "answered",
        "request/r-2": "expired",
        "request/r-3": "accepted",
        "engagement/r-3": "active",
        "request/r-4": "declined",
        "request/r-5": "accepted",
        "engagement/r-5": "ended",
        "survey/r-5/mentor": "answered",
        "survey/r-5/mentee": "answered",
    }
    events = await lively.happened("member")
    assert "Ana Pérez: signs the letter for Marcus Oyelaran's CPP" in events
    assert "Grace Lindqvist: says how the discovery call went: not met" in events
    assert "Lucía Ferrer: answers whether they met: yes" in events
    assert any(
        "Más tiempo para usted y Grace" in mail.subject for mail in lively.mail_to("lucia@example.org")
    )
    assert await lively.happened("refused") == []

    letters = re.findall(r'href="(/mail/\d+/file/1)">(letter-\w+\.pdf)', page)
    assert [name for _, name in letters] == ["letter-PSP.pdf", "letter-CPP.pdf"]
    for (path, _), said in zip(letters, ("physical security assessment", "Marcus Oyelaran"), strict=True):
        answer = await lively.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
        assert answer.headers["content-disposition"].startswith("inline;")
        text = " ".join(part.extract_text() for part in PdfReader(io.BytesIO(answer.content)).pages)
        assert said in " ".join(text.split())
    ready = await lively.page(letters[1][0].partition("/file")[0])
    (check,) = set(re.findall(r"http://127\.0\.0\.1:8080(/verify/\S+)", ready))
    assert "Marcus Oyelaran" in await lively.page(check)
    assert (await lively.client.get(letters[0][0].replace("/file/1", "/file/2"))).status_code == 404


@pytest.mark.rule("REQ6", "REQ10")
async def test_visitors_act_replaces_the_autoplay_of_a_persona(
    lively: Visit,
) -> None:
    while not (asked := [mail for mail in lively.mail_to("marcus@example.org") if "Ana" in mail.subject]):
        await lively.press("/advance", by="next")
    decline = re.findall(r"http://127\.0\.0\.1:8080(/l/\S+)", asked[0].text)[1]
    answer = await lively.client.post(decline, data={"answer": "decline", "reason": "my hands are full"})
    assert answer.status_code == 303
    await lively.press("/advance", by="week")
    states = await lively.states()
    assert (states["request/r-1"], states["request/r-2"]) == ("declined", "accepted")
    assert "Ana Pérez: asks Lucía Ferrer" in await lively.happened("member")
    assert await lively.happened("refused") == []
    page = await lively.press("/cast", acts="no")
    assert "Let the sample members act" in page
    await lively.press("/advance", by="month")
    assert not any("discovery" in line for line in await lively.happened("member"))
    assert "Pause the sample members" in await lively.press("/cast", acts="yes")


@pytest.mark.parametrize("width", [390, 1280])
async def test_browser_walkthrough_works(chromium: Browser, width: int) -> None:
    settings = Settings()
    listening = listen(0)
    async with (
        running_demo(settings, address(listening)) as demo,
        served(demo_app(demo, settings), listening),
        await chromium.new_context(
            java_script_enabled=False, viewport={"width": width, "height": 900}
        ) as context,
    ):
        context.set_default_timeout(PATIENCE * 1000)
        page = await context.new_page()
        await page.goto(address(listening))
        await expect(page).to_have_url(f"{address(listening)}/staff")
        before = await page.locator(".local strong").inner_text()
        await page.goto(f"{address(listening)}/staff/ahead?days=30")
        await page.get_by_role("button", name="+1 day").click()
        await expect(page).to_have_url(f"{address(listening)}/staff/ahead?days=30")
        assert await page.locator(".local strong").inner_text() != before
        await page.get_by_role("link", name="Clock and sample members").click()
        await page.get_by_label("Name", exact=True).fill("Zoë <i>Okafor</i>")
        await page.get_by_label("Email address").fill("zoe@example.org")
        await page.get_by_role("radio", name="Mentor").check()
        await page.get_by_label("Where you live").select_option("Africa/Nairobi")
        await page.get_by_role("button", name="Sign up").click()
        await expect(page.get_by_role("status")).to_contain_text(
            "Zoë <i>Okafor</i> is signed up as a mentor."
        )
        await page.get_by_role("button", name="+1 week").click()
        await page.get_by_role("button", name="+1 week").click()
        await page.get_by_role("link", name=re.compile(r"All \d+ mails")).click()
        await page.get_by_role("link", name=re.compile("Zoë")).click()
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_role("heading", level=1)).to_be_visible()
        async with context.expect_page() as opened:
            await frame.locator('a[href*="/l/"]').first.click()
        other = await opened.value
        assert other.url.startswith(f"{address(listening)}/l/")
        await expect(other.get_by_role("heading", level=1)).to_be_visible()
        await page.get_by_role("link", name="Back to the demo").click()
        await expect(page.get_by_role("heading", name="Today")).to_be_visible()


@pytest.mark.rule("CPE8", "CPE10")
def test_script_prints_the_story_and_keeps_the_signed_letters() -> None:
    done = throughline("demo", "--script")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for expected in (
        "Ana Pérez",
        "09:00 Madrid",
        "Hola, Ana:",
        "accepted by the mentor",
        "Staff pause Grace Lindqvist",
        "ended by the mentee: no time",
        "claim for CPP is ready: 9 credits earned, 9 of them countable",
        "Where to look next:",
    ):
        assert expected in done.stdout
    letters = [Path(path) for path in re.findall(r"\S+letter-\w+\.pdf$", done.stdout, re.MULTILINE)]
    assert len(letters) == 2
    for letter in letters:
        assert letter.read_bytes().startswith(b"%PDF")
    shutil.rmtree(letters[0].parent)
