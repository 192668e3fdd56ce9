"""The erasure of a person: nothing of theirs can be read any more, and what others rely on still holds (STA5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import String, Text, select, text
from sqlalchemy.engine import make_url

from database import audit, erasure, mail_bodies, person_keys
from database.erasure import ErasureReport, Fate
from database.key_ring import KeyRing
from database.models import (
    ActBatch,
    ActBatchItem,
    AuditRecord,
    Badge,
    BadgeAchievement,
    BadgeStatus,
    Base,
    Claim,
    Cohort,
    CohortMember,
    CohortPair,
    CurriculumProgress,
    Event,
    EventSubject,
    Feedback,
    Letter,
    LinkUse,
    MailBody,
    Meetup,
    MeetupInvitation,
    Member,
    Message,
    NudgePlace,
    Onboarding,
    Profile,
    Report,
    StaffAccount,
    StaffAssignment,
    Suppression,
    Survey,
    Task,
    TrialGuest,
)
from database.retention import personal_columns
from database.session import Database
from evidence.dossier import export
from evidence.verifier import verify
from rules.text import ERASED
from tests.support.gateway import NOW, at_the_gate

KEYS = KeyRing(("a secret for tests of erasure",))
AT = NOW + timedelta(days=200)
NAME = "Zoë Ñandú-O'Brien 鈴木"
ADDRESS = "zoë.ñandú@example.org"

DIGEST = hashlib.sha256(b"document-qz").hexdigest()


def lifecycle(workflow: str, **values: Any) -> dict[str, Any]:
    return {
        "workflow": workflow,
        "program": "asis-global",
        "policy_version": "1",
        "state": "active",
        "state_since": NOW,
        "facts": {"steps": [{"reason": "facts-qz1"}, {"reason": "event:1"}]},
        **values,
    }


def event_row(number: int, type: str, subject: str, state: str, **data: Any) -> Event:
    return Event(
        id=number,
        source="/members",
        event_id=f"e-{number}",
        type=type,
        subject=subject,
        data=data,
        ignored=["/nick"],
        state=state,
        reason=None,
        heard_at=NOW,
    )


def message_row(number: int, to: str, member: str, state: str) -> Message:
    return Message(
        delivery=f"d-{number}",
        workflow="engagement/r-2",
        step="pulse",
        occurrence=number,
        message="mentee.pulse",
        message_class="owed",
        program="asis-global",
        to_profile=to,
        member_id=member,
        planned_at=NOW,
        due_at=NOW,
        state=state,
        message_id=f"<m-{number}@mail.example.org>",
    )


# long: a row of each table that can hold something of a person
def life() -> list[Any]:
    """Return all that the database can have of Ana, who works with Marcus."""
    rows = at_the_gate()
    for row in rows:
        if isinstance(row, Letter):
            row.engagement_id = "r-2"
    return [
        *rows,
        Onboarding(profile_id="p-ana", **lifecycle("onboarding/p-ana")),
        Letter(
            id="certificate-1",
            engagement_id="r-2",
            kind="certificate",
            role="mentee",
            locale="es",
            statement="x",
            document=b"x",
            sha256="d" * 64,
            signed_at=NOW,
        ),
        Feedback(profile_id="p-ana", event_id="f-1", text="x", given_at=NOW),
        Report(engagement_id="r-2", by_profile="p-ana", event_id="w-1", text="x", reported_at=NOW),
        Report(engagement_id="r-2", by_profile="p-marcus", event_id="w-2", text="x", reported_at=NOW),
        CurriculumProgress(engagement_id="r-2", profile_id="p-ana", step="one", done_at=NOW, by="p-ana"),
        message_row(1, "p-ana", "ana", "sent"),
        message_row(2, "p-marcus", "marcus", "sent"),
        message_row(3, "p-ana", "ana", "planned"),
        message_row(4, "p-marcus", "marcus", "claimed"),
        Cohort(
            id="c-1",
            opens_on="2028-01-01",
            closes_on="2028-02-01",
            kick_off_on="2028-03-01",
            months=6,
            **lifecycle("cohort/c-1", facts={}),
        ),
        CohortMember(cohort_id="c-1", profile_id="p-ana", role="mentee", joined_at=NOW),
        CohortPair(cohort_id="c-1", mentee_id="p-ana", mentor_id="p-marcus", state="broken", fit=7),
        Meetup(
            id="m-1",
            title="Coffee",
            starts_local="2028-04-01T17:00",
            time_zone="UTC",
            duration="PT1H",
            starts_at=NOW,
            ends_at=NOW,
            **lifecycle("meetup/m-1", facts={}),
        ),
        MeetupInvitation(
            workflow="meetup/m-1", member_id="ana", number=1, profile_id="p-ana", uid="u-1", invited_at=NOW
        ),
        Suppression(address=ADDRESS, kind="hard", last_at=NOW, since=NOW),
        TrialGuest(program="asis-global", address=ADDRESS, added_by="lina", added_at=NOW),
        NudgePlace(member_id="ana", day="2028-03-14", place=1, delivery="d-1"),
        LinkUse(purpose="met", profile="p-ana", subject="engagement/r-2", times=[], last_at=NOW),
        StaffAccount(
            id="lina",
            name="Lina",
            email="lina@example.org",
            role="coordinator",
            language="en",
            zone="UTC",
            created_at=NOW,
        ),
        StaffAssignment(account_id="lina", subject="member/ana", since=NOW),
        ActBatch(account_id="lina", kind="engagement", act="pause", given={}, state="done", made_at=NOW),
        ActBatchItem(batch_id=1, number=1, target="engagement/r-2", state="refused", outcome={}),
        Task(kind="inactive", subject="engagement/r-2", cause="x", action="x", opened_at=NOW, due_at=NOW),
        Task(kind="misconduct", subject="engagement/r-2", cause="y", action="y", opened_at=NOW, due_at=NOW),
        event_row(1, "member.updated", "member/ana", "applied", member="ana", name=NAME),
        event_row(2, "profile.created", "onboarding/p-ana", "held", profile="p-ana", goals="events-qz1"),
        event_row(3, "request.created", "request/r-2", "applied", request="r-2", message="events-qz2"),
        event_row(4, "engagement.met", "engagement/r-2", "stored", engagement="r-2", by="p-marcus"),
        event_row(5, "meetup.answered", "meetup/m-1", "applied", meetup="m-1", by="p-ana", x="events-qz3"),
        event_row(6, "mail.bounced", "mail/d-1", "refused", delivery="d-1", reason="events-qz4"),
        event_row(7, "member.updated", "member/marcus", "applied", member="marcus", name="Marcus"),
        EventSubject(subject="member/ana", event_id=2),
        BadgeStatus(number=1, program="asis-global", opened_at=NOW),
        BadgeAchievement(id="a-1", content={}),
    ]


_WIDTH = 10
_SHAPES: dict[tuple[str, str], Any] = {
    ("surveys", "answers"): lambda mark: {"rating": 4, "why": mark},
    ("claims", "decision"): lambda mark: {"inputs": {"letter": None, "steps": [{"reason": mark}]}},
    ("letters", "data"): lambda mark: {"mentor": {"name": mark}, "retained_until": "2033-12-31"},
    ("members", "certifications"): lambda mark: [{"code": "CPP", "name": mark}],
}
_HERS: dict[str, Any] = {"members": ["ana"], "profiles": ["p-ana"], "events": [1, 2, 3, 4, 5, 6]}
_STRUCTURAL = {
    # What stays as it is: codes and numbers of evidence, ids, and what the test writes by itself.
    *[("claims", name) for name in ["certification", "credit_date", "cycle_start", "cycle_end", "domains"]],
    *[("claims", "earned"), ("claims", "countable"), ("messages", "recipient")],
    *[("letters", "certification"), ("meetings", "answer"), ("meetings", "met_on"), ("members", "standing")],
    *[("members", "folded"), ("badges", "content"), ("mail_bodies", "content"), ("events", "data")],
    *[("audit_records", "veiled"), ("suppressions", "address"), ("trial_guests", "address")],
    *[("members", "name"), ("members", "email"), ("members", "email_given"), ("act_batches", "reason")],
    *[("tasks", "cause"), ("messages", "reason")],
}


def mark(row: Any) -> None:
    """Write a mark into each column of a row that can hold something personal."""
    table = row.__tablename__
    if table in _HERS and row.id not in _HERS[table]:
        return
    for name in (column for of, column in personal_columns() if of == table):
        column = row.__table__.columns[name]
        if (table, name) in _STRUCTURAL or not hasattr(row, name):
            continue
        word = f"{name}-qz"
        if shape := _SHAPES.get((table, name)):
            setattr(row, name, shape(word))
        elif isinstance(column.type, (String, Text)):
            setattr(row, name, word[: getattr(column.type, "length", None) or len(word)])
        elif column.type.python_type is bytes:
            setattr(row, name, word.encode())
        elif column.type.python_type is int:
            setattr(row, name, 77_777)
        else:
            setattr(row, name, [word])


@pytest.fixture
async def lived(upgraded_url: str) -> Any:
    """A database in which Ana has lived, on SQLite and on PostgreSQL."""
    database = Database(upgraded_url, keys=KEYS)
    if not database.is_sqlite:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        async with database.begin() as session:
            await session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    async with database.begin() as session:
        for row in life():
            mark(row)
            if isinstance(row, Member) and row.id == "ana":
                row.name, row.email, row.email_given = NAME, "zo@xn--and-5ma1g.example.org", ADDRESS
            session.add(row)
            await session.flush()
        await _under_her_key(session)
        await _on_record(session)
    yield database
    await database.close()


async def _under_her_key(session: Any) -> None:
    for member in ("ana", "marcus"):
        await person_keys.ensure(session, member, NOW)
    for number in (1, 2):
        row = await session.get(Message, number)
        row.recipient = ADDRESS if number == 1 else "marcus@example.org"
        row.content = b"Dear Zo\xc3\xab, content-qz"
        assert await mail_bodies.keep(session, row, NOW)
        row.content = None
    key = await person_keys.key_of(session, "ana")
    assert key is not None
    content = person_keys.encrypt(key, b"badge-qz", "b-1")
    session.add(
        Badge(
            id="b-1",
            letter_id="Lm3x9QkT2vB7",
            member_id="ana",
            program="asis-global",
            achievement="a-1",
            status_list=1,
            status_index=1,
            kid="k",
            content=content,
            made_at=NOW,
        )
    )


async def _on_record(session: Any) -> None:
    ids = {"mentee": "p-ana", "mentor": "p-marcus"}
    letter, certificate = ({"letter": id, "sha256": DIGEST} for id in ("Lm3x9QkT2vB7", "certificate-1"))
    for subject, kind, data in (
        ("member/ana", "act", {"act": "lift"}),
        ("onboarding/p-ana", "act", {"act": "pause"}),
        ("engagement/r-2", "state", {"state": "active"}),
        ("claim/r-2/mentor/CPP", "letter", letter),
        ("engagement/r-2", "letter", certificate),
        ("engagement/r-2", "task", {"task": "misconduct"}),
        ("cohort/c-1", "pair", ids),
        ("member/marcus", "act", {"act": "of Marcus alone"}),
    ):
        words = f"{NAME}: veiled-qz" if subject != "member/marcus" else "Marcus has moved"
        await audit.append(session, subject, kind, NOW, data, actor="lina", veiled={"reason": words})


async def rows_of(database: Database) -> dict[str, Sequence[Any]]:
    """Return all rows of a database, by table."""
    async with database.reading() as session:
        return {
            table.name: (await session.execute(select(table).order_by(*table.primary_key))).all()
            for table in Base.metadata.sorted_tables
        }


async def everything(database: Database) -> bytes:
    """Return all bytes that a database holds: the files of SQLite, the rows of PostgreSQL as text."""
    await erasure.compact(database)
    if database.is_sqlite:
        file = Path(make_url(database.url).database or "")
        return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    found: list[str] = []
    async with database.reading() as session:
        for table in Base.metadata.sorted_tables:
            found += await session.scalars(text(f"SELECT t::text FROM {table.name} t"))
    return "\n".join(found).encode()


def spellings(word: str) -> Iterable[bytes]:
    """Return the ways in which a word may stand in a database: as it is, in JSON, in bytes."""
    yield word.encode()
    yield json.dumps(word)[1:-1].encode()
    yield word.encode().hex().encode()


def words_left(content: bytes, *words: str) -> list[str]:
    return [word for word in words if any(spelling in content for spelling in spellings(word))]


async def erase(database: Database, at: datetime = AT) -> ErasureReport:
    async with database.begin() as session:
        return await erasure.erase(session, "ana", "lina", True, at)


def test_every_personal_column_is_written_by_the_test() -> None:
    """A new one fails here until erasure and this test know it."""
    written = {table for table, _ in personal_columns()} - {row.__tablename__ for row in life()}
    assert written == {"audit_records", "badges", "mail_bodies", "meetings"}


@pytest.mark.rule("STA5")
async def test_nothing_of_an_erased_person_can_be_read(lived: Database) -> None:
    """Once what has to be kept for a time is over as well."""
    before = await everything(lived)
    assert words_left(before, "qz", NAME, ADDRESS) == ["qz", NAME, ADDRESS]
    report = await erase(lived)
    after = await everything(lived)
    assert words_left(after, NAME, ADDRESS, "Ñandú", "鈴木", "veiled-qz", "events-qz", "facts-qz") == []
    kept = {(item.table, item.until) for item in report.items if item.outcome is Fate.KEPT}
    assert kept == {("letters", date(2033, 12, 31)), ("reports", date(2033, 12, 31))}
    assert b"statement-qz" in after
    async with lived.begin() as session:
        assert await erasure.remove_expired(session, datetime(2033, 12, 31, 12, tzinfo=UTC)) == 0
    async with lived.begin() as session:
        assert await erasure.remove_expired(session, datetime(2034, 1, 1, 12, tzinfo=UTC)) == 1
        assert await erasure.remove_expired(session, datetime(2034, 1, 1, 12, tzinfo=UTC)) == 0
    last = await everything(lived)
    assert [line for line in last.split(b"\n") if b"qz" in line or b"77777" in line] == []


@pytest.mark.rule("STA5")
async def test_the_other_side_and_the_audit_chain_are_left_whole(lived: Database, tmp_path: Path) -> None:
    """Marcus keeps his data, his mail, his claims and his letters; no record is changed, and the dossier verifies."""
    await erase(lived)
    async with lived.begin() as session:
        marcus = await session.get_one(Member, "marcus")
        assert (marcus.name, marcus.email) == ("Marcus Oyelaran", "marcus@example.org")
        chains: dict[str, list[AuditRecord]] = {}
        for record in await session.scalars(select(AuditRecord).order_by(AuditRecord.id)):
            chains.setdefault(record.chain, []).append(record)
        assert {chain: audit.breaks(records) for chain, records in chains.items()} == {
            chain: [] for chain in chains
        }
        assert [record.veiled for record in chains["member/marcus"]] == [{"reason": "Marcus has moved"}]
        erased = chains["member/ana"][-1]
        assert (erased.data["act"], erased.data["reason_given"], erased.actor) == ("erase", True, "lina")
        claims = (await session.scalars(select(Claim).order_by(Claim.workflow))).all()
        assert [claim.earned for claim in claims] == [0, 0, 9]
        letter = await session.get_one(Letter, "Lm3x9QkT2vB7")
        assert letter.document is not None
        assert [event.state for event in await session.scalars(select(Event).order_by(Event.id))] == [
            *("applied", "refused", "applied", "refused", "applied", "refused", "applied")
        ]
        surveys = (await session.scalars(select(Survey.answers))).all()
        assert surveys == [{"rating": 4, "why": ERASED}] * 2
        (tmp_path / "dossier.zip").write_bytes(await export(session, "r-2"))
    assert verify(tmp_path / "dossier.zip") == []


@pytest.mark.rule("STA5")
async def test_preview_says_what_the_erasure_then_does(lived: Database) -> None:
    before = await rows_of(lived)
    async with lived.begin() as session:
        preview = await erasure.preview(session, "ana", AT)
    assert await rows_of(lived) == before
    assert preview.is_known
    assert await erase(lived) == preview
    assert preview.counts["kept"] == 2
    assert {item.table for item in preview.items if item.outcome is Fate.UNREADABLE} == {
        *("badges", "mail_bodies")
    }


@pytest.mark.rule("STA5")
async def test_erasing_again_changes_nothing(lived: Database) -> None:
    await erase(lived)
    before = await rows_of(lived)
    again = await erase(lived, AT + timedelta(days=1))
    assert await rows_of(lived) == before
    assert again.counts["deleted"] == 0


@pytest.mark.rule("STA5")
async def test_no_mail_to_an_erased_person_waits(lived: Database) -> None:
    """What is rendered for the other side is rendered again, without the name."""
    await erase(lived)
    async with lived.begin() as session:
        rows = (await session.scalars(select(Message).order_by(Message.id))).all()
        assert [(row.state, row.reason) for row in rows if row.member_id == "ana"][1] == (
            *("cancelled", "the person was erased"),
        )
        assert [(row.state, row.content, row.subject) for row in rows if row.id == 4] == [
            ("planned", None, None)
        ]
        bodies = {row.member_id: row.content for row in await session.scalars(select(MailBody))}
        assert bodies["marcus"] is None
        assert bodies["ana"] is not None
        assert (await mail_bodies.read(session, "d-1")).state == "erased"
        tasks = {task.kind: task.state for task in await session.scalars(select(Task))}
        assert tasks == {"inactive": "dismissed", "misconduct": "open"}
        assert await session.get_one(Profile, "p-ana") is not None


@pytest.mark.rule("STA5")
async def test_unknown_member_is_erased_before_anything_comes(database: Database) -> None:
    """A ledger of erased ids is applied to an older copy of the database: no key is made for them any more."""
    async with database.begin() as session:
        report = await erasure.erase(session, "nobody", "lina", False, AT)
        assert (report.is_known, report.items) == (False, ())
        assert await person_keys.is_destroyed(session, "nobody")
