"""An engagement that a cohort began: one end for all, graduation in place of the wrap-up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from database.models import Member, Profile
from lifecycles.engagements import EngagementSituation
from lifecycles.participants import Participant
from rules.agenda import Agenda, Refused
from rules.credit import gate_days
from rules.engagement import (
    STAFF,
    EngagementFacts,
    NewEnd,
    agree_extension,
    agree_plan,
    extend,
    planned_end,
)
from rules.program import load_program, program_calendar

LAAC = load_program(Path(__file__).resolve().parents[3] / "programs" / "asis-laac.toml")
HOME = program_calendar(LAAC)
KICK_OFF = datetime(2028, 5, 23, 15, tzinfo=UTC)

pytestmark = pytest.mark.rule("COH3")


def begun(started_at: datetime = KICK_OFF) -> EngagementFacts:
    return EngagementFacts(
        "asis-laac-2028.p-ana.p-marco",
        "p-ana",
        "p-marco",
        started_at,
        months=6,
        cohort="asis-laac-2028",
        ends_on="2028-11-23",
    )


def agenda(facts: EngagementFacts) -> Agenda:
    people = {
        profile: Participant(
            Profile(id=profile, role=role, program="asis-laac", languages=[]),
            Member(id=profile, time_zone=zone, country=country, subdivision=None),
        )
        for profile, role, zone, country in (
            ("p-ana", "mentee", "America/Bogota", "CO"),
            ("p-marco", "mentor", "America/Santiago", "CL"),
        )
    }
    return EngagementSituation(people, LAAC).agenda(facts)


def test_graduation_replaces_the_wrap_up() -> None:
    """9 November 2028 is a Thursday; 09:00 of each reader."""
    mails = agenda(begun()).mails
    graduation = {mail.key: mail for mail in mails if mail.message == "member.graduation"}
    assert {key: mail.due for key, mail in graduation.items()} == {
        "mentor.graduation/1": datetime(2028, 11, 9, 12, tzinfo=UTC),
        "mentee.graduation/1": datetime(2028, 11, 9, 14, tzinfo=UTC),
    }
    assert {mail.to for mail in graduation.values()} == {"p-ana", "p-marco"}
    assert all(mail.context["ends"] == "2028-11-23" for mail in graduation.values())
    assert not [mail for mail in mails if "wrap_up" in mail.message]
    assert {mail.message for mail in mails if mail.due == KICK_OFF} == {"mentor.match", "mentee.match"}


def test_late_start_ends_with_the_cohort() -> None:
    late = begun(datetime(2028, 7, 3, 18, tzinfo=UTC))
    assert planned_end(late, LAAC.engagement, HOME) == date(2028, 11, 23)
    assert agenda(late).closes_at == agenda(begun()).closes_at


@pytest.mark.rule("CPE1", "CPE3")
def test_kick_off_to_the_end_meets_the_gate_of_credit() -> None:
    assert gate_days(date(2028, 5, 23), [], LAAC.credit, HOME).earliest == date(2028, 11, 23)
    assert (LAAC.credit.amount("mentor"), LAAC.credit.amount("mentee")) == (9, 0)


def test_parties_do_not_move_the_end_and_staff_do() -> None:
    facts, at = begun(), datetime(2028, 6, 1, 15, tzinfo=UTC)
    plan = NewEnd(at, "plan", months=3)
    assert agree_plan(facts, plan, "active", LAAC.engagement, HOME) == facts
    with pytest.raises(Refused, match="only staff extend it"):
        agree_extension(
            facts, "p-ana", NewEnd(at, "parties", end="2029-01-31"), "active", LAAC.engagement, HOME
        )
    extended = extend(facts, NewEnd(at, STAFF, months=2), "active", LAAC.engagement, HOME)
    assert planned_end(extended, LAAC.engagement, HOME) == date(2029, 1, 23)
    graduation = [mail for mail in agenda(extended).mails if mail.message == "member.graduation"]
    assert {HOME.date_of(mail.due) for mail in graduation if mail.due} == {date(2029, 1, 9)}


def test_invitation_to_a_second_end_has_a_key_of_its_own() -> None:
    facts, after = begun(), datetime(2028, 11, 10, 15, tzinfo=UTC)
    extended = extend(facts, NewEnd(after, STAFF, months=1), "active", LAAC.engagement, HOME)
    keys = {mail.key for mail in agenda(extended).mails if mail.message == "member.graduation"}
    assert keys == {"mentor.graduation/2", "mentee.graduation/2"}


def test_evergreen_engagement_is_asked_to_finish_or_extend() -> None:
    mails = agenda(replace(begun(), cohort="", ends_on="")).mails
    assert {mail.message for mail in mails if "wrap_up" in mail.key} == {"mentor.wrap_up", "mentee.wrap_up"}
    assert not [mail for mail in mails if mail.message == "member.graduation"]
