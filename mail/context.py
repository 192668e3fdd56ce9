"""The data of a message's template and its envelope, read when the message is rendered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from database.links import Link, Links
from database.models import Message, StaffAccount
from lifecycles.participants import Participant, UnknownProfile, participants
from lifecycles.registry import find_lifecycle
from mail.branding import brand_context, logo_image
from mail.credit_context import attachments, badge_link
from mail.digest import coordinator_digest, digest_context
from mail.lifecycle_context import LifecycleMail, lifecycle_context
from mail.meetups.meetup_context import calendar_of
from mail.mime import InlineImage, MailEnvelope
from mail.template_environment import first_name
from mail.turns import shared_mail
from rules.messages import CATALOGUE, MessageClass
from rules.program import Program
from rules.text import shown

STAFF = "staff"
"""The recipient of messages that go to the program's own people, in place of a profile."""


CONSOLE_PAGES = {
    "console": "/staff",
    "ahead": "/staff/ahead",
    "curriculum": "/staff/curriculum?show=lagging",
    "figures": "/staff/figures",
    "mail": "/staff/mail",
}
"""The pages of the console that mails to staff link to, by the name of the link."""


@dataclass(frozen=True, slots=True)
class PreparedMail:
    """One message as it would go out now: recipient, language, data, envelope."""

    program: Program
    locale: str
    address: str
    context: dict[str, object]
    envelope: MailEnvelope
    preferences: dict[str, Any]
    people: tuple[str, ...] = ()
    """The addresses of all whom the message's lifecycle mails, where they are read with the reader's."""

    def unsubscribed(self, message: str) -> bool:
        """Whether the recipient wants no messages of this kind (MAIL6)."""
        return is_unsubscribed(self.preferences, message)


def is_unsubscribed(preferences: Mapping[str, Any], message: str) -> bool:
    """Return whether a member's preferences stop messages of a kind (MAIL6)."""
    stopped = preferences.get("stopped", [])
    return "*" in stopped or message in stopped or message.rpartition(".")[2] in stopped


@dataclass(frozen=True, slots=True)
class _Recipient:
    name: str
    address: str
    locale: str


