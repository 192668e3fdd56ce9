"""A proposal of pairs: who with whom and why, who is without and why (COH2). Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules.pairing.reasons import Reason

PairKey = tuple[str, str]
"""The ids of two profiles, the mentee's first."""


@dataclass(frozen=True, slots=True)
class ProposedPair:
    """A mentee and a mentor."""

    mentee: str
    mentor: str
    fit: int
    """From 0 to 1,000, by the weights of the program."""
    why: tuple[Reason, ...]
    """What speaks for the pair; of a locked one also what speaks against it."""
    locked: bool = False
    earlier: bool = False
    """Whether it was a pair before."""

    @property
    def key(self) -> PairKey:
        """The ids of the two."""
        return self.mentee, self.mentor


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Somebody without a pair."""

    profile: str
    cause: str
    """A cause of `rules.pairing.vocabulary.CAUSES`, for `cause_worded`."""
    ruled_out: Mapping[str, int]
    """How many of the other role each bound rules out: `language`, `employer`, `forbidden`, `same_member`."""


@dataclass(frozen=True, slots=True)
class BrokenLock:
    """A lock that cannot hold, and why; the two are paired as if it were not there."""

    mentee: str
    mentor: str
    cause: str
    """A cause of `rules.pairing.vocabulary.CAUSES` that begins with `locked_`, for `cause_worded`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The best pairs for candidates, locks and bounds; the same for any order of them."""

    pairs: tuple[ProposedPair, ...]
    """In the order of the mentees' ids."""
    unpaired_mentees: tuple[Unpaired, ...]
    unpaired_mentors: tuple[Unpaired, ...]
    """The mentors without any mentee."""
    broken_locks: tuple[BrokenLock, ...]
    changed: tuple[PairKey, ...]
    """The earlier pairs that are no more; as few as the best fit allows."""
    blocking_pairs: int
    """How many possible pairs would both rather have each other than whom they have."""

    @property
    def total_fit(self) -> int:
        """The fit of all pairs together."""
        return sum(pair.fit for pair in self.pairs)

    @property
    def lowest_fit(self) -> int | None:
        """The fit of the pair that fits least; None without pairs."""
        return min((pair.fit for pair in self.pairs), default=None)

    @property
    def mean_fit(self) -> float | None:
        """The mean fit, to one decimal; None without pairs."""
        return round(self.total_fit / len(self.pairs), 1) if self.pairs else None
