"""The best assignment of mentees to places, exact and the same for any order of rows (COH2).

The aims in their order, the pairs, their total fit, and the earlier pairs that stay, become one whole number per pair.
One pair more outweighs any fit, and a point of fit outweighs any number of earlier pairs. A cell of the matrix that is
0 is no pair but a mentee who has none. SciPy computes in floating-point numbers, where whole numbers are exact below
2**53. Prices of the mentors, computed in 64-bit whole numbers, then prove that the assignment is optimal, and show all
others that are as good. Among them the first one by ids is taken (`tie_break.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from rules.pairing.fit import BEST_FIT, Matrix
from rules.pairing.tie_break import Ties, first_of_the_best

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]

UNPAIRED = -1
MOST_CELLS = 25_000_000
"""Most mentees times places for one matrix, 5,000 of each: about 1 GB of memory."""

_EXACT = 2**53
_IMPOSSIBLE = -(2**60)


class PairingTooLargeError(ValueError):
    """There are more people than one assignment can take."""


class NotOptimalError(ArithmeticError):
    """The proof that an assignment is the best one does not hold; a fault of the solver or of this module."""


class _Priced(NamedTuple):
    """An assignment, and the prices of the mentors that prove it optimal."""

    mentor: Numbers
    """Of each mentee, or UNPAIRED."""
    price: Numbers
    """Of a place with each mentor: what one place more would add to the total."""


def best_assignment(fit: Matrix, possible: Flags, places: Numbers, earlier: Flags) -> list[int]:
    """Return the mentor of each mentee, or UNPAIRED.

    Rows are mentees and columns mentors, both in the order of their ids. `possible` says which pairs may be made,
    `places` how many mentees each mentor takes, `earlier` which pairs should rather stay than change.

    Raises PairingTooLargeError, and NotOptimalError.
    """
    mentees, mentors = fit.shape
    _refuse_too_many(mentees, mentors)
    possible = possible & (places > 0)
    if not mentees or not mentors or not possible.any():
        return [UNPAIRED] * mentees
    places = np.minimum(places, possible.sum(axis=0))
    worth = _worth(fit, possible, earlier, int(min(mentees, places.sum())))
    solved = _solve(worth, possible, places)
    return _first(worth, possible, places, solved)


def _refuse_too_many(mentees: int, places: int) -> None:
    if mentees * places > MOST_CELLS:
        raise PairingTooLargeError(f"{mentees} mentees and {places} places are too many at once")


def _worth(fit: Matrix, possible: Flags, earlier: Flags, most_pairs: int) -> Numbers:
    """Return the worth of each pair as one whole number; 0 where it may not be made."""
    point = most_pairs + 1
    pair = most_pairs * (BEST_FIT * point + 1) + 1
    # Prices and path lengths inside the solver are sums along an alternating path: at most two pairs for each place.
    if 4 * (most_pairs + 1) * 2 * pair >= _EXACT:
        raise PairingTooLargeError(f"{most_pairs} pairs are too many to be compared exactly")
    worth: Numbers = np.where(possible, pair + fit.astype(np.int64) * point + earlier, 0)
    return worth


def _solve(worth: Numbers, possible: Flags, places: Numbers) -> _Priced:
    """Solve with as few columns for each mentor as prove enough.

    A mentor with many places would need as many columns. The first few are enough where their price is 0: one place
    more would add nothing.
    """
    mentees, mentors = worth.shape
    copies = np.minimum(places, 1 + mentees // mentors)
    while True:
        solved = _prices(worth, possible, copies, _assigned(worth, copies))
        short = (solved.price > 0) & (copies < places)
        if not short.any():
            return solved
        copies = np.where(short, np.minimum(places, 2 * copies), copies)


def _assigned(worth: Numbers, copies: Numbers) -> Numbers:
    """Return the mentor of each mentee where each mentor has that many columns."""
    columns = np.repeat(np.arange(len(copies)), copies)
    _refuse_too_many(len(worth), len(columns))
    rows, taken = linear_sum_assignment(worth[:, columns].astype(np.float64), maximize=True)
    mentor = np.full(len(worth), UNPAIRED, np.int64)
    mentor[rows] = columns[taken]
    mentor[rows[worth[rows, mentor[rows]] == 0]] = UNPAIRED
    return mentor


def _prices(worth: Numbers, possible: Flags, places: Numbers, mentor: Numbers) -> _Priced:
    """Return the least prices at which nobody wants to change (Bellman and Ford's longest paths).

    Raises NotOptimalError where there are none: by complementary slackness the assignment is then not the best.
    """
    offers = np.where(possible, worth, _IMPOSSIBLE)
    own = np.where(mentor == UNPAIRED, 0, worth[np.arange(len(worth)), mentor])
    price = np.zeros(len(places), np.int64)
    asking = np.ones(len(worth), np.bool_)
    for _ in range(len(worth) + 2):
        paid = np.where(mentor == UNPAIRED, 0, price[mentor])
        raised = np.maximum(price, (offers[asking] + (paid - own)[asking, None]).max(axis=0))
        dearer = raised > price
        price = raised
        asking = (mentor != UNPAIRED) & dearer[mentor]
        if not asking.any():
            break
    gains = own - np.where(mentor == UNPAIRED, 0, price[mentor])
    free = np.bincount(mentor[mentor != UNPAIRED], minlength=len(places)) < places
    if asking.any() or (gains < 0).any() or (price[free] > 0).any():
        raise NotOptimalError("the prices do not prove that the assignment is the best one")
    return _Priced(mentor, price)


def _first(worth: Numbers, possible: Flags, places: Numbers, solved: _Priced) -> list[int]:
    """Return the first of all assignments that are as good, by the ids of mentees and mentors."""
    mentor, price = solved
    gains = np.where(mentor == UNPAIRED, 0, worth[np.arange(len(worth)), mentor] - price[mentor])
    ties = Ties(
        wanted=possible & (worth - price == gains[:, None]),
        may_stay_unpaired=gains == 0,
        may_stay_empty=price == 0,
    )
    return first_of_the_best(ties, mentor.tolist(), places.tolist())
