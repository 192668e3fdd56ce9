"""What erasure does to each table that holds personal data: the one list, for the erasure and for its preview (STA5).

A row whose content must go and whose id others refer to stays, with `erased` where a text was. The order is that in
which the tables are written: messages are decided before their words go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select

from database.erasure.belongings import Belongings, of_member
from database.erasure.report import Fate
from database.models import (
    ActBatchItem,
    AuditRecord,
    Badge,
    Base,
    Claim,
    CohortMember,
    CohortPair,
    CurriculumProgress,
    Engagement,
    Event,
    Feedback,
    Letter,
    LinkUse,
    MailBody,
    MeetupInvitation,
    Member,
    Message,
    NudgePlace,
    Onboarding,
    Profile,
    Report,
    Request,
    StaffAssignment,
    Suppression,
    Survey,
    Task,
    TrialGuest,
)
from rules.engagement.facts import END_REASONS
from rules.text import ERASED

CREDIT: Final = "evidence of earned credit"
REPORTED: Final = "a report by somebody else, for a complaint or a court"

LETTER: Final = "erase letter"
"""The act on record of a document that was erased: the verifier of a dossier knows it."""

YEARS: Final = 5
"""Calendar years for which evidence is kept whose document names no day (CPE11)."""

_IDS: Final = frozenset(
    (
        *("member", "profile", "mentee", "mentor", "by", "request", "engagement", "cohort", "meetup"),
        *("target", "delivery", "message_id", "program", "kind", "role", "for", "step", "answer"),
        *("end", "months"),
    )
)
"""The keys of an event's data that have an id, a day, a number, or one of a few choices."""

_WORDS: Final = frozenset(("reason", "why", "text", "purpose"))
"""The keys of facts and decisions under which words of people may stand."""

Change = Callable[[Any], Any]
"""What becomes of the value of a column."""


def to(value: Any) -> Change:
    """Return the change that replaces any value."""
    return lambda old: value


def word(old: str | None) -> str | None:
    """Replace a text that is there."""
    return ERASED if old else old


def ids_only(old: Any) -> Any:
    """Keep of an event's data ids and choices; a text is replaced, and all else left out."""
    kept = {key: value for key, value in old.items() if key in _IDS and isinstance(value, str | int)}
    texts = {key: value for key, value in old.items() if key not in kept and isinstance(value, str)}
    return kept | {key: value if value in END_REASONS else word(value) for key, value in texts.items()}


def without_words(old: Any) -> Any:
    """Replace the reasons in facts or in a decision; one that only names its event stays."""
    if isinstance(old, list):
        return [without_words(each) for each in old]
    if not isinstance(old, dict):
        return old
    return {
        key: word(value)
        if key in _WORDS and isinstance(value, str) and not value.startswith("event:")
        else without_words(value)
        for key, value in old.items()
    }


