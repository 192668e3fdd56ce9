"""The link to a survey (SUR1–SUR3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from starlette.datastructures import FormData

from database.models import Engagement, Survey
from database.session import Database
from gateway.event_store import Inbox
from gateway.links.base import SOURCE
from gateway.links.claim import other_than
from gateway.links.page import NOT_THEIRS, LinkVisit, Page, form_text, message
from gateway.links.reader import shown
from gateway.pages import Text
from rules.events import Envelope
from rules.survey import check_answers

Errors = dict[str, Text]


class AnswerSurvey:
    """One side's look back (SUR1–SUR3)."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox

    async def show(self, visit: LinkVisit) -> Page:
        """The questions, with what was answered before."""
        row = await self._row(visit)
        return row if isinstance(row, Page) else await self._page(visit, row, row.answers, {})

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Keep the answers; a second time replaces the first."""
        row = await self._row(visit)
        if isinstance(row, Page):
            return row
        policy = visit.reader.program.survey
        given = {question.id: form_text(form, question.id) for question in policy.questions(row.role)}
        answers, faults = check_answers(policy, row.role, given)
        if faults:
            errors = {str(fault.path[0]) if fault.path else "form": Text("site.choose") for fault in faults}
            return await self._page(visit, row, given, errors, 400)
        data = {"engagement": row.engagement_id, "by": visit.link.profile, "answers": answers}
        answer = Envelope("", SOURCE, "survey.answered", visit.at, data)
        await self._inbox.put_answer(visit.question, answer)
        return message("survey.done")

    async def _row(self, visit: LinkVisit) -> Survey | Page:
        async with self._database.reading() as session:
            row = await session.get(Survey, visit.link.subject)
        if row is None or row.profile_id != visit.link.profile:
            return NOT_THEIRS
        return message("survey.over") if row.closed_at else row

    async def _page(
        self, visit: LinkVisit, row: Survey, given: Mapping[str, Any], errors: Errors, status: int = 200
    ) -> Page:
        policy, language = visit.reader.program.survey, visit.reader.language
        questions = [
            {
                "id": question.id,
                "kind": question.kind,
                "required": question.required,
                "text": question.text_in(language),
                "choices": [(choice.id, choice.text_in(language)) for choice in question.choices],
            }
            for question in policy.questions(row.role)
        ]
        words = {True: "yes", False: "no"}
        answered = {
            name: words[value] if isinstance(value, bool) else str(value) for name, value in given.items()
        }
        async with self._database.reading() as session:
            about = select(Engagement).where(Engagement.id == row.engagement_id)
            engagement = (await session.scalars(about)).one()
            other = await other_than(session, engagement, visit.link.profile)
        if other is None:
            return NOT_THEIRS
        values = {
            "other": shown(other.name),
            "answered": bool(row.answers),
            "labels": {question["id"]: question["text"] for question in questions},
            "questions": questions,
            "typed": {**{str(question["id"]): "" for question in questions}, **answered},
            "errors": errors,
            "ratings": list(range(1, policy.rating_most + 1)),
        }
        return Page("survey.html", values, status)
