"""The link to a meetup: whether its reader comes (MEE1)."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData

from database.models import Event, Meetup, MeetupInvitation
from database.session import Database
from gateway.event_store import EventStore
from gateway.links.page import (
    NOT_THEIRS,
    SOURCE,
    STORED,
    FieldErrors,
    LinkPage,
    LinkVisit,
    form_page,
    form_text,
    message_page,
)
from gateway.links.reader import isolated
from gateway.pages import Text
from rules.events import Envelope
from rules.meetup import ANSWERS


class AnswerMeetup:
    """Yes, no or maybe. The answer of the link comes first and is not preset (MAIL9)."""

    def __init__(self, database: Database, store: EventStore) -> None:
        self._database = database
        self._store = store

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the form with the answer so far, or what has happened meanwhile."""
        async with self._database.reading() as session:
            meetup, invitation = await _find(session, visit)
            answers = await _answers(session, visit)
        if meetup is None or invitation is None:
            return NOT_THEIRS
        if visit.after_post and answers:
            return message_page(f"meetup.{answers[-1].data['answer']}", {"title": isolated(meetup.title)})
        if over := _over(meetup, visit):
            return over
        return _form(visit, meetup, invitation.answer or "", {})

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store the answer as an event. A later one replaces it."""
        async with self._database.reading() as session:
            meetup, invitation = await _find(session, visit)
        if meetup is None or invitation is None:
            return NOT_THEIRS
        if over := _over(meetup, visit):
            return over
        answer = form_text(form, "answer")
        if answer not in ANSWERS:
            return _form(visit, meetup, invitation.answer or "", {"answer": Text("site.choose")})
        data = {"meetup": meetup.id, "by": visit.link.profile, "answer": answer}
        await self._store.put_answer(visit.question, Envelope("", SOURCE, "meetup.answered", visit.at, data))
        return STORED


async def _find(session: AsyncSession, visit: LinkVisit) -> tuple[Meetup | None, MeetupInvitation | None]:
    meetup = await session.get(Meetup, visit.link.subject)
    invitation = await session.get(MeetupInvitation, (visit.link.subject, visit.reader.member.id))
    return meetup, invitation


async def _answers(session: AsyncSession, visit: LinkVisit) -> Sequence[Event]:
    """Return the answers that the reader gave by link, the oldest first."""
    found = await session.scalars(
        select(Event)
        .where(
            Event.source == SOURCE,
            Event.event_id.startswith(f"{visit.question}-", autoescape=True),
            Event.subject == visit.link.subject,
        )
        .order_by(Event.id)
    )
    return found.all()


def _over(meetup: Meetup, visit: LinkVisit) -> LinkPage | None:
    """Return the page of a meetup that takes no answer any more."""
    names = {"title": isolated(meetup.title)}
    if meetup.state == "canceled":
        return message_page("over.meetup.canceled", names)
    if meetup.state != "scheduled" or visit.at >= meetup.ends_at:
        return message_page("over.meetup.held", names)
    return None


def _form(visit: LinkVisit, meetup: Meetup, answer: str, errors: FieldErrors) -> LinkPage:
    reader = visit.reader
    zone = reader.participant.calendar(reader.program).zone
    first = [visit.link.detail] if visit.link.detail in ANSWERS else []
    values = {
        "title": isolated(meetup.title),
        "starts": meetup.starts_at.astimezone(ZoneInfo(zone)),
        "answer": answer,
        "answers": [*first, *(each for each in ("yes", "maybe", "no") if each not in first)],
        "typed": {"answer": ""},
    }
    return form_page("meetup.html", values, errors)
