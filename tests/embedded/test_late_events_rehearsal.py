"""What comes late, and what a take-over tells: states by the event's time, people by the hearing (T9, T10).

`now` is Monday 5 November 2035, New York; standard time began the day before.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rehearsals import BOGOTA, NEW_YORK, Play, Played

NOW = "2035-11-05T10:00"
PLAY = Play(NOW, "2035-12-31T12:00")
EAST: dict[str, Any] = {"time_zone": "Asia/Riyadh", "country": "SA"}
PSP = [{"code": "PSP", "cycle_start": "2035-01-01", "cycle_end": "2037-12-31"}]

GUS = PLAY.mentor("gus")
ANA = PLAY.mentee("ana", **BOGOTA)
IDA = PLAY.mentee("ida", **BOGOTA)


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The play of this module."""
    return await PLAY.rehearse(tmp_path_factory.mktemp("mail"))


PLAY.late("2035-11-07T11:00", "2035-11-01T09:00", "request.created", request="late", mentee=IDA, mentor=GUS)


@pytest.mark.rule("T9", "REQ1", "REQ2")
def test_late_request_is_due_two_business_days_from_its_mail(played: Played) -> None:
    """Monday 12 November is a holiday there: Veterans Day, on a Sunday, is observed."""
    assert played.states("request/late")[:2] == [
        ("2035-11-01T09:00", "open"),
        ("2035-11-09T17:00", "past_due"),
    ]
    mails = played.mails("request/late")
    assert mails[:4] == [
        ("2035-11-07T11:00", "mentee.request_sent"),
        ("2035-11-07T11:00", "mentor.request_received"),
        ("2035-11-09T09:00", "mentor.request_reminder"),
        ("2035-11-09T17:00", "mentor.request_past_due"),
    ]


RIYADH = PLAY.mentor("riyadh", **EAST)
PLAY.ask("east", ANA, RIYADH, "2035-11-07T11:00")


@pytest.mark.rule("T1", "T2")
def test_mentor_in_riyadh_is_not_due_on_friday(played: Played) -> None:
    """Wednesday in New York is Wednesday evening there; Friday and Saturday are the weekend."""
    assert played.states("request/east")[1] == ("2035-11-11T09:00", "past_due")


PLAY.ask("answered-late", ANA, GUS, "2035-11-06T10:00")
PLAY.late("2035-11-14T15:00", "2035-11-07T12:00", "request.accepted", request="answered-late")


@pytest.mark.rule("T9", "ENG1", "REQ5")
def test_late_acceptance_starts_on_its_own_day_and_mails_now(played: Played) -> None:
    assert ("2035-11-07T12:00", "accepted") in played.states("request/answered-late")
    assert played.states("engagement/answered-late")[0] == ("2035-11-07T12:00", "active")
    matched = [mail for mail in played.mails("engagement/answered-late") if "match" in mail[1]]
    assert matched == [("2035-11-14T15:00", "mentee.match"), ("2035-11-14T15:00", "mentor.match")]
    assert ("2035-11-21T09:00", "mentor.discovery 1") in played.mails("engagement/answered-late")


KIT = PLAY.mentee("kit")
PLAY.ask("young", KIT, GUS, "2035-11-06T10:00")
PLAY.late("2035-11-19T10:00", "2035-11-07T10:00", "request.accepted", request="young")


@pytest.mark.rule("T8", "T9", "ENG1")
def test_mail_about_what_was_heard_of_late_is_not_stale(played: Played) -> None:
    matched = [mail for mail in played.mails("engagement/young") if "match" in mail[1]]
    assert matched == [("2035-11-19T10:00", "mentee.match"), ("2035-11-19T10:00", "mentor.match")]


for name, created, when in (
    ("in-time", "2035-11-02T10:00", "2035-11-07T10:00"),
    ("same-day", "2035-11-01T10:00", "2035-11-08T10:00"),
    ("weeks-late", "2035-10-01T10:00", "2035-11-10T10:00"),
):
    PLAY.member(name, **NEW_YORK)
    PLAY.late(when, created, "profile.created", profile=f"mentee-{name}", member=name, role="mentee")


