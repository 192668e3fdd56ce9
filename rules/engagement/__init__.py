"""Engagements: what is due when, and what may be done to them (ENG1–ENG11)."""

from rules.engagement.acts import (
    agree_extension,
    agree_plan,
    answer_discovery,
    answer_pulse,
    apply,
    cancel,
    closed_because,
    end,
    extend,
    party_withdrawn,
    pause,
    report_misconduct,
    resume,
    standing_changed,
)
from rules.engagement.agenda import BETWEEN_NOTICES, agenda, state_at, times_reported
from rules.engagement.dates import end_day, gate_day, planned_end, pulse_at, start_day
from rules.engagement.facts import END_REASONS, MOST_MONTHS_AHEAD, ROLES, STAFF, EngagementFacts, NewEnd, Vote

__all__ = [
    "BETWEEN_NOTICES",
    "END_REASONS",
    "MOST_MONTHS_AHEAD",
    "ROLES",
    "STAFF",
    "EngagementFacts",
    "NewEnd",
    "Vote",
    "agenda",
    "agree_extension",
    "agree_plan",
    "answer_discovery",
    "answer_pulse",
    "apply",
    "cancel",
    "closed_because",
    "end",
    "end_day",
    "extend",
    "gate_day",
    "party_withdrawn",
    "pause",
    "planned_end",
    "pulse_at",
    "report_misconduct",
    "resume",
    "standing_changed",
    "start_day",
    "state_at",
    "times_reported",
]
