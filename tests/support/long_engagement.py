"""An engagement that staff extended and paused again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rules import engagement
from rules.acts import Act
from rules.engagement import EngagementFacts
from rules.program import Program

STARTED = datetime(2028, 3, 6, 15, tzinfo=UTC)


def acted_on(
    times: int, program: Program, mentee: str = "p-mentee", mentor: str = "p-mentor"
) -> EngagementFacts:
    """The facts after so many extensions, each followed by a pause of three days."""
    facts, at = EngagementFacts("long", mentee, mentor, STARTED), STARTED
    for number in range(times):
        for name, details in (("extend", {"months": "1"}), ("pause", {}), ("resume", {})):
            at += timedelta(days=3)
            act = Act(f"{name} {number}", name, "lina", details=details, at=at)
            state = "paused" if name == "resume" else "active"
            facts = engagement.apply(facts, act, state, at, program)
    return facts
