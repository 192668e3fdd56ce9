"""How well a mentee and a mentor fit: whole numbers from 0 to 1,000, for all pairs at once (COH2).

Each criterion gives 0 to 100 points; the fit is their mean by the program's weights, times ten, rounded down. It is
computed in whole numbers, so that equal people fit equally well on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from rules.pairing.candidate import Candidate
from rules.program import PairingPolicy

Matrix = npt.NDArray[np.int32]
"""A row for each mentee, a column for each mentor."""

BEST_FIT = 1_000
BEST = 100
"""Points of a criterion that is met as well as can be."""

ENOUGH = 3
"""Topics or words in common that are as good as any more."""

POINTS_PER_OTHER_THING = 50
NO_SHARED_HOURS = 480
"""Minutes between time zones that earn nothing: eight hours leave no working hours in common."""

POINTS_LOST_PER_YEAR_OF_MANAGEMENT = 5
POINTS_LOST_PER_YEAR_OF_AGE = 4

_UNKNOWN = -1


def fit_matrix(mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: PairingPolicy) -> Matrix:
    """Return the fit of each mentee with each mentor, whatever the bounds say."""
    total = np.zeros((len(mentees), len(mentors)), np.int32)
    for name, weight in policy.weights.items():
        if weight:
            total += weight * _POINTS[name](mentees, mentors, policy)
    fit: Matrix = BEST_FIT // BEST * total // sum(policy.weights.values())
    return fit


def common_counts(rows: Sequence[Collection[str]], columns: Sequence[Collection[str]]) -> Matrix:
    """Return how many keys each row has in common with each column."""
    shared = set().union(*rows) & set().union(*columns)
    if not shared:
        return np.zeros((len(rows), len(columns)), np.int32)
    numbers = {key: number for number, key in enumerate(sorted(shared))}
    counts: Matrix = (_incidence(rows, numbers) @ _incidence(columns, numbers).T).toarray()
    return counts


def _incidence(rows: Sequence[Collection[str]], numbers: Mapping[str, int]) -> csr_array:
    found = [[numbers[key] for key in keys if key in numbers] for keys in rows]
    ends = np.cumsum([0, *map(len, found)])
    indices = np.array([number for each in found for number in each], np.int32)
    return csr_array((np.ones(len(indices), np.int32), indices, ends), shape=(len(rows), len(numbers)))


def _share(counts: Matrix, named: Sequence[Collection[str]]) -> Matrix:
    """Return points for what each mentee named and the mentor has too; ENOUGH of it earns all of them."""
    enough = np.clip([len(keys) for keys in named], 1, ENOUGH).astype(np.int32)[:, None]
    points: Matrix = BEST * np.minimum(counts, enough) // enough
    return points


def _areas(mentees: Sequence[Candidate], mentors: Sequence[Candidate], _: PairingPolicy) -> Matrix:
    named = [each.area_topics for each in mentees]
    return _share(common_counts(named, [each.area_topics for each in mentors]), named)


def _interests(mentees: Sequence[Candidate], mentors: Sequence[Candidate], _: PairingPolicy) -> Matrix:
    named = [each.interest_topics for each in mentees]
    return _share(common_counts(named, [each.interest_topics for each in mentors]), named)


def _common(mentees: Sequence[Candidate], mentors: Sequence[Candidate], _: PairingPolicy) -> Matrix:
    """Points for each further language, and for each area of one that is an interest of the other."""
    languages = common_counts([each.spoken for each in mentees], [each.spoken for each in mentors])
    things = np.maximum(languages - 1, 0)
    things += common_counts(
        [each.area_topics for each in mentees], [each.interest_topics for each in mentors]
    )
    things += common_counts(
        [each.interest_topics for each in mentees], [each.area_topics for each in mentors]
    )
    points: Matrix = np.minimum(POINTS_PER_OTHER_THING * things, BEST)
    return points


def _goals(mentees: Sequence[Candidate], mentors: Sequence[Candidate], _: PairingPolicy) -> Matrix:
    named = [each.goal_words for each in mentees]
    return _share(common_counts(named, [each.all_words for each in mentors]), named)


def _time_zone(mentees: Sequence[Candidate], mentors: Sequence[Candidate], _: PairingPolicy) -> Matrix:
    ours, known_ours = _numbers([each.utc_offset for each in mentees])
    theirs, known_theirs = _numbers([each.utc_offset for each in mentors])
    apart = np.abs(ours[:, None] - theirs[None]) % 1440
    apart = np.minimum(apart, 1440 - apart)
    points: Matrix = np.maximum(BEST - BEST * apart // NO_SHARED_HOURS, 0).astype(np.int32)
    known = known_ours[:, None] & known_theirs[None]
    points *= known
    return points


def _nationality(mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: PairingPolicy) -> Matrix:
    numbers = {origin: number for number, origin in enumerate(sorted(_origins(mentees) | _origins(mentors)))}
    ours = np.array([numbers.get(each.origin or "", _UNKNOWN) for each in mentees], np.int32)
    theirs = np.array([numbers.get(each.origin or "", _UNKNOWN) for each in mentors], np.int32)
    known = (ours != _UNKNOWN)[:, None] & (theirs != _UNKNOWN)[None]
    same: Matrix = BEST * (ours[:, None] == theirs[None]).astype(np.int32)
    points: Matrix = _styled(same, policy) * known
    return points


def _origins(people: Sequence[Candidate]) -> set[str]:
    return {each.origin for each in people if each.origin}


def _background(mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: PairingPolicy) -> Matrix:
    """Points for areas and years in management; their mean where both are known."""
    ours, theirs = [each.area_topics for each in mentees], [each.area_topics for each in mentors]
    sizes_ours = np.array([len(keys) for keys in ours], np.int32)[:, None]
    sizes_theirs = np.array([len(keys) for keys in theirs], np.int32)[None]
    counts = common_counts(ours, theirs)
    with_areas = (sizes_ours > 0) & (sizes_theirs > 0)
    alike = BEST * counts // np.maximum(sizes_ours + sizes_theirs - counts, 1)
    years, with_years = _closeness(
        [each.years_management for each in mentees],
        [each.years_management for each in mentors],
        POINTS_LOST_PER_YEAR_OF_MANAGEMENT,
    )
    known = with_areas.astype(np.int32) + with_years
    similar: Matrix = (alike * with_areas + years * with_years) // np.maximum(known, 1)
    points: Matrix = _styled(similar, policy) * (known > 0)
    return points


def _age(mentees: Sequence[Candidate], mentors: Sequence[Candidate], policy: PairingPolicy) -> Matrix:
    similar, known = _closeness(
        [each.birth_year for each in mentees],
        [each.birth_year for each in mentors],
        POINTS_LOST_PER_YEAR_OF_AGE,
    )
    points: Matrix = _styled(similar, policy) * known
    return points


def _closeness(
    ours: Sequence[int | None], theirs: Sequence[int | None], lost_per_year: int
) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Return points for numbers of years that lie close together, and where both are known."""
    rows, known_rows = _numbers(ours)
    columns, known_columns = _numbers(theirs)
    points = np.maximum(BEST - lost_per_year * np.abs(rows[:, None] - columns[None]), 0)
    return points, known_rows[:, None] & known_columns[None]


def _numbers(values: Sequence[int | None]) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    known = np.array([value is not None for value in values], np.bool_)
    return np.array([value or 0 for value in values], np.int32), known


def _styled(similar: Matrix, policy: PairingPolicy) -> Matrix:
    return similar if policy.style == "similar" else BEST - similar


_POINTS: Mapping[str, Callable[[Sequence[Candidate], Sequence[Candidate], PairingPolicy], Matrix]] = {
    "areas": _areas,
    "interests": _interests,
    "common": _common,
    "goals": _goals,
    "time_zone": _time_zone,
    "nationality": _nationality,
    "background": _background,
    "age": _age,
}
"""How the points of each criterion of a policy are computed."""