def answers_without_text(old: Any) -> Any:
    """Replace the answers in words; numbers and choices stay for the statistics of the program."""
    return {key: word(value) if isinstance(value, str) else value for key, value in old.items()}


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of the rows of one table that concern a person."""

    table: type[Base]
    what: str
    of: Callable[[Belongings], ColumnElement[bool]]
    changes: Mapping[str, Change] = field(default_factory=dict)
    """What becomes of columns; without any, the row is removed, or what it holds is unreadable."""
    outcome: Fate = Fate.DELETED
    kept_until: Callable[[Any], date] | None = None
    """The last day on which a row is kept as it is; None where nothing has to be kept."""
    why: str = ""
    on_record: str = ""
    """The act that is recorded for each row that it changes: the record shows why the row is empty."""


def retained_until(letter: Letter) -> date:
    """Return the last day on which a document is kept, as it says itself (CPE11)."""
    named = letter.data.get("retained_until")
    try:
        return date.fromisoformat(str(named))
    except ValueError:
        return date(letter.signed_at.year + YEARS, 12, 31)


def _own(scope: Belongings) -> ColumnElement[bool]:
    return of_member(scope.member, scope.profiles)


def _about(scope: Belongings) -> ColumnElement[bool]:
    """Return the condition of the mail to others about the pairs of a person: it names them."""
    return and_(Message.workflow.in_(scope.lifecycles), Message.to_profile.not_in(scope.profiles))


def _mail_about(scope: Belongings) -> ColumnElement[bool]:
    return MailBody.delivery.in_(select(Message.delivery).where(_about(scope)))


def _named_in(column: Any, scope: Belongings) -> ColumnElement[bool]:
    """Return the condition of data that name a person, among those of a cohort or meetup."""
    keys = ("by", "profile", "mentee", "mentor", "to")
    return or_(*(column[key].as_string().in_(scope.profiles | {scope.member}) for key in keys))


def _events(scope: Belongings) -> ColumnElement[bool]:
    shared = and_(Event.subject.in_(scope.gatherings), _named_in(Event.data, scope))
    return or_(Event.subject.in_(scope.subjects), shared)


def _records(scope: Belongings) -> ColumnElement[bool]:
    shared = and_(AuditRecord.subject.in_(scope.gatherings), _named_in(AuditRecord.data, scope))
    about = or_(AuditRecord.chain.in_(scope.chains), AuditRecord.subject.in_(scope.subjects))
    return and_(AuditRecord.veil.is_not(None), or_(about, shared))


def _own_certificate(scope: Belongings) -> ColumnElement[bool]:
    mentee = select(Engagement.id).where(Engagement.mentee_id.in_(scope.profiles))
    mentor = select(Engagement.id).where(Engagement.mentor_id.in_(scope.profiles))
    own = or_(
        and_(Letter.role == "mentee", Letter.engagement_id.in_(mentee)),
        and_(Letter.role == "mentor", Letter.engagement_id.in_(mentor)),
    )
    return and_(Letter.kind == "certificate", own)


_DOCUMENT: Final[Mapping[str, Change]] = {
    "statement": to(ERASED),
    "signer_name": word,
    "data": to({}),
    "document": to(None),
    "revoked_because": word,
}


def without_quotation(old: str | None) -> str | None:
    """Keep of the reason of a decision who gave it: `cancelled by staff: …` quotes the words of a person."""
    return _QUOTED.sub(rf"\1: {ERASED}", old) if old else old


_QUOTED: Final = re.compile(r"(by (?:staff|the mentor|the mentee)): .+", re.DOTALL)

_MAIL_WORDS: Final[Mapping[str, Change]] = {
    **dict.fromkeys(("trouble", "response", "came_back_reason", "order_reason", "subject"), word),
    "reason": without_quotation,
}

TREATMENTS: Final[tuple[Treatment, ...]] = (
    Treatment(
        Member,
        "name, addresses, standing and what the member directory says",
        lambda scope: Member.id == scope.member,
        {
            "name": to(ERASED),
            "email": to(""),
            "standing": to("lapsed"),
            **dict.fromkeys(
                ("email_given", "time_zone", "country", "subdivision", "nationality", "birth_year"), to(None)
            ),
            **dict.fromkeys(("years_management", "employer"), to(None)),
            **dict.fromkeys(("languages", "certifications"), to([])),
            "preferences": to({}),
        },
    ),
    Treatment(
        Profile,
        "areas, interests, goals and languages of profiles",
        lambda scope: Profile.member_id == scope.member,
        {
            **dict.fromkeys(("areas", "interests", "languages"), to([])),
            "goals": word,
            "mentees_at_a_time": to(None),
            "partner": to(None),
        },
    ),
    Treatment(
        Onboarding,
        "reasons in the facts of the onboarding",
        lambda scope: Onboarding.profile_id.in_(scope.profiles),
        {"facts": without_words},
    ),
    Treatment(
        Request,
        "words and areas of requests, and the reasons of answers",
        lambda scope: Request.id.in_(scope.pairs),
        {"message": word, "areas": to([]), "answer_reason": word, "facts": without_words},
    ),
    Treatment(
        Engagement,
        "goals of engagements and the reasons of their ends",
        lambda scope: Engagement.id.in_(scope.pairs),
        {"goals": word, "end_reason": word, "facts": without_words},
    ),
    Treatment(
        CurriculumProgress,
        "steps of the curriculum",
        lambda scope: CurriculumProgress.profile_id.in_(scope.profiles),
    ),
    Treatment(
        Claim,
        "reasons in the decisions about claims",
        lambda scope: Claim.engagement_id.in_(scope.pairs),
        {"decision": without_words, "facts": without_words},
    ),
    Treatment(
        Survey,
        "answers in words to the surveys of both sides",
        lambda scope: Survey.engagement_id.in_(scope.pairs),
        {"answers": answers_without_text, "facts": without_words},
    ),
    Treatment(Feedback, "feedback", lambda scope: Feedback.profile_id.in_(scope.profiles)),
    Treatment(
        Report,
        "their reports of misconduct",
        lambda scope: Report.by_profile.in_(scope.profiles),
        {"text": word},
    ),
    Treatment(
        Report,
        "reports of misconduct by the other side",
        lambda scope: and_(Report.engagement_id.in_(scope.pairs), Report.by_profile.not_in(scope.profiles)),
        {"text": word},
        kept_until=lambda row: date(row.reported_at.year + YEARS, 12, 31),
        why=REPORTED,
    ),
    Treatment(Letter, "their certificates of participation", _own_certificate, _DOCUMENT, on_record=LETTER),
    Treatment(
        Letter,
        "letters of both sides and certificates of the other, with the names that they state",
        lambda scope: and_(Letter.engagement_id.in_(scope.pairs), ~_own_certificate(scope)),
        _DOCUMENT,
        kept_until=retained_until,
        why=CREDIT,
        on_record=LETTER,
    ),
    Treatment(
        Badge,
        "badges",
        lambda scope: Badge.member_id == scope.member,
        outcome=Fate.UNREADABLE,
    ),
    Treatment(
        MailBody,
        "bodies of the mail to them",
        lambda scope: and_(MailBody.member_id == scope.member, MailBody.content.is_not(None)),
        outcome=Fate.UNREADABLE,
    ),
    Treatment(
        MailBody,
        "bodies of mail to the other side of their pairs",
        lambda scope: and_(
            _mail_about(scope), MailBody.member_id != scope.member, MailBody.content.is_not(None)
        ),
        {"content": to(None)},
    ),
    Treatment(
        Message,
        "subjects, addresses and replies of the mail to them",
        _own,
        {**_MAIL_WORDS, "recipient": word, "content": to(None)},
    ),
    Treatment(
        Message,
        "subjects and replies of mail to the other side of their pairs",
        _about,
        _MAIL_WORDS,
    ),
    Treatment(
        CohortMember,
        "why a cohort had no pair for them",
        lambda scope: CohortMember.profile_id.in_(scope.profiles),
        {"unpaired_because": to(None), "partner": to(None)},
    ),
    Treatment(
        CohortPair,
        "why they were paired",
        lambda scope: or_(CohortPair.mentee_id.in_(scope.profiles), CohortPair.mentor_id.in_(scope.profiles)),
        {"why": to(None), "fit": to(None), "broken_because": word},
    ),
    Treatment(
        MeetupInvitation,
        "answers to meetups",
        lambda scope: MeetupInvitation.member_id == scope.member,
        {"answer": to(None)},
    ),
    Treatment(
        Suppression,
        "addresses that are not mailed",
        lambda scope: Suppression.address.in_(scope.addresses),
    ),
    Treatment(
        TrialGuest, "addresses of trials", lambda scope: func.lower(TrialGuest.address).in_(scope.addresses)
    ),
    Treatment(NudgePlace, "days of nudges", lambda scope: NudgePlace.member_id == scope.member),
    Treatment(LinkUse, "uses of personal links", lambda scope: LinkUse.profile.in_(scope.profiles)),
    Treatment(
        StaffAssignment,
        "coordinators who see them",
        lambda scope: StaffAssignment.subject == f"member/{scope.member}",
    ),
    Treatment(
        ActBatchItem,
        "what an act on many said about them",
        lambda scope: ActBatchItem.target.in_(scope.lifecycles),
        {"said": word},
    ),
    Treatment(
        Task,
        "words of tasks about them",
        lambda scope: Task.subject.in_(scope.subjects),
        {"action": word, "note": word},
    ),
    Treatment(
        Event,
        "what events say beside ids",
        _events,
        {"data": ids_only, "ignored": to([]), "reason": word},
    ),
    Treatment(
        AuditRecord,
        "words in the audit record",
        _records,
        {"veiled": to(None), "salt": to(None)},
    ),
)
