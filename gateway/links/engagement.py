"""Links about an engagement: discovery, plan, meetings, extension, end, misconduct (ENG2–ENG5, ENG7, ENG8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from database.models import Engagement
from gateway.links.base import (
    MOST_MONTHS,
    LifecycleLinkHandler,
    LinkSubject,
    facts_of,
    find_subject,
    later_day,
    one_of,
    planned_end_of,
    shown_day,
    with_text,
)
from gateway.links.page import NOT_THEIRS, LinkVisit, Page
from gateway.pages import Text
from rules.engagement import END_REASONS, EngagementFacts

Errors = dict[str, Text]


class AnswerDiscovery(LifecycleLinkHandler):
    """How the discovery call went (ENG2)."""

    name = "discovery"
    fields = ("answer",)

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """What the mail's link named, else the last answer."""
        before = (self._before(visit, matter) or {}).get("answer", "")
        return {"answer": one_of(visit.link.detail, *self._answers(visit, matter)) or before}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The answer."""
        if given["answer"] not in self._answers(visit, matter):
            return "", {}, {"answer": Text("site.choose")}
        return "engagement.discovery", {"by": visit.link.profile, "answer": given["answer"]}, {}

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """By the answer."""
        return f"discovery.{data['answer']}"

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The answers to choose from."""
        return {"answers": self._answers(visit, matter)}

    def _answers(self, visit: LinkVisit, matter: LinkSubject) -> tuple[str, ...]:
        """Who has found a good fit has met, and cannot say otherwise any more."""
        facts = facts_of(EngagementFacts, matter)
        told = [each.answer for each in facts.discovery if each.by == matter.role] if facts else []
        told += [
            event.data["answer"]
            for event in matter.told
            if event.type == "engagement.discovery" and event.data["by"] == visit.link.profile
        ]
        return ("good_fit", "not_a_fit") if "good_fit" in told else ("good_fit", "not_met", "not_a_fit")


class AgreePlan(LifecycleLinkHandler):
    """How long the two want to work together, and what for (ENG3)."""

    name = "plan"
    fields = ("months", "end", "goals")

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """The goals as they stand."""
        assert isinstance(matter.row, Engagement)
        goals = matter.row.goals
        for event in matter.told:
            if event.type == "engagement.plan_agreed" and event.state != "applied":
                goals = event.data.get("goals") or goals
        return {"months": "", "end": "", "goals": goals or ""}

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The planned end as it stands, and whether an extension has settled it."""
        facts = facts_of(EngagementFacts, matter)
        return {
            "planned": planned_end_of(visit, matter),
            "extended": facts is not None and any(new.by != "plan" for new in facts.new_ends),
        }

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """Months or an end, and goals; at least one of these."""
        data, errors = with_text("goals", given["goals"])
        if given["months"]:
            months = int(given["months"]) if re.fullmatch("[0-9]{1,4}", given["months"]) else 0
            data["months"] = months
            if not 1 <= months <= MOST_MONTHS:
                errors["months"] = Text("plan.wrong_months", {"most": MOST_MONTHS})
        if given["end"]:
            data["end"] = later_day("end", given["end"], visit, errors)
            if given["months"]:
                errors["end"] = Text("plan.both")
        if not data and not errors:
            errors["goals"] = Text("plan.nothing")
        if self.more(visit, matter)["extended"] and ("months" in data or "end" in data):
            errors["goals"] = Text("plan.extended")
        return "engagement.plan_agreed", data, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """One for all."""
        return "plan.done"


class AnswerMet(LifecycleLinkHandler):
    """Whether the two met (ENG4)."""

    name = "met"
    fields = ("answer", "date")

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """What the mail's link named, else the last answer."""
        before = self._before(visit, matter) or {}
        return {
            "answer": one_of(visit.link.detail, "yes", "no") or before.get("answer", ""),
            "date": before.get("date", ""),
        }

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """Yes or no; with a yes, perhaps the date."""
        if given["answer"] not in ("yes", "no"):
            return "", {}, {"answer": Text("site.choose")}
        data: dict[str, Any] = {"by": visit.link.profile, "answer": given["answer"]}
        errors: Errors = {}
        if given["date"] and given["answer"] == "yes":
            day = shown_day("date", given["date"], errors)
            if day and day > visit.reader.today(visit.at):
                errors["date"] = Text("met.ahead")
            elif (
                day and isinstance(matter.row, Engagement) and day < visit.reader.today(matter.row.started_at)
            ):
                errors["date"] = Text("met.before")
            elif day:
                data["date"] = day.isoformat()
        return "engagement.met", data, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """By the answer."""
        return f"met.{data['answer']}"


