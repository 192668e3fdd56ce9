"""Engagements played through the real workflows: each hard case in the timeline and in the mailbox.

Unless a case says otherwise, two people start on Friday, 31 August 2035, for three months: until 30 November.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.rehearsals import BOGOTA, MADRID, ZONE, Play, Played

PLAY = Play("2035-08-29T10:00", "2037-11-10T10:00")

GUS = PLAY.mentor("gus")
CARO = PLAY.mentor("caro", **BOGOTA)

MATCH = [("2035-08-31T10:00", "mentee.match"), ("2035-08-31T10:00", "mentor.match")]
DISCOVERY = [("2035-09-14T09:00", "mentee.discovery 1"), ("2035-09-14T09:00", "mentor.discovery 1")]
DISCOVERY_AGAIN = [("2035-09-28T09:00", "mentee.discovery 2"), ("2035-09-28T09:00", "mentor.discovery 2")]
PULSE = [("2035-10-31T09:00", "mentee.pulse 1"), ("2035-10-31T09:00", "mentor.pulse 1")]
WRAP_UP = [("2035-11-16T09:00", "mentee.wrap_up"), ("2035-11-16T09:00", "mentor.wrap_up")]
FAREWELL = ["mentee.completed", "mentor.completed"]
COMPLETED = [("2035-12-03T09:00", name) for name in FAREWELL]
COURSE = [*MATCH, *DISCOVERY, *DISCOVERY_AGAIN, *PULSE, *WRAP_UP, *COMPLETED]

PAIRS: dict[str, str] = {}
"""Every engagement of the play, and its mentee."""


def pair(name: str, mentor: str = GUS, *, months: int | None = 3, **details: Any) -> str:
    """A mentee of this name who is accepted by a mentor; the engagement's id is the name."""
    mentee = PLAY.mentee(name, **details)
    length = {} if months is None else {"months": months}
    PLAY.ask(name, mentee, mentor, "2035-08-30T10:00", **length)
    PLAY.at("2035-08-31T10:00", "request.accepted", request=name)
    PAIRS[name] = mentee
    return mentee


