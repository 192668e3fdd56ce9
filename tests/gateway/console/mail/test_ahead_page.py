"""The page of what goes out next, and orders about one message from it (MAIL1, STA3)."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from database.models import Engagement, Member, Message
from gateway.console.mail import ahead_page
from rules.engagement.confidentiality import SUSPENDED
from tests.gateway.console.test_console_acts import fields_of, with_a_stranger
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import NOW

pytestmark = pytest.mark.rule("MAIL1", "STA3")


def mail(delivery: str, days: float = 1, **values: Any) -> Message:
    """A planned message to Ana about her engagement."""
    defaults = {
        "workflow": "engagement/r-2",
        "step": delivery,
        "occurrence": 1,
        "message": "mentee.pulse",
        "number": 3,
        "message_class": "nudge",
        "program": "asis-global",
        "to_profile": "p-ana",
        "member_id": "ana",
        "planned_at": NOW - timedelta(days=30),
        "due_at": NOW + timedelta(days=days),
        "state": "planned",
    }
    return Message(delivery=delivery, **(defaults | values))


def deliveries(page: httpx.Response) -> list[str]:
    """The messages on a page for which something can be ordered, each once, in order."""
    return list(dict.fromkeys(re.findall(r'href="/staff/messages/([^/"]+)/', page.text)))


async def prepare(console: ConsoleFixture) -> None:
    """Messages to Ana and Marcus, one of them overdue, and one to Eva, whom Cora is not assigned."""
    await with_a_stranger(console)
    await console.add(
        mail("late", -1),
        mail("a-1", 1),
        mail("a-2", 1.01, message="mentee.check_in", workflow="request/r-1"),
        mail("m-1", 2, to_profile="p-marcus", member_id="marcus", message="mentor.pulse"),
        mail("e-1", 2, to_profile="p-eva", member_id="eva", workflow="engagement/r-3"),
        mail("far", 20),
        mail("none", due_at=None),
    )


async def test_messages_stand_by_day_and_person_with_their_filters(console: ConsoleFixture) -> None:
    await prepare(console)
    page = await console.get("mia", "/staff/ahead")
    assert deliveries(page) == ["late", "a-1", "a-2", "m-1", "e-1"]
    assert "Overdue (1)" in page.text
    assert re.search(r"\d\d:\d\d <span class=\"small\">\([^)]*, New York\)", page.text)
    wanted = {
        "days=30": ["late", "a-1", "a-2", "m-1", "e-1", "far"],
        "day=late": ["late"],
        "kind=request": ["a-2"],
        "search=marcus": ["m-1"],
        "search=p-eva": ["e-1"],
        f"day={(NOW + timedelta(days=1)).date()}": ["a-1", "a-2"],
        "program=none&days=x&day=0001-01-01&kind=x&after=0001-01-01T00:00:00%2B23:00|1": deliveries(page),
    }
    found = {query: deliveries(await console.get("mia", f"/staff/ahead?{query}")) for query in wanted}
    assert found == wanted
    person = await console.get("mia", "/staff/show/member/ana")
    assert set(deliveries(person)) == {"late", "a-1", "a-2", "far", "none"}
    assert "a-1" in deliveries(await console.get("mia", "/staff/show/engagement/r-2"))


async def test_pages_follow_each_other_without_a_gap(console: ConsoleFixture) -> None:
    await console.add(*(mail(f"d-{n}", 1 + n // 40) for n in range(60)))
    first = await console.get("mia", "/staff/ahead?days=14")
    [following] = re.findall(r'href="([^"]*after=[^"]*)"', first.text)
    second = await console.get("mia", html.unescape(following))
    assert [len(deliveries(first)), len(deliveries(second))] == [50, 10]
    assert not set(deliveries(first)) & set(deliveries(second))


async def test_file_has_the_messages_of_the_filter_and_no_formula(
    console: ConsoleFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead_page, "MESSAGES_A_READ", 2)
    await prepare(console)
    await console.gateway.change(Member, "marcus", name="=1+1")

    async def steps(who: str, query: str = "") -> list[str]:
        answer = await console.get(who, f"/staff/ahead.csv?{query}")
        assert answer.status_code == 200
        found = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))
        return [f"{row['name']} {row['message']}" for row in found]

    ana, marcus = "Ana Pérez Castillo (p-ana)", "'=1+1 (p-marcus)"
    theirs = [f"{ana} mentee.pulse"] * 2 + [f"{ana} mentee.check_in", f"{marcus} mentor.pulse"]
    assert await steps("cora") == theirs
    assert (await steps("mia"))[:4] == theirs
    assert len(await steps("mia")) == 5
    assert await steps("mia", "kind=request") == [theirs[2]]
    assert await steps("cora", "search=p-eva") == []
    assert len(await steps("vito")) == 5
    assert len(await steps("mia", "days=30")) == 6
    page = await console.get("mia", "/staff/ahead?days=30&search=perez")
    assert 'href="/staff/ahead.csv?days=30&amp;search=perez"' in page.text


async def test_coordinator_sees_and_orders_only_what_is_theirs(console: ConsoleFixture) -> None:
    await prepare(console)
    assert deliveries(await console.get("cora", "/staff/ahead")) == ["late", "a-1", "a-2", "m-1"]
    assert deliveries(await console.get("cora", "/staff/ahead?search=eva")) == []
    for who in ("vito", "reader"):
        page = await console.get(who, "/staff/ahead")
        assert (page.status_code, deliveries(page)) == (200, [])
    allowed = {("mia", "a-1"), ("mia", "e-1"), ("cora", "a-1")}
    for who in ("mia", "reader", "cora", "vito"):
        for delivery in ("a-1", "e-1"):
            path = f"/staff/messages/{delivery}/hold"
            page = await console.get(who, path)
            sent = await console.post(who, path, {"digest": "x", "reason": "because"})
            wanted = (200, 409) if (who, delivery) in allowed else (404, 404)
            assert (page.status_code, sent.status_code) == wanted
    await console.gateway.change(Engagement, "r-2", state=SUSPENDED)
    assert deliveries(await console.get("cora", "/staff/ahead")) == ["a-2"]
    assert (await console.get("cora", "/staff/messages/a-1/hold")).status_code == 404
    assert (await console.get("mia", "/staff/messages/a-1/hold")).status_code == 200


async def test_order_is_shown_given_on_record_and_leads_back(console: ConsoleFixture) -> None:
    await prepare(console)
    back = "/staff/ahead?days=14&search=ana"
    path = "/staff/messages/a-1/skip"
    page = await console.get("mia", f"{path}?back=%2Fstaff%2Fahead%3Fdays%3D14%26search%3Dana")
    assert "It is not sent" in page.text
    form = {name: html.unescape(value) for name, value in fields_of(page, path).items()}
    assert form["back"] == back
    assert (await console.post("mia", path, form)).status_code == 422
    answer = await console.post("mia", path, {**form, "reason": "They spoke already."})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{back}&said=ordered")
    # A form works once, and its order can be taken back.
    again = await console.post("mia", path, {**form, "reason": "They spoke already."})
    assert (again.status_code, "is given already" in again.text) == (409, True)
    listed = await console.get("mia", "/staff/ahead")
    assert "will be left out" in listed.text
    path = "/staff/messages/a-1/release"
    form = fields_of(await console.get("mia", path), path)
    answer = await console.post("mia", path, {**form, "reason": "After all."})
    assert answer.headers["location"] == "/staff?said=unreached"
    found = [act for act, actor in await console.acts("engagement/r-2") if actor == "mia@staff.example"]
    assert found == ["skip message", "release message"]


async def test_order_on_a_message_that_changed_does_nothing(console: ConsoleFixture) -> None:
    await prepare(console)
    path = "/staff/messages/a-1/hold"
    form = fields_of(await console.get("mia", path), path)
    [row] = [each for each in await console.gateway.all(Message) if each.delivery == "a-1"]
    await console.gateway.change(Message, row.id, due_at=NOW + timedelta(days=3))
    answer = await console.post("mia", path, {**form, "reason": "because"})
    assert answer.status_code == 409
    assert "Nothing was done" in answer.text
    assert await console.acts("engagement/r-2") == []
    # Neither a foreign preview nor an altered one counts.
    fresh = fields_of(answer, path)
    other = await console.post("cora", path, {**fresh, "reason": "because"})
    sent = await console.post("mia", "/staff/messages/a-1/skip", {**fresh, "reason": "because"})
    assert (other.status_code, sent.status_code) == (409, 409)
    # To send now is bound to the message, whatever the minute.
    path = "/staff/messages/a-1/send"
    form = fields_of(await console.get("mia", path), path)
    console.gateway.at = NOW + timedelta(minutes=5)
    assert (await console.post("mia", path, {**form, "reason": "They wait."})).status_code == 303
    for wrong in ("/staff/messages/a-1/erase", "/staff/messages/unknown/hold"):
        assert (await console.get("mia", wrong)).status_code == 404
