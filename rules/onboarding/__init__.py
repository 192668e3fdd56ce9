"""Onboardings of mentors and mentees: what is due when, and what may be done to them (MEM1–MEM3, MEM5, ONB1–ONB8)."""

from rules.onboarding.acts import (
    apply,
    closed_because,
    end,
    extend,
    mail_decided,
    match_began,
    match_ended,
    pause,
    resume,
    standing_changed,
)
from rules.onboarding.agenda import agenda, mentor_is_qualified
from rules.onboarding.facts import CheckInExtension, Match, OnboardingFacts

__all__ = [
    "CheckInExtension",
    "Match",
    "OnboardingFacts",
    "agenda",
    "apply",
    "closed_because",
    "end",
    "extend",
    "mail_decided",
    "match_began",
    "match_ended",
    "mentor_is_qualified",
    "pause",
    "resume",
    "standing_changed",
]
