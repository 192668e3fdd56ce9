"""The registry knows every kind of lifecycle, and each table of handlers has a row for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio import workflow

from database.models import Lifecycle, Member, Profile
from database.session import Database
from lifecycles.onboardings import onboarding_row
from lifecycles.registry import (
    LIFECYCLES,
    agenda_after,
    agenda_of,
    closed_because,
    find_lifecycle,
    open_lifecycles_of,
)
from rules.acts import Act
from rules.agenda import Refused
from rules.kinds import KINDS
from rules.onboarding import OnboardingFacts
from rules.program import Program, load_program
from worker.settings import ROOT
from worker.workflow_runtime import WORKFLOWS

AT = datetime(2028, 3, 6, 15, tzinfo=UTC)


def program() -> Program:
    return load_program(ROOT / "programs" / "asis-global.toml")


async def with_onboarding(database: Database) -> OnboardingFacts:
    facts = OnboardingFacts("p-ana", "mentee", AT)
    async with database.begin() as session:
        session.add(
            Member(
                id="ana",
                name="Ana Pérez",
                email="ana@example.org",
                standing="good",
                standing_since=AT,
                updated_at=AT,
                time_zone="America/Bogota",
                country="CO",
                languages=[],
                certifications=[],
                preferences={},
            )
        )
        await session.flush()
        session.add(
            Profile(
                id="p-ana",
                member_id="ana",
                role="mentee",
                program="asis-global",
                areas=[],
                interests=[],
                languages=[],
                created_at=AT,
                updated_at=AT,
            )
        )
        await session.flush()
        session.add(onboarding_row("onboarding/p-ana", facts, program()))
    return facts


def test_every_kind_has_an_entry_and_a_table_of_its_own() -> None:
    assert list(LIFECYCLES) == list(KINDS)
    assert all(entry.kind is KINDS[name] for name, entry in LIFECYCLES.items())
    assert {entry.table for entry in LIFECYCLES.values()} == set(Lifecycle.__subclasses__())


def test_every_kind_has_its_workflow_type() -> None:
    names = {workflow._Definition.must_from_class(each).name for each in WORKFLOWS}
    assert {kind.workflow for kind in KINDS.values()} <= names


@pytest.mark.rule("STA1")
async def test_preview_and_a_plan_follow_from_the_same_rules(database: Database) -> None:
    programs = {"asis-global": program()}
    await with_onboarding(database)
    async with database.begin() as session:
        row = await find_lifecycle(session, "onboarding/p-ana")
        assert row is not None
        now = await agenda_of(session, row, programs, AT)
        extend = Act("a", "extend", "lina", details={"check_ins": "2"}, at=AT)
        after = await agenda_after(session, row, extend, programs, AT)
        assert len(after.mails) == len(now.mails) + 2
        with pytest.raises(Refused, match="it is not paused by staff"):
            await agenda_after(session, row, Act("b", "resume", "lina", at=AT), programs, AT)
        assert await open_lifecycles_of(session, "ana") == [("onboarding/p-ana", "p-ana")]


@pytest.mark.rule("REQ10")
async def test_closed_lifecycle_says_how_it_is_over(database: Database) -> None:
    programs = {"asis-global": program()}
    await with_onboarding(database)
    async with database.begin() as session:
        row = await find_lifecycle(session, "onboarding/p-ana")
        assert row is not None
        assert await closed_because(session, row, programs) == ""
        row.state, row.closed_at = "unmatched", AT + timedelta(days=70)
        words = "the onboarding is over: unmatched on 2028-05-15"
        assert await closed_because(session, row, programs) == words
        with pytest.raises(Refused, match=words):
            await agenda_after(session, row, Act("a", "cancel", "lina", at=AT), programs, AT)


async def test_id_of_no_lifecycle_finds_nothing(database: Database) -> None:
    async with database.reading() as session:
        for workflow_id in ("inbox", "member/ana", "request/nobody"):
            assert await find_lifecycle(session, workflow_id) is None
