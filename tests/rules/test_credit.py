"""A claim from its pre-check to its decision: hard dates by hand, then every order of acts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter
from temporalio.converter import DefaultPayloadConverter

from rules.agenda import Agenda, Refused
from rules.calendar import Calendar, add_months, calendar_for
from rules.credit import (
    EARNED,
    OVER,
    ClaimFacts,
    Credit,
    Cycle,
    Decision,
    Record,
    ShowAgain,
    Signature,
    Signing,
    accept,
    agenda,
    cancel,
    cap_on,
    check_signature,
    choose_domains,
    claim_id,
    claimable,
    countable,
    decide,
    engagement_canceled,
    engagement_changed,
    fingerprint,
    gate_days,
    in_cycle,
    opens_at,
    record_changed,
    reject,
    reopen,
    revoke,
    same_name,
    sign,
    submit,
)
from rules.messages import CATALOGUE
from rules.pauses import Pause, begin_pause, end_pause
from rules.program import load_program
from rules.program.catalogue import load_catalogue
from tests.support.limits import examples
from tests.support.model.reference_ledger import ReferenceLedger

PROGRAM = load_program(Path("programs/asis-global.toml"))
POLICY = PROGRAM.credit
CERTIFICATIONS = load_catalogue()
NEW_YORK = calendar_for(PROGRAM.hours, "America/New_York", "US", None)
BOGOTA = calendar_for(PROGRAM.hours, "America/Bogota", "CO", None)
TOKYO = calendar_for(PROGRAM.hours, "Asia/Tokyo", "JP", None)
PROGRAM_DAYS = NEW_YORK

CPP = CERTIFICATIONS.certification("CPP", date(2028, 9, 14))
PSP = CERTIFICATIONS.certification("PSP", date(2028, 9, 14))
ASSESSMENT = "psp-assessment"

START, PRECHECK, GATE = "2028-03-14", "2028-08-14", "2028-09-14"
AT_GATE = "2028-09-14T09:00"
INSIDE = Cycle("2027-01-01", "2029-12-31")
OTHER_SIDE = {"mentor": "mentee", "mentee": "mentor"}


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def claim(
    role: str = "mentor",
    *,
    started_on: str = START,
    created: str = "2028-08-14T09:00",
    cycle: Cycle | None = INSIDE,
    good: bool = True,
    certification: str = "PSP",
    pauses: list[Pause] | None = None,
) -> ClaimFacts:
    return ClaimFacts(
        engagement="r-1",
        role=role,
        profile=f"p-{role}",
        counterpart=f"p-{OTHER_SIDE[role]}",
        certification=certification,
        started_on=started_on,
        created_at=at(created),
        records=[Record(at(created), good, cycle)],
        pauses=pauses or [],
    )


def plan(facts: ClaimFacts, claimant: Calendar = NEW_YORK, counterpart: Calendar = NEW_YORK) -> Agenda:
    return agenda(facts, POLICY, PROGRAM_DAYS, claimant, counterpart)


def state(facts: ClaimFacts, when: str | datetime) -> str:
    return plan(facts).state_at(at(when) if isinstance(when, str) else when)


def turns(facts: ClaimFacts) -> list[tuple[str, datetime]]:
    return [(turn.state, turn.due) for turn in plan(facts).state_changes]


def closing(facts: ClaimFacts) -> list[str]:
    return [turn.state for turn in plan(facts).state_changes if turn.closes]


def mails(facts: ClaimFacts, message: str = "") -> dict[str, datetime | None]:
    return {mail.key: mail.due for mail in plan(facts).mails if message in mail.message}


def tasks(facts: ClaimFacts) -> list[tuple[str, datetime]]:
    return [(task.kind, task.due) for task in plan(facts).tasks]


def gate_of(facts: ClaimFacts) -> date:
    return gate_days(date.fromisoformat(facts.started_on), facts.pauses, POLICY, PROGRAM_DAYS).earliest


def letter(text: str, name: str = "l-1", by: str = "p-mentee") -> Signature:
    return Signature(name, at(text), by, [ASSESSMENT])


def signed(facts: ClaimFacts, text: str, name: str = "l-1") -> ClaimFacts:
    return sign(facts, letter(text, name, facts.counterpart), state(facts, text))


def again(facts: ClaimFacts, text: str, reason: str = "they were ill") -> ClaimFacts:
    return reopen(facts, at(text), state(facts, text), reason, [gate_of(facts)], "lina")


def made(facts: ClaimFacts, when: str, *others: Credit) -> Decision:
    return decide(facts, PROGRAM, PROGRAM_DAYS, CERTIFICATIONS, others, at(when))


# --- CPE7: the course of a claim for which nobody signs


@pytest.mark.rule("CPE5", "CPE6", "CPE7", "T4")
@pytest.mark.parametrize(
    ("role", "request_", "signer"),
    [("mentor", "mentee.sign_confirmation", "p-mentee"), ("mentee", "mentor.write_letter", "p-mentor")],
)
def test_claim_gets_precheck_request_three_reminders_then_missing(
    role: str, request_: str, signer: str
) -> None:
    facts = claim(role)
    course = plan(facts)
    assert [(mail.key, mail.message, mail.number, mail.to, mail.due) for mail in course.mails] == [
        ("precheck/1", f"{role}.credit_precheck", None, f"p-{role}", at("2028-08-14T09:00")),
        ("evidence/1", request_, 1, signer, at("2028-09-14T09:00")),
        ("evidence/2", request_, 2, signer, at("2028-09-21T09:00")),
        ("evidence/3", request_, 3, signer, at("2028-09-28T09:00")),
        ("evidence/4", request_, 4, signer, at("2028-10-05T09:00")),
    ]
    assert turns(facts) == [
        ("precheck", facts.created_at),
        ("awaiting_evidence", at(AT_GATE)),
        ("evidence_missing", at("2028-11-13T17:00")),
    ]
    assert closing(facts) == []
    assert tasks(facts) == [("evidence_missing", at("2028-10-12T09:00"))]
    assert all(mail.number in (CATALOGUE[mail.message].numbers or (None,)) for mail in course.mails)


@pytest.mark.rule("CPE3")
def test_claim_is_one_per_person_engagement_and_certification() -> None:
    assert claim().claim == claim_id("r-1", "mentor", "PSP") == "claim/r-1/mentor/PSP"


@pytest.mark.rule("CPE4", "CPE7", "MEM6")
def test_mails_carry_only_the_dates_to_show() -> None:
    first, second, *_ = plan(claim()).mails
    dates = {
        "certification": "PSP",
        "gate": GATE,
        "cycle_start": "2027-01-01",
        "cycle_end": "2029-12-31",
    }
    assert first.context == dates
    assert second.context == {**dates, "closes": "2028-11-13"}


@pytest.mark.rule("T4", "CPE7")
def test_mail_waits_for_the_readers_business_day_after_the_gate() -> None:
    facts = claim(started_on="2028-03-18", created="2028-08-18T09:00")
    assert gate_days(date(2028, 3, 18), [], POLICY, PROGRAM_DAYS).gate == date(2028, 9, 18)
    japanese_holiday = date(2028, 9, 18)
    assert not TOKYO.is_business_day(japanese_holiday)
    evidence = [mail.due for mail in plan(facts, counterpart=TOKYO).mails if mail.step == "evidence"]
    assert evidence[0] == at("2028-09-19T09:00", "Asia/Tokyo")
    thursday = claim()
    first = next(mail for mail in plan(thursday, counterpart=TOKYO).mails if mail.step == "evidence")
    assert at("2028-09-14T09:00", "Asia/Tokyo") < at(AT_GATE)
    assert first.due == at("2028-09-15T09:00", "Asia/Tokyo")


@pytest.mark.rule("CPE7", "T4")
def test_reminders_that_coincide_with_the_request_are_dropped() -> None:
    closed = frozenset(date(2028, 9, 14) + timedelta(days=n) for n in range(16))
    counterpart = calendar_for(replace(PROGRAM.hours, closing_days=closed), None, None, None)
    evidence = [mail for mail in plan(claim(), counterpart=counterpart).mails if mail.step == "evidence"]
    assert [(mail.number, mail.due) for mail in evidence] == [
        (1, at("2028-10-02T09:00")),
        (4, at("2028-10-05T09:00")),
    ]


@pytest.mark.rule("CPE3", "CPE7")
def test_claim_opened_late_gets_its_precheck_the_next_morning() -> None:
    assert mails(claim(created="2028-09-02T15:00"), "precheck") == {"precheck/1": at("2028-09-05T09:00")}
    assert mails(claim(created="2028-09-14T08:00"), "precheck") == {}


@pytest.mark.rule("CPE7", "T4")
@pytest.mark.parametrize("calendar", [NEW_YORK, BOGOTA, TOKYO])
def test_claim_opens_early_enough_for_the_claimants_morning(calendar: Calendar) -> None:
    opens = opens_at(date(2028, 8, 14), PROGRAM_DAYS, calendar)
    assert opens <= at("2028-08-14T09:00")
    facts = replace(claim(), created_at=opens, records=[Record(opens, True, INSIDE)])
    precheck = plan(facts, claimant=calendar).mails[0]
    assert precheck.due == calendar.instant(date(2028, 8, 14), PROGRAM.hours.send_time)


@pytest.mark.rule("CPE7")
def test_claim_opened_after_the_gate_gives_the_full_letter_time() -> None:
    facts = claim(created="2028-09-20T15:00")
    assert turns(facts)[1:] == [
        ("awaiting_evidence", at("2028-09-20T15:00")),
        ("evidence_missing", at("2028-11-19T17:00")),
    ]
    assert mails(facts)["evidence/1"] == at("2028-09-21T09:00")
    assert mails(facts)["evidence/2"] == at("2028-09-27T09:00")


# --- CPE1: the gate


@pytest.mark.rule("CPE1", "CPE7", "T3")
@pytest.mark.parametrize(
    ("started_on", "precheck", "gate"),
    [
        ("2026-08-31", "2027-01-31", "2027-02-28"),
        ("2027-08-31", "2028-01-31", "2028-02-29"),
        ("2028-02-29", "2028-07-29", "2028-08-29"),
        ("2028-03-14", PRECHECK, GATE),
        ("2028-09-30", "2029-02-28", "2029-03-30"),
    ],
)
def test_gate_is_six_calendar_months_after_the_first_day(started_on: str, precheck: str, gate: str) -> None:
    days = gate_days(date.fromisoformat(started_on), [], POLICY, PROGRAM_DAYS)
    assert (days.precheck, days.gate) == (date.fromisoformat(precheck), date.fromisoformat(gate))


@pytest.mark.rule("CPE1")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
@pytest.mark.parametrize(
    ("ended", "after"),
    [
        ("2028-08-20T12:00", "not_eligible"),
        ("2028-09-13T23:59", "not_eligible"),
        ("2028-09-14T00:01", "awaiting_evidence"),
        ("2028-09-14T23:59", "awaiting_evidence"),
        ("2028-12-01T12:00", "evidence_missing"),
    ],
)
def test_end_on_the_gate_day_earns_credit_a_day_before_does_not(role: str, ended: str, after: str) -> None:
    facts = engagement_changed(claim(role), [], at(ended), at(ended))
    end = at("2028-12-02T12:00") if after == "evidence_missing" else at("2028-09-15T12:00")
    assert state(facts, end) == after
    if after == "not_eligible":
        assert turns(facts)[-1] == ("not_eligible", at(ended))
        assert closing(facts) == ["not_eligible"]
        assert mails(facts) == {}
        assert tasks(facts) == []
        assert (
            plan(facts).dropped_because == f"the engagement ended on {ended[:10]}, before its gate on {GATE}"
        )
    else:
        assert plan(facts) == plan(claim(role))


@pytest.mark.rule("CPE1", "ENG1")
def test_end_day_follows_the_programs_zone() -> None:
    facts = claim()
    ended = at("2028-09-14T01:00", "UTC")
    assert ended == at("2028-09-13T21:00")
    assert closing(engagement_changed(facts, [], ended, ended)) == ["not_eligible"]


@pytest.mark.rule("CPE1")
def test_early_end_reported_after_the_gate_closes_a_waiting_claim() -> None:
    facts = engagement_changed(claim(), [], at("2028-09-20T10:00"), at("2028-09-13T12:00"))
    assert turns(facts)[1:] == [
        ("awaiting_evidence", at(AT_GATE)),
        ("not_eligible", at("2028-09-20T10:00")),
    ]
    assert engagement_changed(facts, [], at("2028-09-25T10:00"), at("2028-09-13T12:00")) == facts


@pytest.mark.rule("CPE1", "ENG9")
def test_claim_closes_at_the_instant_of_an_early_end() -> None:
    ended = at("2028-09-13T17:00")
    facts = engagement_changed(claim(), [], ended + timedelta(seconds=2), ended)
    assert turns(facts)[-1] == ("not_eligible", ended)
    assert engagement_changed(facts, [], ended + timedelta(days=2), ended) == facts


@pytest.mark.rule("CPE1", "CPE11")
def test_early_end_reported_after_earned_credit_is_left_to_staff() -> None:
    ready = signed(claim(), "2028-09-15T10:00")
    facts = engagement_changed(ready, [], at("2028-09-20T10:00"), at("2028-09-13T12:00"))
    assert state(facts, "2028-09-21T10:00") == "ready"
    assert tasks(facts) == [("event_unapplied", at("2028-09-20T10:00"))]
    assert not made(facts, "2028-09-21T10:00").checks[0].holds
    over = revoke(facts, at("2028-09-22T10:00"), "ready", "it ended too early", "lina")
    assert closing(over) == ["revoked"]


@pytest.mark.rule("CPE1", "ENG11", "CPE7")
def test_forty_day_pause_moves_precheck_and_gate_by_forty_days() -> None:
    pause = Pause(at("2028-05-02T10:00"), at("2028-06-11T16:00"))
    days = gate_days(date.fromisoformat(START), [pause], POLICY, PROGRAM_DAYS)
    assert days.precheck == date(2028, 8, 14) + timedelta(days=40)
    assert days.gate == date(2028, 9, 14) + timedelta(days=40)


@pytest.mark.rule("CPE1", "ENG11", "CPE7")
def test_open_pause_holds_the_gate_and_all_mail() -> None:
    facts = engagement_changed(claim(), [Pause(at("2028-09-01T10:00"))], at("2028-09-01T10:00"))
    assert mails(facts) == dict.fromkeys(["precheck/1", *(f"evidence/{n}" for n in (1, 2, 3, 4))])
    assert turns(facts) == [("precheck", facts.created_at)]
    assert gate_days(date.fromisoformat(START), facts.pauses, POLICY, PROGRAM_DAYS) == (
        date(2028, 8, 14),
        None,
        date(2028, 9, 14),
    )
    resumed = engagement_changed(
        facts, [Pause(at("2028-09-01T10:00"), at("2028-10-11T10:00"))], at("2028-10-11T10:00")
    )
    assert turns(resumed)[1] == ("awaiting_evidence", at("2028-10-24T09:00"))
    assert mails(resumed)["evidence/1"] == at("2028-10-24T09:00")


@pytest.mark.rule("CPE1", "ENG11")
def test_engagement_ended_during_a_pause_misses_the_gate() -> None:
    pauses = [Pause(at("2028-09-01T10:00"))]
    facts = engagement_changed(claim(), pauses, at("2028-12-01T10:00"), at("2028-12-01T10:00"))
    assert facts.pauses == [Pause(at("2028-09-01T10:00"), at("2028-12-01T10:00"))]
    assert closing(facts) == ["not_eligible"]


@pytest.mark.rule("ENG11", "CPE7")
def test_pause_after_the_gate_holds_only_letter_and_deadline() -> None:
    facts = engagement_changed(claim(), [Pause(at("2028-09-18T10:00"))], at("2028-09-18T10:00"))
    assert turns(facts)[1:] == [("awaiting_evidence", at(AT_GATE))]
    assert set(mails(facts, "sign").values()) == {None}
    assert tasks(facts) == []
    pauses = [Pause(at("2028-09-18T10:00"), at("2028-09-28T10:00"))]
    resumed = engagement_changed(facts, pauses, at("2028-09-28T10:00"))
    assert list(mails(resumed, "sign").values()) == [
        at(AT_GATE),
        at("2028-10-02T09:00"),
        at("2028-10-10T09:00"),
        at("2028-10-16T09:00"),
    ]
    assert turns(resumed)[-1] == ("evidence_missing", at("2028-11-24T17:00") - timedelta(days=1))
    assert tasks(resumed) == [("evidence_missing", at("2028-10-22T09:00"))]


@pytest.mark.rule("ENG11", "T8")
def test_mail_waiting_at_a_pause_is_held_and_sent_after_it() -> None:
    pauses = [Pause(at("2028-09-18T10:00"), at("2028-11-02T10:00"))]
    facts = engagement_changed(claim(), pauses, at("2028-11-02T10:00"))
    late = {mail.key: mail.after_pause for mail in plan(facts).mails if mail.after_pause}
    assert set(late.values()) == {at("2028-11-03T09:00")}
    assert {mail.message for mail in plan(facts).mails if mail.after_pause} == {
        "mentor.credit_precheck",
        "mentee.sign_confirmation",
    }


@pytest.mark.rule("ENG8")
def test_suspension_holds_the_claim_until_staff_decide() -> None:
    suspended = [Pause(at("2028-09-20T10:00"), None, "misconduct")]
    facts = engagement_changed(claim(), suspended, at("2028-09-20T10:00"))
    assert plan(facts).wakes_after(at("2028-09-20T10:00")) == []
    assert [mail.due for mail in plan(facts).mails if mail.due and mail.due > at("2028-09-20T10:00")] == []
    canceled = engagement_canceled(facts, at("2028-10-02T10:00"), "awaiting_evidence", "", "lina")
    assert turns(canceled)[-1] == ("canceled", at("2028-10-02T10:00"))
    assert mails(canceled) == {}


@pytest.mark.rule("ENG8", "ENG11", "CPE5")
@pytest.mark.parametrize("cause", ["staff", "misconduct"])
def test_letter_signed_during_a_pause_counts_and_mails_after_it(cause: str) -> None:
    since, until = at("2028-09-20T10:00"), at("2028-10-02T10:00")
    paused = signed(engagement_changed(claim(), [Pause(since, None, cause)], since), "2028-09-22T10:00")
    assert turns(paused)[-1] == ("ready", at("2028-09-22T10:00"))
    assert {mail.due for mail in plan(paused).mails if mail.message == "mentor.credit_ready"} == {None}
    resumed = engagement_changed(paused, [Pause(since, until, cause)], until)
    (ready_mail,) = [mail for mail in plan(resumed).mails if mail.message == "mentor.credit_ready"]
    assert ready_mail.due is not None
    assert until < ready_mail.due < until + timedelta(days=12)


@pytest.mark.rule("CPE1", "CPE2", "ENG5")
def test_extension_after_the_gate_gives_no_second_credit() -> None:
    facts = signed(claim(), "2028-09-15T10:00")
    ended = at("2030-03-14T17:00")
    extended = engagement_changed(facts, [], ended, ended)
    assert plan(extended) == plan(facts)
    assert made(extended, "2030-03-15T10:00").earned == 9


# --- CPE3: who has a claim


@pytest.mark.rule("CPE3", "CPE12")
def test_claim_opens_for_each_known_certification() -> None:
    gate, on = date(2028, 9, 14), date(2028, 8, 14)
    assert claimable(["PSP", "CISSP", "CPP", "PSP"], POLICY, CERTIFICATIONS, gate, on) == ("PSP", "CPP")
    assert claimable([], POLICY, CERTIFICATIONS, gate, on) == ()
    only_cpp = replace(POLICY, certifications=("CPP",))
    assert claimable(["PSP", "CPP"], only_cpp, CERTIFICATIONS, gate, on) == ("CPP",)
    assert claimable(["PSP"], POLICY, CERTIFICATIONS, date(2020, 12, 31), date(2020, 12, 1)) == ()


@pytest.mark.rule("CPE3")
def test_certification_obtained_before_the_gate_opens_a_claim() -> None:
    gate = date(2028, 9, 14)
    assert claimable(["PSP"], POLICY, CERTIFICATIONS, gate, date(2028, 9, 1)) == ("PSP",)
    assert claimable(["PSP"], POLICY, CERTIFICATIONS, gate, gate) == ("PSP",)
    assert claimable(["PSP"], POLICY, CERTIFICATIONS, gate, date(2028, 9, 15)) == ()
    assert claimable(["PSP"], POLICY, CERTIFICATIONS, None, date(2028, 9, 15)) == ("PSP",)


@pytest.mark.rule("CPE3", "CPE4")
def test_certification_obtained_midway_counts_if_its_cycle_began() -> None:
    facts = claim(created="2028-09-01T12:00", cycle=Cycle("2028-08-31", "2031-08-31"))
    assert state(facts, AT_GATE) == "awaiting_evidence"


@pytest.mark.rule("CPE3")
def test_certification_lost_before_the_gate_gives_no_credit() -> None:
    facts = record_changed(claim(), True, None, at("2028-09-01T12:00"))
    assert turns(facts)[-1] == ("not_eligible", at(AT_GATE))
    assert closing(facts) == ["not_eligible"]
    assert mails(facts) == {}
    back = record_changed(facts, True, INSIDE, at("2028-09-05T12:00"))
    assert list(mails(back)) == ["evidence/9", "evidence/10", "evidence/11", "evidence/12"]
    gone_later = record_changed(claim(), True, None, at("2028-09-15T12:00"))
    assert plan(gone_later).state_changes == plan(claim()).state_changes


# --- CPE4: the cycle


@pytest.mark.rule("CPE4")
@pytest.mark.parametrize(
    ("start", "end", "inside"),
    [
        ("2025-10-01", "2028-09-14", True),
        ("2025-10-01", "2028-09-13", False),
        ("2028-09-14", "2031-09-13", True),
        ("2028-09-15", "2031-09-14", False),
        ("2028-09-14", "2028-09-14", True),
        ("2025-07-01", "2028-06-30", False),
    ],
    ids=[
        "ends on the gate day",
        "ended the day before",
        "begins on it",
        "begins the day after",
        "one day",
        "grace",
    ],
)
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_gate_must_lie_in_the_cycle_on_record(role: str, start: str, end: str, inside: bool) -> None:
    facts = claim(role, cycle=Cycle(start, end))
    assert state(facts, AT_GATE) == ("awaiting_evidence" if inside else "outside_cycle")
    if not inside:
        mail = plan(facts).mails[-1]
        assert (mail.message, mail.to, mail.due) == (f"{role}.credit_outside_cycle", f"p-{role}", at(AT_GATE))
        assert mail.context == {
            "certification": "PSP",
            "gate": GATE,
            "cycle_start": start,
            "cycle_end": end,
        }
        assert tasks(facts) == [("outside_cycle", at(AT_GATE))]
        assert mails(facts, "sign") == mails(facts, "write") == {}
        assert closing(facts) == []
        with pytest.raises(Refused, match="outside the certification's cycle"):
            signed(facts, "2028-09-15T10:00")


@pytest.mark.rule("CPE3", "CPE4")
def test_three_certifications_are_decided_each_by_its_own_cycle() -> None:
    cycles = {
        "PSP": Cycle("2025-10-01", "2028-09-14"),
        "CPP": Cycle("2025-10-01", "2028-09-13"),
        "PCI": Cycle("2028-01-01", "2030-12-31"),
    }
    claims = {code: claim(certification=code, cycle=cycle) for code, cycle in cycles.items()}
    assert len({facts.claim for facts in claims.values()}) == 3
    assert {code: state(facts, AT_GATE) for code, facts in claims.items()} == {
        "PSP": "awaiting_evidence",
        "CPP": "outside_cycle",
        "PCI": "awaiting_evidence",
    }


@pytest.mark.rule("CPE4", "CPE7")
def test_cycle_renewed_between_precheck_and_gate_decides() -> None:
    facts = claim(cycle=Cycle("2025-09-01", "2028-08-31"))
    assert state(facts, AT_GATE) == "outside_cycle"
    renewed = record_changed(facts, True, Cycle("2028-09-01", "2031-08-31"), at("2028-09-10T12:00"))
    assert state(renewed, AT_GATE) == "awaiting_evidence"
    assert list(mails(renewed)) == ["precheck/1", "evidence/5", "evidence/6", "evidence/7", "evidence/8"]
    assert plan(renewed).mails[-1].context["cycle_start"] == "2028-09-01"


@pytest.mark.rule("CPE4")
def test_cycle_renewed_after_the_gate_counts_only_once_reopened() -> None:
    facts = claim(cycle=Cycle("2025-09-01", "2028-08-31"))
    with pytest.raises(
        Refused, match="2028-09-14, lies outside the cycle on record, 2025-09-01 to 2028-08-31"
    ):
        again(facts, "2028-09-20T12:00")
    renewed = record_changed(facts, True, Cycle("2028-09-01", "2031-08-31"), at("2028-09-20T12:00"))
    assert state(renewed, "2028-09-21T12:00") == "outside_cycle"
    reopened = again(renewed, "2028-09-21T12:00")
    assert turns(reopened)[-2:] == [
        ("awaiting_evidence", at("2028-09-21T12:00")),
        ("evidence_missing", at("2028-11-20T17:00")),
    ]
    assert made(reopened, "2028-09-22T12:00").credit_date == GATE


@pytest.mark.rule("CPE4")
def test_cycle_renewed_early_keeps_the_present_one() -> None:
    facts = record_changed(claim(), True, Cycle("2030-01-01", "2032-12-31"), at("2028-09-01T12:00"))
    assert turns(facts) == turns(claim())
    assert mails(facts) == mails(claim())
    assert made(facts, AT_GATE).inputs["cycle"] == {"start": "2027-01-01", "end": "2029-12-31"}


@pytest.mark.rule("CPE4")
def test_corrected_cycle_replaces_the_previous_one() -> None:
    facts = record_changed(claim(), True, Cycle("2025-09-01", "2028-08-31"), at("2028-09-01T12:00"))
    assert state(facts, AT_GATE) == "outside_cycle"


@pytest.mark.rule("CPE4", "T8")
def test_cycle_without_a_readable_date_is_an_error() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        plan(claim(cycle=Cycle("2027-01-01", "end of 2029")))


# --- MEM2: good standing at the gate


@pytest.mark.rule("MEM2", "CPE7")
def test_claim_waits_three_weeks_for_good_standing() -> None:
    lapsed = record_changed(claim(), False, INSIDE, at("2028-09-01T12:00"))
    assert mails(lapsed, "standing_lapsed") == {"standing/2": at(AT_GATE)}
    assert not mails(lapsed, "sign")
    assert state(lapsed, "2028-09-15T12:00") == "awaiting_evidence"
    assert tasks(lapsed)[0] == ("member_lapsed", at(AT_GATE))
    back = record_changed(lapsed, True, INSIDE, at("2028-10-05T12:00"))
    assert "member_lapsed" not in dict(tasks(back))
    assert not mails(back, "standing_lapsed")
    lost = made(back, "2028-10-06T12:00").inputs["standing_lost"]
    assert lost == [
        {"since": at("2028-09-01T12:00").isoformat(), "until": at("2028-10-05T12:00").isoformat()}
    ]
    assert mails(back, "sign") == {
        "evidence/5": at("2028-10-06T09:00"),
        "evidence/6": at("2028-10-12T09:00"),
        "evidence/7": at("2028-10-19T09:00"),
        "evidence/8": at("2028-10-26T09:00"),
    }
    assert turns(back)[1:] == [
        ("awaiting_evidence", at(AT_GATE)),
        ("evidence_missing", at("2028-12-04T17:00")),
    ]
    ready = signed(back, "2028-10-09T12:00")
    assert state(ready, "2028-10-09T12:00") == "ready"
    assert made(ready, "2028-10-09T12:00").credit_date == GATE


@pytest.mark.rule("MEM2", "CPE7")
def test_standing_lapsed_for_sixty_days_is_evidence_missing() -> None:
    lapsed = record_changed(claim(), False, INSIDE, at("2028-09-01T12:00"))
    assert turns(lapsed)[-1] == ("evidence_missing", at("2028-11-13T17:00"))
    late = record_changed(lapsed, True, INSIDE, at("2028-11-20T12:00"))
    assert turns(late) == turns(lapsed)
    assert list(mails(late)) == ["precheck/1", "standing/2"]
    reopened = again(late, "2028-11-21T12:00")
    assert mails(reopened, "sign")["evidence/9"] == at("2028-11-22T09:00")


@pytest.mark.rule("MEM2")
def test_standing_lost_after_the_gate_changes_nothing() -> None:
    facts = record_changed(claim(), False, INSIDE, at("2028-09-14T09:01"))
    assert plan(facts) == plan(claim())


@pytest.mark.rule("MEM2", "CPE5")
def test_letter_signed_while_lapsed_counts_when_standing_returns() -> None:
    lapsed = record_changed(claim(), False, INSIDE, at("2028-09-01T12:00"))
    kept = signed(lapsed, "2028-09-20T12:00")
    assert state(kept, "2028-09-21T12:00") == "awaiting_evidence"
    assert "ready/1" not in mails(kept)
    back = record_changed(kept, True, INSIDE, at("2028-10-05T12:00"))
    assert turns(back)[-1] == ("ready", at("2028-10-05T12:00"))
    assert mails(back, "ready") == {"ready/2": at("2028-10-06T09:00")}


# --- CPE5, CPE6, CPE8: the letter


@pytest.mark.rule("CPE5", "CPE6", "CPE10")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_signature_makes_the_claim_ready_and_ends_reminders(role: str) -> None:
    facts = signed(claim(role), "2028-09-22T20:30")
    assert turns(facts)[1:] == [
        ("awaiting_evidence", at(AT_GATE)),
        ("ready", at("2028-09-22T20:30")),
    ]
    assert closing(facts) == []
    mail = plan(facts).mails[-1]
    assert (mail.key, mail.message, mail.to, mail.due) == (
        "ready/1",
        f"{role}.credit_ready",
        f"p-{role}",
        at("2028-09-22T20:30"),
    )
    assert mail.context["letter"] == "l-1"
    assert [mail.step for mail in plan(facts).mails] == ["precheck", "ready"]
    assert plan(facts).dropped_because == "the letter is signed"
    assert tasks(facts) == []


@pytest.mark.rule("CPE5", "CPE7")
def test_signature_before_the_gate_counts_at_the_gate() -> None:
    facts = signed(claim(), "2028-09-01T20:30")
    assert state(facts, "2028-09-14T08:59") == "precheck"
    assert turns(facts)[1:] == [("ready", at(AT_GATE))]
    assert mails(facts) == {"precheck/1": at("2028-08-14T09:00"), "ready/1": at(AT_GATE)}
    ended = at("2028-09-13T12:00")
    assert closing(engagement_changed(facts, [], ended, ended)) == ["not_eligible"]


@pytest.mark.rule("CPE7")
def test_signature_after_the_deadline_is_refused_until_reopened() -> None:
    facts = claim()
    assert state(signed(facts, "2028-11-13T16:59"), "2028-11-14T12:00") == "ready"
    with pytest.raises(Refused, match="in time; the program's staff can reopen it"):
        signed(facts, "2028-11-13T17:00")
    assert state(signed(again(facts, "2028-12-01T12:00"), "2028-12-02T12:00"), "2028-12-02T12:00") == "ready"


@pytest.mark.rule("CPE8")
@pytest.mark.parametrize("first", ["2028-09-01T10:00", "2028-09-15T10:00"])
def test_second_signature_is_refused_and_a_repeat_is_ignored(first: str) -> None:
    facts = signed(claim(), first)
    assert signed(facts, "2028-09-16T10:00") == facts
    with pytest.raises(Refused, match="already been signed"):
        signed(facts, "2028-09-16T10:00", "l-2")
    with pytest.raises(Refused, match="already been signed"):
        signed(facts, "2028-09-02T10:00", "l-2")


TEXT = "Ana Pérez and Marcus Oyelaran met from 14 March 2028 on."


def signing(role: str = "mentee", **changes: Any) -> Signing:
    given_ = Signing(
        by=f"p-{OTHER_SIDE[role]}",
        role=role,
        name="marcus  oyelaran",
        consent=True,
        shown=fingerprint(TEXT),
        purpose="A change of career.",
        domains=["physical security ASSESSMENT", "psp-design", ASSESSMENT],
    )
    return replace(given_, **changes)


def checked(facts: ClaimFacts, given_: Signing, text: str = TEXT) -> list[str]:
    return check_signature(facts, given_, signer_name="Marcus Oyelaran", statement=text, certification=PSP)


@pytest.mark.rule("CPE6", "CPE8")
def test_letter_with_right_signer_and_domains_may_be_signed() -> None:
    assert checked(claim("mentee"), signing()) == [ASSESSMENT, "psp-design"]


@pytest.mark.rule("CPE5", "CPE8")
def test_confirmation_for_a_mentor_needs_no_purpose_or_domain() -> None:
    assert checked(claim("mentor"), signing("mentor", purpose="", domains=())) == []


@pytest.mark.rule("CPE5", "CPE6", "CPE8")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"by": "p-mentee"}, "only the mentor of this engagement"),
        ({"by": "p-somebody"}, "only the mentor of this engagement"),
        ({"role": "mentor"}, "for the mentor's credit"),
        ({"name": "Marcus"}, "not the name on record"),
        ({"name": "Ana Pérez"}, "not the name on record"),
        ({"name": " . "}, "not the name on record"),
        ({"consent": False}, "consent"),
        ({"purpose": " \n"}, "the purpose"),
        ({"domains": []}, "at least one domain of PSP"),
        ({"domains": [" "]}, "at least one domain of PSP"),
        ({"domains": ["Crisis Management"]}, "PSP has no domain Crisis Management"),
        ({"domains": [ASSESSMENT, "cpp-investigations"]}, "PSP has no domain cpp-investigations"),
    ],
)
def test_invalid_letter_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        checked(claim("mentee"), signing(**changes))
    assert not isinstance(refused.value, ShowAgain)


@pytest.mark.rule("CPE8")
def test_letter_with_changed_data_is_shown_again_and_not_signed() -> None:
    with pytest.raises(ShowAgain, match="read it again"):
        checked(claim("mentee"), signing(), TEXT.replace("14 March", "15 March"))
    with pytest.raises(Refused, match="only the mentor"):
        checked(claim("mentee"), signing(by="p-other"), "another text")


@pytest.mark.rule("CPE8")
def test_letter_shown_by_another_system_is_not_compared() -> None:
    assert checked(claim("mentee"), signing(shown=None), "another text") == [ASSESSMENT, "psp-design"]


@pytest.mark.rule("CPE12", "CPE6")
def test_certification_unknown_on_that_day_has_no_domains() -> None:
    with pytest.raises(Refused, match="PSP has no domain"):
        check_signature(
            claim("mentee"), signing(), signer_name="Marcus Oyelaran", statement=TEXT, certification=None
        )


@pytest.mark.rule("CPE8")
@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("ana perez", "Ana Pérez"),
        ("  ANA\u00a0 PÉREZ ", "Ana Pérez"),
        ("Ana Pe\u0301rez", "Ana P\u00e9rez"),
        ("Ana Pérez", "Pérez, Ana"),
        ("Jean Luc ONeil", "Jean-Luc O’Neil"),
        ("J R Perez", "J. R. Pérez"),
        ("Soren Strasse", "Søren Straße"),
        ("İpek Işık", "ipek ışık"),
        ("山田太郎", "山田太郎"),
    ],
)
def test_names_match_despite_case_accents_and_spaces(typed: str, recorded: str) -> None:
    assert same_name(typed, recorded)
    assert same_name(recorded, typed)


@pytest.mark.rule("CPE8")
@pytest.mark.parametrize(
    ("typed", "recorded"),
    [("Ana Pérez", "Ana Pérez Castillo"), ("Ana Peres", "Ana Pérez"), ("", ""), ("-", "?"), ("山田", "太郎")],
)
def test_different_names_do_not_match(typed: str, recorded: str) -> None:
    assert not same_name(typed, recorded)


@pytest.mark.rule("CPE7", "CPE10")
def test_claimant_can_change_domains_until_submission() -> None:
    facts = choose_domains(
        claim(), "p-mentor", ["Physical Security Assessment", "psp-design", ASSESSMENT], PSP, "precheck"
    )
    assert facts.domains == [ASSESSMENT, "psp-design"]
    assert choose_domains(facts, "p-mentor", ["psp-design"], PSP, "ready").domains == ["psp-design"]
    with pytest.raises(Refused, match="only the claimant"):
        choose_domains(facts, "p-mentee", ["psp-design"], PSP, "precheck")
    with pytest.raises(Refused, match="PSP has no domain psp-design"):
        choose_domains(facts, "p-mentor", ["psp-design"], CPP, "precheck")
    for over in ("submitted", "accepted", "rejected", *OVER):
        with pytest.raises(Refused, match="stay as they are"):
            choose_domains(facts, "p-mentor", ["psp-design"], PSP, over)


# --- CPE7, CPE10, CPE11: what people do to a claim


@pytest.mark.rule("CPE7")
def test_reopened_claim_has_its_full_time_and_reminders_again() -> None:
    facts = again(claim(), "2028-12-01T15:00")
    evidence = [mail for mail in plan(facts).mails if mail.step == "evidence"]
    assert [(mail.key, mail.number, mail.due) for mail in evidence] == [
        ("evidence/5", 1, at("2028-12-04T09:00")),
        ("evidence/6", 2, at("2028-12-08T09:00")),
        ("evidence/7", 3, at("2028-12-15T09:00")),
        ("evidence/8", 4, at("2028-12-22T09:00")),
    ]
    assert turns(facts)[2:] == [
        ("evidence_missing", at("2028-11-13T17:00")),
        ("awaiting_evidence", at("2028-12-01T15:00")),
        ("evidence_missing", at("2029-01-30T17:00")),
    ]
    assert tasks(facts)[1] == ("evidence_missing", at("2028-12-29T09:00"))
    assert len({task.cause for task in plan(facts).tasks}) == 2
    assert again(facts, "2028-12-02T15:00") == facts
    late = signed(facts, "2028-12-10T12:00")
    assert turns(late) == [*turns(facts)[:4], ("ready", at("2028-12-10T12:00"))]
    twice = again(facts, "2029-03-01T15:00")
    assert "evidence/9" in mails(twice)
    assert made(signed(twice, "2029-03-02T12:00"), "2029-03-02T12:00").credit_date == GATE


@pytest.mark.rule("CPE10")
def test_ready_claim_is_submitted_and_accepted() -> None:
    ready = signed(claim(), "2028-09-15T10:00")
    with pytest.raises(Refused, match="only the claimant"):
        submit(ready, "p-mentee", at("2028-09-16T10:00"), "ready")
    submitted = submit(ready, "p-mentor", at("2028-09-16T10:00"), "ready")
    assert submit(submitted, "p-mentor", at("2028-09-17T10:00"), "submitted") == submitted
    accepted = accept(submitted, at("2028-10-16T10:00"), "submitted", "", "lina")
    assert turns(accepted)[-2:] == [
        ("submitted", at("2028-09-16T10:00")),
        ("accepted", at("2028-10-16T10:00")),
    ]
    assert closing(accepted) == []
    assert plan(accepted).wakes_after(at("2028-10-16T10:00")) == []
    assert list(mails(accepted)) == ["accepted/1", "ready/1"]
    revoked = revoke(accepted, at("2031-01-10T10:00"), "accepted", "an audit", "lina")
    assert closing(revoked) == ["revoked"]
    assert plan(revoked).state_changes[-1].cause == "revoked by staff: an audit"
    assert list(mails(revoked)) == ["accepted/1", "revoked/1"]


@pytest.mark.rule("CPE13")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_claimant_hears_of_each_decision_of_staff_at_once(role: str) -> None:
    ready = signed(claim(role), "2028-09-15T10:00")
    rejected = reject(ready, at("2028-10-14T22:10"), "ready", "no domain", "lina")
    opened = again(rejected, "2028-10-15T03:20")
    accepted = accept(signed(opened, "2028-10-20T10:00", "l-2"), at("2028-10-21T10:00"), "ready", "", "lina")
    revoked = revoke(accepted, at("2028-11-01T10:00"), "accepted", "an audit", "lina", "untrue")
    notices = [mail for mail in plan(revoked).mails if "step" in mail.context]
    assert [(mail.message, mail.due, mail.to, mail.context["step"]) for mail in notices] == [
        (f"{role}.credit_rejected", at("2028-10-14T22:10"), f"p-{role}", "0"),
        (f"{role}.credit_reopened", at("2028-10-15T03:20"), f"p-{role}", "1"),
        (f"{role}.credit_accepted", at("2028-10-21T10:00"), f"p-{role}", "2"),
        (f"{role}.credit_revoked", at("2028-11-01T10:00"), f"p-{role}", "3"),
    ]
    assert not [mail for mail in notices if "no domain" in str(mail.context)]


@pytest.mark.rule("CPE13", "ENG6")
def test_cancelled_claim_mails_nobody() -> None:
    assert mails(cancel(claim(), at("2028-09-20T10:00"), "awaiting_evidence", "why", "lina")) == {}


TERM = replace(POLICY, in_cycle="term")


@pytest.mark.rule("CPE4")
@pytest.mark.parametrize(
    ("begins", "ends", "by_gate", "by_term"),
    [
        ("2028-03-14", "2028-09-14", "awaiting_evidence", "awaiting_evidence"),
        ("2028-03-15", "2031-03-14", "awaiting_evidence", "outside_cycle"),
        ("2025-09-14", "2028-09-13", "outside_cycle", "outside_cycle"),
    ],
)
def test_program_chooses_whether_gate_or_term_lies_inside(
    begins: str, ends: str, by_gate: str, by_term: str
) -> None:
    facts = claim(cycle=Cycle(begins, ends))
    after = at("2028-09-14T10:00")
    assert facts.started_on == "2028-03-14"
    assert state(facts, after) == by_gate
    term = agenda(facts, TERM, PROGRAM_DAYS, NEW_YORK, NEW_YORK)
    assert term.state_at(after) == by_term
    if by_term == "outside_cycle":
        (notice,) = [mail for mail in term.mails if mail.message == "mentor.credit_outside_cycle"]
        assert notice.context["term_start"] == "2028-03-14"
        assert (notice.context["cycle_start"], notice.context["cycle_end"]) == (begins, ends)
        corrected = record_changed(facts, True, INSIDE, at("2028-09-20T12:00"))
        days = (date(2028, 3, 14), date(2028, 9, 14))
        reopen(corrected, at("2028-09-21T12:00"), "outside_cycle", "corrected", days, "lina")
        with pytest.raises(Refused, match="lies outside the cycle on record"):
            reopen(facts, at("2028-09-21T12:00"), "outside_cycle", "why", days, "lina")


@pytest.mark.rule("CPE10", "CPE8")
def test_reopened_rejected_claim_needs_a_new_letter() -> None:
    ready = signed(claim(), "2028-09-15T10:00")
    rejected = reject(ready, at("2028-10-16T10:00"), "ready", "no domain", "lina")
    assert list(mails(rejected)) == ["rejected/1"]
    reopened = again(rejected, "2028-10-20T10:00")
    assert turns(reopened) == [
        ("precheck", ready.created_at),
        ("awaiting_evidence", at(AT_GATE)),
        ("ready", at("2028-09-15T10:00")),
        ("rejected", at("2028-10-16T10:00")),
        ("awaiting_evidence", at("2028-10-20T10:00")),
        ("evidence_missing", at("2028-12-19T17:00")),
    ]
    second = signed(reopened, "2028-10-25T10:00", "l-2")
    assert mails(second, "ready") == {"ready/2": at("2028-10-25T10:00")}
    assert [each.letter for each in second.signatures] == ["l-1", "l-2"]


@pytest.mark.rule("CPE10", "MAIL1")
def test_reverted_rejection_does_not_resend_its_mail() -> None:
    ready = signed(claim(), "2028-09-15T10:00")
    rejected = reject(ready, at("2028-10-16T10:00"), "ready", "a slip", "lina")
    accepted = accept(rejected, at("2028-10-16T10:05"), "rejected", "", "lina")
    assert state(accepted, "2028-10-16T10:05") == "accepted"
    assert list(mails(accepted)) == ["rejected/1", "accepted/1"]


@pytest.mark.rule("CPE4", "CPE7")
def test_reopened_claim_outside_its_cycle_keeps_an_early_letter() -> None:
    early = signed(claim(cycle=Cycle("2025-09-01", "2028-08-31")), "2028-09-01T12:00")
    assert list(mails(early)) == ["precheck/1", "outside/1"]
    corrected = record_changed(early, True, INSIDE, at("2028-09-20T12:00"))
    reopened = again(corrected, "2028-09-21T15:00")
    assert turns(reopened)[-1] == ("ready", at("2028-09-21T15:00"))
    assert list(mails(reopened, "ready").values()) == [at("2028-09-22T09:00")]


@pytest.mark.rule("CPE4", "MEM2")
def test_record_at_the_instant_of_gate_or_reopening_comes_after() -> None:
    lapsed = record_changed(claim(), False, None, at(AT_GATE))
    assert turns(lapsed) == turns(claim())
    reopened = again(claim(), "2028-12-01T15:00")
    lapsed = record_changed(reopened, False, None, at("2028-12-01T15:00"))
    assert turns(lapsed) == turns(reopened)


@pytest.mark.rule("ENG6")
@pytest.mark.parametrize("when", ["2028-08-20T12:00", "2028-09-20T12:00"])
def test_cancelled_engagement_ends_an_unearned_claim(when: str) -> None:
    facts = engagement_canceled(claim(), at(when), state(claim(), when), "a mistake", "lina")
    assert closing(facts) == ["canceled"]
    assert turns(facts)[-1] == ("canceled", at(when))
    assert mails(facts) == {}
    assert plan(facts).dropped_because == "cancelled by staff: a mistake"
    assert engagement_canceled(facts, at("2028-12-01T12:00"), "canceled") == facts


@pytest.mark.rule("ENG6", "CPE11")
@pytest.mark.parametrize("earned", sorted(EARNED))
def test_earned_credit_survives_a_cancel_and_can_be_revoked(earned: str) -> None:
    facts = signed(claim(), "2028-09-15T10:00")
    assert engagement_canceled(facts, at("2028-10-01T12:00"), earned) == facts
    with pytest.raises(Refused, match="can be revoked"):
        cancel(facts, at("2028-10-01T12:00"), earned)


ACTS: dict[str, Callable[[ClaimFacts, str], ClaimFacts]] = {
    "submit": lambda facts, now: submit(facts, facts.profile, at("2029-06-01T12:00"), now),
    "accept": lambda facts, now: accept(facts, at("2029-06-01T12:00"), now, "so it is"),
    "reject": lambda facts, now: reject(facts, at("2029-06-01T12:00"), now, "so it is"),
    "revoke": lambda facts, now: revoke(facts, at("2029-06-01T12:00"), now, "so it is"),
    "cancel": lambda facts, now: cancel(facts, at("2029-06-01T12:00"), now, "so it is"),
    "reopen": lambda facts, now: reopen(facts, at("2029-06-01T12:00"), now, "so it is", [gate_of(facts)]),
    "sign": lambda facts, now: sign(facts, letter("2029-06-01T12:00"), now),
}
ALLOWED = {
    "precheck": {"cancel", "sign"},
    "awaiting_evidence": {"cancel", "sign"},
    "ready": {"submit", "accept", "reject", "revoke"},
    "submitted": {"accept", "reject", "revoke"},
    "accepted": {"revoke"},
    "rejected": {"accept", "reopen", "cancel"},
    "outside_cycle": {"reopen", "cancel"},
    "evidence_missing": {"reopen", "cancel"},
    "revoked": set(),
    "not_eligible": set(),
    "canceled": set(),
}
CHANGES_NOTHING = {
    ("submit", "submitted"),
    ("submit", "accepted"),
    ("accept", "accepted"),
    ("reject", "rejected"),
    ("revoke", "revoked"),
    ("cancel", "canceled"),
}


@pytest.mark.rule("CPE10", "CPE11", "STA3")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("now", ALLOWED)
def test_act_is_applied_or_refused_by_the_claims_state(act: str, now: str) -> None:
    facts = claim()
    if act in ALLOWED[now]:
        assert ACTS[act](facts, now) != facts
    elif (act, now) in CHANGES_NOTHING:
        assert ACTS[act](facts, now) == facts
    else:
        with pytest.raises(Refused, match=r"^this (claim|letter) "):
            ACTS[act](facts, now)


@pytest.mark.rule("CPE11")
def test_revocation_class_is_known_or_absent() -> None:
    ready = claim()
    with pytest.raises(Refused, match="because is one of mistake, untrue"):
        revoke(ready, at("2029-06-01T12:00"), "ready", "so it is", reason_code="spite")
    for said, kept in (("untrue", "untrue"), ("", "other")):
        revoked = revoke(ready, at("2029-06-01T12:00"), "ready", "so it is", reason_code=said)
        assert revoked.steps[-1].because == kept


@pytest.mark.rule("STA3", "CPE11")
def test_reject_revoke_and_reopen_need_a_reason() -> None:
    for act in (reject, revoke):
        with pytest.raises(Refused, match="a reason is needed"):
            act(claim(), at(AT_GATE), "ready", " ")
    with pytest.raises(Refused, match="a reason is needed"):
        again(claim(), "2028-12-01T12:00", " ")


@pytest.mark.rule("CPE3")
def test_reopening_needs_the_certification_on_record() -> None:
    facts = record_changed(claim(), True, None, at("2028-11-20T12:00"))
    with pytest.raises(Refused, match="PSP is not on the member's record"):
        again(facts, "2028-12-01T12:00")


@pytest.mark.rule("MEM6")
def test_facts_survive_the_workflow_history_and_the_database() -> None:
    facts = record_changed(claim(), False, Cycle("2028-01-01", "2030-12-31"), at("2028-08-20T10:00"))
    facts = engagement_changed(
        facts, [Pause(at("2028-08-21T10:00"), at("2028-08-22T10:00"))], at("2029-01-01T10:00"), at(AT_GATE)
    )
    facts = again(sign(facts, letter("2028-09-01T10:00"), "precheck"), "2028-12-24T10:00")
    facts = choose_domains(facts, "p-mentor", [ASSESSMENT], PSP, "precheck")
    converter = DefaultPayloadConverter()
    assert converter.from_payloads(converter.to_payloads([facts]), [ClaimFacts]) == [facts]
    adapter = TypeAdapter(ClaimFacts)
    assert adapter.validate_python(adapter.dump_python(facts, mode="json")) == facts


# --- CPE2, CPE9: how much, and how much of it counts


def credit(name: str, on: str, state: str = "ready", amount: int = 9, certification: str = "PSP") -> Credit:
    return Credit(f"claim/{name}/mentor/{certification}", name, certification, on, state, amount)


FOUR = [
    credit("r-1", "2027-03-01"),
    credit("r-2", "2027-09-01", "accepted"),
    credit("r-3", "2028-03-01", "submitted"),
    credit("r-4", "2028-09-01"),
]


@pytest.mark.rule("CPE9")
def test_fourth_mentorship_in_a_cycle_earns_nine_and_counts_three() -> None:
    assert list(countable(FOUR, 30).values()) == [9, 9, 9, 3]


@pytest.mark.rule("CPE9", "CPE11")
@pytest.mark.parametrize("lost", ["revoked", "rejected", "canceled", "awaiting_evidence"])
def test_credit_revoked_later_frees_its_share(lost: str) -> None:
    revoked = [FOUR[0], replace(FOUR[1], state=lost), *FOUR[2:]]
    assert list(countable(revoked, 30).values()) == [9, 0, 9, 9]


@pytest.mark.rule("CPE9")
def test_credits_of_one_day_count_in_engagement_order() -> None:
    same_day = [credit("r-2", "2028-03-01"), credit("r-1", "2028-03-01")]
    assert countable(same_day, 10) == {"claim/r-1/mentor/PSP": 9, "claim/r-2/mentor/PSP": 1}


@pytest.mark.rule("CPE9")
def test_both_roles_share_a_cap_but_certifications_do_not() -> None:
    as_mentee = Credit("claim/r-9/mentee/PSP", "r-9", "PSP", "2028-05-01", "ready", 5)
    others = [*FOUR, as_mentee, credit("r-5", "2026-12-31"), credit("r-6", "2028-01-01", certification="CPP")]
    sharing = in_cycle(others, "PSP", INSIDE)
    assert sharing == [*FOUR, as_mentee]
    shares = countable(sharing, 30)
    assert shares["claim/r-9/mentee/PSP"] == 3
    assert shares["claim/r-4/mentor/PSP"] == 0


@pytest.mark.rule("CPE9", "CPE12")
def test_cap_is_the_programs_but_at_most_the_catalogues() -> None:
    on = date(2028, 9, 14)
    assert cap_on(POLICY, CERTIFICATIONS, on) == 30
    assert cap_on(replace(POLICY, caps={"Instructor": 20}), CERTIFICATIONS, on) == 20
    assert cap_on(replace(POLICY, caps={"Instructor": 40}), CERTIFICATIONS, on) == 30
    assert cap_on(POLICY, CERTIFICATIONS, date(2020, 1, 1)) == 30


CREDITS = st.lists(
    st.builds(
        credit,
        st.sampled_from([f"r-{n}" for n in range(12)]),
        st.dates(date(2027, 1, 1), date(2027, 1, 9)).map(date.isoformat),
        st.sampled_from(["ready", "submitted", "accepted", "rejected", "revoked", "awaiting_evidence"]),
        st.sampled_from([5, 9]),
    ),
    unique_by=lambda each: each.claim,
)


@pytest.mark.rule("CPE9")
@given(credits=CREDITS, cap=st.integers(0, 60), shuffle=st.randoms(use_true_random=False))
def test_counted_credit_fills_the_cap_in_any_order(credits: list[Credit], cap: int, shuffle: object) -> None:
    shares = countable(credits, cap)
    amounts = {each.claim: each.amount if each.state in EARNED else 0 for each in credits}
    assert sum(shares.values()) == min(cap, sum(amounts.values()))
    assert all(0 <= shares[name] <= amounts[name] for name in amounts)
    another_order = sorted(credits, key=lambda _: shuffle.random())  # type: ignore[attr-defined]
    assert countable(another_order, cap) == shares


@pytest.mark.rule("CPE9")
@given(credits=CREDITS, cap=st.integers(0, 60))
def test_revoking_one_credit_never_lowers_another(credits: list[Credit], cap: int) -> None:
    before = countable(credits, cap)
    for position, lost in enumerate(credits):
        after = countable(
            [*credits[:position], replace(lost, state="revoked"), *credits[position + 1 :]], cap
        )
        assert after.pop(lost.claim) == 0
        assert all(after[name] >= before[name] for name in after)


@pytest.mark.rule("CPE2", "CPE9", "CPE12")
def test_decision_lists_every_input_and_rule() -> None:
    facts = choose_domains(signed(claim(), "2028-09-15T10:00"), "p-mentor", [ASSESSMENT], PSP, "ready")
    facts = engagement_changed(
        facts, [Pause(at("2028-09-20T10:00"))], at("2028-10-01T10:00"), at("2028-10-01T10:00")
    )
    decision = made(facts, "2028-10-02T10:00", *FOUR[1:], credit("r-7", "2028-10-01"))
    assert (decision.claim, decision.state, decision.credit_date) == (facts.claim, "ready", GATE)
    assert (decision.earned, decision.countable) == (9, 3)
    assert {check.rule: check.holds for check in decision.checks} == {
        "CPE1": True,
        "CPE2": True,
        "CPE3": True,
        "CPE4": True,
        "MEM2": True,
        "CPE5": True,
        "CPE9": False,
        "CPE12": True,
    }
    inputs = decision.inputs
    assert inputs["started_on"] == START
    assert inputs["gate_on"] == GATE
    assert inputs["ended_on"] == "2028-10-01"
    assert inputs["paused_days"] == 0
    assert inputs["cycle"] == {"start": "2027-01-01", "end": "2029-12-31"}
    assert (inputs["letter"], inputs["signed_by"]) == ("l-1", "p-mentee")
    assert inputs["domains_chosen"] == [ASSESSMENT]
    assert (inputs["amount"], inputs["cap"], inputs["counts_as"]) == (9, 30, "Instructor")
    assert [each["countable"] for each in inputs["sharing_the_cap"]] == [9, 9, 9, 0]
    assert inputs["policy_version"] == PROGRAM.policy_version
    assert inputs["catalogue_version"] == CERTIFICATIONS.version
    assert len(inputs["policy_fingerprint"]) == len(inputs["catalogue_fingerprint"]) == 64
    assert json.loads(json.dumps(decision.as_json())) == decision.as_json()


@pytest.mark.rule("CPE2")
def test_mentee_earns_five() -> None:
    assert made(signed(claim("mentee"), "2028-09-15T10:00"), "2028-09-16T10:00").earned == 5


@pytest.mark.rule("CPE1", "CPE3", "CPE4", "CPE6", "CPE7", "CPE10", "CPE11", "MEM2", "ENG6")
@pytest.mark.parametrize(
    ("facts", "when", "now", "rule_", "holds"),
    [
        (claim(), "2028-09-01T12:00", "precheck", "CPE1", None),
        (claim(), "2028-09-15T12:00", "awaiting_evidence", "CPE1", True),
        (claim(), "2028-09-15T12:00", "awaiting_evidence", "CPE5", None),
        (claim("mentee"), "2028-12-01T12:00", "evidence_missing", "CPE6", False),
        (claim(cycle=Cycle("2025-09-01", "2028-08-31")), "2028-09-15T12:00", "outside_cycle", "CPE4", False),
        (claim(good=False), "2028-09-15T12:00", "awaiting_evidence", "MEM2", False),
        (claim(good=False), "2028-09-01T12:00", "precheck", "MEM2", None),
        (
            record_changed(claim(), True, None, at("2028-09-01T12:00")),
            AT_GATE,
            "not_eligible",
            "CPE3",
            False,
        ),
        (
            engagement_changed(claim(), [], at("2028-09-01T12:00"), at("2028-09-01T12:00")),
            AT_GATE,
            "not_eligible",
            "CPE1",
            False,
        ),
        (claim(pauses=[Pause(at("2028-09-01T10:00"))]), "2028-10-01T12:00", "precheck", "CPE1", None),
        (claim(certification="CISSP"), "2028-09-15T12:00", "awaiting_evidence", "CPE3", False),
        (
            cancel(claim(), at("2028-09-01T12:00"), "precheck"),
            "2028-09-02T12:00",
            "canceled",
            "ENG6",
            False,
        ),
        (
            revoke(signed(claim(), "2028-09-15T10:00"), at("2028-10-01T12:00"), "ready", "an audit"),
            "2028-10-02T12:00",
            "revoked",
            "CPE11",
            False,
        ),
        (
            reject(signed(claim(), "2028-09-15T10:00"), at("2028-10-01T12:00"), "ready", "no domain"),
            "2028-10-02T12:00",
            "rejected",
            "CPE10",
            False,
        ),
    ],
)
def test_refusing_decision_names_its_rule(
    facts: ClaimFacts, when: str, now: str, rule_: str, holds: bool | None
) -> None:
    decision = made(facts, when)
    assert decision.state == now
    assert (decision.earned, decision.countable) == (0, 0)
    assert {check.rule: check.holds for check in decision.checks}[rule_] is holds


# --- Every start, pause and order of acts

days_of_start = st.dates(date(2026, 1, 1), date(2030, 1, 1))


@st.composite
def pauses_after(draw: st.DrawFn, start: date) -> list[Pause]:
    """Some pauses, closed or open, in any order and overlapping or not."""
    begin = datetime(start.year, start.month, start.day, tzinfo=UTC)
    pauses = []
    for _ in range(draw(st.integers(0, 4))):
        since = begin + timedelta(hours=draw(st.integers(0, 24 * 250)))
        length = draw(st.one_of(st.none(), st.integers(0, 24 * 90)))
        pauses.append(Pause(since, None if length is None else since + timedelta(hours=length)))
    return pauses


@pytest.mark.rule("CPE1", "ENG11", "T3")
@given(data=st.data(), start=days_of_start)
def test_gate_is_at_least_six_months_and_pauses_only_delay_it(data: st.DataObject, start: date) -> None:
    pauses = data.draw(pauses_after(start))
    plain = add_months(start, POLICY.gate_months)
    days = gate_days(start, pauses, POLICY, PROGRAM_DAYS)
    assert days.earliest >= plain
    assert days.gate in (None, days.earliest)
    assert (days.gate is None) == any(
        pause.until is None and PROGRAM_DAYS.date_of(pause.since) < days.earliest for pause in pauses
    )
    if days.precheck and days.gate:
        assert days.precheck < days.gate
    assert gate_days(start, [], POLICY, PROGRAM_DAYS).gate == plain


CYCLES = (
    INSIDE,
    Cycle("2025-10-01", "2028-09-14"),
    Cycle("2025-10-01", "2028-09-13"),
    Cycle("2028-09-01", "2031-08-31"),
    Cycle("2028-10-20", "2031-10-19"),
    None,
)
FOLLOWS = {
    "precheck": {"awaiting_evidence", "ready", "outside_cycle", "not_eligible", "canceled"},
    "awaiting_evidence": {"ready", "evidence_missing", "not_eligible", "canceled"},
    "ready": {"submitted", "accepted", "rejected", "revoked"},
    "submitted": {"accepted", "rejected", "revoked"},
    "accepted": {"revoked"},
    "rejected": {"accepted", "awaiting_evidence", "canceled", "not_eligible"},
    "outside_cycle": {"awaiting_evidence", "ready", "canceled", "not_eligible"},
    "evidence_missing": {"awaiting_evidence", "ready", "canceled", "not_eligible"},
}


OFTEN = st.sampled_from([True, True, True, False])
MOST_RECORDS = 4


class ClaimMachine(RuleBasedStateMachine):
    """Every order of records, pauses, letters and acts, with waiting between, against a reference ledger."""

    @initialize(
        role=st.sampled_from(["mentor", "mentee"]),
        cycle=st.sampled_from([cycle for cycle in CYCLES if cycle]),
        good=OFTEN,
        claimant=st.sampled_from([NEW_YORK, TOKYO]),
        counterpart=st.sampled_from([NEW_YORK, BOGOTA, TOKYO]),
    )
    def open(self, role: str, cycle: Cycle, good: bool, claimant: Calendar, counterpart: Calendar) -> None:
        self.facts = claim(role, cycle=cycle, good=good)
        self.calendars = claimant, counterpart
        self.now = self.facts.created_at
        self.pauses: list[Pause] = []
        self.ended_at: datetime | None = None
        self.letters = 0
        self.passed: list[tuple[str, datetime]] = []
        self.ledger = ReferenceLedger()
        self.replan()

    @property
    def agenda(self) -> Agenda:
        return plan(self.facts, *self.calendars)

    @property
    def state(self) -> str:
        return self.agenda.state_at(self.now)

    @property
    def is_open(self) -> bool:
        return self.state not in OVER

    def replan(self) -> None:
        self.ledger.plan(self.agenda, self.now)
        self.pass_time()

    def pass_time(self) -> None:
        """What has happened stays as it was: a new agenda only ever adds to it."""
        passed = [(turn.state, turn.due) for turn in self.agenda.state_changes if turn.due <= self.now]
        assert passed[: len(self.passed)] == self.passed
        assert passed == sorted(passed, key=lambda turn: turn[1])
        self.passed = passed
        self.ledger.run(self.agenda, self.now)

    @rule(hours=st.one_of(st.integers(1, 24 * 40), st.just(24 * 31)))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.pass_time()

    @precondition(lambda self: self.is_open)
    @rule()
    def wait_for_the_next_due(self) -> None:
        if coming := self.agenda.wakes_after(self.now):
            self.now = coming[0]
            self.pass_time()

    @precondition(lambda self: self.is_open and len(self.facts.records) < MOST_RECORDS)
    @rule(good=OFTEN, cycle=st.sampled_from([INSIDE, INSIDE, *CYCLES]))
    def change_the_record(self, good: bool, cycle: Cycle | None) -> None:
        self.facts = record_changed(self.facts, good, cycle, self.now)
        self.replan()

    @precondition(lambda self: self.is_open and self.ended_at is None)
    @rule()
    def pause_or_resume(self) -> None:
        if any(pause.until is None for pause in self.pauses):
            self.pauses = end_pause(self.pauses, "staff", self.now)
        else:
            self.pauses = begin_pause(self.pauses, "staff", self.now)
        self.facts = engagement_changed(self.facts, self.pauses, self.now)
        self.replan()

    @precondition(lambda self: self.is_open and self.ended_at is None)
    @rule(told_late=st.sampled_from([0, 0, 0, 30]), spared=OFTEN)
    def end_the_engagement(self, told_late: int, spared: bool) -> None:
        if spared and self.state == "precheck":
            return
        self.ended_at = self.now - timedelta(hours=told_late)
        self.facts = engagement_changed(self.facts, self.pauses, self.now, self.ended_at)
        self.replan()

    @precondition(lambda self: self.is_open)
    @rule(another=OFTEN)
    def sign(self, another: bool) -> None:
        self.letters += another
        signature = Signature(f"l-{self.letters}", self.now, self.facts.counterpart)
        self.act(lambda facts, now: sign(facts, signature, now))

    @precondition(lambda self: self.is_open)
    @rule(name=st.sampled_from(["submit", "accept", "reject", "revoke", "cancel"]), spared=OFTEN)
    def do(self, name: str, spared: bool) -> None:
        if spared and name in ("revoke", "cancel"):
            return
        acts: dict[str, Callable[[ClaimFacts, str], ClaimFacts]] = {
            "submit": lambda facts, now: submit(facts, facts.profile, self.now, now),
            "accept": lambda facts, now: accept(facts, self.now, now),
            "reject": lambda facts, now: reject(facts, self.now, now, "why"),
            "revoke": lambda facts, now: revoke(facts, self.now, now, "why"),
            "cancel": lambda facts, now: cancel(facts, self.now, now),
        }
        self.act(acts[name])

    @precondition(lambda self: self.is_open)
    @rule()
    def reopen(self) -> None:
        self.act(lambda facts, now: reopen(facts, self.now, now, "why", [gate_of(facts)]))

    def act(self, act: Callable[[ClaimFacts, str], ClaimFacts]) -> None:
        try:
            self.facts = act(self.facts, self.state)
        except Refused:
            return
        self.replan()

    @invariant()
    def one_state_leads_to_another_as_the_rulebook_says(self) -> None:
        states = [each for each, _ in self.passed]
        for before, after in pairwise(states):
            assert after in FOLLOWS[before], f"{before} to {after}"

    @invariant()
    def credit_is_earned_only_with_gate_cycle_standing_and_letter(self) -> None:
        for now, since in self.passed:
            if now == "ready":
                gate = gate_days(date.fromisoformat(START), self.facts.pauses, POLICY, PROGRAM_DAYS).gate
                assert gate
                assert PROGRAM_DAYS.date_of(since) >= gate
                assert any(letter.at <= since for letter in self.facts.signatures)
                records = [record for record in self.facts.records if record.at <= since]
                assert any(record.good_standing for record in records)
                assert any(record.cycle and record.cycle.covers(gate) for record in records)
        decision = decide(self.facts, PROGRAM, PROGRAM_DAYS, CERTIFICATIONS, FOUR, self.now)
        assert decision.state == self.state
        assert bool(decision.earned) == (self.state in EARNED)
        assert decision.countable <= decision.earned
        json.dumps(decision.as_json())

    @invariant()
    def nobody_is_asked_for_a_letter_that_is_there_or_no_longer_wanted(self) -> None:
        waiting = self.state in ("precheck", "awaiting_evidence")
        asked = [mail for mail in self.ledger.planned.values() if mail.step == "evidence"]
        assert waiting or not asked
        if not self.is_open:
            assert not self.ledger.planned
        for due, mail in self.ledger.sent:
            if mail.step in ("evidence", "precheck"):
                reader = self.calendars[1 if mail.step == "evidence" else 0]
                assert reader.local(due).time() == PROGRAM.hours.send_time
                assert reader.is_business_day(reader.date_of(due))

    @invariant()
    def a_claim_never_waits_for_nothing(self) -> None:
        paused = any(pause.until is None for pause in self.facts.pauses)
        if self.state in ("precheck", "awaiting_evidence") and not paused:
            assert self.agenda.wakes_after(self.now)


@pytest.mark.rule("CPE1", "CPE4", "CPE7", "CPE10", "MEM2", "MAIL1", "T4")
class TestEveryOrderOfActs(ClaimMachine.TestCase):  # type: ignore[misc, valid-type]
    """The machine above as a test."""

    settings = settings(max_examples=examples(80), stateful_step_count=20)
