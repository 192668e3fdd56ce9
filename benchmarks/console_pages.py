"""What the pages of the console take over 10,000 engagements, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import insert, text

from benchmarks.mail import Figure, show
from database.models import (
    AuditRecord,
    Base,
    Engagement,
    Member,
    Message,
    Profile,
    Request,
    StaffAssignment,
    Task,
)
from database.session import Database
from rules.text import folded_member
from staff.accounts.directory import find_account
from tests.support.console.staff import ConsoleFixture, console_fixture
from tests.support.delivery import migrate
from tests.support.gateway import NOW
from tests.support.servers.postgres_server import PostgresServer

PAIRS = 10_000
MAILS = 10
"""Messages of a pair, seven of them sent."""
ASSIGNED = 300
"""Pairs of the coordinator."""
REQUESTS = 20
MILLISECONDS = 300

PATHS = {
    "today": "/staff",
    "what is ahead": "/staff/ahead",
    "ahead, of 30 days, searched": "/staff/ahead?days=30&search=perez",
    "people": "/staff/people",
    "people, searched": "/staff/people?search=perez",
    "mentees without a mentor": "/staff/people?show=unmatched",
    "mentors with places": "/staff/people?show=places",
    "engagements": "/staff/engagements",
    "engagements, searched": "/staff/engagements?search=perez",
    "pairs that stalled": "/staff/engagements?state=~stalled",
    "mail that failed": "/staff/mail/trouble?trouble=failed",
    "an engagement": "/staff/show/engagement/r5",
    "a person": "/staff/show/member/m7",
    "search": "/staff/search?q=perez",
    "program": "/staff/program",
    "mail health": "/staff/mail",
    "figures": "/staff/figures?since=2027-09-01&until=2028-03-31",
    "a preview": "/staff/act/cancel?target=engagement/r7",
}
OVERVIEW = ("/staff/mail", "/staff/figures")
"""What coordinators do not see."""
NAMES = ("Ana Pérez", "José García", "Marcus Oyelaran", "Lucía Ñandú", "Eva Ferrer", "Grace Okafor")


def _rows() -> dict[type[Base], list[dict[str, Any]]]:
    chance = random.Random(1)
    found: dict[type[Base], list[dict[str, Any]]] = {
        table: [] for table in (Member, Profile, Request, Engagement, Message, AuditRecord, Task)
    }
    at = NOW - timedelta(days=400)
    for number in range(2 * PAIRS):
        name, email, id = f"{chance.choice(NAMES)} {number}", f"m{number}@example.org", f"m{number}"
        found[Member].append(
            {
                "id": id,
                "name": name,
                "email": email,
                "standing": "good",
                "standing_since": at,
                "updated_at": at,
                "languages": ["en"],
                "certifications": [],
                "preferences": {},
                "folded": folded_member(name, email, id),
                "time_zone": "America/Bogota",
                "country": "CO",
            }
        )
        role = "mentee" if number < PAIRS else "mentor"
        found[Profile].append(
            {
                "id": f"p{number}",
                "member_id": id,
                "role": role,
                "program": "asis-global",
                "areas": [],
                "interests": [],
                "languages": [],
                "created_at": at,
                "updated_at": at,
                "mentees_at_a_time": 2 if role == "mentor" else None,
            }
        )
    for number in range(PAIRS):
        # Less than six months ago: the preview is of a change that the rules still take.
        _add_pair(found, number, NOW - timedelta(days=chance.randrange(1, 150), seconds=number))
    return found


def _add_pair(found: dict[type[Base], list[dict[str, Any]]], number: int, at: Any) -> None:
    workflow, mentee, mentor = f"engagement/r{number}", f"p{number}", f"p{PAIRS + number}"
    is_open = number % 3 > 0
    found[Request].append(
        {
            "workflow": f"request/r{number}",
            "id": f"r{number}",
            "program": "asis-global",
            "policy_version": "1",
            "state": "accepted",
            "state_since": at,
            "closed_at": at,
            "created_at": at - timedelta(days=2, hours=number % 7),
            "mentee_id": mentee,
            "mentor_id": mentor,
            "areas": [],
            "facts": {},
        }
    )
    facts = {"engagement": f"r{number}", "mentee": mentee, "mentor": mentor, "started_at": at.isoformat()}
    found[Engagement].append(
        {
            "workflow": workflow,
            "id": f"r{number}",
            "program": "asis-global",
            "policy_version": "1",
            "state": "active" if is_open else "completed",
            "closed_at": None if is_open else NOW,
            "state_since": at,
            "started_at": at,
            "mentee_id": mentee,
            "mentor_id": mentor,
            "facts": facts,
        }
    )
    for mail in range(MAILS):
        due, sent, to = at + timedelta(days=30 * mail), mail < 7, mentee if mail % 2 else mentor
        found[Message].append(
            {
                "delivery": f"d{number}-{mail}",
                "workflow": workflow,
                "step": f"s{mail}",
                "occurrence": 1,
                "message": "mentee.pulse",
                "number": mail,
                "message_class": "nudge",
                "to_profile": to,
                "program": "asis-global",
                "member_id": f"m{to[1:]}",
                "planned_at": at,
                "due_at": due,
                "state": "sent" if sent else "planned",
                "decided_at": due if sent else None,
                "context": {},
                "attempts": 1,
            }
        )
        data = {"delivery": f"d{number}-{mail}", "decision": "sent", "to": to, "message": "mentee.pulse"}
        found[AuditRecord].append(
            {
                "chain": workflow,
                "sequence": mail + 1,
                "subject": workflow,
                "at": at,
                "kind": "mail",
                "data": data,
                "previous": f"{number}-{mail}",
                "hash": f"{number}-{mail + 1}",
            }
        )
    if number % 20 == 1:
        task = {"kind": "inactive", "subject": workflow, "cause": "c", "action": "Ask them.", "state": "open"}
        found[Task].append({**task, "opened_at": at, "due_at": at})


async def _fill(database: Database) -> None:
    async with database.begin() as session:
        for table, rows in _rows().items():
            for some in _batches(rows):
                await session.execute(insert(table), some)
        cora = await find_account(session, "cora@staff.example")
        if cora is None:
            raise LookupError("the coordinator has no account")
        for number in range(ASSIGNED):
            for member in (f"member/m{number}", f"member/m{PAIRS + number}"):
                session.add(StaffAssignment(account_id=cora.id, subject=member, since=NOW))
    if not database.is_sqlite:
        async with database.begin() as session:
            await session.execute(text("ANALYZE"))


def _batches(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [rows[start : start + 2000] for start in range(0, len(rows), 2000)]


async def _slowest(console: ConsoleFixture, path: str) -> float:
    """Return the 95th percentile of the milliseconds of a page, for a manager and a coordinator."""
    worst = 0.0
    for who in ("mia",) if path.partition("?")[0] in OVERVIEW else ("mia", "cora"):
        taken = []
        for _ in range(REQUESTS):
            began = time.perf_counter()
            answer = await console.get(who, path)
            taken.append(1000 * (time.perf_counter() - began))
            answer.raise_for_status()
        worst = max(worst, sorted(taken)[int(REQUESTS * 0.95) - 1])
    return worst


async def _measure(url: str, where: str) -> list[Figure]:
    migrate(url)
    async with console_fixture(url) as console:
        await _fill(console.gateway.database)
        return [
            Figure(f"{name}, {where}", f"{took:.0f} ms", f"< {MILLISECONDS} ms", took < MILLISECONDS)
            for name, path in PATHS.items()
            for took in [await _slowest(console, path)]
        ]


def measure() -> list[Figure]:
    """Measure every page on both databases."""
    with TemporaryDirectory() as folder:
        found = asyncio.run(_measure(f"sqlite:///{Path(folder) / 'throughline.db'}", "SQLite"))
    with PostgresServer() as server:
        return found + asyncio.run(_measure(server.url(server.create_database()), "PostgreSQL"))


def main() -> None:
    """Measure and print."""
    show(measure(), f"Pages of the console over {PAIRS:,} engagements, 95th percentile")


if __name__ == "__main__":
    main()
