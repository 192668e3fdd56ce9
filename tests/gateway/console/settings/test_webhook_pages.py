"""The endpoints of other systems in the console: for managers who may set, each act with a reason on record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from playwright.async_api import Browser
from sqlalchemy import select

from database.models import AuditRecord, WebhookEndpoint
from gateway.app import create_app
from tests.gateway.console.test_console_in_a_browser import faults_of
from tests.support.console.browsing import served_console
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.servers.hostile_http import HostileHttp
from worker.assembly import webhook_sender

PATH = "/staff/webhooks"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


@pytest.fixture
async def sending(migrated_url: str) -> AsyncIterator[ConsoleFixture]:
    """A console that can send events to this machine, on both databases."""
    async with console_fixture(migrated_url) as made:
        services = replace(made.gateway.services, webhooks=webhook_sender("test", ["127.0.0.1"]))
        made.gateway.app = create_app(services, webhook_secrets=[])
        yield made


async def test_endpoint_lives_through_all_acts_on_record(sending: ConsoleFixture) -> None:
    async with HostileHttp() as receiver:
        form = {"name": "members", "url": receiver.url, "reason": "They want it."}
        added = await sending.post("mia", PATH, form)
        assert added.status_code == 200
        (secret,) = SECRET.findall(added.text)
        assert "no-store" in added.headers["cache-control"]
        assert secret not in (await sending.get("mia", PATH)).text
        tested = await sending.post("mia", f"{PATH}/members", {"act": "test", "reason": "Try."})
        assert "The test event was taken" in tested.text
        assert len(receiver.taken) == 1
        rotated = await sending.post(
            "mia", f"{PATH}/members", {"act": "rotate", "hours": "2", "reason": "Leaked."}
        )
        assert SECRET.findall(rotated.text) != [secret]
        for act in ("disable", "enable", "replay", "remove"):
            form = {"act": act, "hours": "5", "reason": "So it is."}
            assert (await sending.post("mia", f"{PATH}/members", form)).status_code == 303, act
    acts = [act for act, actor in await sending.acts("webhook/members") if actor == "mia@staff.example"]
    assert acts == [
        f"webhook {what}"
        for what in ("added", "tested", "secret rotated", "disabled", "enabled", "replayed", "removed")
    ]
    async with sending.gateway.database.reading() as session:
        records = await session.scalars(select(AuditRecord).where(AuditRecord.subject == "webhook/members"))
        assert all((record.veiled or {}).get("reason") for record in records)
        assert await session.scalar(select(WebhookEndpoint)) is None


async def test_wrong_endpoint_is_refused_with_the_reason(sending: ConsoleFixture) -> None:
    good = {"name": "members", "url": "http://127.0.0.1:9/", "reason": "x"}
    wrong = {"name": "A b"}, {"url": "http://10.0.0.1/"}, {"url": "ftp://x"}, {"type": "no.such"}
    for change in wrong:
        answer = await sending.post("mia", PATH, {**good, **change})
        assert (answer.status_code, "Nothing was done" in answer.text) == (409, True), change
    assert (await sending.post("mia", PATH, {**good, "reason": ""})).status_code == 422
    assert (await sending.post("mia", PATH, good)).status_code == 200
    one = f"{PATH}/members"
    assert (await sending.post("mia", one, {"act": "disable"})).status_code == 422
    assert (await sending.post("mia", one, {"act": "rotate", "hours": "x", "reason": "x"})).status_code == 422
    assert (await sending.post("mia", one, {"act": "enable", "reason": "x"})).status_code == 409
    assert (await sending.post("mia", one, {"act": "x", "reason": "x"})).status_code == 404
    assert (await sending.get("mia", f"{PATH}/none")).status_code == 404


async def test_endpoints_are_for_managers_who_may_set(sending: ConsoleFixture) -> None:
    for who in ("cora", "vito", "reader"):
        for path in (PATH, f"{PATH}/members"):
            assert (await sending.get(who, path)).status_code == 404
            assert (await sending.post(who, path, {"act": "remove", "reason": "x"})).status_code == 404


async def test_webhook_pages_are_accessible_and_work_without_script(
    sqlite_url: str, chromium: Browser
) -> None:
    async with console_fixture(sqlite_url) as console:
        services = replace(console.gateway.services, webhooks=webhook_sender("test", ["127.0.0.1"]))
        console.gateway.services = services
        async with served_console(console, chromium) as shown:
            async with shown.page("mia", java_script_enabled=False) as page:
                await page.get_by_role("link", name="Events out").click()
                await page.get_by_label("Name").fill("members")
                await page.get_by_label("Address").fill("http://127.0.0.1:9/")
                await page.get_by_label("Reason").fill("They want it.")
                await page.get_by_role("button", name="Add endpoint").click()
                assert "not shown again" in await page.inner_text("[role=status]")
            async with shown.page("mia", java_script_enabled=True) as page:
                for path in (PATH, f"{PATH}/members"):
                    await page.goto(path)
                    assert await faults_of(page) == [], path
