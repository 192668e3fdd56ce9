"""Links about a request: accept, decline, withdraw (REQ1, REQ5–REQ7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from database.models import Request
from gateway.links.base import LifecycleLinkHandler, LinkSubject, facts_of, one_of, with_text
from gateway.links.page import LinkVisit
from gateway.pages import Text
from rules.calendar import calendar_for
from rules.request import RequestFacts, answer_due, expires_at

Errors = dict[str, Text]


class AnswerRequest(LifecycleLinkHandler):
    """The mentor accepts or declines; a reason is for staff alone (REQ5, REQ6)."""

    name = "answer"
    table = Request
    roles = ("mentor",)
    fields = ("answer", "reason")

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """Which of the two the mail's link named."""
        return {"answer": one_of(visit.link.detail, "accept", "decline"), "reason": ""}

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The day on which the answer is due, while it lies ahead (REQ2)."""
        due = None
        if facts := facts_of(RequestFacts, matter):
            member, policy = visit.reader.member, visit.reader.program.request
            calendar = calendar_for(
                visit.reader.program.hours, member.time_zone, member.country, member.subdivision
            )
            instant = answer_due(facts, policy, calendar)
            due = calendar.date_of(instant) if instant > visit.at else None
        return {"due": due}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The button that was pressed, and for a no the reason."""
        if given["answer"] == "accept":
            return "request.accepted", {}, {}
        if given["answer"] != "decline":
            return "", {}, {"answer": Text("site.choose")}
        return "request.declined", *with_text("reason", given["reason"])

    def next(self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, Any]) -> str:
        """By the answer."""
        return f"answer.{given['answer']}"


class WithdrawRequest(LifecycleLinkHandler):
    """The mentee takes a request back (REQ7), or keeps waiting, which needs no button (REQ4)."""

    name = "withdraw"
    table = Request
    roles = ("mentee",)
    fields = ("reason",)

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The day until which the request stays open if nothing is done (REQ8)."""
        until = None
        if facts := facts_of(RequestFacts, matter):
            program = visit.reader.program
            mentor, mentee = (
                calendar_for(program.hours, who.time_zone, who.country, who.subdivision)
                for who in (matter.other, visit.reader.member)
            )
            until = mentee.date_of(expires_at(facts, program.request, mentor))
        return {"until": until}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The reason, if there is one."""
        return "request.canceled", *with_text("reason", given["reason"])

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """One for all."""
        return "withdraw.done"
