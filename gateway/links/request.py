"""Links about a request: accept, decline, withdraw (REQ1, REQ5–REQ7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from database.models import Request
from gateway.links.base import (
    LifecycleLinkHandler,
    LinkSubject,
    ReadForm,
    choice,
    facts_of,
    optional_text,
)
from gateway.links.page import LinkVisit
from gateway.pages import Text
from rules.request import RequestFacts, answer_due, expires_at


class AnswerRequest(LifecycleLinkHandler[Request]):
    """The mentor accepts or declines. A reason is for staff only (REQ5, REQ6)."""

    table = Request
    template = "answer.html"
    roles = ("mentor",)
    fields = ("answer", "reason")

    def initial_values(self, visit: LinkVisit, subject: LinkSubject[Request]) -> dict[str, str]:
        """Return the answer that the link stands for."""
        return {"answer": choice(visit.link.detail, "accept", "decline"), "reason": ""}

    def context(self, visit: LinkVisit, subject: LinkSubject[Request]) -> dict[str, object]:
        """Return the day on which the answer is due, while it lies ahead (REQ2)."""
        due = None
        if facts := facts_of(RequestFacts, subject.row):
            reader = visit.reader
            calendar = reader.participant.calendar(reader.program)
            instant = answer_due(facts, reader.program.request, calendar)
            due = calendar.date_of(instant) if instant > visit.at else None
        return {"due": due}

    def read(self, visit: LinkVisit, subject: LinkSubject[Request], given: Mapping[str, str]) -> ReadForm:
        """Return the answer of the button that was pressed; a reason counts only for declining."""
        if given["answer"] == "accept":
            return "request.accepted", {}, {}
        if given["answer"] != "decline":
            return "", {}, {"answer": Text("site.choose")}
        return "request.declined", *optional_text("reason", given["reason"])

    def confirmation(self, visit: LinkVisit, subject: LinkSubject[Request], data: Mapping[str, Any]) -> str:
        """Return the page of the answer."""
        return f"answer.{data['answer']}"


class WithdrawRequest(LifecycleLinkHandler[Request]):
    """The mentee withdraws a request (REQ7). Waiting longer needs no button (REQ4)."""

    table = Request
    template = "withdraw.html"
    roles = ("mentee",)
    fields = ("reason",)

    def context(self, visit: LinkVisit, subject: LinkSubject[Request]) -> dict[str, object]:
        """Return the day until which the request stays open without an answer (REQ8)."""
        until = None
        if facts := facts_of(RequestFacts, subject.row):
            program = visit.reader.program
            mentor, mentee = (who.calendar(program) for who in (subject.other, visit.reader.participant))
            until = mentee.date_of(expires_at(facts, program.request, mentor))
        return {"until": until}

    def read(self, visit: LinkVisit, subject: LinkSubject[Request], given: Mapping[str, str]) -> ReadForm:
        """Return the withdrawal, with its reason if there is one."""
        return "request.canceled", *optional_text("reason", given["reason"])

    def confirmation(self, visit: LinkVisit, subject: LinkSubject[Request], data: Mapping[str, Any]) -> str:
        """Return the one page."""
        return "withdraw.done"
