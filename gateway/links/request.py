"""Links about a request: accept, decline, withdraw (REQ1, REQ5–REQ7)."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from database.models import Event, Request
from gateway.links.base import (
    LifecycleLinkHandler,
    LinkSubject,
    ReadForm,
    facts_of,
    optional_text,
)
from gateway.links.page import LinkVisit, refuse_unticked
from gateway.pages import Text
from rules.request import RequestFacts, answer_due, expires_at


class AnswerRequest(LifecycleLinkHandler[Request]):
    """The mentor accepts or declines. A reason is for staff only (REQ5, REQ6)."""

    table = Request
    template = "answer.html"
    roles = ("mentor",)
    fields = ("answer", "reason")

    def context(self, visit: LinkVisit, subject: LinkSubject[Request]) -> dict[str, object]:
        """Return the answers, that of the link first and neither preset (MAIL9), and the terms of the request.

        The deadline stands on the mentor's clock, while it lies ahead (REQ2).
        """
        reader, due = visit.reader, None
        if facts := facts_of(RequestFacts, subject.row):
            calendar = reader.participant.calendar(reader.program)
            instant = answer_due(facts, reader.program.request, calendar)
            due = instant.astimezone(ZoneInfo(calendar.zone)) if instant > visit.at else None
        answers = ("decline", "accept") if visit.link.detail == "decline" else ("accept", "decline")
        default = reader.program.engagement.default_months
        return {"due": due, "answers": answers, "months": subject.row.months or default}

    def read(self, visit: LinkVisit, subject: LinkSubject[Request], given: Mapping[str, str]) -> ReadForm:
        """Return the answer that was chosen; a reason counts only for declining."""
        if given["answer"] == "accept":
            return "request.accepted", {}, {}
        if given["answer"] != "decline":
            return "", {}, {"answer": Text("site.choose")}
        return "request.declined", *optional_text("reason", given["reason"])

    def confirmation(self, visit: LinkVisit, subject: LinkSubject[Request], event: Event) -> str:
        """Return the page of the answer."""
        return "answer.accept" if event.type == "request.accepted" else "answer.decline"


class WithdrawRequest(LifecycleLinkHandler[Request]):
    """The mentee withdraws a request (REQ7). Waiting longer needs no button (REQ4)."""

    table = Request
    template = "withdraw.html"
    roles = ("mentee",)
    fields = ("reason", "confirm")

    def context(self, visit: LinkVisit, subject: LinkSubject[Request]) -> dict[str, object]:
        """Return the day until which the request stays open without an answer (REQ8)."""
        until = None
        if facts := facts_of(RequestFacts, subject.row):
            program = visit.reader.program
            mentor, mentee = (who.calendar(program) for who in (subject.other, visit.reader.participant))
            until = mentee.date_of(expires_at(facts, program.request, mentor))
        return {"until": until}

    def read(self, visit: LinkVisit, subject: LinkSubject[Request], given: Mapping[str, str]) -> ReadForm:
        """Return the withdrawal, with its reason if there is one; it needs a tick (MAIL9)."""
        data, errors = optional_text("reason", given["reason"])
        return "request.canceled", data, refuse_unticked(given, errors)

    def confirmation(self, visit: LinkVisit, subject: LinkSubject[Request], event: Event) -> str:
        """Return the one page."""
        return "withdraw.done"
