"""The figures of a program: read once, computed for any period, shown as named rows."""

from staff.figures.computation import Figures, Period, Share, Spread, figures
from staff.figures.lines import FigureLine, lines
from staff.figures.source import FigureSource, figure_source
from staff.figures.survey_results import SurveyResult, results_of

__all__ = [
    "FigureLine",
    "FigureSource",
    "Figures",
    "Period",
    "Share",
    "Spread",
    "SurveyResult",
    "figure_source",
    "figures",
    "lines",
    "results_of",
]
