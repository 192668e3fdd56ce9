"""What a mail says: the data of a message's template, and its envelope, read when it is rendered.

Contact data of the other person is in it only where the program shows it: from a match on (REQ5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, cast

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.links import Link, Links
from database.models import Claim, Engagement, Message, Request
from lifecycles.participants import Participant, participant
from mail.credit_context import SURVEY_MINUTES, attachments, claim_context
from mail.mime import MailEnvelope
from mail.template_environment import first_name
from rules.messages import CATALOGUE, MessageClass
from rules.program import Program

STAFF = "staff"
"""The recipient of messages that go to the program's own people, in place of a profile."""


@dataclass(frozen=True, slots=True)
class Correspondence:
    """One message as it would go out now: to whom, in which language, with which data."""

    program: Program
    locale: str
    address: str
    context: dict[str, object]
    envelope: MailEnvelope
    preferences: dict[str, Any]

    def unsubscribed(self, message: str) -> bool:
        """Whether the recipient wants no messages of this kind (MAIL6)."""
        stopped = self.preferences.get("stopped", [])
        return "*" in stopped or message in stopped or message.rpartition(".")[2] in stopped


async def correspondence(
    session: AsyncSession, row: Message, program: Program, links: Links, at: datetime
) -> Correspondence:
    """Everything about a message that is about to go out at `at`, an instant of program time."""
    if row.to_profile == STAFF:
        return await _to_staff(session, row, program, links, at)
    who = await participant(session, row.to_profile)
    locale = who.locale(program)

    def link(purpose: str, subject: str = row.workflow, detail: str = "") -> str:
        expires = (row.due_at or at) + timedelta(days=program.mail.link_days)
        return links.url(Link(purpose, who.profile.id, subject, expires, detail))

    context: dict[str, object] = {
        "program": program_context(program),
        "to": person(who, program),
        "number": row.number,
        "links": {"feedback": link("feedback"), "preferences": link("preferences", detail=row.message)},
        "dates": _dates(row.context),
    }
    await _add_subject(session, row, who, program, context, link)
    envelope = await _envelope(session, row, program, who.member.name, who.member.email, locale, link, at)
    if letter := row.context.get("letter"):
        cast(dict[str, str], context["links"])["verify"] = f"{links.base_url}/verify/{letter}"
        envelope = replace(envelope, attachments=await attachments(session, letter))
    return Correspondence(
        program,
        locale,
        who.member.email,
        context,
        envelope,
        who.member.preferences,
    )


def program_context(program: Program) -> dict[str, object]:
    """What mails and pages say of a program."""
    return {
        "name": program.name,
        "organisation": program.organisation,
        "postal_address": program.postal_address,
        "manager_name": program.manager.name,
        "manager_title": program.manager.title,
        "mailbox": program.mailbox,
        "language": program.languages[0],
        "resources": dict(program.resources),
        "terms": {
            "answer_days": program.request.answer_business_days,
            "months": program.engagement.default_months,
            "credit_months": program.credit.gate_months,
            "mentor_credits": program.credit.mentor,
            "mentee_credits": program.credit.mentee,
        },
    }


def person(who: Participant, program: Program) -> dict[str, object]:
    """What a mail says of its reader."""
    return {
        "name": who.member.name,
        "first_name": first_name(who.member.name),
        "role": who.profile.role,
        "language": who.locale(program),
        "zone": who.calendar(program).zone,
    }


async def _add_subject(
    session: AsyncSession,
    row: Message,
    who: Participant,
    program: Program,
    context: dict[str, object],
    link: Callable[..., str],
) -> None:
    """What the message is about, beyond its reader: for an onboarding nothing, else the two people and their matter.

    The other's address is shown from the match on, and not before (REQ5).
    """
    kind, _, rest = row.workflow.partition("/")
    if kind == "onboarding":
        return
    asked = await session.get_one(Request, f"request/{rest.partition('/')[0]}")
    other = await participant(
        session, asked.mentor_id if who.profile.id == asked.mentee_id else asked.mentee_id
    )
    shown = {
        "name": other.member.name,
        "first_name": first_name(other.member.name),
        "role": other.profile.role,
    }
    if kind != "request":
        shown["email"] = other.member.email
    context["other"] = shown
    context["request"] = {
        "id": asked.id,
        "message": asked.message or "",
        "areas": list(asked.areas),
        "months": asked.months,
    }
    links = _LINKS[kind]
    offered = {name: link(purpose, detail=detail) for name, (purpose, detail) in links.items()}
    context["links"] = {**offered, **cast(dict[str, str], context["links"])}
    if kind == "engagement":
        matched = await session.get_one(Engagement, row.workflow)
        context["engagement"] = {"id": matched.id, "goals": matched.goals or "", "months": asked.months}
    elif kind == "claim":
        claim = await session.get_one(Claim, row.workflow)
        context["claim"] = await claim_context(session, claim, program, who.locale(program))
        dates = cast(dict[str, object], context["dates"])
        dates["started"] = date.fromisoformat(claim.facts["started_on"])
    elif kind == "survey":
        context["survey"] = {"id": row.workflow, "minutes": SURVEY_MINUTES}


