"""Facts in rows while workers of two versions share them: nothing unknown is lost, nothing missing is an error."""

from __future__ import annotations

import copy
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from activities.planning import PlanOnboarding
from database.models import Onboarding
from database.session import Database
from lifecycles.facts import facts_from_row, facts_to_row
from lifecycles.registry import LIFECYCLES
from rules.acts import Act
from rules.onboarding import OnboardingFacts
from tests.support.delivery import bundled, environment
from tests.support.programs.deployment import AT, Deployment, people

Row = tuple[type[Any], dict[str, Any]]
"""A kind of facts, and facts of it as a row keeps them."""
KINDS = [entry.facts for entry in LIFECYCLES.values()]
NEEDED = {
    "OnboardingFacts": "profile role created_at",
    "RequestFacts": "request mentee mentor created_at",
    "EngagementFacts": "engagement mentee mentor started_at",
    "ClaimFacts": "engagement role profile counterpart certification started_on created_at records",
    "SurveyFacts": "engagement role profile opened_at",
    "CohortFacts": "cohort program announced_at opens closes kick_off months",
    "MeetupFacts": "meetup program scheduled_at starts_at ends_at",
}
"""The fields of the first release, which no row lacks."""
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Facts of a kind are large: to make a failing example small takes minutes."""
NEW: dict[str, Any] = {"of_a_later_version": {"since": "2035-01-01", "parts": [1, None]}}

moments = st.datetimes(timezones=st.just(UTC))


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Facts of any kind as a row keeps them."""
    kind = draw(st.sampled_from(KINDS))
    st.register_type_strategy(datetime, moments)
    return kind, facts_to_row(draw(st.from_type(kind)))


def with_unknown(value: Any, draw: st.DataObject) -> Any:
    """The same JSON, some of whose objects have a field that this version does not know."""
    if isinstance(value, list):
        return [with_unknown(each, draw) for each in value]
    if not isinstance(value, dict):
        return value
    # The details of an act are words by name: each name in them is known.
    inner = {name: each if name == "details" else with_unknown(each, draw) for name, each in value.items()}
    return {**inner, **copy.deepcopy(NEW)} if draw.draw(st.booleans()) else inner


@settings(max_examples=25, phases=NO_SHRINKING)
@given(rows(), st.data())
def test_unknown_fields_survive_being_read_and_written(row: Row, data: st.DataObject) -> None:
    kind, known = row
    later = {**with_unknown(known, data), **NEW}
    facts = facts_from_row(kind, later)
    assert facts_to_row(facts) == known
    assert facts_to_row(facts, before=later) == later


@settings(max_examples=25, phases=NO_SHRINKING)
@given(rows(), rows())
def test_unknown_fields_survive_a_change(row: Row, other: Row) -> None:
    """All known fields are those of the new facts; the unknown one stays."""
    kind, known = row
    if other[0] is not kind:
        other = row
    after = facts_to_row(facts_from_row(kind, other[1]), before={**known, **NEW})
    assert after == {**other[1], **NEW}


@settings(max_examples=25, phases=NO_SHRINKING)
@given(rows(), st.data())
def test_missing_fields_have_their_defaults(row: Row, data: st.DataObject) -> None:
    kind, known = row
    optional = sorted(known.keys() - set(NEEDED[kind.__name__].split()))
    missing = data.draw(st.sets(st.sampled_from(optional)))
    facts = facts_from_row(kind, {name: value for name, value in known.items() if name not in missing})
    plain = {each.name: each.default for each in fields(kind) if each.default is not MISSING}
    made = {each.name: each.default_factory() for each in fields(kind) if each.default_factory is not MISSING}
    for name in missing:
        assert getattr(facts, name) == {**plain, **made}[name]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_without_a_default_are_those_of_the_first_release(kind: type[Any]) -> None:
    assert is_dataclass(kind)
    needed = [
        each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING
    ]
    assert needed == NEEDED[kind.__name__].split()


@pytest.mark.rule("ONB5")
async def test_plan_of_an_older_worker_keeps_what_it_does_not_know(database: Database) -> None:
    await people(database)
    worker = await Deployment(database, bundled()).start()
    await worker.onboarding("p-ana", AT)
    async with database.begin() as session:
        row = await session.get_one(Onboarding, "onboarding/p-ana")
        row.facts = {**row.facts, **NEW}
    extend = Act("a", "extend", "lina", details={"check_ins": "1"}, at=AT)
    order = PlanOnboarding(
        "onboarding/p-ana", OnboardingFacts("p-ana", "mentee", AT), AT + timedelta(hours=1), [extend]
    )
    planned = await environment(order.at).run(worker.agenda.plan_onboarding, order)
    async with database.reading() as session:
        row = await session.get_one(Onboarding, "onboarding/p-ana")
    assert planned.facts is not None
    expected = facts_to_row(planned.facts)
    assert len(expected["extensions"]) == 1
    assert row.facts == {**expected, **NEW}
