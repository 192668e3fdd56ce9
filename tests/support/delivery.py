"""The delivery activity on a real database and a real mail server; what the tests of delivery share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import pytest
from sqlalchemy import delete, select
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.delivery import MailActivities, Outcome, SendMail
from database import ledger
from database.key_ring import KeyRing
from database.links import Links
from database.models import AuditRecord, Base, Member, Message, Profile, Task
from database.session import Database
from mail.allowlist import RecipientAllowlist
from mail.smtp.channel import SmtpChannel
from mail.smtp.settings import PROBE_INTERVAL, SmtpSettings
from rules.agenda import PlannedMail
from rules.program import Program, load_program
from tests.support.servers.hostile_smtp import HostileSmtp
from tests.support.servers.postgres_server import PostgresServer
from worker.assembly import Composers

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2028, 3, 6, 15, 0, tzinfo=UTC)
DUE = datetime(2028, 3, 13, 13, 0, tzinfo=UTC)
WORKFLOW = "onboarding/p-ana"
KEYS = KeyRing(("a secret for tests only",))


@cache
def bundled() -> Program:
    """The bundled program."""
    return load_program(ROOT / "programs" / "asis-global.toml")


@cache
def composers() -> Composers:
    """The bundled templates, compiled once."""
    return Composers(ROOT / "templates" / "mail", ROOT / "programs")


NUDGE = PlannedMail("check-in", DUE, "mentee.checkin", "p-ana", occurrence=1, number=1)
OWED = PlannedMail("welcome", DUE, "mentor.welcome", "p-ana")
COMPLIANCE = PlannedMail(
    "standing", DUE, "member.standing_lapsed", "p-ana", context={"closes": "2028-05-05T13:00:00+00:00"}
)


def check_ins(count: int) -> list[PlannedMail]:
    """So many check-ins, all due at the same time."""
    return [replace(NUDGE, occurrence=number, number=number) for number in range(1, count + 1)]


async def send(
    mail: MailActivities, *keys: str, at: datetime = DUE, attempt: int = 1, by: str = "run-1"
) -> list[Outcome]:
    """Run the activity once, as Temporal would at `at`. Raises what it raises."""
    return await environment(at, attempt, by).run(mail.send_mail, SendMail(WORKFLOW, list(keys)))


def environment(at: datetime = DUE, attempt: int = 1, by: str = "run-1") -> ActivityEnvironment:
    """An attempt of an activity that starts at `at`, of the workflow run `by`."""
    made = ActivityEnvironment()
    made.info = replace(made.info, started_time=at, attempt=attempt, workflow_run_id=by)
    return made


class MailServer(Protocol):
    """A mail server that deliveries go to."""

    @property
    def host(self) -> str:
        """The host that it listens on."""
        ...

    @property
    def port(self) -> int:
        """Its port."""
        ...


@dataclass
class DeliveryFixture:
    """A database with one member in it, and what was written there."""

    database: Database
    programs: Mapping[str, Program] = field(default_factory=lambda: {"asis-global": bundled()})

    async def plan(self, *mails: PlannedMail, at: datetime = AT, because: str = "no longer due") -> None:
        """Make these the planned messages of the one workflow."""
        async with self.database.begin() as session:
            await ledger.plan(session, WORKFLOW, "asis-global", mails, at, because, {"p-ana": "ana"})

    async def row(self, key: str) -> Message:
        """One message as stored."""
        async with self.database.reading() as session:
            found = await ledger.found(session, WORKFLOW, key)
        assert found is not None
        return found

    async def rows(self) -> list[Message]:
        """All messages."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(Message).order_by(Message.id)))

    async def tasks(self) -> list[tuple[str, str]]:
        """Kind and subject of all staff tasks."""
        async with self.database.reading() as session:
            found = await session.execute(select(Task.kind, Task.subject).order_by(Task.id))
            return [(kind, subject) for kind, subject in found]

    async def decisions(self) -> list[tuple[str, str]]:
        """Delivery and decision of every audit record about mail: a second one for a message would show."""
        async with self.database.reading() as session:
            records = await session.scalars(select(AuditRecord.data).where(AuditRecord.kind == "mail"))
            return [(data["delivery"], data["decision"]) for data in records]

    async def member(self, **values: Any) -> None:
        """Change the one member."""
        async with self.database.begin() as session:
            member = await session.get_one(Member, "ana")
            for name, value in values.items():
                setattr(member, name, value)

    @asynccontextmanager
    async def mailing(
        self,
        server: MailServer,
        *,
        allowlist: RecipientAllowlist | None = None,
        patience: float = 10,
        password: str | None = None,
        tls: Literal["none", "starttls"] = "none",
        ca_file: Path | None = None,
        probe_interval: float = PROBE_INTERVAL,
    ) -> AsyncIterator[MailActivities]:
        """The activity of one worker process, with connections of its own; `patience` is in seconds."""
        channel = SmtpChannel(
            SmtpSettings(
                host=server.host,
                port=server.port,
                username="worker" if password else None,
                password=password,
                tls=tls,
                ca_file=str(ca_file) if ca_file else None,
                connect_timeout=patience,
                command_timeout=patience,
                data_timeout=patience,
                total_timeout=4 * patience,
                helo_name="worker.example.org",
                probe_interval=probe_interval,
            )
        )
        mail = MailActivities(
            self.database,
            self.programs,
            composers(),
            channel,
            Links("https://mentoring.example.org", KEYS),
            allowlist or RecipientAllowlist(production=True),
        )
        try:
            yield mail
        finally:
            await mail.aclose()
            await channel.aclose()


