"""One act on many: chosen on a list, previewed for all, and only for those whom one may act on (STA1, STA3)."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.client import Client

from database.models import ActBatch, ActBatchItem, Engagement
from rules.engagement.confidentiality import SUSPENDED
from staff.accounts.directory import change_account, find_account
from staff.batches import batch_states
from staff.batches.batch_states import MOST, WORKED_ON, BatchRefused
from staff.batches.steps import BatchSteps
from tests.gateway.console.test_console_acts import add_mail, with_a_stranger
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.gateway import NOW
from tests.support.limits import PATIENCE

pytestmark = pytest.mark.rule("STA1", "STA3")

CANCEL = {"kind": "engagement", "act": "cancel"}


async def make(console: ConsoleFixture, who: str, form: dict[str, Any]) -> str:
    """Make a batch and preview it; returns the address of its page."""
    answer = await console.post(who, "/staff/many", form)
    assert answer.status_code == 303, answer.text
    await work(console)
    return str(answer.headers["location"])


async def work(console: ConsoleFixture) -> None:
    """Take every step that there is to take, beside the gateway, which takes steps too."""
    async with asyncio.timeout(PATIENCE):
        while any(row.state in WORKED_ON for row in await console.gateway.all(ActBatch)):
            await console.gateway.app.state.batches.step()


async def start(console: ConsoleFixture, number: int) -> None:
    """Start a batch, as its page does where there is a Temporal service."""
    async with console.gateway.database.begin() as session:
        await session.execute(update(ActBatch).where(ActBatch.id == number).values(state="running"))


async def run(console: ConsoleFixture) -> None:
    """Take the steps of a gateway with a Temporal service that is away."""
    services, away = console.gateway.services, await Client.connect("127.0.0.1:1", lazy=True)
    steps = BatchSteps(services.database, services.programs, away, services.now)
    while await steps.step():
        pass


async def states(console: ConsoleFixture) -> list[tuple[str, str]]:
    """The lifecycles of all batches with their states."""
    rows = await console.gateway.all(ActBatchItem)
    return sorted((row.target, row.state) for row in rows)


async def test_all_of_a_filter_is_previewed_with_numbers_and_exceptions(console: ConsoleFixture) -> None:
    await add_mail(console)
    await with_a_stranger(console)
    listed = await console.get("mia", "/staff/engagements?search=ana")
    assert "All 2 of this filter" in listed.text
    await console.gateway.change(Engagement, "r-3", facts={"engagement": "r-3"})
    path = await make(console, "mia", {**CANCEL, "all": "1", "search": "ana", "state": "~open"})
    page = await console.get("mia", path)
    assert "refresh" not in page.headers
    assert re.search(r"<button[^>]*>Cancel, and stop 2 messages", page.text)
    assert "Left out (1)" in page.text
    assert await states(console) == [("engagement/r-2", "ready"), ("engagement/r-3", "refused")]
    assert await console.acts("engagement/r-2") == []
    away = await console.post("mia", path, {"change": "start", "reason": "Closed."})
    assert (away.status_code, "no Temporal service" in away.text) == (422, True)
    await start(console, 1)
    running = await console.get("mia", path)
    assert running.headers["refresh"] == "3"
    assert "refresh" not in (await console.get("mia", f"{path}?still")).headers
    assert f'href="{path}"' in (await console.get("mia", "/staff/many")).text


async def test_act_that_needs_values_asks_for_them_first(console: ConsoleFixture) -> None:
    extend = {"kind": "engagement", "act": "extend", "target": ["engagement/r-2"]}
    path = await make(console, "mia", extend)
    assert "How many months to add" in (await console.get("mia", path)).text
    wrong = await console.post("mia", path, {"change": "complete", "months": "1e3"})
    assert (wrong.status_code, "whole number" in wrong.text) == (422, True)
    await console.post("mia", path, {"change": "complete", "months": "2"})
    await work(console)
    assert await states(console) == [("engagement/r-2", "ready")]
    assert (await console.post("mia", path, {"change": "stop"})).status_code == 303
    assert await states(console) == [("engagement/r-2", "left")]
    assert "Stopped" in (await console.get("mia", path)).text


def test_batch_starts_once_with_a_reason_and_only_what_was_previewed() -> None:
    batch = ActBatch(act="cancel", state="previewed")
    with pytest.raises(BatchRefused, match="reason"):
        batch_states.start(batch, "", NOW)
    batch_states.start(batch, "Closed.", NOW)
    for state in ("running", "previewing", "draft", "done", "stopped"):
        with pytest.raises(BatchRefused, match="state"):
            batch_states.start(ActBatch(act="cancel", state=state), "Closed.", NOW)


async def test_nobody_acts_on_others_people_or_sees_their_batches(console: ConsoleFixture) -> None:
    await with_a_stranger(console)
    both = ["engagement/r-2", "engagement/r-3", "request/r-1", "engagement/none", "x"]
    for who in ("vito", "reader"):
        assert (await console.post(who, "/staff/many", {**CANCEL, "target": both})).status_code == 404
        assert 'name="target"' not in (await console.get(who, "/staff/engagements")).text
    path = await make(console, "cora", {**CANCEL, "target": both})
    assert await states(console) == [("engagement/r-2", "ready")]
    assert (await console.get("cora", path)).status_code == 200
    assert (await console.get("mia", path)).status_code == 404
    assert (await console.post("mia", path, {"change": "stop"})).status_code == 404
    # Who might act when it was previewed may not when it is done.
    await console.gateway.change(Engagement, "r-2", state=SUSPENDED)
    await start(console, 1)
    await run(console)
    assert await states(console) == [("engagement/r-2", "failed")]
    await make(console, "mia", {**CANCEL, "target": both[:2]})
    async with console.gateway.database.begin() as session:
        account = await find_account(session, "mia@staff.example")
        assert account is not None
        await change_account(session, account, {"role": "viewer"}, "test", datetime.now(UTC))
    await start(console, 2)
    await run(console)
    assert [row.state for row in await console.gateway.all(ActBatch)] == ["done", "stopped"]


async def test_batch_of_nothing_of_too_many_or_of_no_such_act_is_refused(console: ConsoleFixture) -> None:
    none = await console.post("mia", "/staff/many", {**CANCEL, "target": ["engagement/none"]})
    assert none.headers["location"] == "/staff/engagements?said=none_ticked"
    for wrong in ({"kind": "member", "act": "cancel"}, {}):
        assert (await console.post("mia", "/staff/many", wrong)).status_code == 404
    accept = {"kind": "engagement", "act": "accept", "target": ["engagement/r-2"]}
    assert (await console.post("mia", "/staff/many", accept)).status_code == 422
    [row] = await console.gateway.all(Engagement)
    columns = ("program", "policy_version", "state", "state_since", "mentee_id", "mentor_id", "started_at")
    values = {name: getattr(row, name) for name in (*columns, "facts")}
    await console.add(*(Engagement(workflow=f"engagement/m-{n}", id=f"m-{n}", **values) for n in range(MOST)))
    assert "on all pages (500 at most)" in (await console.get("mia", "/staff/engagements")).text
    many = await console.post("mia", "/staff/many", {**CANCEL, "all": "1"})
    assert (many.status_code, "too many at once" in many.text) == (422, True)
    for odd in (f"/staff/many/{2**70}", "/staff/many/x"):
        assert (await console.get("mia", odd)).status_code == 404


async def test_batch_that_a_gateway_held_goes_on_when_its_time_is_over(migrated_url: str) -> None:
    async with console_fixture(migrated_url) as console:
        await take_over(console)


async def take_over(console: ConsoleFixture) -> None:
    """Go on with what another gateway began, and end it by a gateway with a Temporal service that is away."""
    now = datetime.now(UTC)
    async with console.gateway.database.reading() as session:
        account = await find_account(session, "mia@staff.example")
    assert account is not None
    values = {"kind": "engagement", "act": "cancel", "given": {}, "state": "previewing", "made_at": now}
    held = ActBatch(id=7, account_id=account.id, held_until=now + timedelta(minutes=5), **values)
    await console.add(held, ActBatchItem(batch_id=7, number=1, target="engagement/r-2", state="waiting"))
    assert not await console.gateway.app.state.batches.step()
    assert await states(console) == [("engagement/r-2", "waiting")]
    async with console.gateway.database.begin() as session:
        await session.execute(update(ActBatch).values(held_until=now))
    await work(console)
    assert await states(console) == [("engagement/r-2", "ready")]
    await console.gateway.change(Engagement, "r-2", state="paused")
    await start(console, 7)
    await run(console)
    assert await states(console) == [("engagement/r-2", "changed")]
    assert [row.state for row in await console.gateway.all(ActBatch)] == ["done"]