@pytest.mark.rule("T9", "ONB2")
@pytest.mark.parametrize(
    ("name", "since", "check_ins"),
    [
        ("in-time", "2035-11-02T10:00", ["2035-11-09T09:00", "2035-11-23T09:00", "2035-12-07T09:00"]),
        ("same-day", "2035-11-01T10:00", ["2035-11-09T09:00", "2035-11-23T09:00", "2035-12-06T09:00"]),
        ("weeks-late", "2035-10-01T10:00", ["2035-11-13T09:00", "2035-11-26T09:00", "2035-12-10T09:00"]),
    ],
)
def test_late_onboarding_is_anchored_on_the_day_of_hearing(
    played: Played, name: str, since: str, check_ins: list[str]
) -> None:
    """22 November 2035 is Thanksgiving; the anchor of the last one is a Saturday before a holiday."""
    mails = played.mails(f"onboarding/mentee-{name}")
    assert [at for at, _ in mails][:3] == check_ins
    assert [message for _, message in mails] == [f"mentee.checkin {number}" for number in (1, 2, 3, 4)]
    assert played.states(f"onboarding/mentee-{name}")[0] == (since, "waiting")


# --- T10


OLD_MENTOR = PLAY.member("oldmentor", **NEW_YORK, years_management=9, certifications=PSP)
OLD_MENTEE = PLAY.member("oldmentee", **NEW_YORK)
TAKE_OVER = "2035-11-05T12:00"


def history(happened: str, kind: str, **data: object) -> None:
    PLAY.late(TAKE_OVER, happened, kind, history=True, **data)


history("2035-04-01T10:00", "profile.created", profile="h-mentor", member="oldmentor", role="mentor")
history("2035-04-02T10:00", "profile.created", profile="h-mentee", member="oldmentee", role="mentee")
history("2035-05-02T10:00", "request.created", request="may", mentee="h-mentee", mentor="h-mentor")
history("2035-05-04T10:00", "request.accepted", request="may")
history("2035-05-20T10:00", "request.created", request="never", mentee="h-mentee", mentor="h-mentor")
history("2035-10-31T10:00", "request.created", request="open", mentee="h-mentee", mentor="h-mentor")
PLAY.member("midway", **NEW_YORK)
history("2035-10-10T10:00", "profile.created", profile="h-midway", member="midway", role="mentee")


@pytest.mark.rule("T10")
def test_history_moves_states_as_they_happened_and_mails_nobody(played: Played) -> None:
    assert played.states("request/may") == [("2035-05-02T10:00", "open"), ("2035-05-04T10:00", "accepted")]
    assert played.states("onboarding/h-mentor") == [
        ("2035-04-01T10:00", "waiting"),
        ("2035-04-09T09:00", "welcomed"),
    ]
    assert [state for _, state in played.states("onboarding/h-mentee")] == ["waiting", "active", "matched"]
    for workflow in ("request/may", "request/never", "onboarding/h-mentor", "onboarding/h-mentee"):
        assert played.mails(workflow) == []
        assert played.tasks(workflow) == []
    assert played.states("request/never") == [
        ("2035-05-20T10:00", "open"),
        ("2035-05-22T17:00", "past_due"),
        ("2035-06-04T17:00", "expired"),
    ]


@pytest.mark.rule("T10", "REQ2")
def test_what_lies_ahead_of_a_take_over_follows_the_rules(played: Played) -> None:
    assert played.states("request/open")[:2] == [
        ("2035-10-31T10:00", "open"),
        ("2035-11-02T17:00", "past_due"),
    ]
    assert played.mails("request/open")[0] == ("2035-11-06T09:00", "mentee.request_unanswered")
    assert played.mails("onboarding/h-midway")[0] == ("2035-11-14T09:00", "mentee.checkin 3")
    assert played.states("onboarding/h-midway")[1] == ("2035-10-17T09:00", "active")


@pytest.mark.rule("T10", "CPE7")
def test_recent_gate_asks_for_signatures_on_the_next_business_morning(played: Played) -> None:
    """It was reached on 5 November at 09:00, three hours before the take-over."""
    asked = played.mails("claim/may/mentor/PSP")
    assert asked[0] == ("2035-11-06T09:00", "mentee.sign_confirmation 1")


@pytest.mark.rule("T10", "ENG1")
def test_engagement_of_a_take_over_runs_on_its_own_dates(played: Played) -> None:
    assert played.states("engagement/may") == [
        ("2035-05-04T10:00", "active"),
        ("2035-11-04T17:00", "completed"),
    ]
    assert played.names("engagement/may") == []


PLAY.member("olderteacher", **NEW_YORK, years_management=9, certifications=PSP)
PLAY.member("olderlearner", **NEW_YORK)
history("2035-01-05T10:00", "profile.created", profile="o-mentor", member="olderteacher", role="mentor")
history("2035-01-05T11:00", "profile.created", profile="o-mentee", member="olderlearner", role="mentee")
history("2035-01-08T10:00", "request.created", request="january", mentee="o-mentee", mentor="o-mentor")
history("2035-01-09T10:00", "request.accepted", request="january")


