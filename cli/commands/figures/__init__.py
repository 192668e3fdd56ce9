"""`throughline figures` and `throughline survey`: what came of a program, in numbers."""

from cli.commands.figures.figures_command import print_figures
from cli.commands.figures.survey import app as survey_app

__all__ = ["print_figures", "survey_app"]
