"""A program file, validated: every number of the rulebook (COH5)."""

from rules.program.policies import CreditPolicy, EngagementPolicy, OnboardingPolicy, RequestPolicy
from rules.program.program import Program, load_program, parse_program, program_calendar
from rules.program.survey_policy import Question, SurveyPolicy
from rules.program.values import NEEDED_RESOURCES

__all__ = [
    "NEEDED_RESOURCES",
    "CreditPolicy",
    "EngagementPolicy",
    "OnboardingPolicy",
    "Program",
    "Question",
    "RequestPolicy",
    "SurveyPolicy",
    "load_program",
    "parse_program",
    "program_calendar",
]
