"""Cohorts as staff see and steer them: lists, proposals, pairs, the closing report (COH1–COH3)."""

from staff.cohorts.cohort_acts import (
    CohortRefused,
    Proposed,
    confirm_cohort,
    decide_pair,
    dry_run,
    pair_again,
)
from staff.cohorts.cohort_report import CohortReport, ReportedPair, report_of
from staff.cohorts.cohort_views import (
    CohortPairView,
    CohortSummary,
    CohortView,
    UnpairedView,
    cohort_list,
    cohort_view,
    find_cohort,
)

__all__ = [
    "CohortPairView",
    "CohortRefused",
    "CohortReport",
    "CohortSummary",
    "CohortView",
    "Proposed",
    "ReportedPair",
    "UnpairedView",
    "cohort_list",
    "cohort_view",
    "confirm_cohort",
    "decide_pair",
    "dry_run",
    "find_cohort",
    "pair_again",
    "report_of",
]