def both(name: str, when: str, kind: str, **data: Any) -> None:
    """The same event by mentor and mentee."""
    for by in (GUS, PAIRS[name]):
        PLAY.at(when, kind, engagement=name, by=by, **data)


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The play of this module."""
    return await PLAY.rehearse(tmp_path_factory.mktemp("mail"))


pair("silent")


@pytest.mark.rule("ENG1", "ENG2", "ENG3", "ENG4", "ENG5", "ENG9", "MAIL1")
def test_silent_pair_gets_every_question_and_completes(played: Played) -> None:
    assert played.mails("engagement/silent") == COURSE
    assert played.states("engagement/silent") == [
        ("2035-08-31T10:00", "active"),
        ("2035-11-30T17:00", "completed"),
    ]
    assert played.tasks("engagement/silent") == [("2035-10-12T09:00", "discovery_stalled")]


@pytest.mark.rule("CPE3", "ENG9", "SUR2")
def test_certificate_goes_with_the_completion_mail(played: Played) -> None:
    for role in ("mentor", "mentee"):
        letter = played.letter("engagement/silent", f"{role}.completed")
        attached = [part.get_filename() for part in letter.message.walk() if part.get_filename()]
        assert attached == ["certificate.pdf"]
        assert "/verify/" in letter.text
    assert not [name for name in played.names("engagement/silent") if name.endswith(".certificate")]


@pytest.mark.rule("SUR2")
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_survey_follows_the_completion_mail_by_a_business_day(played: Played, role: str) -> None:
    """Reminders count from the end itself, Friday at 17:00."""
    assert played.mails(f"survey/silent/{role}") == [
        ("2035-12-04T09:00", f"{role}.survey 1"),
        ("2035-12-07T09:00", f"{role}.survey 2"),
        ("2035-12-14T09:00", f"{role}.survey 3"),
        ("2035-12-21T09:00", f"{role}.survey 4"),
    ]
    assert played.states(f"survey/silent/{role}") == [
        ("2035-11-30T17:00", "open"),
        ("2035-12-30T17:00", "closed"),
    ]


pair("leap", months=None)
for month in ("2035-11-05", "2036-01-07"):
    PLAY.at(f"{month}T10:00", "engagement.met", engagement="leap", by=PAIRS["leap"], answer="yes")


@pytest.mark.rule("T3", "ENG3", "ENG4", "ENG9")
def test_six_months_from_august_31_end_on_february_29(played: Played) -> None:
    assert played.states("engagement/leap")[-1] == ("2036-02-29T17:00", "completed")
    pulses = [at for at, name in played.mails("engagement/leap") if name.startswith("mentor.pulse")]
    assert pulses == ["2035-10-31T09:00", "2035-11-30T09:00", "2035-12-31T09:00", "2036-01-31T09:00"]
    assert ("2036-02-15T09:00", "mentor.wrap_up") in played.mails("engagement/leap")
    assert "inactive" not in [task for _, task in played.tasks("engagement/leap")]


pair("quiet", months=None)


@pytest.mark.rule("ENG4")
def test_months_without_a_meeting_open_one_task(played: Played) -> None:
    inactive = [at for at, task in played.tasks("engagement/quiet") if task == "inactive"]
    assert inactive == ["2035-12-31T09:00"]


pair("fits")
both("fits", "2035-09-15T10:00", "engagement.discovery", answer="good_fit")
pair("not-yet")
PLAY.at("2035-09-15T10:00", "engagement.discovery", engagement="not-yet", by=GUS, answer="not_met")
PLAY.at(
    "2035-09-15T11:00", "engagement.discovery", engagement="not-yet", by=PAIRS["not-yet"], answer="not_met"
)
PLAY.at("2035-10-02T11:00", "engagement.discovery", engagement="not-yet", by=GUS, answer="good_fit")


@pytest.mark.rule("ENG2", "MAIL4")
def test_good_fit_stops_the_question_and_not_met_repeats_it(played: Played) -> None:
    assert played.mails("engagement/fits") == [*MATCH, *DISCOVERY, *PULSE, *WRAP_UP, *COMPLETED]
    assert not played.tasks("engagement/fits")
    assert played.mails("engagement/not-yet") == COURSE
    assert not played.tasks("engagement/not-yet")


pair("misfit")
PLAY.at(
    "2035-09-17T10:00", "engagement.discovery", engagement="misfit", by=PAIRS["misfit"], answer="not_a_fit"
)


@pytest.mark.rule("ENG2", "ENG7")
def test_not_a_fit_ends_the_engagement_at_once_without_blame(played: Played) -> None:
    assert played.states("engagement/misfit")[-1] == ("2035-09-17T10:00", "no_fit")
    assert played.mails("engagement/misfit") == [
        *MATCH,
        *DISCOVERY,
        ("2035-09-17T10:00", "mentee.ended"),
        ("2035-09-17T10:00", "mentor.ended"),
    ]
    to_mentor = played.letter("engagement/misfit", "mentor.ended")
    assert "not a fit, said" not in to_mentor.text + to_mentor.html
    assert "mentoring/directory" in played.letter("engagement/misfit", "mentee.ended").text


@pytest.mark.rule("SUR2", "ENG2")
def test_not_a_fit_opens_both_surveys(played: Played) -> None:
    for role in ("mentor", "mentee"):
        survey = f"survey/misfit/{role}"
        assert played.states(survey)[0] == ("2035-09-17T10:00", "open")
        assert played.mails(survey)[0] == ("2035-09-18T09:00", f"{role}.survey 1")


pair("at-once")
both("at-once", "2035-10-15T10:00", "engagement.ended", reason="no_time")


@pytest.mark.rule("ENG7", "REQ10")
def test_concurrent_ends_keep_the_first_and_notify_once(played: Played) -> None:
    assert played.states("engagement/at-once")[1:] == [("2035-10-15T10:00", "ended")]
    assert played.why("engagement/at-once", "ended") == "ended by the mentor: no time"
    assert played.mails("engagement/at-once")[-2:] == [
        ("2035-10-15T10:00", "mentee.ended"),
        ("2035-10-15T10:00", "mentor.ended"),
    ]
    assert len(played.refusals("engagement/at-once")) == 1


pair("early-goals")
PLAY.at("2035-10-15T10:00", "engagement.ended", engagement="early-goals", by=GUS, reason="goals_met")


@pytest.mark.rule("ENG7", "CPE3", "SUR2")
def test_goals_met_early_complete_the_engagement(played: Played) -> None:
    """Six weeks are too short for a certificate."""
    assert played.states("engagement/early-goals")[1:] == [("2035-10-15T10:00", "completed")]
    assert played.mails("engagement/early-goals")[-2:] == [("2035-10-15T10:00", name) for name in FAREWELL]
    assert played.mails("survey/early-goals/mentor")[0] == ("2035-10-16T09:00", "mentor.survey 1")
    completed = played.letter("engagement/early-goals", "mentor.completed").message
    assert not [part for part in completed.walk() if part.get_filename()]


pair("planned", months=None)
PLAY.at("2035-09-05T10:00", "engagement.plan_agreed", engagement="planned", months=2, goals="Speak in public")


@pytest.mark.rule("ENG3")
def test_agreed_plan_sets_the_end(played: Played) -> None:
    assert played.states("engagement/planned")[-1] == ("2035-10-31T17:00", "completed")
    assert ("2035-10-17T09:00", "mentor.wrap_up") in played.mails("engagement/planned")
    assert not [name for name in played.names("engagement/planned") if "extended" in name]


pair("apart")
PLAY.at("2035-11-20T10:00", "engagement.extension_agreed", engagement="apart", by=GUS, end="2036-01-31")
PLAY.at(
    "2035-11-21T10:00", "engagement.extension_agreed", engagement="apart", by=PAIRS["apart"], end="2036-02-15"
)
pair("agreed")
PLAY.at("2035-11-20T10:00", "engagement.extension_agreed", engagement="agreed", by=GUS, end="2036-02-15")
PLAY.at(
    "2035-11-21T10:00",
    "engagement.extension_agreed",
    engagement="agreed",
    by=PAIRS["agreed"],
    end="2036-01-31",
)
PLAY.at("2035-11-22T10:00", "engagement.extension_agreed", engagement="agreed", by=GUS, end="2036-01-31")


@pytest.mark.rule("ENG5")
def test_votes_for_different_days_extend_nothing(played: Played) -> None:
    assert played.mails("engagement/apart") == COURSE
    assert played.states("engagement/apart")[-1] == ("2035-11-30T17:00", "completed")


@pytest.mark.rule("ENG5", "MAIL1")
def test_votes_for_the_same_day_extend_and_move_everything(played: Played) -> None:
    assert played.mails("engagement/agreed")[-10:] == [
        ("2035-11-22T10:00", "mentee.extended"),
        ("2035-11-22T10:00", "mentor.extended"),
        ("2035-11-30T09:00", "mentee.pulse 2"),
        ("2035-11-30T09:00", "mentor.pulse 2"),
        ("2035-12-31T09:00", "mentee.pulse 3"),
        ("2035-12-31T09:00", "mentor.pulse 3"),
        ("2036-01-17T09:00", "mentee.wrap_up"),
        ("2036-01-17T09:00", "mentor.wrap_up"),
        *(("2036-02-01T09:00", name) for name in FAREWELL),
    ]
    assert played.states("engagement/agreed")[1:] == [("2036-01-31T17:00", "completed")]


pair("last-day")
PLAY.at("2035-11-30T12:00", "engagement.extension_agreed", engagement="last-day", by=GUS, end="2036-01-31")
PLAY.at(
    "2035-11-30T16:59",
    "engagement.extension_agreed",
    engagement="last-day",
    by=PAIRS["last-day"],
    end="2036-01-31",
)
pair("too-late")
PLAY.at("2035-11-30T12:00", "engagement.extension_agreed", engagement="too-late", by=GUS, end="2036-01-31")
for late in ("2035-11-30T17:00", "2035-12-03T10:00"):
    PLAY.at(
        late, "engagement.extension_agreed", engagement="too-late", by=PAIRS["too-late"], end="2036-01-31"
    )


@pytest.mark.rule("ENG5")
def test_extension_counts_until_close_of_business_on_the_last_day(played: Played) -> None:
    assert played.states("engagement/last-day")[1:] == [("2036-01-31T17:00", "completed")]
    assert "mentor.completed" in played.names("engagement/last-day")
    assert ("2035-11-30T16:59", "mentor.extended") in played.mails("engagement/last-day")


@pytest.mark.rule("ENG5", "ENG9")
def test_extension_at_close_of_business_is_refused(played: Played) -> None:
    assert played.mails("engagement/too-late") == COURSE
    refusals = played.refusals("engagement/too-late")
    assert [at for at, _, _ in refusals] == ["2035-11-30T17:00", "2035-12-03T10:00"]
    assert all("over" in reason for _, _, reason in refusals)


pair("backwards")
for end in ("2035-09-15", "2035-11-01", "2035-11-30", "2099-01-01"):
    PLAY.at("2035-10-01T10:00", "engagement.extension_agreed", engagement="backwards", by=GUS, end=end)
PLAY.staff("2035-10-01T10:00", "extend", "engagement/backwards", end="2035-09-15")


@pytest.mark.rule("ENG5", "ENG6", "ENG10")
def test_extension_to_a_past_or_no_later_day_is_refused(played: Played) -> None:
    assert [reason for _, _, reason in played.refusals("engagement/backwards")] == [
        "the new end lies in the past",
        "the new end must be later than the planned one, 2035-11-30",
        "the new end must be later than the planned one, 2035-11-30",
        "an end lies at most 20 years ahead; it can be extended again later",
        "the new end lies in the past",
    ]
    assert played.mails("engagement/backwards") == COURSE


pair("rest")
PLAY.staff("2035-11-20T10:00", "pause", "engagement/rest")
PLAY.staff("2035-11-21T10:00", "pause", "engagement/rest")
PLAY.staff("2035-12-10T10:00", "resume", "engagement/rest")
PLAY.staff("2035-12-11T10:00", "resume", "engagement/rest")


@pytest.mark.rule("ENG11", "STA1", "STA3")
def test_pause_over_the_planned_end_moves_it_by_its_days(played: Played) -> None:
    assert played.states("engagement/rest") == [
        ("2035-08-31T10:00", "active"),
        ("2035-11-20T10:00", "paused"),
        ("2035-12-10T10:00", "active"),
        ("2035-12-20T17:00", "completed"),
    ]
    during = [at for at, _ in played.mails("engagement/rest") if "2035-11-20" < at < "2035-12-10T10:00"]
    assert not during
    assert [reason for _, _, reason in played.refusals("engagement/rest")] == [
        "it is paused already",
        "it is not paused",
    ]


pair("years", months=26)


@pytest.mark.rule("ENG10", "ENG4", "T3")
def test_engagement_of_26_months_asks_monthly_and_ends_on_its_day(played: Played) -> None:
    """Staff hear of the silence once. The last day is a Saturday."""
    assert played.states("engagement/years")[1:] == [("2037-10-31T17:00", "completed")]
    names = [name for _, name in played.mails("engagement/years")]
    for role in ("mentor", "mentee"):
        assert [name for name in names if name.startswith(f"{role}.pulse")] == [
            f"{role}.pulse {number}" for number in range(1, 25)
        ]
    assert ("2036-02-29T09:00", "mentor.pulse 5") in played.mails("engagement/years")
    assert ("2036-09-02T09:00", "mentor.pulse 11") in played.mails("engagement/years")
    inactive = [at for at, task in played.tasks("engagement/years") if task == "inactive"]
    assert inactive == ["2035-12-31T09:00"]
    assert played.mails("engagement/years")[-1] == ("2037-11-02T09:00", "mentor.completed")


pair("report")
PLAY.at("2035-11-20T10:00", "engagement.extension_agreed", engagement="report", by=GUS, end="2036-01-31")
PLAY.at(
    "2035-11-21T10:00",
    "engagement.misconduct_reported",
    engagement="report",
    by=PAIRS["report"],
    text="He shouted at me",
)
PLAY.at("2035-11-22T10:00", "engagement.extension_agreed", engagement="report", by=GUS, end="2036-01-31")
PLAY.at("2035-11-22T11:00", "engagement.ended", engagement="report", by=GUS, reason="goals_met")


@pytest.mark.rule("ENG8", "MAIL4")
def test_misconduct_report_stops_all_mail_and_reaches_staff_once(
    played: Played,
) -> None:
    """The report comes in the middle of an extension."""
    assert played.states("engagement/report") == [
        ("2035-08-31T10:00", "active"),
        ("2035-11-21T10:00", "suspended"),
    ]
    after = [(at, name) for at, name in played.mails("engagement/report") if at >= "2035-11-21"]
    assert after == [("2035-11-21T10:00", "staff.misconduct")]
    tasks = [(at, task) for at, task in played.tasks("engagement/report") if task == "misconduct"]
    assert tasks == [("2035-11-21T10:00", "misconduct")]


pair("afterwards")
PLAY.at(
    "2035-11-30T18:00",
    "engagement.misconduct_reported",
    engagement="afterwards",
    by=PAIRS["afterwards"],
    text="He shouted at me",
)


@pytest.mark.rule("ENG8", "MAIL4")
def test_report_after_the_end_stops_the_mail_that_is_planned(played: Played) -> None:
    """An hour after the planned end: the completion mail was due on Monday, the survey's the day after."""
    assert played.states("engagement/afterwards")[-1] == ("2035-11-30T17:00", "completed")
    after = [mail for mail in played.mails("engagement/afterwards") if mail[0] >= "2035-11-30"]
    assert after == [("2035-11-30T18:00", "staff.misconduct")]
    assert played.names("engagement/afterwards", "cancelled") == FAREWELL
    for role in ("mentor", "mentee"):
        assert played.names(f"survey/afterwards/{role}") == []
    assert played.reasons("survey/afterwards/mentor") == {"no longer due"}


