"""A cohort from its proposal to its engagements, on both databases (COH1–COH3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from database.models import (
    AuditRecord,
    Cohort,
    CohortMember,
    CohortPair,
    Engagement,
    Member,
    Message,
    Profile,
    Task,
)
from database.session import Database
from lifecycles.cohorts.membership import leave
from lifecycles.cohorts.pair_marks import FORBIDDEN, LOCKED, StaffDecision, change_pair, mark_pair
from lifecycles.timeline import timeline
from rules.acts import Act
from rules.agenda import Refused
from tests.support.programs.cohorts import (
    COHORT,
    KICK_OFF,
    REVIEW,
    SIGN_UP,
    WORKFLOW,
    CohortRun,
    at,
    confirm,
    laac,
    sign_up,
)


async def begun(database: Database, mentees: str, mentors: str, **profile: object) -> CohortRun:
    return CohortRun(database, await sign_up(database, mentees.split(), mentors.split(), **profile))


def decision(mentee: str, mentor: str, key: str = "d") -> StaffDecision:
    return StaffDecision(f"p-{mentee}", f"p-{mentor}", "lina", "they know each other", key)


async def mark(run: CohortRun, mentee: str, mentor: str, kind: str | None) -> None:
    async with run.database.begin() as session:
        row = await session.get_one(Cohort, WORKFLOW)
        await mark_pair(session, row, decision(mentee, mentor, f"{kind} {mentee} {mentor}"), kind, REVIEW)


async def tasks(database: Database) -> list[tuple[str, str, str]]:
    async with database.reading() as session:
        rows = await session.execute(select(Task.kind, Task.cause, Task.state).order_by(Task.id))
        return [(kind, cause, state) for kind, cause, state in rows]


@pytest.mark.rule("COH2", "COH3")
async def test_cohort_pairs_mails_and_starts(database: Database) -> None:
    run = await begun(database, "ana bea", "leo mia nico")
    await run.live(SIGN_UP)
    await run.reviewed()
    assert set(await run.pairs()) == {("ana", "leo"), ("bea", "mia")}
    assert (await tasks(database))[0] == ("pairing_review", "the pairs are proposed", "open")
    assert await run.mails() == []
    await run.live(REVIEW + timedelta(hours=30), confirm("c"))
    assert await run.mails() == [
        ("member.unpaired", "nico"),
        ("mentee.paired", "ana"),
        ("mentee.paired", "bea"),
        ("mentor.paired", "leo"),
        ("mentor.paired", "mia"),
    ]
    assert [state for _, _, state in await tasks(database)] == ["done"]
    assert run.started == []
    await run.live(KICK_OFF)
    workflows = [command.workflow for command in run.started]
    assert workflows == [f"engagement/{COHORT}.p-ana.p-leo", f"engagement/{COHORT}.p-bea.p-mia"]
    async with database.reading() as session:
        rows = (await session.scalars(select(Engagement).order_by(Engagement.id))).all()
        assert {(row.cohort, row.started_at, row.state) for row in rows} == {(COHORT, KICK_OFF, "active")}
        assert (await session.get_one(Cohort, WORKFLOW)).state == "running"
    assert set((await run.pairs()).values()) == {"running"}
    found = [row async for row in timeline(database, "America/Mexico_City", KICK_OFF)]
    pair = next(row for row in found if row["kind"] == "pair")
    assert {key: pair[key] for key in ("cohort", "mentee", "mentor", "engagement")} == {
        "cohort": COHORT,
        "mentee": "p-ana",
        "mentor": "p-leo",
        "engagement": workflows[0],
    }
    assert pair["why"].startswith("both: Spanish")


@pytest.mark.rule("COH2")
async def test_repeated_plan_and_activity_change_nothing(database: Database) -> None:
    """As after a kill of the worker: what was done once is not done again."""
    run = await begun(database, "ana", "leo")
    await run.confirmed()
    before = run.facts
    mails = await run.mails()
    await run.propose(REVIEW)
    for _ in range(2):
        await run.plan(REVIEW + timedelta(days=1), confirm("first"))
        run.facts = before
    assert await run.mails() == mails
    assert await run.start(KICK_OFF) is False
    assert await run.start(KICK_OFF) is False
    assert len(run.started) == 1
    async with database.begin() as session:
        await session.execute(update(CohortPair).values(state="starting"))
    await run.start(KICK_OFF)
    assert run.started[0] == run.started[1]  # the command goes out again, which is harmless
    async with database.reading() as session:
        pairs = select(func.count()).where(AuditRecord.subject == WORKFLOW, AuditRecord.kind == "pair")
        assert await session.scalar(pairs) == 1


@pytest.mark.rule("COH2")
async def test_locks_hold_and_forbidden_pairs_are_not_made(database: Database) -> None:
    run = await begun(database, "ana bea", "leo mia")
    await run.reviewed()
    assert set(await run.pairs()) == {("ana", "leo"), ("bea", "mia")}
    await mark(run, "ana", "leo", FORBIDDEN)
    await run.live(REVIEW, Act("again", "pair", "lina"))
    pairs = await run.pairs()
    assert {key for key, state in pairs.items() if state == "proposed"} == {("ana", "mia"), ("bea", "leo")}
    async with database.reading() as session:
        row = await session.get_one(Cohort, WORKFLOW)
        assert row.figures is not None
        assert (row.proposal, row.figures["changed"]) == (2, 2)
    await mark(run, "ana", "leo", None)
    await mark(run, "bea", "leo", LOCKED)
    await run.live(REVIEW, Act("third", "pair", "lina"))
    assert {key for key, state in (await run.pairs()).items() if state == "proposed"} == {
        ("ana", "mia"),
        ("bea", "leo"),
    }


@pytest.mark.rule("COH2", "STA3")
async def test_exchange_swaps_the_mentees_of_two_mentors(database: Database) -> None:
    run = await begun(database, "ana bea", "leo mia")
    await run.reviewed()
    async with database.begin() as session:
        row = await session.get_one(Cohort, WORKFLOW)
        made = await change_pair(session, row, run.facts, laac(), decision("ana", "mia"), REVIEW)
        assert made == [("p-ana", "p-mia"), ("p-bea", "p-leo")]
        assert await change_pair(session, row, run.facts, laac(), decision("ana", "mia"), REVIEW) == []
    assert await run.pairs() == {("ana", "mia"): "proposed", ("bea", "leo"): "proposed"}
    await run.live(REVIEW, Act("again", "pair", "lina"))
    assert set(await run.pairs()) == {("ana", "mia"), ("bea", "leo")}  # it is locked
    async with database.reading() as session:
        records = await session.scalars(select(AuditRecord).where(AuditRecord.kind == "act"))
        acts = {(record.data["act"], record.actor) for record in records}
    assert ("pair exchanged", "lina") in acts


@pytest.mark.rule("COH2")
async def test_mark_of_a_stranger_is_refused(database: Database) -> None:
    run = await begun(database, "ana", "leo")
    await run.confirmed()
    for wrong, reason in ((("leo", "ana"), "as a mentee"), (("ana", "leo"), "is confirmed")):
        with pytest.raises(Refused, match=reason):
            await mark(run, *wrong, FORBIDDEN)


@pytest.mark.rule("COH3")
async def test_mentor_who_withdraws_leaves_the_mentee_for_another(database: Database) -> None:
    """Between confirmation and kick-off: the pair breaks, staff pair again, and the mentee starts with another."""
    run = await begun(database, "ana", "leo mia")
    await run.confirmed()
    assert await run.pairs() == {("ana", "leo"): "confirmed"}
    when = REVIEW + timedelta(days=3)
    async with database.begin() as session:
        profile = await session.get_one(Profile, "p-leo")
        profile.withdrawn_at = when
        await leave(session, profile, when)
    assert (await run.pairs())["ana", "leo"] == "broken"
    assert ("pair_broken", "p-ana has lost p-leo", "open") in await tasks(database)
    await run.live(when, Act("again", "pair", "lina"))
    await run.live(when, confirm("second"))
    assert await run.pairs() == {("ana", "leo"): "broken", ("ana", "mia"): "confirmed"}
    assert ("pair_broken", "p-ana has lost p-leo", "done") in await tasks(database)
    await run.live(KICK_OFF)
    assert [command.workflow for command in run.started] == [f"engagement/{COHORT}.p-ana.p-mia"]
    assert ("member.unpaired", "ana") not in await run.mails()


@pytest.mark.rule("COH3")
async def test_lapse_at_the_kick_off_breaks_the_pair(database: Database) -> None:
    """Nobody else has a place, so that the mentee gets a kind mail on the next send time."""
    run = await begun(database, "ana bea", "leo mia")
    await run.confirmed()
    async with database.begin() as session:
        await session.execute(update(Member).where(Member.id == "leo").values(standing="lapsed"))
    await run.live(KICK_OFF)
    assert await run.pairs() == {("ana", "leo"): "broken", ("bea", "mia"): "running"}
    assert ("pair_broken", "p-ana has lost p-leo", "open") in await tasks(database)
    assert ("member.unpaired", "ana") in await run.mails()
    async with database.reading() as session:
        mail = await session.scalar(
            select(Message).where(Message.message == "member.unpaired", Message.to_profile == "p-ana")
        )
        assert mail is not None
        assert mail.due_at == at("2028-05-24T08:00")  # 09:00 in Bogotá, where it was 10:00 at the kick-off


@pytest.mark.rule("COH3")
async def test_broken_mentorship_is_paired_again_and_starts_at_once(database: Database) -> None:
    run = await begun(database, "ana bea", "leo mia")
    await run.confirmed()
    await run.live(KICK_OFF)
    later = KICK_OFF + timedelta(days=40)
    async with database.begin() as session:
        for row in await session.scalars(select(Engagement)):
            row.state, row.closed_at = "no_fit", later
    await run.live(later, Act("again", "pair", "lina"))
    assert {key for key, state in (await run.pairs()).items() if state == "proposed"} == {
        ("ana", "mia"),
        ("bea", "leo"),
    }
    async with database.reading() as session:
        assert (await session.get_one(Cohort, WORKFLOW)).state == "running"
    before = len(run.started)
    await run.live(later, confirm("second"))
    assert [command.workflow for command in run.started[before:]] == [
        f"engagement/{COHORT}.p-ana.p-mia",
        f"engagement/{COHORT}.p-bea.p-leo",
    ]
    await run.live(later, confirm("third"))
    assert run.refused["third"] == "there are no new pairs to confirm"


@pytest.mark.rule("COH2")
async def test_nobody_compatible_and_nobody_at_all(database: Database) -> None:
    """All mentees hear of it, and staff see why."""
    run = await begun(database, "ana bea", "")
    await run.confirmed()
    assert await run.pairs() == {}
    assert await run.mails() == [("member.unpaired", "ana"), ("member.unpaired", "bea")]
    async with database.reading() as session:
        causes = await session.scalars(select(CohortMember.unpaired_because).distinct())
        assert causes.all() == ["no_mentors"]


@pytest.mark.rule("COH2", "MEM4")
async def test_mentor_with_two_places_gets_one_mail_about_each(database: Database) -> None:
    run = await begun(database, "ana bea caro", "leo", mentees_at_a_time=2)
    await run.confirmed()
    assert len(await run.pairs()) == 2
    mails = await run.mails()
    assert mails.count(("mentor.paired", "leo")) == 2
    assert mails.count(("member.unpaired", "caro")) == 1


@pytest.mark.rule("COH2", "MEM5")
async def test_same_member_as_mentor_and_mentee_is_not_paired_alone(database: Database) -> None:
    run = await begun(database, "ana", "leo")
    async with database.begin() as session:
        await session.execute(update(Profile).where(Profile.id == "p-leo").values(member_id="ana"))
    await run.confirmed()
    assert await run.pairs() == {}


@pytest.mark.rule("STA1")
async def test_cancelled_cohort_sends_nothing_more(database: Database) -> None:
    run = await begun(database, "ana", "leo")
    await run.confirmed()
    result = await run.live(REVIEW + timedelta(days=2), Act("x", "cancel", "lina", reason="no budget"))
    assert result.planned.closed
    async with database.reading() as session:
        states = await session.execute(select(Message.state, Message.reason).distinct())
        assert [tuple(each) for each in states] == [("cancelled", "cancelled by staff: no budget")]
    await run.live(KICK_OFF)
    assert run.started == []
    assert run.announced[0].workflow == "cohort/asis-laac-2029"


@pytest.mark.rule("COH1")
async def test_next_cohort_is_announced_when_the_window_is_over(database: Database) -> None:
    run = await begun(database, "ana", "leo")
    await run.plan(at("2028-05-06T23:59"))
    assert run.announced == []
    await run.plan(at("2028-05-07T00:00"))
    assert [(command.kind, command.workflow) for command in run.announced] == [
        ("start", "cohort/asis-laac-2029")
    ]


@pytest.mark.rule("COH2")
async def test_cohort_of_three_thousand_in_bounded_batches(sqlite_url: str) -> None:
    """Proposed, confirmed and started on a real database; the mail is planned, and not sent."""
    database = Database(sqlite_url)
    mentees, mentors = ([f"{role}{number:04}" for number in range(1500)] for role in ("e", "o"))
    run = CohortRun(database, await sign_up(database, mentees, mentors, areas=["Physical security"]))
    await run.live(REVIEW)
    confirmed = REVIEW + timedelta(days=1)
    sizes = []
    result = await run.plan(confirmed, confirm("c"))
    while result.planned.wake_at is not None and result.planned.wake_at < confirmed:
        sizes.append(len(result.planned.mails))
        async with database.begin() as session:
            await session.execute(update(Message).values(state="sent"))
        result = await run.plan(confirmed)
    assert max(sizes) <= 200
    assert len(await run.mails()) == 3000
    while await run.start(KICK_OFF):
        pass
    assert len(run.started) == 1500
    await database.close()