@pytest.mark.rule("T10", "CPE7")
def test_gate_of_long_ago_asks_for_nothing(played: Played) -> None:
    """It was reached on 9 July, and had 60 days."""
    assert played.names("claim/january/mentor/PSP") == []
    assert played.states("claim/january/mentor/PSP")[-1] == ("2035-09-07T17:00", "evidence_missing")
    assert played.tasks("claim/january/mentor/PSP") == []
    assert played.names("survey/january/mentor") == []


# --- REQ11, MEM2, MEM7, ONB8


LEA = PLAY.mentee("lea")
PLAY.ask("first", LEA, GUS, "2035-11-06T09:30")
PLAY.ask("second", LEA, GUS, "2035-11-06T09:40")
PLAY.ask("other", LEA, RIYADH, "2035-11-06T09:50")
PLAY.member("lea", "2035-11-06T10:00", standing="lapsed")
PLAY.at("2035-11-06T11:00", "request.accepted", request="first")


@pytest.mark.rule("REQ11", "MEM2", "REQ5")
def test_acceptance_closes_the_other_request_to_the_same_mentor_silently(played: Played) -> None:
    assert played.states("request/first")[-1] == ("2035-11-06T11:00", "accepted")
    assert played.states("request/second")[-1] == ("2035-11-06T11:00", "canceled")
    assert played.names("request/second") == ["mentee.request_sent", "mentor.request_received"]
    assert played.states("request/other")[-1][1] == "expired"


PIA = PLAY.mentee("pia")
PLAY.ask("left", PIA, GUS, "2035-11-06T13:00")
PLAY.at("2035-11-06T14:00", "request.accepted", request="left")
PLAY.at("2035-11-09T10:00", "profile.withdrawn", profile=PIA)


@pytest.mark.rule("MEM7")
def test_withdrawn_profile_pauses_its_engagement_with_a_task_at_once(played: Played) -> None:
    assert played.states("engagement/left") == [
        ("2035-11-06T14:00", "active"),
        ("2035-11-09T10:00", "paused"),
    ]
    assert played.tasks("engagement/left") == [("2035-11-09T10:00", "party_withdrawn")]
    assert played.names("engagement/left") == ["mentee.match", "mentor.match"]


NEL = PLAY.mentee("nel")
PLAY.ask("unfit", NEL, GUS, "2035-11-06T15:00")
PLAY.at("2035-11-16T14:00", "request.accepted", request="unfit")
PLAY.at("2035-11-28T10:00", "engagement.discovery", engagement="unfit", by=NEL, answer="not_a_fit")


@pytest.mark.rule("ONB8", "ENG2")
def test_no_fit_lets_the_onboarding_go_on_with_what_is_ahead(played: Played) -> None:
    """The second check-in, on 26 November, passed while the match ran."""
    assert played.states("onboarding/mentee-nel") == [
        ("2035-11-05T10:00", "waiting"),
        ("2035-11-13T09:00", "active"),
        ("2035-11-16T14:00", "matched"),
        ("2035-11-28T10:00", "active"),
    ]
    assert played.mails("onboarding/mentee-nel") == [
        ("2035-11-13T09:00", "mentee.checkin 1"),
        ("2035-12-10T09:00", "mentee.checkin 3"),
        ("2035-12-24T09:00", "mentee.checkin 4"),
    ]


KIM = PLAY.mentee("kim")
PLAY.ask("ended", KIM, GUS, "2035-11-06T15:00")
PLAY.at("2035-11-16T14:00", "request.accepted", request="ended")
PLAY.staff("2035-11-28T10:00", "end", "engagement/ended", reason="no_time")


@pytest.mark.rule("ONB8", "ENG7", "STA1")
def test_another_end_closes_the_onboarding_as_matched(played: Played) -> None:
    assert played.states("engagement/ended")[-1] == ("2035-11-28T10:00", "ended")
    assert played.states("onboarding/mentee-kim")[-1] == ("2035-11-16T14:00", "matched")
    assert played.mails("onboarding/mentee-kim") == [("2035-11-13T09:00", "mentee.checkin 1")]


PLAY.staff("2035-11-29T10:00", "accept", "claim/may/mentor/PSP")


@pytest.mark.rule("CPE10")
def test_staff_decide_about_claims_by_event(played: Played) -> None:
    ((when, event, reason),) = played.refusals("claim/may/mentor/PSP")
    assert (when, event) == ("2035-11-29T10:00", "staff.accept")
    assert "still waits for its letter" in reason