async def refused_for_now(
    mail: MailActivities, *keys: str, at: datetime = DUE, attempt: int = 1
) -> timedelta:
    """Send, and return the delay after which to retry."""
    with pytest.raises(ApplicationError) as raised:
        await send(mail, *keys, at=at, attempt=attempt)
    assert raised.value.type == "TryLater", raised.value
    assert "@" not in str(raised.value), "an address in an error text"
    assert raised.value.next_retry_delay is not None
    return raised.value.next_retry_delay


async def asked(
    mail: MailActivities, *keys: str, at: datetime = DUE, attempt: int = 1, by: str = "run-1"
) -> bool:
    """Send; whether all had their decision, and were not to be tried again."""
    try:
        await send(mail, *keys, at=at, attempt=attempt, by=by)
    except ApplicationError as error:
        if error.type != "TryLater":
            raise
        return False
    return True


def received(server: HostileSmtp) -> list[str]:
    """The deliveries that the server took responsibility for, by the id in their headers."""
    return [str(message_from_bytes(one.content)["X-Throughline-Delivery"]) for one in server.accepted]


def migrate(url: str) -> None:
    """Bring a database to the schema of this version, in a thread with an event loop of its own."""

    async def upgrade() -> None:
        database = Database(url)
        await database.upgrade()
        await database.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(upgrade())).result()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a migrated database, SQLite once and PostgreSQL once, for all tests of a module."""
    if request.param == "sqlite":
        with TemporaryDirectory(prefix="throughline-") as folder:
            url = f"sqlite:///{folder}/throughline.db"
            migrate(url)
            yield url
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database()
    migrate(server.url(name))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
async def deliveries(migrated_url: str) -> AsyncIterator[DeliveryFixture]:
    """A database with one member and her profile, and nothing else."""
    database = Database(migrated_url, keys=KEYS)
    async with database.begin() as session:
        for table in reversed(Base.metadata.sorted_tables):
            await session.execute(delete(table))
        session.add(
            Member(
                id="ana",
                name="Ana Pérez",
                email="ana@example.org",
                standing="good",
                standing_since=AT,
                time_zone="America/Bogota",
                country="CO",
                languages=["es"],
                updated_at=AT,
            )
        )
        await session.flush()
        session.add(
            Profile(
                id="p-ana",
                member_id="ana",
                role="mentee",
                program="asis-global",
                created_at=AT,
                updated_at=AT,
            )
        )
    yield DeliveryFixture(database)
    await database.close()