_REQUEST_LINKS = {
    "accept": ("answer", "accept"),
    "decline": ("answer", "decline"),
    "withdraw": ("withdraw", ""),
}
"""The personal links that mails of a request offer: name in the template, purpose and detail of the link."""

_ENGAGEMENT_LINKS = {
    "good_fit": ("discovery", "good_fit"),
    "not_a_fit": ("discovery", "not_a_fit"),
    "not_met": ("discovery", "not_met"),
    "met_yes": ("met", "yes"),
    "met_no": ("met", "no"),
    "plan": ("plan", ""),
    "extend": ("extend", ""),
    "end": ("end", ""),
    "report": ("report", ""),
}
"""The personal links that mails of an engagement offer."""

_LINKS = {
    "request": _REQUEST_LINKS,
    "engagement": _ENGAGEMENT_LINKS,
    "claim": {purpose: (purpose, "") for purpose in ("domains", "sign", "letter", "claim")},
    "survey": {"survey": ("survey", "")},
}
"""The personal links that mails of each kind of lifecycle offer."""


async def _to_staff(
    session: AsyncSession, row: Message, program: Program, links: Links, at: datetime
) -> Correspondence:
    locale = program.languages[0]
    name = program.manager.name
    context: dict[str, object] = {
        "program": program_context(program),
        "to": {
            "name": name,
            "first_name": first_name(name),
            "role": STAFF,
            "language": locale,
            "zone": program.hours.zone,
        },
        "number": row.number,
        "links": {"task": f"{links.base_url}/"},
        "dates": {"opened": row.due_at or at, **_dates(row.context)},
        "task": {
            "kind": "misconduct",
            "subject": row.workflow,
            "cause": "",
            "action": "",
            "text": "",
            **row.context,
        },
    }
    kind, _, id = row.workflow.partition("/")
    if kind == "engagement":
        context["engagement"] = {"id": id}
    elif kind == "checkpoint":
        told = row.context
        grouped = " ".join(re.findall(".{8}", told["hash"]))
        context["checkpoint"] = {
            "number": told["checkpoint"],
            "chains": told["chains"],
            "hash": told["hash"],
            "grouped": grouped,
        }
    envelope = await _envelope(session, row, program, name, program.manager.email, locale, None, at)
    return Correspondence(program, locale, program.manager.email, context, envelope, {})


async def _envelope(
    session: AsyncSession,
    row: Message,
    program: Program,
    name: str,
    address: str,
    locale: str,
    link: Callable[..., str] | None,
    at: datetime,
) -> MailEnvelope:
    stoppable = row.message_class == MessageClass.NUDGE and link is not None
    return MailEnvelope(
        message_id=message_id(program, row.delivery),
        date=at,
        from_name=program.manager.name,
        from_address=program.sender,
        reply_to=program.mailbox,
        to_name=name,
        to_address=address,
        delivery=row.delivery,
        language=locale,
        list_id=f"{program.id}.{_domain(program)}" if stoppable else None,
        unsubscribe_url=link("unsubscribe", detail=row.message) if stoppable and link else None,
        references=await _thread(session, row, program),
    )


def message_id(program: Program, delivery: str) -> str:
    """The Message-ID of a delivery: the same at each attempt (MAIL2)."""
    return f"<{delivery}@{_domain(program)}>"


def _domain(program: Program) -> str:
    return program.sender.partition("@")[2]


_SENT_BEFORE = (
    select(Message.message, Message.delivery)
    .where(
        Message.workflow == bindparam("workflow"),
        Message.to_profile == bindparam("profile"),
        Message.state == "sent",
        Message.id != bindparam("itself"),
    )
    .order_by(Message.decided_at, Message.id)
)


async def _thread(session: AsyncSession, row: Message, program: Program) -> tuple[str, ...]:
    """The mails that this one follows in the reader's mailbox, the oldest first."""
    thread = CATALOGUE[row.message].thread
    if thread is None:
        return ()
    told = {"workflow": row.workflow, "profile": row.to_profile, "itself": row.id}
    return tuple(
        message_id(program, delivery)
        for message, delivery in await session.execute(_SENT_BEFORE, told)
        if message == thread or CATALOGUE[message].thread == thread
    )


def _dates(context: dict[str, Any]) -> dict[str, datetime | date]:
    """The instants and days among a message's own data, as templates show them."""
    found: dict[str, datetime | date] = {}
    for name, value in context.items():
        try:
            text = str(value)
            found[name] = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        except ValueError:
            continue
    return found