@pytest.mark.rule("ENG8")
def test_acts_during_a_suspension_are_refused_without_a_reason(played: Played) -> None:
    reasons = {reason for _, _, reason in played.refusals("engagement/report")}
    assert reasons == {"this engagement cannot be changed here; please write to the program's mailbox"}
    assert len(played.refusals("engagement/report")) == 2
    shouted = [mail for mail in played.letters if "shouted" in mail.text + mail.html + mail.subject]
    assert not [mail for mail in shouted if mail.address in ("gus@example.org", "report@example.org")]


pair("cleared")
PLAY.at("2035-10-15T10:00", "engagement.misconduct_reported", engagement="cleared", by=GUS, text="A mistake")
PLAY.staff("2035-10-25T10:00", "resume", "engagement/cleared")


@pytest.mark.rule("ENG8", "ENG11")
def test_resumed_suspension_does_not_count_its_days(played: Played) -> None:
    assert played.states("engagement/cleared") == [
        ("2035-08-31T10:00", "active"),
        ("2035-10-15T10:00", "suspended"),
        ("2035-10-25T10:00", "active"),
        ("2035-12-10T17:00", "completed"),
    ]
    assert "staff.misconduct" in played.names("engagement/cleared")
    for role in ("mentor", "mentee"):
        assert played.names("engagement/cleared").count(f"{role}.pulse 1") == 1
        assert ("2035-12-11T09:00", f"{role}.completed") in played.mails("engagement/cleared")


