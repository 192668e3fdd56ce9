"""The best assignment of a few mentees and mentors, found by trying every one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UNPAIRED = -1

Case = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.bool_]]
"""The fit of each mentee (row) and mentor (column), which pairs may be made, the mentors' places, the earlier pairs."""


def first_of_all(case: Case) -> list[int]:
    """The first of the best of all assignments: by pairs, fit, earlier pairs, and then by the mentors in order."""
    fit, possible, places, earlier = (part.tolist() for part in case)
    mentors = len(places)
    states: dict[tuple[int, ...], tuple[int, int, int, tuple[int, ...]]] = {tuple(places): (0, 0, 0, ())}
    for row, scores in enumerate(fit):
        following: dict[tuple[int, ...], tuple[int, int, int, tuple[int, ...]]] = {}
        for free, (pairs, total, kept, so_far) in states.items():
            choices = [(free, (pairs, total, kept, (*so_far, mentors)))]
            for column in range(mentors):
                if possible[row][column] and free[column]:
                    fewer = (*free[:column], free[column] - 1, *free[column + 1 :])
                    value = (pairs - 1, total - scores[column], kept - earlier[row][column])
                    choices.append((fewer, (*value, (*so_far, column))))
            for state, value_so_far in choices:
                following[state] = min(following.get(state, value_so_far), value_so_far)
        states = following
    best = min(states.values())[3]
    return [UNPAIRED if each == mentors else each for each in best]
