"""A proposal from candidates: bounds, locks, the best assignment, and its explanation (COH2)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rules.pairing.bounds import BOUNDS, POSSIBLE, Ruled, ruled_out
from rules.pairing.candidate import Candidate
from rules.pairing.fit import Matrix, fit_matrix
from rules.pairing.optimum import UNPAIRED, best_assignment
from rules.pairing.proposal import BrokenLock, PairKey, Proposal, ProposedPair, Unpaired
from rules.pairing.reasons import Reason, reasons_for
from rules.program import PairingPolicy


@dataclass(frozen=True, slots=True)
class _Pool:
    """Those who may be paired, by id, with the fit and the bound of each pair."""

    mentees: Sequence[Candidate]
    mentors: Sequence[Candidate]
    rows: Mapping[str, int]
    columns: Mapping[str, int]
    fit: Matrix
    ruled: Ruled
    policy: PairingPolicy

    def at(self, key: PairKey) -> tuple[int, int] | None:
        """Return the row and column of a pair; None where one of the two is not in the pool."""
        row, column = self.rows.get(key[0]), self.columns.get(key[1])
        return None if row is None or column is None else (row, column)


def solve(
    candidates: Sequence[Candidate],
    policy: PairingPolicy,
    locked: Collection[PairKey],
    forbidden: Collection[PairKey],
    earlier: Collection[PairKey],
) -> Proposal:
    """Return the best proposal. Raises ValueError for a profile that is there twice or has an unknown role."""
    by_profile = _by_profile(candidates)
    pool = _pool(by_profile.values(), policy, forbidden)
    locks, broken = _locks(pool, by_profile, locked)
    mentor = _mentors(pool, locks, earlier)
    kept = frozenset(locks.items())
    pairs = tuple(
        _pair(pool, row, column, kept, earlier) for row, column in enumerate(mentor) if column != UNPAIRED
    )
    keys = {pair.key for pair in pairs}
    paired = {each for key in keys for each in key}
    return Proposal(
        pairs=pairs,
        unpaired_mentees=_unpaired("mentee", by_profile.values(), pool, paired),
        unpaired_mentors=_unpaired("mentor", by_profile.values(), pool, paired),
        broken_locks=broken,
        changed=tuple(sorted(key for key in earlier if key not in keys)),
        blocking_pairs=_blocking_pairs(pool, mentor),
    )


def assessed(mentee: Candidate, mentor: Candidate, policy: PairingPolicy) -> ProposedPair:
    """Return two people as the pair that they would be, whatever the bounds say."""
    fit = int(fit_matrix([mentee], [mentor], policy)[0, 0])
    return ProposedPair(mentee.profile, mentor.profile, fit, reasons_for(mentee, mentor, policy))


def _by_profile(candidates: Iterable[Candidate]) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for each in sorted(candidates, key=lambda each: each.profile):
        if each.profile in found:
            raise ValueError(f"the profile {each.profile} is there twice")
        if each.role not in ("mentor", "mentee"):
            raise ValueError(
                f"the profile {each.profile} has the role {each.role}, neither mentor nor mentee"
            )
        found[each.profile] = each
    return found


def _pool(everybody: Iterable[Candidate], policy: PairingPolicy, forbidden: Collection[PairKey]) -> _Pool:
    eligible = [each for each in everybody if each.good_standing]
    mentees = [each for each in eligible if each.role == "mentee"]
    mentors = [each for each in eligible if each.role == "mentor"]
    return _Pool(
        mentees=mentees,
        mentors=mentors,
        rows={each.profile: row for row, each in enumerate(mentees)},
        columns={each.profile: column for column, each in enumerate(mentors)},
        fit=fit_matrix(mentees, mentors, policy),
        ruled=ruled_out(mentees, mentors, forbidden),
        policy=policy,
    )


def _locks(
    pool: _Pool, by_profile: Mapping[str, Candidate], locked: Collection[PairKey]
) -> tuple[dict[str, str], tuple[BrokenLock, ...]]:
    """Return the mentor of each locked mentee, and the locks that cannot hold."""
    locks: dict[str, str] = {}
    broken = []
    for mentee, mentor in sorted(set(locked)):
        cause = _broken_by(pool, by_profile, (mentee, mentor))
        if cause is None and mentee in locks:
            cause = "locked_twice"
        if cause:
            broken.append(BrokenLock(mentee, mentor, cause))
        else:
            locks[mentee] = mentor
    return locks, tuple(broken)


def _broken_by(pool: _Pool, by_profile: Mapping[str, Candidate], key: PairKey) -> str | None:
    """Return why a lock cannot hold; staff may overrule a language, an employer and the number of places."""
    if not all(
        profile in by_profile and by_profile[profile].role == role
        for profile, role in zip(key, ("mentee", "mentor"), strict=True)
    ):
        return "locked_absent"
    at = pool.at(key)
    if at is None:
        return "locked_standing"
    bound = BOUNDS[pool.ruled[at]]
    return f"locked_{bound}" if bound in ("same_member", "forbidden") else None


def _mentors(pool: _Pool, locks: Mapping[str, str], earlier: Collection[PairKey]) -> list[int]:
    """Return the column of each mentee's mentor: the locked one, or the best of the places that locks leave."""
    taken = Counter(locks.values())
    places = np.array([max(each.places - taken[each.profile], 0) for each in pool.mentors], np.int64)
    open_rows = [row for row, each in enumerate(pool.mentees) if each.profile not in locks]
    before = np.zeros(pool.fit.shape, np.bool_)
    for at in filter(None, map(pool.at, earlier)):
        before[at] = True
    found = best_assignment(pool.fit[open_rows], pool.ruled[open_rows] == POSSIBLE, places, before[open_rows])
    mentor = [pool.columns.get(locks.get(each.profile, ""), UNPAIRED) for each in pool.mentees]
    for row, column in zip(open_rows, found, strict=True):
        mentor[row] = column
    return mentor


