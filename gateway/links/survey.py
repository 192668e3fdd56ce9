"""The link to a survey (SUR1–SUR3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData

from database.models import Survey
from database.session import Database
from gateway.event_store import EventStore
from gateway.links.claim import engagement_of, other_party
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
from rules.survey import check_answers


class AnswerSurvey:
    """One party's answers about the engagement (SUR1–SUR3)."""

    def __init__(self, database: Database, store: EventStore) -> None:
        self._database = database
        self._store = store

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the questions, with the earlier answers."""
        row = await self._row(visit)
        if visit.after_post and row is not NOT_THEIRS:
            return message_page("survey.done")
        if isinstance(row, LinkPage):
            return row
        return await self._form(visit, row, row.answers, {})

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store the answers as an event. A second time replaces the first."""
        row = await self._row(visit)
        if isinstance(row, LinkPage):
            return row
        policy = visit.reader.program.survey
        given = {question.id: form_text(form, question.id) for question in policy.questions(row.role)}
        answers, issues = check_answers(policy, row.role, given)
        if issues:
            errors = {str(issue.path[0]) if issue.path else "form": Text("site.choose") for issue in issues}
            return await self._form(visit, row, given, errors)
        data = {"engagement": row.engagement_id, "by": visit.link.profile, "answers": answers}
        answer = Envelope("", SOURCE, "survey.answered", visit.at, data)
        await self._store.put_answer(visit.question, answer)
        return STORED

    async def _row(self, visit: LinkVisit) -> Survey | LinkPage:
        async with self._database.reading() as session:
            row = await session.get(Survey, visit.link.subject)
        if row is None or row.profile_id != visit.link.profile:
            return NOT_THEIRS
        return message_page("survey.over") if row.closed_at else row

    async def _form(
        self, visit: LinkVisit, row: Survey, given: Mapping[str, Any], errors: FieldErrors
    ) -> LinkPage:
        async with self._database.reading() as session:
            engagement = await engagement_of(session, row.engagement_id)
            other = await other_party(session, engagement, visit.link.profile) if engagement else None
        if other is None:
            return NOT_THEIRS
        policy = visit.reader.program.survey
        questions = _questions(visit, row)
        values = {
            "other": isolated(other.member.name),
            "answered": bool(row.answers),
            "labels": {question["id"]: question["text"] for question in questions},
            "questions": questions,
            "typed": {**{question["id"]: "" for question in questions}, **_as_typed(given)},
            "ratings": list(range(1, policy.rating_most + 1)),
        }
        return form_page("survey.html", values, errors)


def _questions(visit: LinkVisit, row: Survey) -> list[dict[str, Any]]:
    """Return the questions in the reader's language."""
    policy, language = visit.reader.program.survey, visit.reader.language
    return [
        {
            "id": question.id,
            "kind": question.kind,
            "required": question.required,
            "text": question.text_in(language),
            "choices": [(choice.id, choice.text_in(language)) for choice in question.choices],
        }
        for question in policy.questions(row.role)
    ]


def _as_typed(answers: Mapping[str, Any]) -> dict[str, str]:
    """Return answers as the fields of the form hold them."""
    words = {True: "yes", False: "no"}
    return {name: words[value] if isinstance(value, bool) else str(value) for name, value in answers.items()}
