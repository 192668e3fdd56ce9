"""The link about a step of the curriculum: what it asks for, and that the reader did it (COH4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from starlette.datastructures import FormData

from database.models import Event
from gateway.links.base import ReadForm, facts_of
from gateway.links.engagement import EngagementLinkHandler, Subject
from gateway.links.page import NOT_THEIRS, LinkPage, LinkVisit, message_page, refuse_unticked
from gateway.pages import Text
from rules.engagement import EngagementFacts
from rules.engagement.curriculum import done_at
from rules.program import CurriculumStep


class DoStep(EngagementLinkHandler):
    """A step of the curriculum. The link's detail is the step's id."""

    template = "step.html"
    fields = ("confirm",)

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the step with its form, or that it is done already."""
        visit = _about_its_step(visit)
        return await self._said(visit) or await super().get(visit)

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Store that the reader did the step."""
        visit = _about_its_step(visit)
        return await self._said(visit) or await super().post(visit, form)

    def read(self, visit: LinkVisit, subject: Subject, given: Mapping[str, str]) -> ReadForm:
        """Return the step; it needs a tick, since it cannot be taken back (MAIL9)."""
        data = {"by": visit.link.profile, "step": visit.link.detail}
        errors = refuse_unticked(given, {})
        return "curriculum.done", data, {"confirm": Text("step.tick")} if errors else {}

    def confirmation(self, visit: LinkVisit, subject: Subject, event: Event) -> str:
        """Return the one page."""
        return "step.done"

    def context(self, visit: LinkVisit, subject: Subject) -> dict[str, object]:
        """Return the step in the reader's language, with its place."""
        policy, step = visit.reader.program.curriculum, _step(visit)
        if policy is None or step is None:
            return {}
        language = visit.reader.language
        return {
            "step": {
                "title": step.title_in(language),
                "lines": [line for line in step.text_in(language).splitlines() if line.strip()],
                "kind": step.kind,
                "link": step.link,
                "is_shared": step.who == "both",
            },
            "place": policy.place(step.id),
            "of": len(policy.steps),
        }

    async def _said(self, visit: LinkVisit) -> LinkPage | None:
        """Return the page that stands in place of the form; None where the step is still to do."""
        subject = await self.find(visit)
        if subject is None:
            return NOT_THEIRS
        step = _step(visit)
        if step is None or subject.role not in step.roles:
            return message_page("step.gone", subject.names)
        return message_page("step.done", subject.names) if _is_done(visit, subject, step) else None


def _step(visit: LinkVisit) -> CurriculumStep | None:
    policy = visit.reader.program.curriculum
    return policy.step(visit.link.detail) if policy else None


def _is_done(visit: LinkVisit, subject: Subject, step: CurriculumStep) -> bool:
    """Return whether the reader did a step: by the facts, or by an event that is about to be applied."""
    facts = facts_of(EngagementFacts, subject.row)
    progress = facts.curriculum if facts else None
    if progress and done_at([*progress.carried, *progress.done], subject.role, step.id) is not None:
        return True
    return any(
        event.type == "curriculum.done"
        and event.state != "applied"
        and event.data.get("by") == visit.link.profile
        and event.data.get("step") == step.id
        for event in subject.events
    )


def _about_its_step(visit: LinkVisit) -> LinkVisit:
    """Return the visit with a question of its own for each step: the links of two mails may differ in nothing else."""
    step = hashlib.sha256(f"{visit.question} {visit.link.detail}".encode()).hexdigest()[:32]
    return replace(visit, question=step)
