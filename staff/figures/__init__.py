"""The figures of a program: read once, computed for any period, shown as named rows; and how its mail fares."""

from staff.figures.computation import Figures, Period, Share, Spread, figures
from staff.figures.lines import FigureLine, lines
from staff.figures.mail_health import (
    ChannelState,
    MailHealth,
    ProblemAddress,
    Rate,
    channel_state,
    mail_health,
)
from staff.figures.source import FigureSource, figure_source
from staff.figures.survey_results import SurveyResult, results_of

__all__ = [
    "ChannelState",
    "FigureLine",
    "FigureSource",
    "Figures",
    "MailHealth",
    "Period",
    "ProblemAddress",
    "Rate",
    "Share",
    "Spread",
    "SurveyResult",
    "channel_state",
    "figure_source",
    "figures",
    "lines",
    "mail_health",
    "results_of",
]