async def prepare_mail(
    session: AsyncSession, row: Message, program: Program, links: Links, at: datetime
) -> PreparedMail:
    """Read everything about a message that is about to go out at `at`, an instant of program time."""
    if row.to_profile == STAFF:
        return await _to_staff(session, row, program, links, at)
    people = await _people_of(session, row)
    reader = people[row.to_profile]

    def link(purpose: str, detail: str, subject: str = row.workflow) -> str:
        expires = (row.due_at or at) + timedelta(days=program.mail.link_days)
        return links.url(Link(purpose, reader.profile.id, subject, expires, detail))

    letter = row.context.get("letter")
    own_links = {"feedback": link("feedback", ""), "preferences": link("preferences", row.message)}
    if letter:
        own_links["verify"] = f"{links.base_url}/verify/{letter}"
        own_links |= await badge_link(session, links.base_url, letter)
    context: dict[str, object] = {
        "program": program_context(program),
        "to": person(reader, program),
        "number": row.number,
        "links": own_links,
        "dates": _dates(row.context),
    }
    about = await lifecycle_context(
        LifecycleMail(session, row, reader, program, link, people, links.base_url)
    )
    for name, value in about.items():
        known = context.get(name)
        context[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    recipient = _Recipient(reader.member.name, reader.member.email, reader.locale(program))
    envelope = await _envelope(session, row, program, recipient, link, at)
    envelope = replace(envelope, calendar=await calendar_of(session, row, reader, program, at))
    if letter:
        also = [other.context.get("letter") for _, other in await shared_mail.others(session, row)]
        found = [each for id in (letter, *also) for each in await attachments(session, id)]
        envelope = replace(envelope, attachments=tuple(found))
    return PreparedMail(
        program,
        recipient.locale,
        recipient.address,
        context,
        envelope,
        reader.member.preferences,
        tuple(each.member.email for each in people.values()),
    )


async def _people_of(session: AsyncSession, row: Message) -> dict[str, Participant]:
    """Return the reader and, where the lifecycle is one of a pair, the other person. Raises UnknownProfile."""
    lifecycle = await find_lifecycle(session, row.workflow)
    pair = [getattr(lifecycle, each, None) for each in ("mentee_id", "mentor_id")]
    people = await participants(session, [row.to_profile, *filter(None, pair)])
    if row.to_profile not in people:
        raise UnknownProfile(f"profile {row.to_profile} is not in the database")
    return people


def program_context(program: Program) -> dict[str, object]:
    """Return what mails and pages say of a program."""
    return {
        "name": program.name,
        "organisation": program.organisation,
        "postal_address": program.postal_address,
        "manager_name": program.manager.name,
        "manager_title": program.manager.title,
        "mailbox": program.mailbox,
        "language": program.languages[0],
        "is_cohort": program.cohort is not None,
        "resources": dict(program.resources),
        "brand": brand_context(program),
        "terms": {
            "answer_days": program.request.answer_business_days,
            "months": program.engagement.default_months,
            "credit_months": program.credit.gate_months,
            "mentor_credits": program.credit.mentor,
            "mentee_credits": program.credit.mentee,
        },
    }


def person(who: Participant, program: Program) -> dict[str, object]:
    """Return what a mail says of its reader."""
    return {
        "name": shown(who.member.name, who.locale(program)),
        "first_name": first_name(shown(who.member.name, who.locale(program))),
        "role": who.profile.role,
        "language": who.locale(program),
        "zone": who.calendar(program).zone,
    }


async def _to_staff(
    session: AsyncSession, row: Message, program: Program, links: Links, at: datetime
) -> PreparedMail:
    reader = _Recipient(program.manager.name, program.manager.email, program.languages[0])
    role, zone = STAFF, program.manager_zone
    if account := await _coordinator(session, row):
        reader = _Recipient(account.name, account.email, account.language)
        role, zone = account.role, account.zone
    context: dict[str, object] = {
        "program": program_context(program),
        "to": {
            "name": reader.name,
            "first_name": first_name(reader.name),
            "role": role,
            "language": reader.locale,
            "zone": zone,
        },
        "number": row.number,
        "links": {
            "task": f"{links.base_url}/",
            **{name: f"{links.base_url}{path}" for name, path in CONSOLE_PAGES.items()},
        },
        "dates": {"opened": row.due_at or at, **_dates(row.context)},
        "task": {
            "kind": "misconduct",
            "subject": row.workflow,
            "cause": "",
            "action": "",
            "text": "",
            **row.context,
        },
        **await _staff_subject(session, row, program, at, zone),
    }
    envelope = await _envelope(session, row, program, reader, None, at)
    return PreparedMail(program, reader.locale, reader.address, context, envelope, {})


async def _coordinator(session: AsyncSession, row: Message) -> StaffAccount | None:
    """Return the account of the coordinator whom a mail to staff is for; None for one to the manager."""
    account = row.context.get("account")
    return await session.get_one(StaffAccount, account) if account else None


async def _staff_subject(
    session: AsyncSession, row: Message, program: Program, at: datetime, zone: str
) -> dict[str, object]:
    """Return what a mail to staff is about: an engagement by its id, a checkpoint, or the week."""
    kind, _, id = row.workflow.partition("/")
    if kind == "engagement":
        return {"engagement": {"id": id}}
    if kind == "digest" and "account" in row.context:
        return {"digest": coordinator_digest(row.context, row.due_at or at, zone)}
    if kind == "digest":
        return {"digest": await digest_context(session, program, row.due_at or at)}
    if kind != "checkpoint":
        return {}
    taken = row.context
    return {
        "checkpoint": {
            "number": taken["checkpoint"],
            "chains": taken["chains"],
            "hash": taken["hash"],
            "grouped": " ".join(re.findall(".{8}", taken["hash"])),
        }
    }


async def _envelope(
    session: AsyncSession,
    row: Message,
    program: Program,
    recipient: _Recipient,
    link: Callable[[str, str], str] | None,
    at: datetime,
) -> MailEnvelope:
    stoppable = link if row.message_class == MessageClass.NUDGE else None
    return MailEnvelope(
        message_id=message_id(program, row.delivery),
        date=at,
        from_name=program.manager.name,
        from_address=program.sender,
        reply_to=program.mailbox,
        to_name=recipient.name,
        to_address=recipient.address,
        delivery=row.delivery,
        language=recipient.locale,
        images=inline_images(program),
        list_id=f"{program.id}.{_domain(program)}" if stoppable else None,
        unsubscribe_url=stoppable("unsubscribe", row.message) if stoppable else None,
        references=await _thread(session, row, program),
    )


def inline_images(program: Program) -> tuple[InlineImage, ...]:
    """Return the images that a program's mails show."""
    if program.logo is None:
        return ()
    image = logo_image(program.logo)
    return (InlineImage(image.content_id, image.png),)


def message_id(program: Program, delivery: str) -> str:
    """Return the Message-ID of a delivery: the same at each attempt (MAIL2)."""
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
    """Return the Message-IDs of the mails that this one follows in the reader's mailbox, the oldest first."""
    thread = CATALOGUE[row.message].thread
    if thread is None:
        return ()
    keys = {"workflow": row.workflow, "profile": row.to_profile, "itself": row.id}
    # What this transaction changes was not sent before: it is written once, at the end.
    with session.no_autoflush:
        sent = await session.execute(_SENT_BEFORE, keys)
    return tuple(
        message_id(program, delivery)
        for message, delivery in sent
        if message == thread or CATALOGUE[message].thread == thread
    )


def _dates(context: dict[str, Any]) -> dict[str, datetime | date]:
    """Return the instants and days among a message's own data, as templates show them."""
    found: dict[str, datetime | date] = {}
    for name, value in context.items():
        try:
            text = str(value)
            found[name] = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
        except ValueError:
            continue
    return found
