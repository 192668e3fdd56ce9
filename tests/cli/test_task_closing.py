"""Tasks close by themselves, with the reason, once their cause is gone or their subject is over (STA2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.planning import PlanEngagement, PlanRequest
from database import ledger, suppressions
from database.events import settle_unapplied
from database.models import Event, Message, Task
from database.task_closing import CLOSINGS
from database.tasks import open_task
from rules.acts import Act
from rules.engagement import EngagementFacts
from rules.request import RequestFacts
from tests.contract.wire_names import STAFF_TASKS
from tests.support.cli import CliFixture

pytestmark = pytest.mark.rule("STA2")


def test_every_kind_of_task_says_what_closes_it() -> None:
    assert set(CLOSINGS) == set(STAFF_TASKS.split())
    assert all(closing.words for closing in CLOSINGS.values())


async def tasks(cli: CliFixture, kind: str) -> list[tuple[str, str | None, str | None]]:
    """State, who closed it and the note of each task of a kind."""
    return [(task.state, task.closed_by, task.note) for task in await cli.all(Task) if task.kind == kind]


async def engaged(cli: CliFixture, acts: list[tuple[datetime, Act]], days: int) -> None:
    """Plan an engagement of so many days at each act, and now."""
    facts = EngagementFacts("r-1", "p-ana", "p-bob", cli.now - timedelta(days=days))
    rounds: list[tuple[datetime, list[Act]]] = [(cli.now - timedelta(days=1), [])]
    rounds += [(at, [act]) for at, act in acts]
    for at, given in rounds:
        order = PlanEngagement("engagement/r-1", facts, at, given)
        facts = (await cli.agenda.plan_engagement(order)).facts


@pytest.mark.rule("ENG2")
@pytest.mark.parametrize(
    ("act", "note"),
    [
        (
            Act("a", "discovery", "p-ana", details={"answer": "good_fit"}, by="p-ana"),
            "a good fit was reported",
        ),
        (Act("a", "cancel", "lina", reason="moved"), "it is canceled now"),
    ],
)
async def test_a_stalled_call_closes_by_an_answer_or_the_end(cli: CliFixture, act: Act, note: str) -> None:
    await engaged(cli, [], 60)
    assert await tasks(cli, "discovery_stalled") == [("open", None, None)]
    await engaged(cli, [(cli.now, act)], 60)
    assert await tasks(cli, "discovery_stalled") == [("done", "program", note)]
    await engaged(cli, [(cli.now, act), (cli.now + timedelta(days=1), Act("b", "extend", "lina"))], 60)
    assert await tasks(cli, "discovery_stalled") == [("done", "program", note)], (
        "no later plan opens it again"
    )


@pytest.mark.rule("ENG4")
async def test_inactive_closes_once_they_met(cli: CliFixture) -> None:
    await engaged(cli, [], 150)
    assert {state for state, _, _ in await tasks(cli, "inactive")} == {"open"}
    met = Act("a", "met", "p-ana", details={"answer": "yes"}, by="p-ana")
    await engaged(cli, [(cli.now, met)], 150)
    assert ("done", "program", "they have met since") in await tasks(cli, "inactive")


@pytest.mark.rule("ENG8")
@pytest.mark.parametrize(
    ("name", "note"), [("resume", "staff resumed"), ("cancel", "staff decided: it is canceled")]
)
async def test_misconduct_closes_only_by_a_decision_of_staff(cli: CliFixture, name: str, note: str) -> None:
    report = cli.now - timedelta(hours=2), Act("a", "misconduct", "p-ana", by="p-ana", event="1")
    await engaged(cli, [report], 3)
    assert await tasks(cli, "misconduct") == [("open", None, None)]
    await engaged(cli, [report, (cli.now, Act("b", name, "lina"))], 3)
    ((state, by, said),) = await tasks(cli, "misconduct")
    assert (state, by) == ("done", "program")
    assert (said or "").startswith(note)


@pytest.mark.rule("ENG8")
async def test_a_second_report_opens_no_decided_one_again(cli: CliFixture) -> None:
    def report(name: str, hours: int) -> tuple[datetime, Act]:
        at = cli.now - timedelta(hours=hours)
        return at, Act(name, "misconduct", "p-ana", by="p-ana", event=name)

    resumed = cli.now - timedelta(hours=4), Act("b", "resume", "lina")
    await engaged(cli, [report("1", 5), resumed, report("2", 3)], 3)
    assert [state for state, _, _ in await tasks(cli, "misconduct")] == ["done", "open"]


@pytest.mark.rule("REQ4")
@pytest.mark.parametrize(
    ("act", "note"),
    [
        (Act("a", "accept", "mentor"), "it is accepted now"),
        (Act("a", "extend", "lina", details={"business_days": "30"}), "its cause is gone"),
    ],
)
async def test_an_unanswered_request_closes_its_task(cli: CliFixture, act: Act, note: str) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    facts = RequestFacts("r-1", "p-ana", "p-bob", cli.now - timedelta(days=9))
    facts = (await cli.agenda.plan_request(PlanRequest("request/r-1", facts, cli.now))).facts
    assert await tasks(cli, "request_unanswered") == [("open", None, None)]
    await cli.agenda.plan_request(PlanRequest("request/r-1", facts, cli.now, [act]))
    assert await tasks(cli, "request_unanswered") == [("done", "program", note)]


@pytest.mark.rule("ONB4")
async def test_a_match_closes_the_offer_of_help(cli: CliFixture) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    async with cli.database.begin() as session:
        await open_task(session, "mentee_unmatched", "onboarding/p-ana", "unmatched", "Help.", cli.now)
    facts = RequestFacts("r-1", "p-ana", "p-bob", cli.now)
    order = PlanRequest("request/r-1", facts, cli.now, [Act("a", "accept", "mentor")])
    await cli.agenda.plan_request(order)
    assert await tasks(cli, "mentee_unmatched") == [("done", "program", "the mentee has a match")]


@pytest.mark.rule("MAIL2", "MAIL3")
async def test_a_copy_that_is_sent_closes_the_task_of_its_original(cli: CliFixture) -> None:
    first = next(row for row in await cli.all(Message) if row.number == 1)
    async with cli.database.begin() as session:
        row = await ledger.locked(session, first.workflow, first.key)
        assert row is not None
        await ledger.decide(session, row, "failed", "refused", cli.now)
        cause = f"mail_failed {first.key}"
        await open_task(session, "mail_failed", first.workflow, cause, "Look.", cli.now)
    async with cli.database.begin() as session:
        copy = await ledger.copy(session, first.delivery, "lina", "corrected", cli.now)
    async with cli.database.begin() as session:
        row = await ledger.locked(session, copy.workflow, copy.key)
        assert row is not None
        await ledger.decide(session, row, "sent", None, cli.now)
    assert await tasks(cli, "mail_failed") == [("done", "program", "the message was sent again")]


@pytest.mark.rule("MAIL3", "STA3")
async def test_a_lifted_suppression_closes_its_task(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        await suppressions.suppress(session, "ana@example.org", "hard", "no such user", cli.now)
        await open_task(session, "address_suppressed", "member/ana", "hard: delivery 1", "Ask.", cli.now)
    said = await cli.throughline("mail", "suppressions", "lift", "ana@example.org")
    assert said.status == 0, said.err
    assert await tasks(cli, "address_suppressed") == [("done", "program", "the suppression was lifted")]


@pytest.mark.rule("T8")
async def test_an_applied_event_closes_the_task_of_a_refused_one(cli: CliFixture) -> None:
    def event(name: str, kind: str, **values: Any) -> Event:
        return Event(source="/x", event_id=name, type=kind, subject="member/ana", data={}, **values)

    async with cli.database.begin() as session:
        session.add_all([event("1", "member.updated"), event("2", "member.updated"), event("3", "other")])
        await session.flush()
        first, second, other = [await session.get_one(Event, number) for number in (1, 2, 3)]
        await open_task(session, "event_unapplied", "member/ana", f"event {first.id}", "Look.", cli.now)
        await open_task(session, "event_unapplied", "member/ana", "other: it is wrong", "Look.", cli.now)
        await settle_unapplied(session, second, cli.now)
    assert [state for state, _, _ in await tasks(cli, "event_unapplied")] == ["done", "open"]
    async with cli.database.begin() as session:
        await settle_unapplied(session, await session.get_one(Event, other.id), cli.now)
    assert [state for state, _, _ in await tasks(cli, "event_unapplied")] == ["done", "done"]
