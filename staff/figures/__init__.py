"""The figures of a program: read once, computed for any period, shown as named rows; and how its mail fares."""

from staff.figures.computation import Figures, Period, Share, Spread, figures, figures_of
from staff.figures.lines import FigureLine, lines
from staff.figures.mail_health import (
    ChannelState,
    MailHealth,
    ProblemAddress,
    Rate,
    channel_state,
    mail_health,
)
from staff.figures.service_level import (
    OBJECTIVE,
    MailLateness,
    ServiceLevel,
    by_day,
    by_program,
    mail_lateness,
)
from staff.figures.source import EVERYBODY, FigureSource, PeoplePart, figure_source, parts_of_program
from staff.figures.survey_results import SurveyResult, results_of

__all__ = [
    "EVERYBODY",
    "OBJECTIVE",
    "ChannelState",
    "FigureLine",
    "FigureSource",
    "Figures",
    "MailHealth",
    "MailLateness",
    "PeoplePart",
    "Period",
    "ProblemAddress",
    "Rate",
    "ServiceLevel",
    "Share",
    "Spread",
    "SurveyResult",
    "by_day",
    "by_program",
    "channel_state",
    "figure_source",
    "figures",
    "figures_of",
    "lines",
    "mail_health",
    "mail_lateness",
    "parts_of_program",
    "results_of",
]
