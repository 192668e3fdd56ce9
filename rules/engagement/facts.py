"""What decides an engagement: ids, instants and answers, never personal data (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rules.acts import Lapse
from rules.agenda import Ended, Refused
from rules.pauses import Pause

ROLES = ("mentor", "mentee")
STAFF = "staff"
"""Who acts for the program, and the recipient of mail to its own people."""

MISCONDUCT = "misconduct"
"""The cause of the pause that a report opens (ENG8)."""

END_REASONS = {
    "goals_met": "the goals were met",
    "no_fit": "no fit",
    "no_time": "no time",
    "unresponsive": "the other did not respond",
    "other": "another reason",
}
"""The reasons for which a party ends an engagement, in words for staff (ENG7)."""

MOST_MONTHS_AHEAD = 240
"""How far ahead an end may lie: whoever wants more extends again (ENG10)."""
YESES_KEPT = 24


@dataclass(frozen=True, slots=True)
class NewEnd:
    """A planned end that was agreed or set at an instant, by `plan`, `parties` or `staff` (ENG3, ENG5, ENG6).

    It is a day, `end` (YYYY-MM-DD), or `months`: of a plan counted from the first day, else added to the end before
    it. `event` is the stored event behind it, if any.
    """

    at: datetime
    by: str
    end: str = ""
    months: int = 0
    event: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """The new end (YYYY-MM-DD) for which a side, `mentor` or `mentee`, is (ENG5)."""

    by: str
    end: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Discovery:
    """The last answer of a side about the discovery call: `good_fit`, `not_a_fit` or `not_met` (ENG2)."""

    by: str
    answer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """The last pulse that a side has answered, yes or no (ENG4)."""

    by: str
    number: int


@dataclass(frozen=True, slots=True)
class Report:
    """That misconduct was reported, by a side or `staff` (ENG8). The words are in the event."""

    by: str
    at: datetime
    event: str = ""


@dataclass(frozen=True, slots=True)
class EngagementFacts:
    """All that decides an engagement: ids, instants and dates only (MEM6).

    `mentee` and `mentor` are profiles, `months` is the length asked for in the request. `met` are the numbers of the
    last pulses with a yes from either. A pause with the cause `misconduct` is a suspension. `acts` is the order in
    which `pauses` began (`pause`) and ended (`resume`) and the `new_ends` came (`end`). `end_reason` is one of
    `END_REASONS` where a party ended it, `ended_by` is `mentor`, `mentee` or `staff`.
    """

    engagement: str
    mentee: str
    mentor: str
    started_at: datetime
    months: int | None = None
    new_ends: list[NewEnd] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    discovery: list[Discovery] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    lapses: list[Lapse] = field(default_factory=list)
    ended: Ended | None = None
    ended_by: str = ""
    end_reason: str = ""

    @property
    def suspended(self) -> bool:
        """Whether a report of misconduct has stopped it (ENG8)."""
        return any(pause.cause == MISCONDUCT and pause.until is None for pause in self.pauses)

    @property
    def paused(self) -> bool:
        """Whether nothing is mailed just now, by staff or because it is suspended (ENG8, ENG11)."""
        return any(pause.until is None for pause in self.pauses)

    def role(self, by: str) -> str:
        """`mentor` or `mentee`, for their profiles and for these words. Raises Refused for anybody else."""
        roles = {"mentor": "mentor", "mentee": "mentee", self.mentor: "mentor", self.mentee: "mentee"}
        if by in roles:
            return roles[by]
        raise Refused("only the mentor and the mentee of an engagement can do this")