pair("stopped")
PLAY.staff("2035-10-15T10:00", "cancel", "engagement/stopped", reason="the mentor moved to Mars")
PLAY.staff("2035-10-15T10:05", "cancel", "engagement/stopped", reason="again")


@pytest.mark.rule("ENG6", "STA1", "STA3", "MAIL4")
def test_staff_cancel_sends_neutral_notices_and_nothing_more(played: Played) -> None:
    assert played.states("engagement/stopped")[1:] == [("2035-10-15T10:00", "canceled")]
    assert played.why("engagement/stopped", "canceled") == "cancelled by staff: the mentor moved to Mars"
    assert played.mails("engagement/stopped") == [
        *MATCH,
        *DISCOVERY,
        *DISCOVERY_AGAIN,
        ("2035-10-15T10:00", "mentee.canceled"),
        ("2035-10-15T10:00", "mentor.canceled"),
    ]
    for message in ("mentor.canceled", "mentee.canceled"):
        letter = played.letter("engagement/stopped", message)
        assert "Mars" not in letter.text + letter.html + letter.subject
    assert len(played.refusals("engagement/stopped")) == 1
    assert not [row for row in played.rows if row.get("workflow", "").startswith("survey/stopped/")]


pair("ended-by-staff")
PLAY.staff("2035-10-15T10:00", "end", "engagement/ended-by-staff", reason="no_time")
pair("ended-in-words")
PLAY.staff("2035-10-15T10:00", "end", "engagement/ended-in-words", reason="the mentor moved to Mars")


