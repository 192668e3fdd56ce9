"""Central pairing of a cohort: who mentors whom, why, and who is without (COH2).

```python
from rules.pairing import Candidate, propose, worded, cause_worded

proposal = propose(
    [
        Candidate(profile="p-ana", member="ana", role="mentee", languages=("es",), areas=("Physical security",)),
        Candidate(profile="q-leo", member="leo", role="mentor", languages=("es", "en"), places=2),
    ],
    program.pairing,                      # the `[pairing]` of the program file; None in a program without pairing
    locked=[("p-ana", "q-leo")],          # pairs of profiles, the mentee's first
    forbidden=[],
    earlier=[],                           # the pairs of the last proposal, or those that are confirmed
)
for pair in proposal.pairs:
    pair.mentee, pair.mentor, pair.fit, worded(pair.why, "es")   # "en común: Physical security, español; …"
for person in proposal.unpaired_mentees + proposal.unpaired_mentors:
    person.profile, cause_worded(person.cause, "es")
```

First there are as many pairs as possible, then the greatest total fit, then the fewest changes of earlier pairs. Among
what is then equal, mentees and mentors are taken by id, so that the answer never depends on the order of rows. A lock
always holds, also against a language, an employer or the number of places; where it cannot, it is among
`broken_locks`. For storage, `[reason.plain() for reason in pair.why]` is JSON, and `Reason.from_plain` reads it back.

A call takes seconds of processor time at 2,000 × 2,000 and holds the interpreter: an activity calls it in a process of
its own or a thread. NumPy and SciPy, the extra `pairing`, are imported by the first call. Without them it raises
PairingUnavailableError, and above 25 million mentees times places PairingTooLargeError.
"""

from __future__ import annotations

from collections.abc import Iterable

from rules.pairing.candidate import Candidate
from rules.pairing.proposal import BrokenLock, PairKey, Proposal, ProposedPair, Unpaired
from rules.pairing.reasons import Reason, cause_worded, in_common, worded
from rules.program import PairingPolicy

__all__ = [
    "BrokenLock",
    "Candidate",
    "PairKey",
    "PairingUnavailableError",
    "Proposal",
    "ProposedPair",
    "Reason",
    "Unpaired",
    "assess",
    "cause_worded",
    "in_common",
    "propose",
    "worded",
]


class PairingUnavailableError(RuntimeError):
    """NumPy or SciPy is not installed."""


def propose(
    candidates: Iterable[Candidate],
    policy: PairingPolicy,
    *,
    locked: Iterable[PairKey] = (),
    forbidden: Iterable[PairKey] = (),
    earlier: Iterable[PairKey] = (),
) -> Proposal:
    """Return the best pairs of the candidates (COH2).

    People who are not in good standing may be among the candidates; they are not paired. Pairs that name somebody
    else are ignored, but for locks, which are then broken.

    Raises ValueError for a profile that is there twice, PairingUnavailableError, and PairingTooLargeError, which is a
    ValueError too.
    """
    try:
        from rules.pairing.solution import solve
    except ModuleNotFoundError as missing:
        raise _unavailable(missing) from None
    return solve(tuple(candidates), policy, frozenset(locked), frozenset(forbidden), frozenset(earlier))


def assess(mentee: Candidate, mentor: Candidate, policy: PairingPolicy) -> ProposedPair:
    """Return two people as the pair that they would be, whatever the bounds say: for an exchange by staff (COH2).

    Raises PairingUnavailableError.
    """
    try:
        from rules.pairing.solution import assessed
    except ModuleNotFoundError as missing:
        raise _unavailable(missing) from None
    return assessed(mentee, mentor, policy)


def _unavailable(missing: ModuleNotFoundError) -> PairingUnavailableError:
    package = (missing.name or "SciPy").partition(".")[0]
    return PairingUnavailableError(
        f"central pairing needs {package}, which is not installed: pip install 'throughline[pairing]'"
    )
