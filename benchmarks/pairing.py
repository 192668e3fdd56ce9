"""What the central pairing of a large cohort takes, scoring and proof included; with few distinct scores, and many."""

from __future__ import annotations

import random
import time

import numpy as np
from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment

from benchmarks.mail import Figure, show
from rules.pairing import Candidate, Proposal, propose
from rules.pairing.fit import fit_matrix
from rules.program import PairingPolicy

PEOPLE = 2_000
"""Mentees, and as many mentors."""

SECONDS = 10

FEW = PairingPolicy(style="different", areas=2, nationality=1)
MANY = PairingPolicy(
    style="different",
    areas=30,
    interests=15,
    common=10,
    goals=15,
    time_zone=10,
    nationality=10,
    background=5,
    age=5,
)
TOPICS = [f"Field of work {number}" for number in range(12)]
GOALS = ("certification", "a team of analysts", "the board", "a budget", "audits", "incidents", "a promotion")


def _candidate(role: str, number: int, chance: random.Random) -> Candidate:
    return Candidate(
        profile=f"{role}-{number:04}",
        member=f"{role}-{number:04}",
        role=role,
        languages=("es", *chance.sample(["en", "pt"], chance.randint(0, 2))),
        areas=tuple(chance.sample(TOPICS, 3)),
        interests=tuple(chance.sample(TOPICS, 2)),
        goals=", ".join(chance.sample(GOALS, 4)),
        nationality=chance.choice(("CO", "MX", "PE")),
        birth_year=chance.randint(1960, 2000),
        years_management=chance.randint(0, 30),
        utc_offset=chance.choice((-180, -300, -360)),
    )


def _best_total(people: list[Candidate], policy: PairingPolicy) -> int:
    """Return the total fit that another solver finds."""
    mentees, mentors = people[:PEOPLE], people[PEOPLE:]
    fit = fit_matrix(mentees, mentors, policy)
    rows, columns = np.indices(fit.shape)
    solver = SimpleLinearSumAssignment()
    solver.add_arcs_with_cost(
        rows.ravel().astype(np.int32), columns.ravel().astype(np.int32), 1000 - fit.ravel().astype(np.int64)
    )
    solver.solve()
    return 1000 * PEOPLE - int(solver.optimal_cost())


def measure() -> list[Figure]:
    """Pair the same people by two policies."""
    propose([], FEW)  # loads SciPy
    figures = []
    for words, policy in (("few", FEW), ("many", MANY)):
        chance = random.Random(1)
        people = [_candidate(role, n, chance) for role in ("mentee", "mentor") for n in range(PEOPLE)]
        began = time.perf_counter()
        proposal: Proposal = propose(people, policy)
        taken = time.perf_counter() - began
        best = _best_total(people, policy)
        optimal = (len(proposal.pairs), proposal.total_fit) == (PEOPLE, best)
        figures += [
            Figure(f"{words} distinct scores, seconds", f"{taken:.1f}", f"< {SECONDS}", taken < SECONDS),
            Figure(
                f"{words} distinct scores, total fit",
                f"{proposal.total_fit:,}",
                f"= {best:,} (OR-Tools)",
                optimal,
            ),
        ]
    return figures


def main() -> None:
    """Measure and print."""
    show(measure(), f"Pairing {PEOPLE:,} × {PEOPLE:,}, scoring included")


if __name__ == "__main__":
    main()
