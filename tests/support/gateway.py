"""A gateway on a real database, with some people in it; what the tests of the gateway share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from database.key_ring import KeyRing
from database.links import Link, Links
from database.models import Claim, Engagement, Event, Letter, Member, Profile, Request, Survey
from database.session import TIMEOUT, Database
from evidence.letters import LetterService
from evidence.renderer import DocumentRenderer
from gateway.app import create_app
from gateway.links.page import LinkHandler
from gateway.pages import Pages
from gateway.services import GatewayServices
from gateway.webhook_signatures import sign_events
from rules.program import Program, load_program
from rules.program.catalogue import load_catalogue
from tests.support.limits import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2028, 3, 14, 15, 0, tzinfo=UTC)
"""Program time in the tests: a Tuesday, 11:00 in New York and 10:00 in Bogota."""


PAGES = Pages()
CATALOGUE = load_catalogue()
DOCUMENTS = DocumentRenderer(ROOT / "templates" / "documents")


@cache
def bundled() -> Program:
    """The bundled program."""
    return load_program(ROOT / "programs" / "asis-global.toml")


class Switch:
    """Something outside that works, or fails while `broken`; counts how often it was asked."""

    def __init__(self) -> None:
        self.broken = False
        self.asked = 0
        self.worked = 0
        self._changed = asyncio.Condition()

    async def __call__(self) -> None:
        self.asked += 1
        if self.broken:
            raise ConnectionError("10.0.0.7 refused user ana with password hunter2")
        self.worked += 1
        async with self._changed:
            self._changed.notify_all()

    async def has_worked(self, times: int, seconds: float = PATIENCE) -> None:
        """Wait until it worked so often. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: self.worked >= times)


async def eventually(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for lies outside of any event loop
            await asyncio.sleep(0.001)


@dataclass
class GatewayFixture:
    """The app, a client of it, and what it stands on. Times are program time, in UTC."""

    database: Database
    programs: dict[str, Program]
    links: Links
    poke: Switch
    temporal: Switch
    mail: Switch
    services: GatewayServices = field(init=False)
    app: FastAPI = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    at: datetime = NOW
    clock_broken: bool = False

    async def clock(self) -> datetime:
        """The program's clock, as the app asks for it."""
        if self.clock_broken:
            raise ConnectionError("no server")
        return self.at

    def path(self, purpose: str, profile: str, subject: str, detail: str = "", days: float = 60) -> str:
        """The path of a personal link that holds for so many days."""
        return (
            f"/l/{self.links.token(Link(purpose, profile, subject, self.at + timedelta(days=days), detail))}"
        )

    async def events(self) -> list[Event]:
        """All stored events, the first first."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(Event).order_by(Event.id)))

    async def all(self, table: type[Any]) -> list[Any]:
        """All rows of a table."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(table).order_by(*table.__table__.primary_key.columns)))

    async def member(self, name: str) -> Member:
        """A member as stored."""
        async with self.database.reading() as session:
            return (await session.scalars(select(Member).where(Member.id == name))).one()

    async def change(self, table: type[Any], name: str | int, /, **values: object) -> None:
        """Change a row by its id."""
        async with self.database.begin() as session:
            row = (await session.scalars(select(table).where(table.id == name))).one()
            for key, value in values.items():
                setattr(row, key, value)

    async def send(self, events: object, secret: str = SECRET, **changes: Any) -> httpx.Response:
        """Post signed events."""
        headers, body = sign_events(secret, events)  # type: ignore[arg-type]
        return await self.client.post("/events", content=body, headers={**headers, **changes})


def event(type: str, id: str = "e-1", **data: object) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "id": id, "source": "/members", "type": type, "data": data}


def member_updated(member: str = "eva", id: str = "e-1", **data: object) -> dict[str, Any]:
    """A right event."""
    return event(
        "member.updated",
        id,
        member=member,
        **{"name": "Eva", "email": "eva@example.org", "standing": "good", **data},
    )


def member(name: str, full: str, **values: Any) -> Member:
    """A member in good standing."""
    at = NOW - timedelta(days=100)
    return Member(
        id=name,
        name=full,
        email=f"{name}@example.org",
        standing="good",
        standing_since=at,
        updated_at=at,
        languages=values.pop("languages", ["en"]),
        preferences=values.pop("preferences", {}),
        **values,
    )