@pytest.mark.rule("ENG7", "STA1")
@pytest.mark.parametrize(("name", "cause"), [("by-staff", "no time"), ("in-words", "another reason")])
def test_staff_end_for_a_reason_of_the_rules_or_in_words(played: Played, name: str, cause: str) -> None:
    workflow = f"engagement/ended-{name}"
    assert played.states(workflow)[1:] == [("2035-10-15T10:00", "ended")]
    assert played.why(workflow, "ended") == f"ended by staff: {cause}"
    assert ("2035-10-15T10:00", "mentee.ended") in played.mails(workflow)
    assert "Mars" not in played.letter(workflow, "mentee.ended").text


pair("longer")
PLAY.staff("2035-10-15T10:00", "extend", "engagement/longer", months=2)
pair("until")
PLAY.staff("2035-11-20T10:00", "extend", "engagement/until", end="2035-12-21")


@pytest.mark.rule("ENG6", "T3", "STA1")
def test_staff_extend_alone_by_months_or_to_a_day(played: Played) -> None:
    """Months count on from 31 August, never from the clamped 30 November."""
    assert played.states("engagement/longer")[1:] == [("2036-01-31T17:00", "completed")]
    assert ("2035-10-15T10:00", "mentee.extended") in played.mails("engagement/longer")
    wrap_ups = [at for at, name in played.mails("engagement/longer") if name == "mentor.wrap_up"]
    assert wrap_ups == ["2036-01-17T09:00"]
    assert played.states("engagement/until")[1:] == [("2035-12-21T17:00", "completed")]
    wrap_ups = [at for at, name in played.mails("engagement/until") if name == "mentor.wrap_up"]
    assert wrap_ups == ["2035-11-16T09:00", "2035-12-07T09:00"]


