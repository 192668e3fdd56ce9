"""Running lifecycles are moved to another version of their program: previewed, on record, and resumed (CPE12, STA1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.claims import PlanClaim
from activities.planning import PlanEngagement, PlanRequest
from database.models import AuditRecord, ProgramVersion
from database.session import Database
from lifecycles.facts import facts_from_row
from lifecycles.registry import find_lifecycle
from rules.acts import Act
from rules.credit import ClaimFacts
from rules.program import Program
from rules.request import RequestFacts
from staff.program_moves import (
    MoveRefused,
    VersionMove,
    move_batch,
    next_batch,
    summary_of,
    version_named,
)
from tests.support.delivery import bundled
from tests.support.programs.deployment import AT, Deployment, people, with_request
from tests.support.programs.program_files import changed_program

pytestmark = pytest.mark.rule("CPE12", "STA1")

LATER = AT + timedelta(days=2)


@dataclass
class Prepared:
    """Two onboardings and a request of the bundled version, on workers that know a changed one, too."""

    worker: Deployment
    client: Client
    changed: Program

    @property
    def move(self) -> VersionMove:
        """From the bundled version to the changed one."""
        return VersionMove("asis-global", bundled().fingerprint, self.changed.fingerprint)

    async def moved(self, *workflows: str, move: VersionMove | None = None) -> Any:
        """Move lifecycles."""
        worker = self.worker
        return await move_batch(
            worker.database,
            self.client,
            worker.programs,
            move or self.move,
            workflows,
            LATER,
            actor="mia@example.org",
            reason="fewer mails",
        )

    async def version_of(self, workflow: str) -> tuple[str, str | None]:
        """The version that a lifecycle goes on by."""
        async with self.worker.database.reading() as session:
            row = await find_lifecycle(session, workflow)
        assert row is not None
        return row.policy_version, row.program_version


@pytest.fixture
async def prepared(
    database_url: str, temporal_dev: WorkflowEnvironment, tmp_path: Path
) -> AsyncIterator[Prepared]:
    """Check-ins of the changed file lie 0 and 7 days after the anchor; mentors have 3 business days to answer."""
    database = Database(database_url)
    await database.upgrade()
    await people(database)
    before = await Deployment(database, bundled()).start()
    for name in ("ana", "ben"):
        await before.onboarding(f"p-{name}", AT)
    facts = await with_request(database, bundled())
    await before.plan(before.agenda.plan_request, PlanRequest("request/r-1", facts, AT, []))
    settings = {"policy_version": '"2035-2"', "check_ins": "[0, 7]", "answer_business_days": "3"}
    changed = changed_program(tmp_path / "programs", **settings)
    yield Prepared(await Deployment(database, changed).start(), temporal_dev.client, changed)
    await database.close()


async def test_preview_names_what_moves_and_changes_nothing(prepared: Prepared) -> None:
    worker = prepared.worker
    batch = await next_batch(worker.database, worker.programs, prepared.move, LATER)
    assert [each.workflow for each in batch.previews] == [
        "onboarding/p-ana",
        "onboarding/p-ben",
        "request/r-1",
    ]
    assert (batch.waiting, batch.staying) == (3, 0)
    ana, _, request = (each.result for each in batch.previews)
    assert ana is not None
    assert request is not None
    assert [(e.change, e.number) for e in ana.effects] == [("not_sent", 3), ("not_sent", 4), ("moved", 2)]
    assert {effect.change for effect in request.effects} <= {"moved"}
    found = summary_of(batch.previews, LATER)
    assert (found.not_sent, found.now, found.states, found.refused) == (4, 0, 0, 0)
    rest = await next_batch(
        worker.database, worker.programs, prepared.move, LATER, after="onboarding/p-ana", most=1
    )
    assert ([each.workflow for each in rest.previews], rest.waiting) == (["onboarding/p-ben"], 2)
    assert (await prepared.version_of("onboarding/p-ana"))[1] == bundled().fingerprint


@pytest.mark.rule("STA3")
async def test_move_is_on_record_once_and_the_next_plan_follows_it(prepared: Prepared) -> None:
    """No workflow runs here: it is counted as not reached, and its plan is due."""
    result = await prepared.moved("onboarding/p-ana")
    assert (result.moved, result.skipped, result.unreached) == (("onboarding/p-ana",), (), 1)
    again = await prepared.moved("onboarding/p-ana", "member/ana", "onboarding/none")
    assert (again.moved, len(again.skipped)) == ((), 3)
    assert await prepared.version_of("onboarding/p-ana") == ("2035-2", prepared.changed.fingerprint)
    assert await prepared.version_of("onboarding/p-ben") == (
        bundled().policy_version,
        bundled().fingerprint,
    )
    days = await prepared.worker.onboarding("p-ana", LATER + timedelta(minutes=1))
    assert days[:2] == [date(2035, 3, 12), date(2035, 3, 19)]
    async with prepared.worker.database.reading() as session:
        acts = list(
            await session.scalars(
                select(AuditRecord).where(
                    AuditRecord.subject == "onboarding/p-ana", AuditRecord.kind == "act"
                )
            )
        )
    [record] = acts
    assert record.data == {
        "act": "version moved",
        "from": bundled().version,
        "to": prepared.changed.version,
    }
    assert (record.actor, record.veiled) == ("mia@example.org", {"reason": "fewer mails"})


async def test_engagement_whose_claim_has_begun_stays(prepared: Prepared) -> None:
    worker = prepared.worker
    accept = Act("a", "accept", "p-mia", at=AT, by="p-mia")
    async with worker.database.reading() as session:
        row = await find_lifecycle(session, "request/r-1")
    assert row is not None
    facts = facts_from_row(RequestFacts, row.facts)
    accepted = await worker.plan(worker.agenda.plan_request, PlanRequest("request/r-1", facts, AT, [accept]))
    begun = PlanEngagement("engagement/r-1", accepted.engagement, AT, [])
    planned = await worker.plan(worker.agenda.plan_engagement, begun)
    batch = await next_batch(worker.database, worker.programs, prepared.move, LATER)
    assert [each.workflow for each in batch.previews][-1] == "engagement/r-1"
    gate = AT + timedelta(days=170)
    later = PlanEngagement("engagement/r-1", planned.facts, gate, [])
    effects = (await worker.plan(worker.agenda.plan_engagement, later)).effects
    argument = next(each.argument for each in effects if each.workflow == "claim/r-1/mentor/CPP")
    claim = facts_from_row(ClaimFacts, argument)
    await worker.plan(worker.claims.plan_claim, PlanClaim("claim/r-1/mentor/CPP", claim, gate))
    batch = await next_batch(worker.database, worker.programs, prepared.move, gate)
    assert ("engagement/r-1" in {each.workflow for each in batch.previews}, batch.staying) == (False, 1)
    assert (await prepared.moved("engagement/r-1")).moved == ()


async def test_move_is_refused_where_a_version_cannot_be_used(prepared: Prepared) -> None:
    async with prepared.worker.database.begin() as session:
        kept = {"program": "asis-global", "policy_version": "2019-1", "first_seen_at": AT}
        session.add(ProgramVersion(fingerprint="f" * 64, content='id = "asis-global"', **kept))
    wrong = {
        "cannot read it": replace(prepared.move, target="f" * 64),
        "no worker has started": replace(prepared.move, target="e" * 64),
        "same version": replace(prepared.move, target=prepared.move.source),
        "not loaded here": replace(prepared.move, program="asis-mars"),
    }
    for words, move in wrong.items():
        with pytest.raises(MoveRefused, match=words):
            await prepared.moved("onboarding/p-ana", move=move)
    async with prepared.worker.database.reading() as session:
        assert await version_named(session, "asis-global", "ffffff") == "f" * 64
        for name in ("", "ffff", "%%%%%%", "123456789"):
            with pytest.raises(MoveRefused, match="names no version"):
                await version_named(session, "asis-global", name)