def profile(name: str, member_id: str, role: str, program: str = "asis-global") -> Profile:
    """A profile."""
    at = NOW - timedelta(days=90)
    return Profile(id=name, member_id=member_id, role=role, program=program, created_at=at, updated_at=at)


def request_row(name: str = "r-1", state: str = "open", **values: Any) -> Request:
    """A request of Ana's to Marcus, made on Monday, 13 March 2028."""
    at = NOW - timedelta(days=1)
    return Request(
        workflow=f"request/{name}",
        id=name,
        program="asis-global",
        policy_version="1",
        state=state,
        state_since=at,
        mentee_id=values.pop("mentee_id", "p-ana"),
        mentor_id=values.pop("mentor_id", "p-marcus"),
        created_at=at,
        facts={"request": name, "mentee": "p-ana", "mentor": "p-marcus", "created_at": at.isoformat()},
        **values,
    )


def engagement_row(name: str = "r-2", state: str = "active", **values: Any) -> Engagement:
    """An engagement of Ana and Marcus, since 10 January 2028."""
    at = datetime(2028, 1, 10, 15, 0, tzinfo=UTC)
    facts = {
        "engagement": name,
        "mentee": "p-ana",
        "mentor": "p-marcus",
        "started_at": at.isoformat(),
        **values.pop("facts", {}),
    }
    return Engagement(
        workflow=f"engagement/{name}",
        id=name,
        program="asis-global",
        policy_version="1",
        state=state,
        state_since=at,
        mentee_id="p-ana",
        mentor_id="p-marcus",
        started_at=at,
        facts=facts,
        **values,
    )


def people() -> list[Any]:
    """Ana from Bogota, who reads Spanish and is Marcus' mentee, Marcus from New York, and Eva, a stranger."""
    return [
        member("ana", "Ana Pérez Castillo", time_zone="America/Bogota", country="CO", languages=["es"]),
        member("marcus", "Marcus Oyelaran", time_zone="America/New_York", country="US"),
        member("eva", "Eva Stranger"),
        profile("p-ana", "ana", "mentee"),
        profile("p-marcus", "marcus", "mentor"),
        profile("p-eva", "eva", "mentor"),
    ]


MENTORS_CLAIM, MENTEES_CLAIM = "claim/r-2/mentor/CPP", "claim/r-2/mentee/PSP"
LETTER = "Lm3x9QkT2vB7"
_CYCLE = {"start": "2027-01-01", "end": "2029-12-31"}


def claim_row(role: str, code: str, state: str = "awaiting_evidence") -> Claim:
    """A claim of Marcus' or Ana's, whose gate is 10 July 2028."""
    profile, other = ("p-marcus", "p-ana") if role == "mentor" else ("p-ana", "p-marcus")
    at = datetime(2028, 6, 12, 13, 0, tzinfo=UTC)
    facts = {
        "engagement": "r-2",
        "role": role,
        "profile": profile,
        "counterpart": other,
        "certification": code,
        "started_on": "2028-01-10",
        "created_at": at.isoformat(),
        "records": [{"at": at.isoformat(), "good_standing": True, "cycle": _CYCLE}],
    }
    return Claim(
        workflow=f"claim/r-2/{role}/{code}",
        engagement_id="r-2",
        role=role,
        profile_id=profile,
        member_id=profile.removeprefix("p-"),
        certification=code,
        credit_date="2028-07-10",
        program="asis-global",
        policy_version="1",
        state=state,
        state_since=at,
        domains=["cpp-crisis-management"] if code == "CPP" else [],
        earned=9 if state == "ready" else 0,
        facts=facts,
    )


def survey_row(role: str) -> Survey:
    """An open survey of one side of the engagement."""
    return Survey(
        workflow=f"survey/r-2/{role}",
        engagement_id="r-2",
        role=role,
        profile_id="p-marcus" if role == "mentor" else "p-ana",
        program="asis-global",
        policy_version="1",
        state="open",
        state_since=NOW,
        facts={},
    )


