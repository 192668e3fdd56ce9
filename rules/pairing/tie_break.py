"""The first of several assignments that are equally good, by the ids of mentees and mentors (COH2).

In the order of ids each mentee gets the first mentor that they have in any of the best assignments which agree on the
mentees before them; no mentor comes last. Only one assignment is the first in this sense, so that the answer depends
neither on the order of rows nor on the solver. Sets of mentees are whole numbers, a bit for each: unions of them cost a
fraction of what sets or arrays do at this size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]


class Ties(NamedTuple):
    """What the best assignments are made of: exactly those that use these pairs and leave only these out."""

    wanted: Flags
    """The pairs (row mentee, column mentor) that occur in a best assignment, as far as prices can say."""
    may_stay_unpaired: Flags
    """The mentees who may have no mentor."""
    may_stay_empty: Flags
    """The mentors who may have a free place."""


def first_of_the_best(ties: Ties, mentor: list[int], places: list[int]) -> list[int]:
    """Return the first best assignment, from any of them; a mentor is -1 where a mentee has none.

    Takes time that grows with the square of the mentees at worst, and hardly any where few assignments are as good.
    """
    exchanges = _Exchanges(ties, mentor, places)
    for mentee in range(len(mentor)):
        exchanges.settle(mentee)
    return [-1 if each == exchanges.none else each for each in exchanges.mentor]


class _Exchanges:
    """An assignment that changes along exchanges which keep it one of the best.

    "No mentor" is one more mentor, and one more mentee, `filler`, stands for all free places.
    """

    def __init__(self, ties: Ties, mentor: list[int], places: list[int]) -> None:
        mentees, self.none = len(mentor), len(places)
        self.filler = 1 << mentees
        self.mentor = [self.none if each < 0 else each for each in mentor]
        self.takers = [
            bits | (self.filler if empty else 0)
            for bits, empty in zip(_bits(ties.wanted.T), ties.may_stay_empty.tolist(), strict=True)
        ]
        self.takers.append(_bits(ties.may_stay_unpaired[None])[0] | self.filler)
        self.choices = [
            bits | (1 << self.none if unpaired else 0)
            for bits, unpaired in zip(_bits(ties.wanted), ties.may_stay_unpaired.tolist(), strict=True)
        ]
        self.free = [*places, mentees + 1]
        self.holders = [0] * (self.none + 1)
        self.settled = 0
        for mentee, each in enumerate(self.mentor):
            self.holders[each] |= 1 << mentee
            self.free[each] -= 1
        for each, free in enumerate(self.free):
            if free:
                self.holders[each] |= self.filler

    def settle(self, mentee: int) -> None:
        """Give a mentee the first mentor that an exchange can give them, and take them out of all others."""
        own = self.mentor[mentee]
        self.holders[own] &= ~(1 << mentee)
        better = self.choices[mentee] & ((1 << own) - 1) & ~self.settled
        if better:
            self._exchange(mentee, better)
        for each in (own, self.mentor[mentee]):
            if not self.holders[each]:
                self.settled |= 1 << each

    def _exchange(self, mentee: int, better: int) -> None:
        """Move a mentee to the first of the better mentors from whom a chain of moves leads to the place they leave."""
        own, best = self.mentor[mentee], _lowest(better)
        onward: dict[int, tuple[int, int]] = {}
        waiting, seen = [own], (2 << mentee) - 1  # the mentees before are settled
        while waiting:
            place = waiting.pop()
            if near := self.takers[place] & self.holders[best]:
                onward[best] = (_lowest(near), place)
                break
            fresh = self.takers[place] & ~seen
            seen |= fresh
            for mover, held in self._held_by(fresh):
                if held != own and held not in onward:
                    onward[held] = (mover, place)
                    waiting.append(held)
                    if self.takers[held] & self.holders[best]:
                        break
        if reached := [each for each in onward if better >> each & 1]:
            self._move(mentee, min(reached), onward)

    def _held_by(self, movers: int) -> Iterator[tuple[int, int]]:
        """Yield each mover with the mentor whose place they would give up."""
        if movers & self.filler:
            filler = self.filler.bit_length() - 1
            yield from [(filler, each) for each, free in enumerate(self.free) if free]
            movers &= ~self.filler
        while movers:
            mover = _lowest(movers)
            movers &= movers - 1
            yield mover, self.mentor[mover]

    def _move(self, mentee: int, target: int, onward: dict[int, tuple[int, int]]) -> None:
        """Move a mentee to a target, who is there to where they lead on, and so on to the place that the first left."""
        own, filler = self.mentor[mentee], self.filler.bit_length() - 1
        self.mentor[mentee] = target
        place = target
        while place != own:
            mover, following = onward[place]
            if mover == filler:
                self._fill(place, -1)
                self._fill(following, 1)
            else:
                self.holders[place] &= ~(1 << mover)
                self.holders[following] |= 1 << mover
                self.mentor[mover] = following
            place = following

    def _fill(self, mentor: int, change: int) -> None:
        """Change how many free places a mentor has."""
        self.free[mentor] += change
        if self.free[mentor]:
            self.holders[mentor] |= self.filler
        else:
            self.holders[mentor] &= ~self.filler


def _bits(flags: Flags) -> list[int]:
    """Return each row as a whole number, the bit of the first column lowest."""
    packed = np.packbits(flags, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _lowest(bits: int) -> int:
    """Return the number of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
