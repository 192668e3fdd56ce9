"""The facts of an engagement: ids, instants and answers, never personal data (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rules.acts import Lapse, Received
from rules.agenda import Ended, Refused
from rules.pauses import Pause

ROLES = ("mentor", "mentee")
STAFF = "staff"
"""Who acts for the program, and the recipient of mail to the program's own people."""

GRADUATION = "graduation"
"""The message before the end of a cohort's engagement, which is one message to both (COH3)."""

WITHDRAWN = "withdrawn"
"""The cause of the pause that a withdrawn profile opens (MEM7)."""

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
"""How far ahead an end may lie. A longer engagement is extended again later (ENG10)."""

YESES_KEPT = 24
"""How many pulses with a yes the facts keep, so that they stay bounded however long an engagement runs (ENG10)."""


@dataclass(frozen=True, slots=True)
class NewEnd:
    """A new planned end: either the day `end` or a number of `months` (ENG3, ENG5, ENG6)."""

    at: datetime
    """When it was agreed or set."""
    by: str
    """Who set it: `plan`, `parties` or `staff`."""
    end: str = ""
    """The last day, YYYY-MM-DD."""
    months: int = 0
    """The length: of a plan, counted from the first day; of an extension, added to the end before it."""
    event: str = ""
    """The stored event that reported it, if there is one."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One side's consent to a new end (ENG5)."""

    by: str
    """The side: `mentor` or `mentee`, here and in the values below."""
    end: str
    """The last day, YYYY-MM-DD."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Discovery:
    """The latest answer of a side about the discovery call: `good_fit`, `not_a_fit` or `not_met` (ENG2)."""

    by: str
    answer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """The latest pulse that a side answered, with yes or no (ENG4)."""

    by: str
    number: int


@dataclass(frozen=True, slots=True)
class MisconductReport:
    """The fact that a side or `staff` reported misconduct (ENG8)."""

    by: str
    at: datetime
    event: str = ""
    """The stored event that holds the words of the report."""


@dataclass(frozen=True, slots=True)
class StepOf:
    """A step of the curriculum for one side (COH4)."""

    by: str
    """The side: `mentor` or `mentee`."""
    step: str
    """The step's id."""
    at: datetime
    """When it was done, or its mail was decided."""


@dataclass(frozen=True, slots=True)
class CurriculumCourse:
    """Where the two are in the curriculum of their program (COH4)."""

    starts_on: str
    """The day from which weeks count, YYYY-MM-DD: the later of the kick-off and the first day of the two."""
    version: str
    """The fingerprint of the program version whose steps are planned."""
    moved_at: datetime | None = None
    """When they went on to that version, where they began with another one."""
    carried: list[StepOf] = field(default_factory=list)
    """What they did in an earlier pair of the same cohort."""
    done: list[StepOf] = field(default_factory=list)
    mailed: list[StepOf] = field(default_factory=list)
    """The steps whose mails were decided before the last change of the version: no version moves them."""


@dataclass(frozen=True, slots=True)
class EngagementFacts:
    """Everything that decides an engagement: ids, instants and dates only (MEM6)."""

    engagement: str
    mentee: str
    """The mentee's profile."""
    mentor: str
    """The mentor's profile."""
    started_at: datetime
    months: int | None = None
    """The length that the request asked for."""
    new_ends: list[NewEnd] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    discovery: list[Discovery] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    """The numbers of the last pulses that at least one side answered with yes."""
    answered: list[Answered] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    """A pause with the cause `misconduct` is a suspension."""
    acts: list[str] = field(default_factory=list)
    """The order in which pauses began (`pause`) and ended (`resume`) and new ends came (`end`)."""
    reports: list[MisconductReport] = field(default_factory=list)
    lapses: list[Lapse] = field(default_factory=list)
    ended: Ended | None = None
    ended_by: str = ""
    """`mentor`, `mentee` or `staff`."""
    end_reason: str = ""
    """One of END_REASONS where a party ended it."""
    received: Received = field(default_factory=Received)
    heard_at: datetime | None = None
    """When the engine heard of the acceptance, if that was later (T9)."""
    taken_over_at: datetime | None = None
    """The take-over that it was history at: nobody is mailed about the time before (T10)."""
    withdrawals: list[Lapse] = field(default_factory=list)
    """The profiles of the two that were withdrawn, and when (MEM7)."""
    curriculum: CurriculumCourse | None = None
    """None in a program without a curriculum, and before the first plan."""
    cohort: str = ""
    """The cohort that paired the two; empty where the mentee asked the mentor (COH3)."""
    ends_on: str = ""
    """The planned last day that the cohort has for all its pairs, YYYY-MM-DD."""

    @property
    def mailed_at(self) -> datetime:
        """The instant of the match mail; what was due before it is not made up (T9)."""
        return (
            self.started_at if self.taken_over_at else max(self.started_at, self.heard_at or self.started_at)
        )

    @property
    def suspended(self) -> bool:
        """Whether a report of misconduct has stopped the engagement (ENG8)."""
        return any(pause.cause == MISCONDUCT and pause.until is None for pause in self.pauses)

    @property
    def paused(self) -> bool:
        """Whether a pause is open, by staff or by a suspension: nothing is mailed (ENG8, ENG11)."""
        return any(pause.until is None for pause in self.pauses)

    def profile(self, role: str) -> str:
        """Return the profile of `mentor` or `mentee`."""
        return self.mentor if role == "mentor" else self.mentee

    def role(self, by: str) -> str:
        """Return `mentor` or `mentee` for a profile, or for one of these words. Raises Refused for anybody else."""
        roles = {"mentor": "mentor", "mentee": "mentee", self.mentor: "mentor", self.mentee: "mentee"}
        if by in roles:
            return roles[by]
        raise Refused("only the mentor and the mentee of an engagement can do this")
