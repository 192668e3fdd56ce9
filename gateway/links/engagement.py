"""Links about an engagement: discovery, plan, meetings, extension, end, misconduct (ENG2–ENG5, ENG7, ENG8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from database.models import Engagement, Event
from gateway.links.base import (
    LifecycleLinkHandler,
    LinkSubject,
    ReadForm,
    day_in,
    facts_of,
    future_day_in,
    optional_text,
    planned_end_of,
)
from gateway.links.page import FieldErrors, LinkVisit, refuse_unticked
from gateway.pages import Text
from rules.engagement import END_REASONS, EngagementFacts

MOST_MONTHS = 120
"""The longest plan in months that an event may carry."""

Subject = LinkSubject[Engagement]


class EngagementLinkHandler(LifecycleLinkHandler[Engagement]):
    """A purpose about an engagement."""

    table = Engagement


class AnswerDiscovery(EngagementLinkHandler):
    """How the discovery call went (ENG2)."""

    template = "discovery.html"
    fields = ("answer",)

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return the answer; it must be one of those that are still possible."""
        if given["answer"] not in self._answers(visit, subject):
            return "", {}, {"answer": Text("site.choose")}
        return "engagement.discovery", {"by": visit.link.profile, "answer": given["answer"]}, {}

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the page of the answer."""
        return f"discovery.{event.data['answer']}"

    def context(self, visit: LinkVisit, subject: Subject) -> dict[str, object]:
        """Return the answers to choose from."""
        return {"answers": self._answers(visit, subject)}

    def _answers(self, visit: LinkVisit, subject: Subject) -> tuple[str, ...]:
        """Return the possible answers: after a good fit, the two have met."""
        facts = facts_of(EngagementFacts, subject.row)
        given = [each.answer for each in facts.discovery if each.by == subject.role] if facts else []
        given += [
            event.data["answer"]
            for event in subject.events
            if event.type == "engagement.discovery" and event.data["by"] == visit.link.profile
        ]
        return ("good_fit", "not_a_fit") if "good_fit" in given else ("good_fit", "not_met", "not_a_fit")


_MATERIALS = {
    "mentor": ("video", "first_meeting_questions", "smart_goals", "oskar"),
    "mentee": ("tip_sheet", "first_meeting_questions", "smart_goals", "oskar"),
}
"""The resources for the first meetings, by the reader's role (ENG1, MEE2)."""


class AgreePlan(EngagementLinkHandler):
    """How long the two want to work together, and their goals (ENG3)."""

    template = "plan.html"
    fields = ("months", "end", "goals")

    def initial_values(self, visit: LinkVisit, subject: Subject) -> dict[str, str]:
        """Return the present goals."""
        goals = subject.row.goals
        for event in subject.events:
            if event.type == "engagement.plan_agreed" and event.state != "applied":
                goals = event.data.get("goals") or goals
        return {"months": "", "end": "", "goals": goals or ""}

    def context(self, visit: LinkVisit, subject: Subject) -> dict[str, object]:
        """Return the planned end, whether an extension has fixed it, and the material for the first meetings."""
        resources = visit.reader.program.resources
        return {
            "planned": planned_end_of(visit, subject),
            "extended": _is_extended(subject),
            "materials": [(name, resources[name]) for name in _MATERIALS[subject.role] if name in resources],
        }

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return months or an end, and goals; one of the three must be new (MAIL9)."""
        present = self.initial_values(visit, subject)["goals"]
        data, errors = optional_text("goals", given["goals"] if given["goals"] != present else "")
        if given["months"]:
            months = int(given["months"]) if re.fullmatch("[0-9]{1,4}", given["months"]) else 0
            data["months"] = months
            if not 1 <= months <= MOST_MONTHS:
                errors["months"] = Text("plan.wrong_months", {"most": MOST_MONTHS})
        if given["end"]:
            data["end"] = future_day_in("end", given["end"], visit, errors)
            if given["months"]:
                errors["end"] = Text("plan.both")
        if not data and not errors:
            errors["goals"] = Text("plan.nothing")
        if _is_extended(subject) and ("months" in data or "end" in data):
            errors["goals"] = Text("plan.extended")
        return "engagement.plan_agreed", data, errors

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the one page."""
        return "plan.done"


def _is_extended(subject: Subject) -> bool:
    facts = facts_of(EngagementFacts, subject.row)
    return facts is not None and any(new.by != "plan" for new in facts.new_ends)


