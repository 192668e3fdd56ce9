"""What decides a claim of credit: ids, dates and what was done to it, never personal data (MEM6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from rules.pauses import Pause

EARNED = frozenset({"ready", "submitted", "accepted"})
"""The states in which the credit is earned."""

OVER = frozenset({"revoked", "not_eligible", "canceled"})
"""The states that close the lifecycle."""

OTHER = "other"

REVOCATIONS = ("mistake", "untrue", "withdrawn", OTHER)
"""Why a letter was revoked, as its public check says it (CPE11): it was made by mistake, what it says was found not
to be so, or who signed it took it back."""

_STATES = {
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


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle of a certification as it is on record: first and last day, YYYY-MM-DD, both of them in it (CPE4)."""

    start: str
    end: str

    def covers(self, day: date) -> bool:
        """Whether a day lies in it. Raises ValueError for a date that is none (T8)."""
        return date.fromisoformat(self.start) <= day <= date.fromisoformat(self.end)


@dataclass(frozen=True, slots=True)
class Record:
    """What the membership record told of the claimant from an instant on; no cycle: the certification is not held."""

    at: datetime
    good_standing: bool
    cycle: Cycle | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A signed letter, by id, with the ids of the domains that it names (CPE5, CPE6).

    `void_from` is the round from which it no longer counts: 1 is the gate's, and each reopening begins another. The
    letter itself is kept as it is.
    """

    letter: str
    at: datetime
    by: str
    domains: list[str] = field(default_factory=list)
    void_from: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody did to a claim: `submitted`, `accepted`, `rejected`, `reopened`, `revoked` or `canceled`.

    `because` is one of `REVOCATIONS`, for a revocation: what anybody may know of it, while `reason` is for staff.
    """

    name: str
    at: datetime
    actor: str = ""
    reason: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """All that decides a claim: ids, instants and dates only (MEM6).

    `role` is whose credit it is, `profile` the claimant, `counterpart` the other side, who signs. `started_on` is the
    engagement's first day (YYYY-MM-DD), `created_at` when the claim was opened, `ended_at` when the engagement
    ended and `ended_known_at` when the claim was told. `records` begins with what was on record at the opening.
    `domains` are the ids that the claimant chose.
    """

    engagement: str
    role: str
    profile: str
    counterpart: str
    certification: str
    started_on: str
    created_at: datetime
    records: list[Record]
    pauses: list[Pause] = field(default_factory=list)
    ended_at: datetime | None = None
    ended_known_at: datetime | None = None
    domains: list[str] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def claim(self) -> str:
        """The claim's workflow id."""
        return claim_id(self.engagement, self.role, self.certification)


def claim_id(engagement: str, role: str, certification: str) -> str:
    """The workflow id of a claim: one for each person, engagement and certification (CPE3)."""
    return f"claim/{engagement}/{role}/{certification}"
