"""Acts from the console on running workflows, by two managers at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser

from staff.accounts.directory import add_account, find_account
from tests.support.console.browsing import ServedConsole, served_console
from tests.support.console.staff import STAFF, ConsoleFixture
from tests.support.gateway import gateway_fixture
from tests.support.temporal_workers import TemporalFixture, temporal

__all__ = ["temporal"]


@pytest.fixture
async def shown(temporal: TemporalFixture, chromium: Browser) -> AsyncIterator[ServedConsole]:
    """A console on the database of running workers."""
    async with gateway_fixture(temporal.database.url, rows=[]) as gateway:
        gateway.at = datetime.now(UTC)
        console = ConsoleFixture(gateway)
        async with gateway.database.begin() as session:
            for name in ("mia", "nora"):
                values = {**STAFF["mia"], "name": name.title()}
                if await find_account(session, f"{name}@staff.example") is None:
                    await add_account(session, f"{name}@staff.example", values, "test", gateway.at)
        async with served_console(console, chromium, temporal.client) as made:
            yield made


@pytest.mark.rule("STA1", "STA3")
async def test_two_managers_act_once_and_the_second_learns_of_the_first(
    shown: ServedConsole, temporal: TemporalFixture
) -> None:
    target = f"onboarding/{temporal.profile('mentee')}"
    path = f"/console/act/cancel?target={target}"
    async with shown.page("nora", java_script_enabled=False) as second:
        await second.goto(path)
        await second.get_by_label("Reason").fill("She asked me to.")
        async with shown.page("mia", java_script_enabled=False) as first:
            await first.goto(f"/console/{target}")
            await first.get_by_role("link", name="Cancel").click()
            button = first.locator("form[method=post] button.danger")
            assert "Cancel, and stop 4 messages" in await button.inner_text()
            await first.get_by_label("Reason").fill("Moved away.")
            await button.click()
            assert first.url.endswith(f"{target}?said=acted")
            assert "cancelled" in await first.inner_text("main")
            assert "Moved away." in await first.inner_text("main")
        await second.locator("form[method=post] button.danger").click()
        said = await second.inner_text("main")
        assert "This cannot be done" in said or "Nothing was done" in said
    acts = await shown.console.acts(target)
    assert [each for each in acts if each[0] == "cancel"] == [("cancel", "mia@staff.example")]


@pytest.mark.rule("STA1")
async def test_extension_is_done_as_previewed_and_the_form_works_once(
    shown: ServedConsole, temporal: TemporalFixture
) -> None:
    target = f"onboarding/{temporal.profile('mentor')}"
    async with shown.page("mia") as page:
        await page.goto(f"/console/act/pause?target={target}")
        fields = {name: await page.input_value(f"[name={name}]") for name in ("digest", "record", "target")}
        await page.get_by_label("Reason").fill("On holiday.")
        await page.locator("main form[method=post] button").click()
        assert page.url.endswith("said=acted")
        script = """fields => fetch("/console/act/pause", {method: "POST", body: new URLSearchParams(fields)})
            .then(answer => answer.status)"""
        context = await shown.browser.new_context(base_url=shown.url, bypass_csp=True)
        await context.add_cookies(await page.context.cookies())  # type: ignore[arg-type]
        replaying = await context.new_page()
        await replaying.goto("/console")
        assert await replaying.evaluate(script, {**fields, "reason": "again"}) == 409
        await context.close()
    acts = await shown.console.acts(target)
    assert [each for each in acts if each[0] == "pause"] == [("pause", "mia@staff.example")]
