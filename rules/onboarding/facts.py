"""The facts of an onboarding: ids and instants, never personal data (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rules.acts import Received
from rules.agenda import Ended
from rules.pauses import Pause


@dataclass(frozen=True, slots=True)
class CheckInExtension:
    """Check-ins that staff added after the planned ones (ONB5)."""

    check_ins: int
    at: datetime
    event: str = ""
    """The stored event that reported it, if there is one."""


@dataclass(frozen=True, slots=True)
class Match:
    """An accepted request of the mentee, and what became of it (ONB3, ONB8)."""

    request: str
    since: datetime
    until: datetime | None = None
    """When its engagement ended; None while it runs."""
    no_fit: bool = False
    """Whether it ended as no fit."""
    returned: int = 0
    """How often the check-ins had come back when it began; 0 also where another match ran then."""


@dataclass(frozen=True, slots=True)
class OnboardingFacts:
    """Everything that decides an onboarding: ids and instants only (MEM6)."""

    profile: str
    role: str
    """`mentor` or `mentee`."""
    created_at: datetime
    blocked: bool = False
    """Whether the member signed up without good standing (MEM1)."""
    unblocked_at: datetime | None = None
    """When good standing returned after that."""
    first_decided_at: datetime | None = None
    """When the first mail of the sequence had its decision: from then on the onboarding is active."""
    extensions: list[CheckInExtension] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    ended: Ended | None = None
    received: Received = field(default_factory=Received)
    heard_at: datetime | None = None
    """When the engine heard of the profile, if that was later (T9)."""
    unblocked_heard_at: datetime | None = None
    """When the engine heard that good standing had returned, if that was later."""
    taken_over_at: datetime | None = None
    """The take-over that it was history at: nobody is mailed about the time before (T10)."""
    matches: list[Match] = field(default_factory=list)
    cohort_program: bool = False
    """Whether its program pairs people in cohorts: no welcome and no check-ins follow (COH1)."""
    outside_window: bool = False
    """Whether the profile was created outside of every window to register."""
    window_opens: datetime | None = None
    """The first instant of the next window, where it is known."""
    window_closes: datetime | None = None
    """The last minute of that window."""

    @property
    def heard_of_start(self) -> datetime | None:
        """When the engine heard of what started the sequence, if that was later (T9)."""
        if self.taken_over_at:
            return None
        return self.unblocked_heard_at if self.blocked else self.heard_at

    @property
    def matched(self) -> bool:
        """Whether a match runs: nothing is mailed (ONB8)."""
        return any(match.until is None for match in self.matches)
