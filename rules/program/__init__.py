"""A program file, validated: every number of the rulebook (COH5)."""

from rules.program.cohort_policy import CohortPolicy
from rules.program.curriculum_policy import Break, CurriculumPolicy, CurriculumStep
from rules.program.pairing_policy import PairingPolicy
from rules.program.policies import (
    CreditPolicy,
    EngagementPolicy,
    OnboardingPolicy,
    Partner,
    RequestPolicy,
)
from rules.program.program import (
    OF_ITS_VERSION,
    Program,
    load_program,
    parse_program,
    program_calendar,
    version_label,
)
from rules.program.survey_policy import Question, SurveyPolicy
from rules.program.values import NEEDED_RESOURCES

__all__ = [
    "NEEDED_RESOURCES",
    "OF_ITS_VERSION",
    "Break",
    "CohortPolicy",
    "CreditPolicy",
    "CurriculumPolicy",
    "CurriculumStep",
    "EngagementPolicy",
    "OnboardingPolicy",
    "PairingPolicy",
    "Partner",
    "Program",
    "Question",
    "RequestPolicy",
    "SurveyPolicy",
    "load_program",
    "parse_program",
    "program_calendar",
    "version_label",
]
