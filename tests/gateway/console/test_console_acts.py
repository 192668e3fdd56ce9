"""Acts on the console: previewed, bound to their preview, and done once."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from database import audit
from database.models import AuditRecord, Engagement, Message, Task
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import NOW

TARGET = "engagement/r-2"
CANCEL = f"/staff/act/cancel?target={TARGET}"


def fields_of(page: httpx.Response, action: str) -> dict[str, str]:
    """The hidden fields of the form that posts to an address."""
    form = re.search(rf'<form method="post" action="{action}".*?</form>', page.text, re.DOTALL)
    assert form, page.text
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[0]))


async def add_mail(console: ConsoleFixture, count: int = 2) -> None:
    """Messages that the engagement still plans."""
    rows = [
        Message(
            delivery=f"d-{number}",
            workflow=TARGET,
            step=f"mentee.pulse.{number}",
            occurrence=1,
            message="mentee.pulse",
            number=number,
            message_class="nudge",
            program="asis-global",
            to_profile="p-ana",
            member_id="ana",
            planned_at=NOW,
            due_at=NOW.replace(day=20 + number),
            state="planned",
        )
        for number in range(1, count + 1)
    ]
    await console.add(*rows)


@pytest.mark.rule("STA1")
async def test_button_names_the_count_and_the_preview_changes_nothing(console: ConsoleFixture) -> None:
    await add_mail(console)
    page = await console.get("mia", CANCEL)
    assert page.status_code == 200
    assert re.search(r"<button[^>]*>Cancel, and stop 2 messages", page.text)
    assert "Ana Pérez Castillo" in page.text
    assert {row.state for row in await console.gateway.all(Message)} == {"planned"}
    assert not [each for each in await console.gateway.all(AuditRecord) if each.subject == TARGET]


CHANGES: dict[str, dict[str, Any]] = {
    "the state": {"state": "paused"},
    "the facts": {"facts": {"engagement": "r-2", "mentee": "p-ana", "mentor": "p-marcus", "months": 9}},
}


@pytest.mark.rule("STA1", "STA3")
@pytest.mark.parametrize("change", CHANGES)
async def test_act_that_was_previewed_on_other_facts_does_nothing(
    console: ConsoleFixture, change: str
) -> None:
    await add_mail(console)
    form = fields_of(await console.get("mia", CANCEL), "/staff/act/cancel")
    values = dict(CHANGES[change])
    if "facts" in values:
        [row] = await console.gateway.all(Engagement)
        values["facts"] = {**row.facts, **values["facts"]}
    await console.gateway.change(Engagement, "r-2", **values)
    async with console.gateway.database.begin() as session:
        data = {"act": "extend", "id": "a-1", "months": "3"}
        await audit.append(session, TARGET, "act", NOW, data, actor="colleague@staff.example")
    answer = await console.post("mia", "/staff/act/cancel", {**form, "reason": "moved away"})
    assert answer.status_code == 409
    assert "Nothing was done" in answer.text
    assert "colleague@staff.example" in answer.text
    assert "moved away" in answer.text
    assert fields_of(answer, "/staff/act/cancel")["digest"] != form["digest"]


ALTERED: dict[str, dict[str, str]] = {
    "no digest": {"digest": ""},
    "another target": {"target": "request/r-1"},
    "another digest": {"digest": "0" * 64},
}


@pytest.mark.parametrize("altered", ALTERED)
async def test_altered_form_does_nothing(console: ConsoleFixture, altered: str) -> None:
    form = fields_of(await console.get("mia", CANCEL), "/staff/act/cancel")
    form |= {"reason": "because", **ALTERED[altered]}
    assert (await console.post("mia", "/staff/act/cancel", form)).status_code == 409


async def test_preview_of_one_person_is_no_preview_of_another(console: ConsoleFixture) -> None:
    form = fields_of(await console.get("mia", CANCEL), "/staff/act/cancel")
    answer = await console.post("cora", "/staff/act/cancel", {**form, "reason": "because"})
    assert answer.status_code == 409


async def test_act_needs_a_reason_and_values_that_can_be_read(console: ConsoleFixture) -> None:
    form = fields_of(await console.get("mia", CANCEL), "/staff/act/cancel")
    assert "Give a reason" in (await console.post("mia", "/staff/act/cancel", form)).text
    extend = f"/staff/act/extend?target={TARGET}"
    asked = await console.get("mia", extend)
    assert "What changes" not in asked.text
    assert "whole number" in (await console.get("mia", f"{extend}&months=1e3")).text
    assert "Fill in one" in (await console.get("mia", f"{extend}&months=1&end=2028-12-01")).text
    assert "What changes" in (await console.get("mia", f"{extend}&months=2")).text
    ended = await console.get("mia", f"/staff/act/end?target={TARGET}&because=no_time")
    assert "What changes" in ended.text


async def test_act_without_temporal_says_so_and_changes_nothing(console: ConsoleFixture) -> None:
    form = fields_of(await console.get("mia", CANCEL), "/staff/act/cancel")
    answer = await console.post("mia", "/staff/act/cancel", {**form, "reason": "because"})
    assert answer.status_code == 409
    assert "no Temporal service" in answer.text


WHO = ("mia", "reader", "cora", "vito")
OBJECTS = ("engagement/r-2", "request/r-1", "engagement/r-3")
ALLOWED = {("mia", target) for target in OBJECTS} | {("cora", target) for target in OBJECTS[:2]}
"""Cora is assigned Ana and Marcus; the third is Ana's and Eva's."""


async def with_a_stranger(console: ConsoleFixture) -> None:
    """An engagement of Ana and Eva, whom Cora is not assigned."""
    [row] = await console.gateway.all(Engagement)
    facts = {**row.facts, "engagement": "r-3", "mentor": "p-eva"}
    columns = ("program", "policy_version", "state", "state_since", "mentee_id", "started_at")
    values = {name: getattr(row, name) for name in columns}
    await console.add(
        Engagement(workflow="engagement/r-3", id="r-3", mentor_id="p-eva", facts=facts, **values)
    )


@pytest.mark.rule("STA1", "STA3")
async def test_who_may_do_which_act_on_whom(console: ConsoleFixture) -> None:
    """Role × act × object, as a page and as a form: what is not allowed is not there."""
    await with_a_stranger(console)
    found, wanted = {}, {}
    for who in WHO:
        for target in OBJECTS:
            acts = (
                ("cancel", "extend")
                if target.startswith("request/")
                else ("cancel", "extend", "pause", "end")
            )
            for act in acts:
                path = f"/staff/act/{act}"
                page = await console.get(who, f"{path}?target={target}")
                sent = await console.post(who, path, {"target": target, "digest": "x", "reason": "because"})
                found[who, act, target] = (page.status_code == 200, sent.status_code != 404)
                wanted[who, act, target] = ((who, target) in ALLOWED,) * 2
    assert found == wanted


async def test_act_that_no_such_lifecycle_takes_is_not_there(console: ConsoleFixture) -> None:
    for act, target in (
        ("accept", TARGET),
        ("erase", TARGET),
        ("cancel", "engagement/none"),
        ("cancel", "x"),
    ):
        assert (await console.get("mia", f"/staff/act/{act}?target={target}")).status_code == 404


@pytest.mark.rule("STA2", "STA3")
async def test_task_is_done_dismissed_or_set_aside_at_the_same_place(console: ConsoleFixture) -> None:
    tasks = [
        Task(
            kind="inactive",
            subject=TARGET,
            cause=str(number),
            action="Ask them.",
            opened_at=NOW,
            due_at=NOW,
        )
        for number in range(3)
    ]
    await console.add(*tasks)
    back = "/staff?tasks=all&page=1"
    done = await console.post("mia", "/staff/tasks/1", {"change": "done", "back": back})
    assert done.headers["location"] == f"{back}&said=done"
    assert (await console.post("cora", "/staff/tasks/1", {"change": "done"})).status_code == 409
    assert (await console.post("mia", "/staff/tasks/2", {"change": "dismiss"})).status_code == 422
    await console.post("mia", "/staff/tasks/2", {"change": "dismiss", "note": "They met in June."})
    for until in ("", "2028-03-14", "yesterday"):
        form = {"change": "snooze", "until": until}
        assert (await console.post("mia", "/staff/tasks/3", form)).status_code == 422
    await console.post("cora", "/staff/tasks/3", {"change": "snooze", "until": "2028-03-20"})
    rows = await console.gateway.all(Task)
    assert [row.state for row in rows] == ["done", "dismissed", "snoozed"]
    assert await console.acts(TARGET) == [
        ("task done", "mia@staff.example"),
        ("task dismissed", "mia@staff.example"),
        ("task snoozed", "cora@staff.example"),
    ]
    assert "Not looked at (0)" in (await console.get("mia", "/staff")).text
    assert "Ask them." in (await console.get("mia", "/staff?tasks=waiting")).text
    console.gateway.at = NOW.replace(day=20)
    assert "Not looked at (1)" in (await console.get("mia", "/staff")).text
