"""What somebody did to a lifecycle: the value that plans, previews and rules share (STA3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

EVENT_REASON = "event:"
"""A reason of this form names the stored event that holds the words, so that they stay out of histories (MEM6)."""


NOBODY = "unknown"
"""Actor recorded when the caller gave none."""

PROGRAM = "program"
"""Actor of what the engine itself does, such as ending an onboarding at a match."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody did to a lifecycle, for the rules and the audit record (STA3).

    `id` makes it count once; `at` is when it happened. `by` is a profile where one of the two people acted,
    `event` the stored event behind it, if there is one. `details` are the act's own words, such as an end.
    """

    id: str
    name: str
    actor: str
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)
    at: datetime | None = None
    by: str = ""
    event: str = ""
