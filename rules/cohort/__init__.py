"""Cohorts: when people register, when the pairs start, and until when they go on (COH1, COH3)."""

from rules.cohort.window import (
    CohortDays,
    cohort_of_year,
    days_of_year,
    in_window,
    next_opening,
    window_at,
)

__all__ = ["CohortDays", "cohort_of_year", "days_of_year", "in_window", "next_opening", "window_at"]