pair("lapsed")
PLAY.member("lapsed", "2035-10-01T10:00", standing="lapsed")


@pytest.mark.rule("MEM2")
def test_lost_standing_opens_a_task_and_the_engagement_continues(played: Played) -> None:
    assert played.mails("engagement/lapsed") == COURSE
    assert played.tasks("engagement/lapsed")[0] == ("2035-10-01T10:00", "member_lapsed")


pair("intruder")
PLAY.at("2035-10-01T10:00", "engagement.ended", engagement="intruder", by=PAIRS["silent"], reason="no_fit")


@pytest.mark.rule("ENG7")
def test_events_by_a_stranger_are_refused(played: Played) -> None:
    ((_, event, reason),) = played.refusals("engagement/intruder")
    assert event == "engagement.ended"
    assert reason == "only the mentor and the mentee of an engagement can act on it"
    assert played.mails("engagement/intruder") == COURSE


pair("zonas", CARO, **MADRID)


@pytest.mark.rule("T4", "MAIL5", "ENG1", "ENG9")
def test_mail_follows_each_readers_language_and_clock(
    played: Played,
) -> None:
    """Madrid is six hours ahead of New York in September; Bogotá one behind."""
    mails = played.mails("engagement/zonas")
    assert ("2035-09-14T03:00", "mentee.discovery 1") in mails
    assert ("2035-09-14T10:00", "mentor.discovery 1") in mails
    assert mails[-2:] == [("2035-12-03T03:00", "mentee.completed"), ("2035-12-03T09:00", "mentor.completed")]
    for message, letter in played.letters_of("engagement/zonas"):
        assert letter.language == "es", message
    assert played.letter("engagement/silent", "mentor.match").language == "en"


@pytest.mark.rule("ENG1", "ONB3", "MAIL1")
def test_pair_gets_one_match_mail_each_and_none_after_the_end(played: Played) -> None:
    for name in PAIRS:
        workflow = f"engagement/{name}"
        mails, states = played.mails(workflow), played.states(workflow)
        assert mails[:2] == MATCH, name
        assert [each for _, each in mails].count("mentor.match") == 1, name
        onboarding = "unmatched" if states[-1][1] == "no_fit" else "matched"
        assert played.states(f"onboarding/mentee-{name}")[-1][1] == onboarding, name
        if states[-1][1] != "suspended":
            late = (*FAREWELL, "staff.misconduct")
            assert all(at <= states[-1][0] or each in late for at, each in mails), name
            assert states[-1][1] in ("completed", "ended", "no_fit", "canceled"), name


@pytest.mark.rule("ENG2", "ENG5")
def test_second_question_is_threaded_below_the_first(played: Played) -> None:
    first = played.letter("engagement/silent", "mentor.discovery", 1).message["Message-ID"]
    again = played.letter("engagement/silent", "mentor.discovery", 2).message
    assert again["In-Reply-To"] == first
    assert again["References"] == first


@pytest.mark.rule("MAIL1", "T2")
def test_dropped_mail_is_recorded_at_the_instant_of_the_act(played: Played) -> None:
    instants = {event.at.astimezone(ZoneInfo(ZONE)).isoformat() for event in PLAY.events}
    ends = {row["at"] for row in played.rows if row["kind"] == "state"}
    dropped = {row["at"] for row in played.rows if row["kind"] == "mail" and row["decision"] == "cancelled"}
    assert dropped
    assert dropped <= instants | ends
