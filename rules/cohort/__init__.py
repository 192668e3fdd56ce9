"""Cohorts: when people register, when the pairs start, and until when they go on (COH1, COH3)."""

from rules.cohort.acts import PAIRED_STATES, apply, closed_because, follow_program, refuse_past
from rules.cohort.agenda import agenda, closes_at, proposal_due, starts_at, state_at
from rules.cohort.engagement_ids import engagement_id
from rules.cohort.facts import CohortFacts
from rules.cohort.window import (
    CohortDays,
    cohort_of_year,
    days_of_year,
    in_window,
    next_opening,
    window_at,
)

__all__ = [
    "PAIRED_STATES",
    "CohortDays",
    "CohortFacts",
    "agenda",
    "apply",
    "closed_because",
    "closes_at",
    "cohort_of_year",
    "days_of_year",
    "engagement_id",
    "follow_program",
    "in_window",
    "next_opening",
    "proposal_due",
    "refuse_past",
    "starts_at",
    "state_at",
    "window_at",
]
