"""What rules a pair out, whatever its fit: never a low weight, but no pair (COH2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rules.pairing.candidate import Candidate
from rules.pairing.fit import common_counts

Ruled = npt.NDArray[np.int8]
"""For each mentee (row) and mentor (column) the number of the first bound that rules the pair out; 0 for none."""

BOUNDS = ("", "same_member", "forbidden", "employer", "language")
"""The bounds by their number, the first one that applies first."""

POSSIBLE = 0


def ruled_out(
    mentees: Sequence[Candidate],
    mentors: Sequence[Candidate],
    forbidden: Collection[tuple[str, str]],
) -> Ruled:
    """Return for each pair which bound rules it out; `forbidden` are ids of profiles, the mentee's first."""
    found = np.zeros((len(mentees), len(mentors)), np.int8)
    spoken = common_counts([each.spoken for each in mentees], [each.spoken for each in mentors])
    found[spoken == 0] = BOUNDS.index("language")
    found[_same([each.employer_key for each in mentees], [each.employer_key for each in mentors])] = (
        BOUNDS.index("employer")
    )
    rows = {each.profile: row for row, each in enumerate(mentees)}
    columns = {each.profile: column for column, each in enumerate(mentors)}
    for mentee, mentor in forbidden:
        if mentee in rows and mentor in columns:
            found[rows[mentee], columns[mentor]] = BOUNDS.index("forbidden")
    found[_same([each.member for each in mentees], [each.member for each in mentors])] = BOUNDS.index(
        "same_member"
    )
    return found


def _same(rows: Sequence[str], columns: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return where texts are equal and not empty."""
    numbers: Mapping[str, int] = {text: number for number, text in enumerate(sorted({*rows, *columns}))}
    ours = np.array([numbers[text] for text in rows], np.int32)
    theirs = np.array([numbers[text] for text in columns], np.int32)
    known = np.array([bool(text) for text in rows], np.bool_)
    same: npt.NDArray[np.bool_] = (ours[:, None] == theirs[None]) & known[:, None]
    return same
