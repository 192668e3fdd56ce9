"""The best assignment against every assignment there is, and against another solver at larger size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

from rules.pairing import optimum
from rules.pairing.optimum import NotOptimalError, PairingTooLargeError, best_assignment
from tests.support.model.every_assignment import UNPAIRED, Case, first_of_all

pytestmark = pytest.mark.rule("COH2")


def case_of(fit: object, possible: object = True, places: object = 1, earlier: object = False) -> Case:
    matrix = np.array(fit, np.int32)
    return (
        matrix,
        np.broadcast_to(np.array(possible, np.bool_), matrix.shape).copy(),
        np.broadcast_to(np.array(places, np.int64), matrix.shape[1:]).copy(),
        np.broadcast_to(np.array(earlier, np.bool_), matrix.shape).copy(),
    )


def random_case(mentees: int, mentors: int, seed: int, scores: int, density: float = 0.7) -> Case:
    chance = np.random.default_rng(seed)
    shape = (mentees, mentors)
    return (
        (chance.integers(0, scores, shape) * (1000 // max(scores - 1, 1))).astype(np.int32),
        chance.random(shape) < density,
        chance.integers(0, 4, mentors),
        chance.random(shape) < 0.1,
    )


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    mentees, mentors = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    scores = draw(st.sampled_from([(0,), (0, 1), (0, 500, 1000), tuple(range(1001))]))

    def matrix(values: st.SearchStrategy[int]) -> list[list[int]]:
        row = st.lists(values, min_size=mentors, max_size=mentors)
        return draw(st.lists(row, min_size=mentees, max_size=mentees))

    places = draw(st.lists(st.sampled_from([1, 1, 1, 0, 2, 3, 1000]), min_size=mentors, max_size=mentors))
    possible = matrix(st.sampled_from([1, 1, 1, 0] if draw(st.booleans()) else [0, 0, 1]))
    return case_of(matrix(st.sampled_from(scores)), possible, places, matrix(st.sampled_from([0, 0, 1])))


@settings(max_examples=200, deadline=None)
@given(small_cases())
def test_answer_is_the_first_of_all_best_assignments(case: Case) -> None:
    assert best_assignment(*case) == first_of_all(case)


def aims(case: Case, mentor: list[int]) -> tuple[int, int, int]:
    fit, possible, places, earlier = case
    pairs = [(row, column) for row, column in enumerate(mentor) if column != UNPAIRED]
    taken = np.bincount([column for _, column in pairs], minlength=len(places)) if pairs else places * 0
    assert all(possible[pair] for pair in pairs)
    assert (taken <= places).all()
    return len(pairs), sum(int(fit[pair]) for pair in pairs), sum(int(earlier[pair]) for pair in pairs)


def by_flow(case: Case) -> tuple[int, int, int]:
    """The aims of the best assignment as OR-Tools finds them, by minimum-cost flow in whole numbers."""
    fit, possible, places, earlier = case
    mentees, mentors = fit.shape
    flow, pair = SimpleMinCostFlow(), 10**9
    source, sink = mentees + mentors, mentees + mentors + 1
    arcs = {}
    for row, column in zip(*np.nonzero(possible), strict=True):
        value = pair + int(fit[row, column]) * 1000 + int(earlier[row, column])
        arcs[int(row), int(column)] = flow.add_arc_with_capacity_and_unit_cost(
            row, mentees + column, 1, -value
        )
    for row in range(mentees):
        flow.add_arc_with_capacity_and_unit_cost(source, row, 1, 0)
    for column in range(mentors):
        flow.add_arc_with_capacity_and_unit_cost(mentees + column, sink, int(places[column]), 0)
    flow.add_arc_with_capacity_and_unit_cost(source, sink, mentees, 0)
    flow.set_node_supply(source, mentees)
    flow.set_node_supply(sink, -mentees)
    assert flow.solve() == flow.OPTIMAL
    mentor = [UNPAIRED] * mentees
    for (row, column), arc in arcs.items():
        if flow.flow(arc):
            mentor[row] = column
    return aims(case, mentor)


@pytest.mark.parametrize("scores", [1, 2, 4, 1001])
@pytest.mark.parametrize("shape", [(60, 60), (90, 30), (25, 80)])
def test_answer_is_as_good_as_a_minimum_cost_flow(shape: tuple[int, int], scores: int) -> None:
    for seed, density in enumerate((1.0, 0.5, 0.05)):
        case = random_case(*shape, seed, scores, density)
        assert aims(case, best_assignment(*case)) == by_flow(case)


def test_one_more_pair_outweighs_any_fit() -> None:
    """With forbidden pairs of weight 0 there would be one pair of 1,000 here."""
    assert best_assignment(*case_of([[1000, 0], [0, 0]], [[1, 1], [1, 0]])) == [1, 0]


def test_fit_outweighs_earlier_pairs() -> None:
    assert best_assignment(*case_of([[1, 0], [0, 0]], earlier=[[0, 1], [1, 0]])) == [0, 1]


def test_earlier_pairs_stay_where_the_fit_is_equal() -> None:
    turned = np.eye(5, dtype=np.bool_)[::-1]
    assert best_assignment(*case_of(np.full((5, 5), 500), earlier=turned)) == [4, 3, 2, 1, 0]


def test_mentor_of_a_thousand_places_needs_no_thousand_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody fits the last mentor best, who has a place for each of them."""
    monkeypatch.setattr(optimum, "MOST_CELLS", 500 * 1_200)
    fit = np.full((500, 100), 1)
    fit[:, -1] = 1000
    assert best_assignment(*case_of(fit, places=1000)) == [99] * 500


def test_too_many_people_are_refused_before_memory_is_full() -> None:
    shape = (5_001, 5_000)
    fit, flags = np.broadcast_to(np.int32(1), shape), np.broadcast_to(np.bool_(True), shape)
    with pytest.raises(PairingTooLargeError, match="5001 mentees and 5000 places"):
        best_assignment(fit, flags, np.ones(5_000, np.int64), flags)


def test_assignment_that_is_not_the_best_has_no_proof() -> None:
    fit, possible, places, earlier = case_of([[10, 0], [0, 10]])
    worth = optimum._worth(fit, possible, earlier, 2)
    with pytest.raises(NotOptimalError):
        optimum._prices(worth, possible, places, np.array([1, 0]))
    with pytest.raises(NotOptimalError):
        optimum._prices(worth, possible, places, np.array([0, UNPAIRED]))


def test_worth_is_exact_for_the_largest_size() -> None:
    """A floating-point number keeps every whole number up to 2**53; the sums of a path stay below."""
    worth = optimum._worth(*case_of([[1000]], earlier=True)[:2], np.array([[True]]), 5_000)
    assert int(worth[0, 0]) * 5_000 * 4 < 2**53
    with pytest.raises(PairingTooLargeError):
        optimum._worth(*case_of([[1000]])[:2], np.array([[True]]), 20_000)
