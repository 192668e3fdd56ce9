"""The agenda of a sign-up in a cohort program that needs a word: no welcome and no check-in follow (COH1, MEM1).

Who signs up inside a window and in good standing has no onboarding at all: the cohort writes to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rules.agenda import PlannedMail, StateChange
from rules.calendar import Calendar
from rules.onboarding.facts import OnboardingFacts

WINDOW_CLOSED = "window-closed"
"""The step of the mail about a window that is closed."""


def window_mail(facts: OnboardingFacts, mailed_at: datetime, calendar: Calendar) -> Iterator[PlannedMail]:
    """Yield the notice to somebody who signed up outside the window, with the next one if it is known (COH1).

    `calendar` is the reader's, on whose clock the opening has its day.
    """
    if not facts.outside_window:
        return
    context = {}
    if facts.window_opens and facts.window_closes:
        context = {
            "opens_on": calendar.date_of(facts.window_opens).isoformat(),
            "window_opens": facts.window_opens.isoformat(),
            "window_closes": facts.window_closes.isoformat(),
        }
    yield PlannedMail(WINDOW_CLOSED, mailed_at, "member.window_closed", facts.profile, context=context)


def closing(facts: OnboardingFacts, decided: datetime | None) -> Iterator[StateChange]:
    """Yield the change that closes it: good standing came back, or the mail about the window had its decision."""
    over = facts.unblocked_at if facts.blocked else decided
    if over is None:
        return
    if facts.outside_window:
        yield StateChange(over, "outside_window", "the window to register was closed", closes=True)
    else:
        yield StateChange(over, "registered", "the person takes part in the pairing", closes=True)