def letter_row(kind: str = "confirmation", id: str = LETTER, **values: Any) -> Letter:
    """A letter that was signed, or a certificate that was issued, in an earlier engagement.

    In Bogota it was the evening of 10 July 2028; in UTC the next day had begun.
    """
    at = datetime(2028, 7, 11, 1, 30, tzinfo=UTC)
    certificate = kind == "certificate"
    data: dict[str, Any] = {
        "program": {"name": bundled().name, "organisation": bundled().organisation},
        "mentor": {"name": "Marcus <b>Oyelaran</b>", "profile": "p-marcus"},
        "mentee": {"name": "Ana Pérez Castillo", "profile": "p-ana"},
        "started": "2028-01-10",
    }
    if certificate:
        data |= {"ended": "2028-07-10", "issued": {"at": at.isoformat(), "zone": "America/New_York"}}
    else:
        data |= {
            "certification": {"code": "CPP", "name": "Certified Protection Professional"},
            "credit_date": "2028-07-10",
            "domains": ["Physical Security", "Crisis Management"],
            "credits": {"amount": 9, "category": "Category 3: Instructor", "cap": 30},
            "purpose": "To lead a first site survey.",
            "signature": {
                "name": "Ana Perez",
                "at": at.isoformat(),
                "zone": "America/Bogota",
                "method": "page",
            },
        }
    return Letter(
        id=id,
        engagement_id="r-0",
        kind=kind,
        role="mentee" if kind == "mentor_letter" else "mentor",
        certification=None if certificate else "CPP",
        locale="en",
        statement="I confirm.",
        data=data,
        document=b"%PDF",
        sha256="c" * 64,
        signed_at=at,
        **values,
    )


def at_the_gate() -> list[Any]:
    """Everybody, an engagement with a claim and a survey of each side, and a letter signed earlier."""
    rows: list[Any] = [*people(), request_row(), request_row("r-2"), engagement_row()]
    for row in rows:
        if getattr(row, "id", "") in ("ana", "marcus"):
            code = "PSP" if row.id == "ana" else "CPP"
            cycle = {f"cycle_{edge}": day for edge, day in _CYCLE.items()}
            row.certifications = [{"code": code, **cycle}]
    claims = [claim_row("mentor", "CPP"), claim_row("mentee", "PSP"), claim_row("mentor", "PCI", "ready")]
    return [*rows, *claims, survey_row("mentor"), survey_row("mentee"), letter_row()]


@asynccontextmanager
async def gateway_fixture(
    url: str,
    rows: Iterable[Any] | None = None,
    *,
    programs: dict[str, Program] | None = None,
    secrets: Sequence[str] = (SECRET,),
    handlers: Mapping[str, LinkHandler] | None = None,
    timeout: float = TIMEOUT,
    keys: KeyRing | None = None,
) -> AsyncIterator[GatewayFixture]:
    """A gateway on an empty, migrated database, with its background work running."""
    database = Database(url, timeout=timeout, keys=keys)
    async with database.begin() as session:
        for row in [*people(), request_row(), engagement_row()] if rows is None else rows:
            session.add(row)
            await session.flush()
    if programs is None:
        program = replace(bundled(), mailbox="mentoring@example.org")
        programs = {program.id: program}
    links = Links("https://mentoring.example.org", "a secret for tests only")
    poke, temporal, mail = Switch(), Switch(), Switch()
    made = GatewayFixture(database, programs, links, poke, temporal, mail)
    services = GatewayServices(
        database=database,
        programs=programs,
        links=links,
        letters=LetterService(CATALOGUE, DOCUMENTS, links.base_url),
        clock=made.clock,
        notify_inbox=poke,
        checks={"temporal": temporal, "mail": mail},
    )
    made.services = services
    made.app = create_app(services, webhook_secrets=secrets, handlers=handlers, pages=PAGES)
    transport = httpx.ASGITransport(made.app, raise_app_exceptions=False)
    async with (
        made.app.router.lifespan_context(made.app),
        httpx.AsyncClient(
            transport=transport, base_url="https://mentoring.example.org", follow_redirects=True
        ) as client,
    ):
        made.client = client
        yield made
    await database.close()