class AnswerMet(EngagementLinkHandler):
    """Whether the two met (ENG4)."""

    template = "met.html"
    fields = ("answer", "date")

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return yes or no; a yes may have a date."""
        if given["answer"] not in ("yes", "no"):
            return "", {}, {"answer": Text("site.choose")}
        data: dict[str, Any] = {"by": visit.link.profile, "answer": given["answer"]}
        errors: FieldErrors = {}
        day = None
        if given["date"] and given["answer"] == "yes":
            day = day_in("date", given["date"], errors)
        if day is None:
            return "engagement.met", data, errors
        if day > visit.reader.today(visit.at):
            errors["date"] = Text("met.ahead")
        elif day < visit.reader.today(subject.row.started_at):
            errors["date"] = Text("met.before")
        return "engagement.met", {**data, "date": day.isoformat()}, errors

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the page of the answer."""
        return f"met.{event.data['answer']}"


class AgreeExtension(EngagementLinkHandler):
    """Until when the two want to continue. It counts when both name the same day (ENG5)."""

    template = "extend.html"
    fields = ("end", "confirm")

    def initial_values(self, visit: LinkVisit, subject: Subject) -> dict[str, str]:
        """Return the day that the other party named, else the reader's own."""
        mine, theirs = self._votes(visit, subject)
        day = theirs or mine
        return {"end": day.isoformat() if day else "", "confirm": ""}

    def context(self, visit: LinkVisit, subject: Subject) -> dict[str, object]:
        """Return the planned end, and the days that the two have named."""
        mine, theirs = self._votes(visit, subject)
        return {"planned": planned_end_of(visit, subject), "mine": mine, "theirs": theirs}

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return the day; it must lie after the planned end, and needs a tick (MAIL9)."""
        errors: FieldErrors = {}
        end = future_day_in("end", given["end"], visit, errors)
        planned = planned_end_of(visit, subject)
        if not errors and planned and end <= planned.isoformat():
            errors["end"] = Text("extend.not_later", {"end": planned})
        data = {"by": visit.link.profile, "end": end}
        return "engagement.extension_agreed", data, refuse_unticked(given, errors)

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the page that says whether both have named the same day."""
        _, theirs = self._votes(visit, subject)
        named = (theirs, planned_end_of(visit, subject))
        agreed = any(day and day.isoformat() == event.data["end"] for day in named)
        return "extend.agreed" if agreed else "extend.done"

    def _votes(self, visit: LinkVisit, subject: Subject) -> tuple[date | None, date | None]:
        """Return the days that the reader and the other party named, and that are not agreed yet."""
        facts = facts_of(EngagementFacts, subject.row)
        votes = {vote.by == subject.role: vote.end for vote in facts.votes} if facts else {}
        for event in subject.events:
            if event.type == "engagement.extension_agreed" and event.state != "applied":
                votes[event.data["by"] == visit.link.profile] = event.data["end"]
        mine, theirs = votes.get(True), votes.get(False)
        return date.fromisoformat(mine) if mine else None, date.fromisoformat(theirs) if theirs else None


class EndEngagement(EngagementLinkHandler):
    """Either party ends the engagement, with a reason (ENG7)."""

    template = "end.html"
    fields = ("reason",)
    reasons = tuple(END_REASONS)

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return the reason."""
        if given["reason"] not in self.reasons:
            return "", {}, {"reason": Text("site.choose")}
        return "engagement.ended", {"by": visit.link.profile, "reason": given["reason"]}, {}

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the page that says whether the engagement counts as completed."""
        return "end.completed" if event.data["reason"] == "goals_met" else "end.ended"

    def context(self, visit: LinkVisit, subject: Subject) -> dict[str, object]:
        """Return the reasons to choose from."""
        return {"reasons": self.reasons}


class ReportMisconduct(EngagementLinkHandler):
    """A confidential report to staff, in any state of the engagement. It is never shown again (ENG8)."""

    template = "report.html"
    fields = ("text",)

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return the report."""
        data, errors = optional_text("text", given["text"])
        if not given["text"]:
            errors["text"] = Text("site.empty")
        return "engagement.misconduct_reported", {"by": visit.link.profile, **data}, errors

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the one page."""
        return "report.done"

    def takes_answers(self, subject: Subject) -> bool:
        """Return that a report is taken in any state."""
        return True
