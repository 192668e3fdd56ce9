"""Acts from the console on running workflows, by two managers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from playwright.async_api import Browser
from sqlalchemy import select

from database.models import ActBatch, ActBatchItem, Message
from staff import acts
from staff.accounts.directory import add_account, find_account
from staff.batches.steps import BatchSteps
from tests.support.console.browsing import ServedConsole, served_console
from tests.support.console.staff import STAFF, ConsoleFixture
from tests.support.gateway import gateway_fixture
from tests.support.limits import PATIENCE
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
    path = f"/staff/act/cancel?target={target}"
    async with shown.page("nora", java_script_enabled=False) as second:
        await second.goto(path)
        await second.get_by_label("Reason").fill("She asked me to.")
        async with shown.page("mia", java_script_enabled=False) as first:
            await first.goto(f"/staff/show/{target}")
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
        await page.goto(f"/staff/act/pause?target={target}")
        fields = {name: await page.input_value(f"[name={name}]") for name in ("digest", "record", "target")}
        await page.get_by_label("Reason").fill("On holiday.")
        await page.locator("main form[method=post] button").click()
        assert page.url.endswith("said=acted")
        script = """fields => fetch("/staff/act/pause", {method: "POST", body: new URLSearchParams(fields)})
            .then(answer => answer.status)"""
        context = await shown.browser.new_context(base_url=shown.url, bypass_csp=True)
        await context.add_cookies(await page.context.cookies())  # type: ignore[arg-type]
        replaying = await context.new_page()
        await replaying.goto("/staff")
        assert await replaying.evaluate(script, {**fields, "reason": "again"}) == 409
        await context.close()
    acts = await shown.console.acts(target)
    assert [each for each in acts if each[0] == "pause"] == [("pause", "mia@staff.example")]


@pytest.mark.rule("STA1", "STA3")
async def test_batch_acts_once_on_each_and_leaves_out_what_changed(
    shown: ServedConsole, temporal: TemporalFixture
) -> None:
    """Also where a gateway dies behind an act, before it has noted that the act is done."""
    database = shown.console.gateway.database
    first, second = await temporal.ask(), await temporal.ask()
    async with shown.page("mia", java_script_enabled=False) as page:
        await page.goto(f"/staff/requests?search={temporal.mark}")
        for handle in (first, second):
            await page.locator(f"input[value='{handle.id}']").check()
        await page.get_by_label("What to do").select_option("cancel")
        await page.get_by_role("button", name="Preview for all").click()
        button = page.locator("button.danger")
        await button.wait_for()
        assert "Cancel, and stop" in await button.inner_text()
        await second.execute_update("extend", {"business_days": 3, "actor": "nora@staff.example"})
        await page.get_by_label("Reason").fill("The mentor is on leave.")
        await button.click()
        await page.get_by_role("heading", name="Done", exact=True).wait_for()
        assert "changed since the preview" in await page.inner_text("main")
    async with database.begin() as session:
        [batch] = await session.scalars(select(ActBatch))
        item = await session.scalar(select(ActBatchItem).where(ActBatchItem.target == first.id))
        assert item is not None
        assert (batch.state, item.state) == ("done", "done")
        batch.state, batch.reason, item.state = "running", "The mentor is on leave.", "ready"
    services = shown.console.gateway.services
    steps = BatchSteps(database, services.programs, temporal.client, services.now)
    async with asyncio.timeout(PATIENCE):
        while batch.state == "running":
            await steps.step()
            [batch] = await shown.console.gateway.all(ActBatch)
    found = {row.target: row.state for row in await shown.console.gateway.all(ActBatchItem)}
    assert found == {first.id: "done", second.id: "changed"}
    done = [each for each in await shown.console.acts(first.id) if each[0] == "cancel"]
    assert done == [("cancel", "mia@staff.example")]
    assert "cancel" not in [each for each, _ in await shown.console.acts(second.id)]


async def test_act_that_no_worker_takes_may_be_tried_again(
    temporal: TemporalFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"request/nobody-{temporal.mark}"
    handle = await temporal.client.start_workflow("Request", id=name, task_queue="without workers")
    monkeypatch.setattr(acts, "UPDATE_TIMEOUT", 0.3)
    with pytest.raises(acts.ActNotTaken, match="no worker took it"):
        await acts.update(temporal.client, name, "cancel", {"actor": "mia", "reason": "because"})
    await handle.terminate()


@pytest.mark.rule("MAIL4", "STA3")
async def test_copy_of_an_unclear_message_is_sent_once_for_two_clicks(
    shown: ServedConsole, temporal: TemporalFixture
) -> None:
    request, database = await temporal.ask(), shown.console.gateway.database
    async with database.begin() as session:
        row = await session.scalar(select(Message).where(Message.workflow == request.id).order_by(Message.id))
        assert row is not None
        row.state, delivery = "ambiguous", row.delivery
    path = "/staff/mail/again"
    script = """async ([path, form]) => {
        const answers = await Promise.all([0, 1].map(
            () => fetch(path, {method: "POST", body: new URLSearchParams(form)})));
        return answers.map(answer => answer.url.split("said=")[1]);
    }"""
    context = await shown.browser.new_context(base_url=shown.url, bypass_csp=True)
    page = await context.new_page()
    await page.goto(await shown.console.link("mia"))
    await page.click("main button")
    await page.goto(f"{path}?delivery={delivery}")
    hidden = await page.locator("main form input[type=hidden]").all()
    form = {str(await each.get_attribute("name")): await each.input_value() for each in hidden}
    form["reason"] = "It did not arrive."
    stale = await page.evaluate(
        script.replace('url.split("said=")[1]', "status"), [path, {**form, "digest": "x"}]
    )
    assert stale == [409, 409]
    assert await page.evaluate(script, [path, form]) == ["copied", "copied"]
    await context.close()
    async with asyncio.timeout(PATIENCE):
        while True:
            rows = [each for each in await shown.console.gateway.all(Message) if each.workflow == request.id]
            copies = [each for each in rows if each.context.get("copy_of") == delivery]
            if [each.state for each in copies] == ["sent"]:
                break
            await asyncio.sleep(0.05)
    assert [act for act in await shown.console.acts(request.id) if act[0] == "resend"] == [
        ("resend", "mia@staff.example")
    ]
