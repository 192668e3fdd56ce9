"""All that a database can have of one person, with a mark in each column that can hold something personal."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, mail_bodies, person_keys
from database.key_ring import KeyRing
from database.models import (
    ActBatch,
    ActBatchItem,
    Badge,
    BadgeAchievement,
    BadgeStatus,
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
    Member,
    Message,
    NudgePlace,
    Onboarding,
    Report,
    StaffAccount,
    StaffAssignment,
    Suppression,
    Task,
    TrialGuest,
)
from database.retention import personal_columns
from tests.support.gateway import NOW, at_the_gate
from tests.support.programs.meetup_rows import with_answers

KEYS = KeyRing(("a secret for tests of erasure",))
AT = NOW + timedelta(days=200)
NAME = "Zoë Ñandú-O'Brien 鈴木"
ADDRESS = "zoë.ñandú@example.org"

DIGEST = hashlib.sha256(b"document~qz").hexdigest()


def lifecycle(workflow: str, **values: Any) -> dict[str, Any]:
    return {
        "workflow": workflow,
        "program": "asis-global",
        "policy_version": "1",
        "state": "active",
        "state_since": NOW,
        "facts": {},
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
    step = {"name": "reopened", "at": NOW.isoformat(), "actor": "lina", "reason": "facts~qz"}
    for row in rows:
        if isinstance(row, Letter):
            row.engagement_id = "r-2"
        if isinstance(row, Claim):
            row.facts = {**row.facts, "steps": [step, {**step, "reason": "event:1"}]}
    return [
        *rows,
        Onboarding(
            profile_id="p-ana",
            **lifecycle(
                "onboarding/p-ana",
                facts={"profile": "p-ana", "role": "mentee", "created_at": NOW.isoformat()},
            ),
        ),
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
            **lifecycle("cohort/c-1"),
        ),
        CohortMember(cohort_id="c-1", profile_id="p-ana", role="mentee", joined_at=NOW),
        CohortPair(cohort_id="c-1", mentee_id="p-ana", mentor_id="p-marcus", state="broken", fit=7),
        *with_answers(NOW),
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
        event_row(2, "profile.created", "onboarding/p-ana", "held", profile="p-ana", goals="events~qz1"),
        event_row(3, "request.created", "request/r-2", "applied", request="r-2", message="events~qz2"),
        event_row(4, "engagement.met", "engagement/r-2", "stored", engagement="r-2", by="p-marcus"),
        event_row(5, "meetup.answered", "meetup/m-1", "applied", meetup="m-1", by="p-ana", x="events~qz3"),
        event_row(6, "mail.bounced", "mail/d-1", "refused", delivery="d-1", reason="events~qz4"),
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
    ("meetup_invitations", "answer"),
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
        word = f"{name}~qz"
        if shape := _SHAPES.get((table, name)):
            setattr(row, name, shape(word))
        elif isinstance(column.type, (String, Text)):
            setattr(row, name, word[: getattr(column.type, "length", None) or len(word)])
        elif column.type.python_type is bytes:
            setattr(row, name, word.encode())
        elif column.type.python_type is int:
            setattr(row, name, 777_777_777)
        else:
            setattr(row, name, [word])


async def live(session: AsyncSession, *others: Any) -> None:
    """Write the life of Ana, and other rows, into an empty database with a key ring."""
    for row in [*life(), *others]:
        mark(row)
        if isinstance(row, Member) and row.id == "ana":
            row.name, row.email, row.email_given = NAME, "zo@xn--and-5ma1g.example.org", ADDRESS
        session.add(row)
        await session.flush()
    await _under_her_key(session)
    await _on_record(session)


async def _under_her_key(session: AsyncSession) -> None:
    for member in ("ana", "marcus"):
        await person_keys.ensure(session, member, NOW)
    for number in (1, 2):
        row = await session.get_one(Message, number)
        row.recipient = ADDRESS if number == 1 else "marcus@example.org"
        row.content = b"Dear Zo\xc3\xab, content~qz"
        assert await mail_bodies.keep(session, row, NOW)
        row.content = None
    key = await person_keys.key_of(session, "ana")
    assert key is not None
    content = person_keys.encrypt(key, b"badge~qz", "b-1")
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


async def _on_record(session: AsyncSession) -> None:
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
        words = f"{NAME}: veiled~qz" if subject != "member/marcus" else "Marcus has moved"
        await audit.append(session, subject, kind, NOW, data, actor="lina", veiled={"reason": words})
