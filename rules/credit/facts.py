"""The facts of a claim of credit: ids, dates and what was done to it, never personal data (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from rules.acts import Received
from rules.pauses import Pause

EARNED = frozenset({"ready", "submitted", "accepted"})
"""The states in which the credit is earned."""

OVER = frozenset({"revoked", "not_eligible", "canceled"})
"""The states that close the lifecycle."""

OTHER = "other"

DECISIONS_OF_STAFF = ("accepted", "rejected", "reopened", "revoked")
"""The steps of staff that the claimant hears of (CPE13)."""

REVOCATIONS = ("mistake", "untrue", "withdrawn", OTHER)
"""The classes of reason for a revocation, which the public check of a letter shows (CPE11).

The letter was made by mistake, its content was found untrue, or its signer withdrew it.
"""

STATE_TEXTS = {
    "precheck": "is not due yet",
    "awaiting_evidence": "still waits for its letter",
    "ready": "is complete",
    "submitted": "has been submitted",
    "accepted": "has been accepted",
    "rejected": "has been rejected",
    "revoked": "has been revoked",
    "outside_cycle": "lies outside the certification's cycle",
    "evidence_missing": "got no letter in time; the program's staff can reopen it",
    "not_eligible": "gives no right to credit",
    "canceled": "has been cancelled",
}
"""Each state as the predicate of a sentence about the claim."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle of a certification as it is on record; both days belong to it (CPE4)."""

    start: str
    """The first day, YYYY-MM-DD."""
    end: str
    """The last day, YYYY-MM-DD."""

    def covers(self, day: date) -> bool:
        """Return whether a day lies in the cycle. Raises ValueError if one of its days is no date (T8)."""
        return date.fromisoformat(self.start) <= day <= date.fromisoformat(self.end)


@dataclass(frozen=True, slots=True)
class Record:
    """What the membership record says of the claimant from an instant on."""

    at: datetime
    good_standing: bool
    cycle: Cycle | None
    """None where the certification is not held."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signed letter (CPE5, CPE6)."""

    letter: str
    """The letter's id."""
    at: datetime
    by: str
    """The signer's profile."""
    domains: list[str] = field(default_factory=list)
    """The ids of the domains that the letter names."""
    void_from: int | None = None
    """The round from which it no longer counts; the letter itself stays as it is. Round 1 begins at the gate."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that somebody did to a claim."""

    name: str
    """`submitted`, `accepted`, `rejected`, `reopened`, `revoked` or `canceled`; the rules add `not_eligible`."""
    at: datetime
    actor: str = ""
    reason: str = ""
    """The reason in words, for staff."""
    because: str = ""
    """The class of a revocation, one of REVOCATIONS, which anybody may know."""

    @property
    def cause(self) -> str:
        """Why the claim changed its state, in words for staff."""
        if self.name == "not_eligible":
            return self.reason
        if self.name == "submitted":
            return "submitted by the claimant"
        done = "cancelled" if self.name == "canceled" else self.name
        return f"{done} by staff: {self.reason}" if self.reason else f"{done} by staff"


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """Everything that decides a claim: ids, instants and dates only (MEM6)."""

    engagement: str
    role: str
    """Whose credit it is: `mentor` or `mentee`."""
    profile: str
    """The claimant."""
    counterpart: str
    """The profile of the other side, who signs."""
    certification: str
    started_on: str
    """The engagement's first day, YYYY-MM-DD."""
    created_at: datetime
    records: list[Record]
    """The membership record at the opening of the claim, then each change of it."""
    pauses: list[Pause] = field(default_factory=list)
    ended_at: datetime | None = None
    """When the engagement ended."""
    ended_known_at: datetime | None = None
    """When the claim learned of that end."""
    domains: list[str] = field(default_factory=list)
    """The ids of the domains that the claimant chose."""
    signatures: list[Signature] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    received: Received = field(default_factory=Received)
    taken_over_at: datetime | None = None
    """The take-over of its engagement: nobody is mailed about the time before (T10)."""

    @property
    def claim(self) -> str:
        """The claim's workflow id."""
        return claim_id(self.engagement, self.role, self.certification)

    @property
    def signer(self) -> str:
        """The role of the side that signs."""
        return "mentee" if self.role == "mentor" else "mentor"


def claim_id(engagement: str, role: str, certification: str) -> str:
    """Return the workflow id of a claim: one for each person, engagement and certification (CPE3)."""
    return f"claim/{engagement}/{role}/{certification}"
