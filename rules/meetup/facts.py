"""What decides a meetup, and the mail of one invited person (MEE1): ids, instants and counts only (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rules.acts import Received
from rules.agenda import Ended

ANSWERS = ("yes", "no", "maybe")
"""What an invited person may answer."""


@dataclass(frozen=True, slots=True)
class MeetupFacts:
    """Everything that decides a meetup: ids, instants and counts only (MEM6). Its words are in its row."""

    meetup: str
    program: str
    scheduled_at: datetime
    starts_at: datetime
    ends_at: datetime
    cohort: str = ""
    """The cohort that is invited; empty for the whole program."""
    sequence: int = 0
    """The revision of the calendar file (RFC 5545): it rises for another time, another place, and a cancellation."""
    edition: int = 1
    """Counts what people are notified of: the invitation, and each change that they see."""
    changed_at: datetime | None = None
    """When the present edition came, if that is not the first."""
    moves: int = 0
    """How often it was moved to another time."""
    moved_at: datetime | None = None
    revision: int = 1
    """Rises with each fact that may change somebody's mail: then everybody is planned again."""
    resources_at: datetime | None = None
    """When its resources became known."""
    paused_at: datetime | None = None
    resumed_at: datetime | None = None
    held: bool = False
    """Whether a plan after its end has been made."""
    finished_at: datetime | None = None
    """When the last of its mail was decided after its end or its cancellation."""
    ended: Ended | None = None
    """Its cancellation."""
    heard_at: datetime | None = None
    taken_over_at: datetime | None = None
    received: Received = field(default_factory=Received)

    @property
    def announced_at(self) -> datetime:
        """When the engine heard of it: what people are mailed counts from then (T9)."""
        return self.heard_at or self.scheduled_at

    @property
    def is_paused(self) -> bool:
        """Whether staff hold its mail."""
        return self.paused_at is not None


@dataclass(frozen=True, slots=True)
class MeetupPlace:
    """What a change of a meetup may bring. None for what stays."""

    starts_at: datetime
    ends_at: datetime
    is_elsewhere: bool = False
    """Whether the link is another one."""
    is_reworded: bool = False
    """Whether its title is another one."""
    has_resources: bool = False
    """Whether its resources are known with it."""


@dataclass(frozen=True, slots=True)
class InvitedPerson:
    """One invited person, as far as it decides mail."""

    number: int
    """The person's number within the meetup. It names the messages: ids of members may be longer than a step."""
    profile: str
    invited_at: datetime
    answer: str = ""


@dataclass(frozen=True, slots=True)
class PastMail:
    """A message to an invited person that the ledger has."""

    what: str
    """`invitation`, `changed`, `canceled`, `reminder` or `resources`."""
    occurrence: int
    state: str
    edition: int
    moves: int
