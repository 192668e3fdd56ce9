"""Programs with a curriculum: the bundled one with steps, in the zone of Colombia."""

from __future__ import annotations

from rules.program import Program, parse_program
from tests.support.programs.program_files import changed_text

STEPS = (
    ("welcome", 1, "guide", "both"),
    ("good_time", 2, "task", "mentee"),
    ("odyssey", 3, "workshop", "both"),
    ("prototype", 5, "guide", "mentee"),
    ("review", 6, "task", "mentor"),
)
"""Five steps: id, week, kind, and for whom."""

Steps = tuple[tuple[str, int, str, str], ...]


def curriculum_toml(steps: Steps = STEPS, *head: str) -> str:
    """The table of a curriculum; `head` are lines of it before the steps."""
    lines = ["", "[curriculum]", *head]
    for id, week, kind, who in steps:
        lines += ["", "[[curriculum.steps]]", f'id = "{id}"', f"week = {week}", f'kind = "{kind}"']
        lines += [f'who = "{who}"', f'title = {{ en = "The {id}", es = "El {id}" }}']
        lines += [f'text = {{ en = "Do {id}.\\nThen rest.", es = "Haga {id}.\\nLuego descanse." }}']
        lines += [f'link = "https://guides.example.org/{id}"']
    return "\n".join(lines) + "\n"


def curriculum_text(steps: Steps = STEPS, *head: str) -> str:
    """The text of the bundled program in Colombia, with a curriculum."""
    return changed_text(zone='"America/Bogota"', country='"CO"') + curriculum_toml(steps, *head)


def curriculum_program(steps: Steps = STEPS, *head: str) -> Program:
    """The bundled program in Colombia, with a curriculum."""
    return parse_program(curriculum_text(steps, *head), "asis-global.toml")
