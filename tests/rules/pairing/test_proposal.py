"""Proposals of pairs: bounds, locks, places, those who are without, and what changes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.pairing import (
    BrokenLock,
    Candidate,
    Proposal,
    assess,
    cause_worded,
    propose,
)
from rules.pairing.vocabulary import CAUSES
from rules.program import PairingPolicy
from tests.support.model.every_assignment import UNPAIRED, first_of_all

ROOT = Path(__file__).resolve().parents[3]
AREAS = PairingPolicy(style="different", areas=1)
MIXED = PairingPolicy(style="different", areas=2, nationality=1)
NATIONS = PairingPolicy(style="different", nationality=1)

pytestmark = pytest.mark.rule("COH2")


def mentee(name: str, **known: Any) -> Candidate:
    return candidate(name, "mentee", **known)


def mentor(name: str, **known: Any) -> Candidate:
    return candidate(name, "mentor", **known)


def candidate(name: str, role: str, **known: Any) -> Candidate:
    return Candidate(**{"profile": name, "member": f"m-{name}", "role": role, "languages": ("es",), **known})


def keys(proposal: Proposal) -> list[tuple[str, str]]:
    return [pair.key for pair in proposal.pairs]


def causes(proposal: Proposal) -> dict[str, str]:
    return {each.profile: each.cause for each in proposal.unpaired_mentees + proposal.unpaired_mentors}


def crowd(seed: int, mentees: int, mentors: int) -> list[Candidate]:
    """People with few distinct traits, so that many pairs fit equally well."""
    chance = random.Random(seed)

    def traits() -> dict[str, Any]:
        return {
            "areas": tuple(chance.sample(["Alarms", "Fraud", "Ports"], chance.randint(0, 2))),
            "nationality": chance.choice(["CO", "MX"]),
            "languages": tuple(chance.sample(["es", "en"], chance.randint(1, 2))),
            "employer": chance.choice([None, "Acme", "Bolt"]),
            "good_standing": chance.random() < 0.9,
        }

    return [mentee(f"e{n}", **traits()) for n in range(mentees)] + [
        mentor(f"o{n}", places=chance.randint(0, 2), **traits()) for n in range(mentors)
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(), st.integers(0, 7), st.integers(0, 7), st.randoms(use_true_random=False))
def test_answer_is_the_same_for_any_order_of_rows(
    seed: int, mentees: int, mentors: int, chance: random.Random
) -> None:
    people = crowd(seed, mentees, mentors)
    profiles = [each.profile for each in people]
    pairs = [(e, o) for e in profiles[:mentees] for o in profiles[mentees:]]
    given_pairs = [chance.sample(pairs, min(len(pairs), 2)) for _ in range(3)]
    first = propose(people, AREAS, **_named(given_pairs))
    chance.shuffle(people)
    turned = [chance.sample(each, len(each)) for each in given_pairs]
    assert propose(people, AREAS, **_named(turned)) == first


@settings(max_examples=100, deadline=None)
@given(st.integers(), st.integers(1, 7), st.integers(1, 7), st.randoms(use_true_random=False))
def test_proposal_is_the_best_of_all_that_locks_and_bounds_allow(
    seed: int, mentees: int, mentors: int, chance: random.Random
) -> None:
    """Written out again: who may be paired, what locks take, and the best of every assignment that is left."""
    people = crowd(seed, mentees, mentors)
    ours = [each for each in people if each.role == "mentee"]
    theirs = [each for each in people if each.role == "mentor"]
    every = [(e.profile, o.profile) for e in ours for o in theirs]
    forbidden, earlier = (chance.sample(every, min(len(every), 4)) for _ in range(2))
    eligible = [each.profile for each in people if each.good_standing]
    mentee_locked = chance.choice(ours).profile
    lock = (mentee_locked, chance.choice(theirs).profile)
    holds = set(lock) <= set(eligible) and lock not in forbidden
    rows = [e for e in ours if e.profile in eligible and not (holds and e.profile == mentee_locked)]
    columns = [o for o in theirs if o.profile in eligible]

    def possible(e: Candidate, o: Candidate) -> bool:
        colleagues = e.employer is not None and e.employer == o.employer
        speak = bool(set(e.languages) & set(o.languages))
        return speak and not colleagues and (e.profile, o.profile) not in forbidden

    case = (
        np.array([[assess(e, o, MIXED).fit for o in columns] for e in rows], np.int32),
        np.array([[possible(e, o) for o in columns] for e in rows], np.bool_),
        np.array([max(o.places - (holds and o.profile == lock[1]), 0) for o in columns], np.int64),
        np.array([[(e.profile, o.profile) in earlier for o in columns] for e in rows], np.bool_),
    )
    best = first_of_all(case) if rows and columns else []
    expected = [(e.profile, columns[at].profile) for e, at in zip(rows, best, strict=False) if at != UNPAIRED]
    proposal = propose(people, MIXED, locked=[lock], forbidden=forbidden, earlier=earlier)
    assert keys(proposal) == sorted([*expected, *([lock] if holds else [])])
    assert bool(proposal.broken_locks) != holds
    assert set(proposal.changed) == set(earlier) - set(keys(proposal))


def _named(pairs: Iterable[list[tuple[str, str]]]) -> dict[str, Any]:
    return dict(zip(("locked", "forbidden", "earlier"), pairs, strict=True))


@pytest.mark.parametrize(("mentees", "mentors"), [(5, 3), (3, 5), (7, 7), (0, 3), (3, 0), (0, 0), (1, 1)])
def test_everybody_has_a_pair_or_a_cause(mentees: int, mentors: int) -> None:
    people = crowd(5, mentees, mentors)
    proposal = propose(people, AREAS)
    paired = {each for key in keys(proposal) for each in key}
    assert paired | set(causes(proposal)) == {each.profile for each in people}
    assert not paired & set(causes(proposal))
    assert set(causes(proposal).values()) <= set(CAUSES["en"])


def test_more_mentees_than_places_leaves_the_last_without() -> None:
    proposal = propose([mentee("e1"), mentee("e2"), mentee("e3"), mentor("o1", places=2)], AREAS)
    assert keys(proposal) == [("e1", "o1"), ("e2", "o1")]
    assert causes(proposal) == {"e3": "mentors_taken"}


def test_more_mentors_than_mentees_leaves_mentors_without() -> None:
    proposal = propose([mentee("e1"), mentor("o1"), mentor("o2"), mentor("o3", places=0)], AREAS)
    assert keys(proposal) == [("e1", "o1")]
    assert causes(proposal) == {"o2": "mentees_taken", "o3": "no_places"}


def test_nobody_compatible_makes_no_pair_and_says_why() -> None:
    proposal = propose([mentee("e1", languages=("pt",)), mentee("e2", languages=()), mentor("o1")], AREAS)
    assert proposal.pairs == ()
    assert causes(proposal) == dict.fromkeys(("e1", "e2", "o1"), "language")
    assert (proposal.lowest_fit, proposal.mean_fit, proposal.total_fit) == (None, None, 0)


def test_language_counts_without_its_region() -> None:
    assert keys(
        propose([mentee("e1", languages=("ES-co",)), mentor("o1", languages=("en", "es_MX"))], AREAS)
    ) == [("e1", "o1")]


def test_same_person_in_both_roles_never_gets_themselves() -> None:
    both = {"member": "ana"}
    alone = propose([mentee("e1", **both), mentor("o1", **both)], AREAS)
    assert causes(alone) == {"e1": "same_member", "o1": "same_member"}
    among_others = propose([mentee("e1", **both), mentor("o1", **both), mentee("e2"), mentor("o2")], AREAS)
    assert keys(among_others) == [("e1", "o2"), ("e2", "o1")]


def test_same_employer_is_no_pair_whatever_its_spelling() -> None:
    people = [mentee("e1", employer="Compañía  Andina"), mentor("o1", employer="COMPANIA andina")]
    assert causes(propose(people, AREAS)) == {"e1": "employer", "o1": "employer"}
    unknown = [
        mentee("e1", employer=None),
        mentor("o1", employer=None),
        mentee("e2", employer=" "),
        mentor("o2"),
    ]
    assert len(propose(unknown, AREAS).pairs) == 2


def test_member_out_of_good_standing_is_not_paired() -> None:
    proposal = propose([mentee("e1", good_standing=False), mentee("e2"), mentor("o1")], AREAS)
    assert keys(proposal) == [("e2", "o1")]
    assert causes(proposal) == {"e1": "standing"}


def test_several_bounds_are_counted_for_who_is_without() -> None:
    people = [
        mentee("e1", employer="Acme"),
        mentor("o1", employer="Acme"),
        mentor("o2", languages=("pt",)),
        mentor("o3", languages=("en",)),
    ]
    (person,) = propose(people, AREAS).unpaired_mentees
    assert (person.cause, person.ruled_out) == ("several", {"employer": 1, "language": 2})


def test_forbidden_pair_is_never_made_even_if_it_is_the_only_one() -> None:
    people = [mentee("e1"), mentor("o1")]
    proposal = propose(people, AREAS, forbidden=[("e1", "o1"), ("e9", "o1")])
    assert causes(proposal) == {"e1": "forbidden", "o1": "forbidden"}


def test_lock_is_kept_against_fit_and_takes_a_place() -> None:
    people = [mentee("e1", areas=("Ports",)), mentee("e2"), mentor("o1", areas=("Ports",)), mentor("o2")]
    assert keys(propose(people, AREAS)) == [("e1", "o1"), ("e2", "o2")]
    locked = propose(people, AREAS, locked=[("e2", "o1")])
    assert keys(locked) == [("e1", "o2"), ("e2", "o1")]
    assert [pair.locked for pair in locked.pairs] == [False, True]
    assert locked.blocking_pairs == 1


def test_lock_is_kept_even_if_there_are_fewer_pairs() -> None:
    people = [
        mentee("e1"),
        mentee("e2", languages=("en",)),
        mentor("o1", languages=("es", "en")),
        mentor("o2"),
    ]
    assert len(propose(people, AREAS).pairs) == 2
    assert keys(propose(people, AREAS, locked=[("e1", "o1")])) == [("e1", "o1")]


def test_lock_overrules_language_employer_and_places_and_says_so() -> None:
    people = [
        mentee("e1", languages=("pt",)),
        mentee("e2", employer="Acme"),
        mentor("o1", employer="Acme", places=1),
    ]
    proposal = propose(people, AREAS, locked=[("e1", "o1"), ("e2", "o1")])
    assert [[each.kind for each in pair.why] for pair in proposal.pairs] == [
        ["locked", "no_language", "over_places"],
        ["languages", "locked", "same_employer", "over_places"],
    ]


def test_lock_that_cannot_hold_is_named_with_its_cause() -> None:
    people = [
        *(mentee("e1", member="ana"), mentee("e2"), mentee("e3", good_standing=False)),
        *(mentor("o1", member="ana"), mentor("o2"), mentor("o3")),
    ]
    proposal = propose(
        people,
        AREAS,
        locked=[
            ("e1", "o1"),
            ("e2", "o2"),
            ("e2", "o3"),
            ("e3", "o3"),
            ("o1", "e1"),
            ("e1", "gone"),
            ("e1", "o3"),
        ],
        forbidden=[("e1", "o3")],
    )
    assert proposal.broken_locks == (
        BrokenLock("e1", "gone", "locked_absent"),
        BrokenLock("e1", "o1", "locked_same_member"),
        BrokenLock("e1", "o3", "locked_forbidden"),
        BrokenLock("e2", "o3", "locked_twice"),
        BrokenLock("e3", "o3", "locked_standing"),
        BrokenLock("o1", "e1", "locked_absent"),
    )
    assert keys(proposal) == [("e2", "o2")]


def test_second_run_keeps_what_fits_as_well_and_counts_changes() -> None:
    """A mentor leaves: only their pair changes, though by ids all would move up."""
    people = [mentee(f"e{n}") for n in range(4)] + [mentor(f"o{n}") for n in range(5)]
    earlier = [("e0", "o3"), ("e1", "o2"), ("e2", "o1"), ("e3", "o0")]
    again = propose(people, AREAS, earlier=earlier)
    assert (keys(again), again.changed) == (earlier, ())
    fewer = propose([each for each in people if each.profile != "o2"], AREAS, earlier=earlier)
    assert keys(fewer) == [("e0", "o3"), ("e1", "o4"), ("e2", "o1"), ("e3", "o0")]
    assert fewer.changed == (("e1", "o2"),)
    assert [pair.earlier for pair in fewer.pairs] == [True, False, True, True]


def test_earlier_pair_gives_way_to_a_better_fit() -> None:
    people = [mentee("e1", areas=("Ports",)), mentee("e2"), mentor("o1", areas=("Ports",)), mentor("o2")]
    proposal = propose(people, AREAS, earlier=[("e1", "o2"), ("e2", "o1")])
    assert keys(proposal) == [("e1", "o1"), ("e2", "o2")]
    assert proposal.changed == (("e1", "o2"), ("e2", "o1"))


def test_blocking_pairs_are_those_of_whom_both_would_gain() -> None:
    """Two pairs of 500 beat one of 1,000 and nobody else; e1 and o1 would rather have each other."""
    people = [
        mentee("e1", areas=("A", "B")),
        mentee("e2", areas=("A", "X")),
        mentor("o1", areas=("A", "B")),
        mentor("o2", areas=("B",), languages=("es",)),
    ]
    proposal = propose(people, AREAS, forbidden=[("e2", "o2")])
    assert keys(proposal) == [("e1", "o2"), ("e2", "o1")]
    assert proposal.blocking_pairs == 1
    assert (proposal.lowest_fit, proposal.mean_fit) == (500, 500.0)


def test_assessed_pair_is_what_a_proposal_would_say() -> None:
    ours = mentee("e1", areas=("Ports",), nationality="CO")
    theirs = mentor("o1", areas=("Ports",), nationality="MX")
    assert assess(ours, theirs, NATIONS) == propose([ours, theirs], NATIONS).pairs[0]


def test_every_cause_has_words_in_both_languages() -> None:
    assert CAUSES["en"].keys() == CAUSES["es"].keys()
    for cause in CAUSES["en"]:
        assert cause_worded(cause, "es") != cause_worded(cause, "en") == cause_worded(cause, "fr")


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ([mentee("e1"), mentor("e1")], "the profile e1 is there twice"),
        ([candidate("e1", "friend")], "has the role friend"),
    ],
)
def test_wrong_candidates_are_refused(people: list[Candidate], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        propose(people, AREAS)


def test_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "from rules.pairing import PairingUnavailableError, propose\n"
        "from rules.program import PairingPolicy\n"
        "try:\n    propose([], PairingPolicy(style='similar', age=1))\n"
        "except PairingUnavailableError as missing:\n    print(missing)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == (
        "central pairing needs scipy, which is not installed: pip install 'throughline[pairing]'\n"
    )


@pytest.mark.rule("COH2")
def test_gateway_without_the_extra_exchanges_and_leaves_the_fit_open() -> None:
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['scipy'] = None\n"
        "from lifecycles.cohorts.pair_marks import fit_and_reasons\n"
        "from rules.pairing import Candidate, worded\n"
        "from rules.program import PairingPolicy\n"
        "ana = Candidate(profile='p', member='ana', role='mentee', languages=('es',), areas=('Audit',))\n"
        "leo = Candidate(profile='q', member='leo', role='mentor', languages=('es',), areas=('audit',))\n"
        "fit, why = fit_and_reasons(ana, leo, PairingPolicy(style='similar', areas=1))\n"
        "print(fit, worded(why, 'en'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout.casefold(), ran.stderr) == ("none both: audit, spanish\n", "")
