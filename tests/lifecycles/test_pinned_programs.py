"""A lifecycle goes on by the version of the program file that it began with (CPE12)."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from activities.claims import PlanClaim
from activities.planning import (
    PlanEngagement,
    PlannedEngagement,
    PlanRequest,
)
from activities.surveys import PlanSurvey
from database import program_versions
from database.models import (
    Claim,
    Lifecycle,
    Message,
    Onboarding,
    ProgramVersion,
)
from database.program_versions import ProgramVersionRefused, kept_versions
from database.session import Database
from lifecycles.facts import facts_from_row
from lifecycles.participants import UnknownProgram
from lifecycles.registry import LIFECYCLES, agenda_of, find_lifecycle, program_of_message
from lifecycles.situation import pinned_program
from rules.acts import Act
from rules.credit import ClaimFacts
from rules.program import OF_ITS_VERSION, Program
from rules.survey import SurveyFacts
from tests.support.delivery import bundled
from tests.support.programs.deployment import AT, Deployment, people, with_request
from tests.support.programs.program_files import changed_program

TABLES = [entry.table for entry in LIFECYCLES.values()]


@pytest.fixture
def changed(tmp_path: Path) -> Program:
    """The program with other numbers, another name, and one more closing day."""
    return changed_program(
        tmp_path / "programs",
        policy_version='"2035-2"',
        organisation='"Mentors of Security"',
        closing_days="[2035-03-12]",
        check_ins="[0, 7]",
        answer_business_days="3",
        discovery_days="30",
        mentor="4",
        closes_after_days="60",
    )


async def row_of(database: Database, workflow: str) -> Lifecycle:
    async with database.reading() as session:
        row = await find_lifecycle(session, workflow)
    assert row is not None
    return row


@pytest.mark.rule("CPE12", "ONB2")
async def test_onboarding_keeps_its_check_ins_when_the_file_changes(
    database: Database, changed: Program
) -> None:
    """Check-ins of the bundled file lie 0, 14, 28 and 42 days after the anchor of 12 March; of the changed one 0 and 7.

    12 March is a closing day of the changed file: closing days are data, and count for all.
    """
    await people(database)
    first = await Deployment(database, bundled()).start()
    before = [date(2035, 3, 12), date(2035, 3, 26), date(2035, 4, 9), date(2035, 4, 23)]
    assert await first.onboarding("p-ana", AT) == before
    second = await Deployment(database, changed).start()
    moved = [date(2035, 3, 13), *before[1:]]
    extend = Act("a", "extend", "lina", details={"check_ins": "1"}, at=AT)
    assert await second.onboarding("p-ana", AT + timedelta(hours=1), extend) == [*moved, date(2035, 5, 7)]
    assert await second.onboarding("p-ben", AT) == [date(2035, 3, 13), date(2035, 3, 19)]
    old, new = await row_of(database, "onboarding/p-ana"), await row_of(database, "onboarding/p-ben")
    assert (old.policy_version, old.program_version) == (bundled().policy_version, bundled().fingerprint)
    assert (new.policy_version, new.program_version) == ("2035-2", changed.fingerprint)


@pytest.mark.rule("CPE12", "ENG1", "CPE2", "SUR2")
async def test_engagement_claim_and_survey_follow_their_request(database: Database, changed: Program) -> None:
    """Accepted after the change, from a request of before: discovery after 14 days, 9 credits, survey open 30 days.

    It ends on 5 September at 17:00 in New York.
    """
    await people(database)
    await Deployment(database, bundled()).start()
    facts = await with_request(database, bundled())
    worker = await Deployment(database, changed).start()
    accept = Act("a", "accept", "p-mia", at=AT + timedelta(hours=1), by="p-mia")
    accepted = await worker.plan(
        worker.agenda.plan_request, PlanRequest("request/r-1", facts, AT + timedelta(hours=1), [accept])
    )
    goes_on = PlanEngagement("engagement/r-1", accepted.engagement, AT + timedelta(hours=1), [])
    begun: PlannedEngagement = await worker.plan(worker.agenda.plan_engagement, goes_on)
    due = {mail.key: mail.due.date() for mail in begun.planned.mails}
    assert due["mentor.discovery/1"] == date(2035, 3, 19), due
    gate = AT + timedelta(days=200)
    ended: PlannedEngagement = await worker.plan(
        worker.agenda.plan_engagement, PlanEngagement("engagement/r-1", begun.facts, gate, [])
    )
    started = {command.workflow for command in ended.effects if command.kind == "start"}
    assert {"claim/r-1/mentor/CPP", "survey/r-1/mentee", "survey/r-1/mentor"} <= started
    argument = next(each.argument for each in ended.effects if each.workflow == "claim/r-1/mentor/CPP")
    claim = _facts(ClaimFacts, argument)
    await worker.plan(worker.claims.plan_claim, PlanClaim("claim/r-1/mentor/CPP", claim, gate))
    survey = _facts(SurveyFacts, next(e.argument for e in ended.effects if e.workflow == "survey/r-1/mentee"))
    await worker.plan(worker.surveys.plan_survey, PlanSurvey("survey/r-1/mentee", survey, gate))
    for workflow in ("engagement/r-1", "claim/r-1/mentor/CPP", "survey/r-1/mentee"):
        row = await row_of(database, workflow)
        assert (row.policy_version, row.program_version) == (bundled().policy_version, bundled().fingerprint)
    decided = await row_of(database, "claim/r-1/mentor/CPP")
    assert isinstance(decided, Claim)
    assert decided.decision["inputs"]["amount"] == 9
    assert decided.decision["inputs"]["policy_version"] == bundled().policy_version
    async with database.reading() as session:
        last = await agenda_of(session, row, worker.programs, gate)
    closed = [change.due for change in last.state_changes if change.closes]
    assert closed == [datetime(2035, 10, 5, 21, tzinfo=UTC)]


def _facts(kind: type[Any], argument: Any) -> Any:
    return facts_from_row(kind, argument)


@pytest.mark.rule("CPE12", "MAIL5")
async def test_mail_has_the_numbers_of_then_and_the_name_of_now(database: Database, changed: Program) -> None:
    await people(database)
    await with_request(database, bundled())
    await Deployment(database, bundled()).start()
    worker = await Deployment(database, changed).start()
    async with database.reading() as session:
        mail = Message(workflow="request/r-1", program="asis-global")
        program = await program_of_message(session, worker.programs, mail)
        unknown = await program_of_message(
            session, worker.programs, Message(workflow="x/1", program="asis-global")
        )
    assert program.request.answer_business_days == 2
    assert (program.organisation, program.policy_version) == ("Mentors of Security", bundled().policy_version)
    assert unknown is changed


@pytest.mark.rule("CPE12", "COH5")
def test_rules_of_a_version_are_all_its_sections_of_rules(changed: Program) -> None:
    """Names, links, days, mail and events are of today; what decides dates and credit is of the version."""
    bound = changed.governed_by(bundled())
    for name in OF_ITS_VERSION:
        assert getattr(bound, name) == getattr(bundled(), name)
    assert bound.fingerprint == bundled().fingerprint
    assert bound.hours.closing_days == changed.hours.closing_days
    assert (bound.hours.send_time, bound.hours.zone) == (bundled().hours.send_time, bundled().hours.zone)
    for name in (
        "organisation",
        "name",
        "mailbox",
        "sender",
        "manager",
        "resources",
        "languages",
        "mail",
        "events",
    ):
        assert getattr(bound, name) == getattr(changed, name)


@pytest.mark.rule("CPE12")
async def test_two_workers_with_different_files_keep_both(database: Database, changed: Program) -> None:
    """Each lifecycle goes on by its own version, whichever worker plans it."""
    await people(database)
    one, other = Deployment(database, bundled()), Deployment(database, changed)
    await one.start()
    await other.start()
    await one.start()
    await other.onboarding("p-ben", AT)
    await one.onboarding("p-ben", AT + timedelta(hours=1))
    await one.onboarding("p-ana", AT)
    async with database.reading() as session:
        found = await kept_versions(session, TABLES)
    assert [(each.policy_version, each.running, each.over) for each in found] == [
        (bundled().policy_version, 1, 0),
        ("2035-2", 1, 0),
    ]
    assert len(await one.onboarding("p-ben", AT + timedelta(hours=2))) == 2


@pytest.mark.rule("CPE12")
async def test_two_workers_that_start_at_once_keep_a_version_once(
    database: Database, changed: Program
) -> None:
    await asyncio.gather(*(Deployment(database, changed).start() for _ in range(4)))
    async with database.reading() as session:
        found = await kept_versions(session, TABLES)
    assert [each.fingerprint for each in found] == [changed.fingerprint]


@pytest.mark.rule("CPE12")
async def test_row_of_before_versions_is_pinned_at_the_next_start(
    database: Database, changed: Program
) -> None:
    await people(database)
    await Deployment(database, bundled()).onboarding("p-ana", AT)
    async with database.begin() as session:
        row = await session.get_one(Onboarding, "onboarding/p-ana")
        row.program_version = None
    await Deployment(database, changed).start()
    assert (await row_of(database, "onboarding/p-ana")).program_version == changed.fingerprint
    await Deployment(database, bundled()).start()
    assert (await row_of(database, "onboarding/p-ana")).program_version == changed.fingerprint


@pytest.mark.rule("CPE12", "COH5")
async def test_start_names_a_version_that_cannot_be_read(database: Database) -> None:
    """Only one by which a lifecycle goes on counts."""
    await people(database)
    broken = "f" * 64
    async with database.begin() as session:
        kept = {"program": "asis-global", "policy_version": "2019-1", "first_seen_at": AT}
        session.add(ProgramVersion(fingerprint=broken, content='id = "asis-global"', **kept))
    worker = await Deployment(database, bundled()).start()
    await worker.onboarding("p-ana", AT)
    async with database.begin() as session:
        row = await session.get_one(Onboarding, "onboarding/p-ana")
        row.program_version = broken
    with pytest.raises(
        ProgramVersionRefused, match=r"program asis-global, version 2019-1 \(ffffffffffff\): onboarding"
    ):
        await worker.start()
    async with database.begin() as session:
        row = await session.get_one(Onboarding, "onboarding/p-ana")
        row.program_version = "e" * 64
        with pytest.raises(UnknownProgram, match="version eeeeeeeeeeee of program asis-global"):
            await pinned_program(session, worker.programs, row)


@pytest.mark.rule("CPE12")
async def test_plans_read_a_version_from_the_database_once(database: Database, tmp_path: Path) -> None:
    await people(database)
    old = changed_program(tmp_path / "old", policy_version='"2035-1"', unmatched_after_days="15")
    await (await Deployment(database, old).start()).onboarding("p-ana", AT)
    program_versions._READ.pop(old.fingerprint, None)
    worker = await Deployment(database, bundled()).start()
    program_versions._READ.pop(old.fingerprint, None)
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM program_versions" in statement:
            statements.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        for hours in (1, 2, 3):
            await worker.onboarding("p-ana", AT + timedelta(hours=hours))
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    assert len(statements) == 1
