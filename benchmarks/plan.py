"""What a plan of an engagement costs after many acts: processor time of the rules, and of the whole activity."""

from __future__ import annotations

import time

from benchmarks.mail import ROOT, Figure, show
from rules import engagement
from rules.calendar import calendar_for
from rules.engagement import EngagementFacts
from rules.program import Program, load_program, program_calendar
from tests.support.long_engagement import acted_on

ACTS = 20
"""Extensions, and as many pauses."""

MILLISECONDS = 20
GROWTH = 3
"""The most that twice the acts may take, as a multiple: there are twice as many messages. The square would be 4."""


def _milliseconds(program: Program, facts: EngagementFacts) -> float:
    """The least processor time of ten plans."""
    mentor = calendar_for(program.hours, "America/New_York", "US", "NY")
    mentee = calendar_for(program.hours, "America/Bogota", "CO", None)
    taken = []
    for _ in range(10):
        began = time.process_time()
        engagement.agenda(facts, program.engagement, program_calendar(program), mentor, mentee)
        taken.append(time.process_time() - began)
    return 1000 * min(taken)


def measure() -> list[Figure]:
    """Plan an engagement after some acts, and after twice as many."""
    program = load_program(ROOT / "programs" / "asis-global.toml")
    some = _milliseconds(program, acted_on(ACTS, program))
    twice = _milliseconds(program, acted_on(2 * ACTS, program))
    return [
        Figure("milliseconds", f"{some:.1f}", f"< {MILLISECONDS}", some < MILLISECONDS),
        Figure("twice the acts, as a multiple", f"{twice / some:.1f}", f"< {GROWTH}", twice < GROWTH * some),
    ]


def main() -> None:
    """Measure and print."""
    show(measure(), f"A plan of an engagement with {ACTS} extensions and {ACTS} pauses")


if __name__ == "__main__":
    main()