class AgreeExtension(LifecycleLinkHandler):
    """Until when the two want to go on: it counts when both say the same day (ENG5)."""

    name = "extend"
    fields = ("end",)

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """The day that the other named, else the reader's own."""
        mine, theirs = self._votes(visit, matter)
        day = theirs or mine
        return {"end": day.isoformat() if day else ""}

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The planned end as it stands, and what each has said so far."""
        mine, theirs = self._votes(visit, matter)
        return {"planned": planned_end_of(visit, matter), "mine": mine, "theirs": theirs}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """A day after the planned end."""
        errors: Errors = {}
        end = later_day("end", given["end"], visit, errors)
        planned = planned_end_of(visit, matter)
        if not errors and planned and end <= planned.isoformat():
            errors["end"] = Text("extend.not_later", {"end": planned})
        return "engagement.extension_agreed", {"by": visit.link.profile, "end": end}, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """Whether both have named the same day now."""
        _, theirs = self._votes(visit, matter)
        return "extend.agreed" if theirs and theirs.isoformat() == data["end"] else "extend.done"

    def _votes(self, visit: LinkVisit, matter: LinkSubject) -> tuple[date | None, date | None]:
        """The days that the reader and the other have named and not yet agreed on."""
        facts = facts_of(EngagementFacts, matter)
        votes = {vote.by == matter.role: vote.end for vote in facts.votes} if facts else {}
        for event in matter.told:
            if event.type == "engagement.extension_agreed" and event.state != "applied":
                votes[event.data["by"] == visit.link.profile] = event.data["end"]
        mine, theirs = votes.get(True), votes.get(False)
        return date.fromisoformat(mine) if mine else None, date.fromisoformat(theirs) if theirs else None


class EndEngagement(LifecycleLinkHandler):
    """Either of the two ends it, with a reason (ENG7)."""

    name = "end"
    fields = ("reason",)
    reasons = tuple(END_REASONS)

    def proposed(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, str]:
        """The reason that the mail's link named."""
        return {"reason": one_of(visit.link.detail, *self.reasons)}

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """The reason."""
        if given["reason"] not in self.reasons:
            return "", {}, {"reason": Text("site.choose")}
        return "engagement.ended", {"by": visit.link.profile, "reason": given["reason"]}, {}

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """Whether it was completed."""
        return "end.completed" if data["reason"] == "goals_met" else "end.ended"

    def more(self, visit: LinkVisit, matter: LinkSubject) -> dict[str, object]:
        """The reasons to choose from."""
        return {"reasons": self.reasons}


class ReportMisconduct(LifecycleLinkHandler):
    """A confidential report to staff, whatever state the engagement is in; it is never shown again (ENG8)."""

    name = "report"
    fields = ("text",)

    def read(
        self, visit: LinkVisit, matter: LinkSubject, given: Mapping[str, str]
    ) -> tuple[str, dict[str, Any], Errors]:
        """What happened."""
        data, errors = with_text("text", given["text"])
        if not given["text"]:
            errors["text"] = Text("site.empty")
        return "engagement.misconduct_reported", {"by": visit.link.profile, **data}, errors

    def next(self, visit: LinkVisit, matter: LinkSubject, data: Mapping[str, Any]) -> str:
        """One for all."""
        return "report.done"

    async def _matter(self, visit: LinkVisit) -> LinkSubject | Page:
        async with self._database.reading() as session:
            return await find_subject(session, visit, self.table) or NOT_THEIRS