def _pair(
    pool: _Pool, row: int, column: int, locks: Collection[PairKey], earlier: Collection[PairKey]
) -> ProposedPair:
    mentee, mentor = pool.mentees[row], pool.mentors[column]
    key = (mentee.profile, mentor.profile)
    why = reasons_for(mentee, mentor, pool.policy)
    if key in locks:
        why += _of_lock(pool, row, column, locks)
    return ProposedPair(*key, int(pool.fit[row, column]), why, key in locks, key in earlier)


def _of_lock(pool: _Pool, row: int, column: int, locks: Collection[PairKey]) -> tuple[Reason, ...]:
    """Return that a pair is locked, and what staff overruled."""
    mentor = pool.mentors[column]
    against = {"language": "no_language", "employer": "same_employer"}.get(BOUNDS[pool.ruled[row, column]])
    over = sum(each == mentor.profile for _, each in locks) > mentor.places
    kinds = ["locked", *([against] if against else []), *(["over_places"] if over else [])]
    return tuple(map(Reason, kinds))


def _unpaired(
    role: str, everybody: Iterable[Candidate], pool: _Pool, paired: Collection[str]
) -> tuple[Unpaired, ...]:
    """Return those of a role without a pair, each with the cause."""
    numbers, ruled = (pool.rows, pool.ruled) if role == "mentee" else (pool.columns, pool.ruled.T)
    found = []
    for each in everybody:
        if each.role != role or each.profile in paired:
            continue
        if each.profile not in numbers:
            found.append(Unpaired(each.profile, "standing", {}))
            continue
        counts = np.bincount(ruled[numbers[each.profile]], minlength=len(BOUNDS)).tolist()
        out = {bound: count for bound, count in zip(BOUNDS, counts, strict=True) if bound and count}
        found.append(Unpaired(each.profile, _cause(each, counts[POSSIBLE], out), out))
    return tuple(found)


def _cause(person: Candidate, possible: int, out: Mapping[str, int]) -> str:
    """Return why an eligible person has no pair."""
    if person.role == "mentor" and person.places <= 0:
        return "no_places"
    if possible:
        return "mentors_taken" if person.role == "mentee" else "mentees_taken"
    if not out:
        return "no_mentors" if person.role == "mentee" else "no_mentees"
    return next(iter(out)) if len(out) == 1 else "several"


def _blocking_pairs(pool: _Pool, mentor: Sequence[int]) -> int:
    """Count the possible pairs of whom both would gain; a free place gains by anybody."""
    fits: dict[int, list[int]] = defaultdict(list)
    own = np.full(len(pool.mentees), UNPAIRED, np.int32)
    for row, column in enumerate(mentor):
        if column != UNPAIRED:
            own[row] = pool.fit[row, column]
            fits[column].append(int(own[row]))
    nobody = np.iinfo(np.int32).max
    least = np.array(
        [
            UNPAIRED if len(fits[column]) < each.places else min(fits[column], default=nobody)
            for column, each in enumerate(pool.mentors)
        ],
        np.int32,
    )
    gain = (pool.ruled == POSSIBLE) & (pool.fit > own[:, None]) & (pool.fit > least[None])
    return int(gain.sum())
