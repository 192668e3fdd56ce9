"""Texts of mails in the console: as they look, where they come from, and a test to one's own address (MAIL5, MAIL8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser

from gateway.app import create_app
from gateway.console.programs.text_pages import MOST_TESTS
from mail.allowlist import RecipientAllowlist
from mail.samples.mails import SampleMails
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import SmtpSettings
from tests.gateway.console.test_console_in_a_browser import faults_of
from tests.support.console.browsing import served_console
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import ROOT
from tests.support.servers.capturing_smtp import CapturingSmtp
from worker.assembly import Composers

TEXTS = "/staff/program/texts"


def use(console: ConsoleFixture, samples: SampleMails) -> None:
    """Let the console have these texts."""
    gateway = console.gateway
    gateway.services = replace(gateway.services, samples=samples)
    gateway.app = create_app(gateway.services, webhook_secrets=[])
    console.clients.clear()


@pytest.fixture
async def mailing(sqlite_url: str, smtp_sink: CapturingSmtp, tmp_path: Path) -> AsyncIterator[ConsoleFixture]:
    """A console of a deployment that mails only addresses of its staff, with one text of its own."""
    bundled = ROOT / "templates" / "mail"
    folder = tmp_path / "asis-global" / "en"
    folder.mkdir(parents=True)
    for suffix in ("subject", "text", "mjml"):
        text = (bundled / "en" / f"mentor.welcome.{suffix}").read_text("utf-8")
        (folder / f"mentor.welcome.{suffix}").write_text(text, "utf-8")
    (folder / "mentor.welcome.subject").write_text("Our own welcome", "utf-8")
    host, port = smtp_sink.address
    channel = SmtpChannel(SmtpSettings(host=host, port=port))
    allowed = RecipientAllowlist(production=False, allowed=("mia@staff.example",))
    samples = SampleMails(Composers(bundled, tmp_path), bundled, channel, allowed)
    async with console_fixture(sqlite_url) as console:
        use(console, samples)
        yield console
    await channel.aclose()


@pytest.mark.rule("MAIL5")
async def test_each_text_is_shown_with_its_file_in_both_languages(mailing: ConsoleFixture) -> None:
    english = (await mailing.get("vito", f"{TEXTS}?language=en")).text
    assert "Our own welcome" in english
    assert "en/mentor.welcome · the program’s own" in english
    assert "en/mentee.checkin.1 · bundled" in english
    spanish = (await mailing.get("cora", TEXTS)).text
    assert "es/mentor.welcome · incluido" in spanish
    one = await mailing.get("vito", f"{TEXTS}/mentor.welcome?language=en")
    assert "<iframe" in one.text
    assert "Send me a test" not in one.text
    assert "frame-src 'self'" in one.headers["content-security-policy"]
    body = await mailing.get("vito", f"{TEXTS}/mentor.welcome/body?language=en")
    assert "<h1" in body.text
    assert "sandbox;" in body.headers["content-security-policy"]
    for wrong in (
        "moon.rise",
        "mentor.welcome?language=de",
        "mentor.welcome?number=7",
        "mentor.welcome?program=x",
    ):
        assert (await mailing.get("vito", f"{TEXTS}/{wrong}")).status_code == 404


@pytest.mark.rule("MAIL8", "STA3")
async def test_test_mail_goes_to_ones_own_allowed_address_on_record(
    mailing: ConsoleFixture, smtp_sink: CapturingSmtp, chromium: Browser
) -> None:
    form = {"program": "asis-global", "language": "es", "number": ""}
    for who in ("vito", "cora", "reader"):
        assert (await mailing.post(who, f"{TEXTS}/mentor.welcome", form)).status_code == 404
    async with served_console(mailing, chromium) as shown:
        async with shown.page("mia", java_script_enabled=False) as page:
            await page.goto(f"{TEXTS}/mentor.welcome?language=es")
            await page.get_by_role("button", name="Send me a test").click()
            assert "sent to your address" in await page.inner_text("[role=status]")
            frame = page.frame_locator("iframe.mail")
            await frame.locator("h1").wait_for()
            assert await frame.locator("h1").count() == 1
        async with shown.page("mia") as page:
            faults = {}
            for path in (TEXTS, f"{TEXTS}/mentee.checkin?number=2"):
                await page.goto(path)
                faults[path] = await faults_of(page)
        assert not any(faults.values()), faults
    [mail] = await smtp_sink.wait_for(1)
    assert mail.recipients == ("mia@staff.example",)
    assert await mailing.acts("program/asis-global") == [("test mail", "mia@staff.example")]


@pytest.mark.rule("MAIL8")
async def test_address_that_is_not_allowed_gets_no_test(mailing: ConsoleFixture) -> None:
    samples = mailing.gateway.services.samples
    assert samples is not None
    form = {"program": "asis-global"}
    use(mailing, replace(samples, allowlist=RecipientAllowlist(production=False, allowed=())))
    refused = await mailing.post("mia", f"{TEXTS}/mentor.welcome", form)
    assert refused.status_code == 409
    assert "allow-list" in refused.text
    use(mailing, replace(samples, channel=SmtpChannel(SmtpSettings(host="127.0.0.1", port=1))))
    assert (await mailing.post("mia", f"{TEXTS}/mentor.welcome", form)).status_code == 502
    use(mailing, replace(samples, channel=None))
    assert (await mailing.post("mia", f"{TEXTS}/mentor.welcome", form)).status_code == 409


async def test_tests_of_one_person_are_limited(mailing: ConsoleFixture) -> None:
    samples = mailing.gateway.services.samples
    assert samples is not None
    use(mailing, replace(samples, channel=None))
    form = {"program": "asis-global"}
    found = [
        (await mailing.post("mia", f"{TEXTS}/mentor.welcome", form)).status_code
        for _ in range(MOST_TESTS + 1)
    ]
    assert found == [*(409 for _ in range(MOST_TESTS)), 429]
    assert len(await mailing.acts("program/asis-global")) == MOST_TESTS
