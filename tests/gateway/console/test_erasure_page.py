"""Erasing a member on the console: previewed, bound to the preview, ordered once (STA5)."""

from __future__ import annotations

import re

import httpx
import pytest

from database.models import Event, Member
from tests.support.console.staff import ConsoleFixture

PAGE = "/staff/erase/ana"


def digest_of(page: httpx.Response) -> str:
    """The digest that the form carries."""
    found = re.search(r'name="digest" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@pytest.mark.rule("STA5", "STA1")
async def test_preview_changes_nothing_and_needs_a_reason(console: ConsoleFixture) -> None:
    person = await console.get("mia", "/staff/show/member/ana")
    assert f'href="{PAGE}"' in person.text
    page = await console.get("mia", PAGE)
    assert page.status_code == 200
    assert "Erase for good" in page.text
    answer = await console.post("mia", PAGE, {"digest": digest_of(page), "reason": ""})
    assert answer.status_code == 422
    assert await console.gateway.all(Event) == []


@pytest.mark.rule("STA5", "STA3")
async def test_confirmation_orders_the_erasure(console: ConsoleFixture) -> None:
    page = await console.get("mia", PAGE)
    answer = await console.post("mia", PAGE, {"digest": digest_of(page), "reason": "asked by letter"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/staff/show/member/ana?said=erasure_ordered"
    (event,) = await console.gateway.all(Event)
    assert (event.type, event.subject) == ("member.erased", "member/ana")
    assert event.data["reason"] == "asked by letter"


@pytest.mark.rule("STA5", "STA1")
async def test_confirmation_of_another_state_orders_nothing(console: ConsoleFixture) -> None:
    page = await console.get("mia", PAGE)
    async with console.gateway.database.begin() as session:
        (await session.get_one(Member, "ana")).name = "Ana Castillo"
    answer = await console.post("mia", PAGE, {"digest": digest_of(page), "reason": "asked by letter"})
    assert answer.status_code == 409
    assert "Something has changed" in answer.text
    assert await console.gateway.all(Event) == []


@pytest.mark.rule("STA5")
async def test_only_managers_who_act_erase(console: ConsoleFixture) -> None:
    assert (await console.get("mia", "/staff/erase/nobody")).status_code == 404
    for who in ("reader", "cora", "vito"):
        assert (await console.get(who, PAGE)).status_code in (403, 404)
