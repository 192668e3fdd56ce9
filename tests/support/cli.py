"""The command `throughline`: in this process on a prepared database, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from activities.claims import ClaimActivities, PlanClaim
from activities.planning import AgendaActivities, PlanEngagement, PlanOnboarding, PlanRequest
from activities.surveys import PlanSurvey, SurveyActivities
from cli.main import app
from database.models import Member, Onboarding, Profile, Request
from database.session import Database
from evidence.letters import LetterService
from evidence.renderer import DocumentRenderer
from lifecycles.facts import facts_to_row
from rules.credit import ClaimFacts, Cycle, Record
from rules.engagement import EngagementFacts
from rules.onboarding import OnboardingFacts
from rules.program import Program, load_program
from rules.program.catalogue import load_catalogue
from rules.request import RequestFacts
from rules.survey import SurveyFacts
from tests.support.limits import PATIENCE
from worker.assembly import DOCUMENTS

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "programs" / "asis-global.toml"
COMMAND = Path(sysconfig.get_path("scripts")) / "throughline"


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process of the product, with these settings and no others."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("THROUGHLINE_", "TEMPORAL_"))
    }
    return {**own, **{name: str(value) for name, value in settings.items()}}


def throughline(
    *arguments: str | Path, given: str = "", settings: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own, to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        env=environment(**(settings or {})),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one line of JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class CliFixture:
    """A database of its own, with the command beside it."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __post_init__(self) -> None:
        self.url = f"sqlite:///{self.folder / 'throughline.db'}"
        self.database = Database(self.url)
        self.program: Program = load_program(BUNDLED)
        letters = LetterService(load_catalogue(), DocumentRenderer(DOCUMENTS), "http://127.0.0.1:8080")
        programs = {self.program.id: self.program}
        self.agenda = AgendaActivities(self.database, programs, letters)
        self.credit = ClaimActivities(self.database, programs, letters)
        self.surveys = SurveyActivities(self.database, programs)

    async def throughline(self, *arguments: str | Path, given: str = "", **settings: str) -> Said:
        """Invoke the command in this process, in a thread with an event loop of its own."""
        env: Mapping[str, str] = {"THROUGHLINE_DATABASE": self.url, **self.settings, **settings}
        result = await asyncio.to_thread(
            CliRunner().invoke, app, [str(each) for each in arguments], input=given, env=env
        )
        return Said(result.exit_code, result.stdout, result.stderr)

    async def add_member(self, name: str, **values: Any) -> None:
        """A member in good standing, in Bogotá."""
        given = {
            "name": name.title(),
            "email": f"{name}@example.org",
            "standing": "good",
            "time_zone": "America/Bogota",
            "country": "CO",
        } | values
        async with self.database.begin() as session:
            session.add(Member(id=name, standing_since=self.now, updated_at=self.now, **given))

    async def add_profile(self, profile: str, member: str, role: str) -> None:
        """A member's part in the bundled program."""
        async with self.database.begin() as session:
            session.add(
                Profile(
                    id=profile,
                    member_id=member,
                    role=role,
                    program=self.program.id,
                    created_at=self.now,
                    updated_at=self.now,
                )
            )

    async def sign_up(self, profile: str, member: str, role: str = "mentee") -> OnboardingFacts:
        """A profile made yesterday, its onboarding planned as the engine does."""
        await self.add_profile(profile, member, role)
        facts = OnboardingFacts(profile, role, self.now - timedelta(days=1))
        async with self.database.begin() as session:
            session.add(
                Onboarding(
                    workflow=f"onboarding/{profile}",
                    profile_id=profile,
                    program=self.program.id,
                    policy_version=self.program.policy_version,
                    state="waiting",
                    state_since=facts.created_at,
                    facts=facts_to_row(facts),
                )
            )
        await self.plan(facts)
        return facts

    async def plan(self, facts: OnboardingFacts) -> None:
        """Plan an onboarding again, with these facts."""
        await self.agenda.plan_onboarding(PlanOnboarding(f"onboarding/{facts.profile}", facts, self.now))

    async def request(self, name: str, mentee: str, mentor: str) -> None:
        """A request made this moment, planned."""
        facts = RequestFacts(name, mentee, mentor, self.now)
        async with self.database.begin() as session:
            session.add(
                Request(
                    workflow=f"request/{name}",
                    id=name,
                    mentee_id=mentee,
                    mentor_id=mentor,
                    created_at=self.now,
                    program=self.program.id,
                    policy_version=self.program.policy_version,
                    state="open",
                    state_since=self.now,
                    facts=facts_to_row(facts),
                )
            )
        await self.agenda.plan_request(PlanRequest(f"request/{name}", facts, self.now))

    async def engage(self, name: str, mentee: str, mentor: str) -> None:
        """An engagement that begins this moment, planned."""
        facts = EngagementFacts(name, mentee, mentor, self.now)
        await self.agenda.plan_engagement(PlanEngagement(f"engagement/{name}", facts, self.now))

    async def survey(self, engagement: str, profile: str, role: str) -> None:
        """A survey that opens this moment, planned."""
        facts = SurveyFacts(engagement, role, profile, self.now)
        await self.surveys.plan_survey(PlanSurvey(f"survey/{engagement}/{role}", facts, self.now))

    async def claim(self, engagement: str, profile: str, other: str, role: str, certification: str) -> None:
        """A claim of an engagement that begins this moment, opened with it, planned."""
        today = self.now.date()
        cycle = Cycle(f"{today.year}-01-01", f"{today.year + 2}-12-31")
        facts = ClaimFacts(
            engagement,
            role,
            profile,
            other,
            certification,
            today.isoformat(),
            self.now,
            [Record(self.now, True, cycle)],
        )
        await self.credit.plan_claim(PlanClaim(facts.claim, facts, self.now))

    async def all(self, table: type[Any]) -> list[Any]:
        """All rows of a table."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(table).order_by(*table.__table__.primary_key.columns)))


@pytest.fixture
async def cli(tmp_path: Path, migrated_file: Path) -> AsyncIterator[CliFixture]:
    """A migrated database with Ana, who signed up as a mentee yesterday, and Bob, a mentor; the command beside it."""
    shutil.copy(migrated_file, tmp_path / "throughline.db")
    there = CliFixture(tmp_path)
    await there.add_member("ana")
    year = there.now.year
    cycle = {"code": "CPP", "cycle_start": f"{year}-01-01", "cycle_end": f"{year + 2}-12-31"}
    await there.add_member("bob", time_zone="Europe/Madrid", country="ES", certifications=[cycle])
    await there.sign_up("p-ana", "ana")
    await there.sign_up("p-bob", "bob", "mentor")
    yield there
    await there.database.close()
