"""The `[pairing]` of a program file: what makes two people a good pair in a cohort program (COH2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rules.program.toml_schema import field, table
from rules.validation import Issue, choice, integer

STYLES = ("similar", "different")


def _weight(about: str) -> Any:
    return field(integer(0, 100), "COH2", about=f"weight of {about}", default=0)


@table
class PairingPolicy:
    """How the fit of a mentee and a mentor is counted (COH2).

    Weights are whole numbers that count in proportion to each other. One that is absent is 0.
    """

    style: str = field(
        choice(*STYLES),
        "COH2",
        about="whether nationality, background and age should be similar or different",
    )
    areas: int = _weight("areas of the profession in common")
    interests: int = _weight("interests in common")
    common: int = _weight("other things in common: more languages, one's area that is the other's interest")
    goals: int = _weight("the mentee's goals in the mentor's words")
    time_zone: int = _weight("a small distance between the time zones")
    nationality: int = _weight("similar or different nationality")
    background: int = _weight("similar or different background: areas, years in management")
    age: int = _weight("similar or different age")

    @property
    def weights(self) -> dict[str, int]:
        """The weight of each criterion by its name."""
        return {name: getattr(self, name) for name in CRITERIA}

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue where no criterion has a weight."""
        if not any(self.weights.values()):
            yield Issue((), f"must give a weight above 0 to at least one of {', '.join(CRITERIA)}")


CRITERIA = ("areas", "interests", "common", "goals", "time_zone", "nationality", "background", "age")
"""The names of the weights, in the order of an explanation."""
