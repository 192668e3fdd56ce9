"""Requests played through the real workflows: what each hard case looks like in the timeline and in the mailbox."""

from __future__ import annotations

import re

import pytest

from tests.support.rehearsals import BOGOTA, MADRID, Play, Played

PLAY = Play("2035-03-02T10:00", "2035-04-06T12:00")

GUS = PLAY.mentor("gus")
CARO = PLAY.mentor("caro", **BOGOTA)
MARTA = PLAY.mentor("marta", **MADRID)
TOM = PLAY.mentee("tom")
ANA = PLAY.mentee("ana", **BOGOTA)

WHOLE_COURSE = [
    "mentee.request_expired",
    "mentee.request_sent",
    "mentee.request_unanswered",
    "mentor.request_expired",
    "mentor.request_past_due",
    "mentor.request_received",
    "mentor.request_reminder",
]
ASKED = ["mentee.request_sent", "mentor.request_received"]


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The play of this module."""
    return await PLAY.rehearse(tmp_path_factory.mktemp("mail"))


PLAY.ask("friday", TOM, GUS, "2035-03-09T16:59", message="Let us talk", months=4)


@pytest.mark.rule("T2", "REQ1", "REQ2", "REQ3", "REQ4", "REQ8")
def test_request_a_minute_before_friday_close_is_due_on_tuesday(played: Played) -> None:
    assert played.mails("request/friday") == [
        ("2035-03-09T16:59", "mentee.request_sent"),
        ("2035-03-09T16:59", "mentor.request_received"),
        ("2035-03-13T09:00", "mentor.request_reminder"),
        ("2035-03-13T17:00", "mentor.request_past_due"),
        ("2035-03-15T09:00", "mentee.request_unanswered"),
        ("2035-03-23T17:00", "mentor.request_expired"),
        ("2035-03-26T09:00", "mentee.request_expired"),
    ]
    assert played.states("request/friday") == [
        ("2035-03-09T16:59", "open"),
        ("2035-03-13T17:00", "past_due"),
        ("2035-03-23T17:00", "expired"),
    ]
    assert played.tasks("request/friday") == [("2035-03-14T17:00", "request_unanswered")]


PLAY.ask("saturday", ANA, GUS, "2035-03-10T10:00")


@pytest.mark.rule("T2", "T5", "REQ2")
def test_request_on_saturday_is_due_on_tuesday_after_dst_change(played: Played) -> None:
    assert played.states("request/saturday")[1] == ("2035-03-13T17:00", "past_due")
    (past_due,) = [
        row["at"]
        for row in played.rows
        if row.get("subject") == "request/saturday" and row.get("state") == "past_due"
    ]
    assert past_due == "2035-03-13T17:00:00-04:00"


PLAY.ask("eve", TOM, CARO, "2035-03-16T10:00")


@pytest.mark.rule("T1", "T2", "T4", "REQ2")
def test_mentors_national_holiday_is_no_business_day(played: Played) -> None:
    assert ("2035-03-21T10:00", "mentor.request_reminder") in played.mails("request/eve")
    assert played.states("request/eve")[1] == ("2035-03-21T18:00", "past_due")


PLAY.ask("not-mine", ANA, GUS, "2035-03-16T10:00")


@pytest.mark.rule("T1", "REQ2")
def test_mentees_own_holiday_counts_as_a_business_day(played: Played) -> None:
    assert played.states("request/not-mine")[1] == ("2035-03-20T17:00", "past_due")


PLAY.ask("easter", ANA, MARTA, "2035-03-22T12:00", message="¿Me acompaña?")


@pytest.mark.rule("T1", "T2", "T5", "REQ2")
def test_deadline_skips_good_friday_and_follows_the_dst_change(played: Played) -> None:
    assert ("2035-03-27T03:00", "mentor.request_reminder") in played.mails("request/easter")
    assert played.states("request/easter")[1] == ("2035-03-27T11:00", "past_due")


PLAY.ask("second", ANA, GUS, "2035-03-05T10:00")
PLAY.at("2035-03-07T17:00", "request.accepted", request="second")


@pytest.mark.rule("T2", "REQ3", "REQ5", "MAIL4")
def test_acceptance_in_the_second_of_the_deadline_is_in_time(played: Played) -> None:
    assert played.states("request/second") == [("2035-03-05T10:00", "open"), ("2035-03-07T17:00", "accepted")]
    assert "mentor.request_past_due" in played.names("request/second", "cancelled")
    assert played.states("engagement/second")[0] == ("2035-03-07T17:00", "active")
    assert not played.refusals("request/second")
    assert not played.tasks("request/second")
    assert "mentee.request_unanswered" in played.names("request/second", "cancelled")


NOA = PLAY.mentee("noa")
PLAY.ask("late", NOA, GUS, "2035-03-05T10:30")
PLAY.at("2035-03-08T09:00", "request.accepted", request="late")


@pytest.mark.rule("REQ5", "ENG1", "MAIL4")
def test_acceptance_after_past_due_starts_an_engagement(played: Played) -> None:
    assert played.states("request/late") == [
        ("2035-03-05T10:30", "open"),
        ("2035-03-07T17:00", "past_due"),
        ("2035-03-08T09:00", "accepted"),
    ]
    assert played.mails("engagement/late")[:2] == [
        ("2035-03-08T09:00", "mentee.match"),
        ("2035-03-08T09:00", "mentor.match"),
    ]
    assert played.names("request/late", "cancelled") == [
        "mentee.request_expired",
        "mentee.request_unanswered",
        "mentor.request_expired",
    ]
    assert played.reasons("request/late") == {"accepted by the mentor"}


PLAY.ask("expired", TOM, GUS, "2035-03-05T11:00")
PLAY.at("2035-03-19T17:00", "request.accepted", request="expired")
PLAY.at("2035-03-20T09:00", "request.declined", request="expired", reason="sorry")


@pytest.mark.rule("REQ8", "REQ10")
def test_answer_at_the_expiry_or_later_is_refused(played: Played) -> None:
    assert played.states("request/expired")[-1] == ("2035-03-19T17:00", "expired")
    assert played.names("request/expired") == WHOLE_COURSE
    first, second = played.refusals("request/expired")
    assert first[:2] == ("2035-03-19T17:00", "request.accepted")
    assert second[:2] == ("2035-03-20T09:00", "request.declined")
    assert first[2] == "the request expired on 2035-03-19: it was open for too long without an answer"
    assert second[2].endswith("it was open for too long without an answer")
    assert not played.states("engagement/expired")


PIA = PLAY.mentee("pia")
PLAY.ask("twice", PIA, GUS, "2035-03-05T12:00")
PLAY.at("2035-03-06T09:00", "request.accepted", request="twice")
PLAY.at("2035-03-06T09:05", "request.accepted", request="twice")


@pytest.mark.rule("REQ10", "ENG1")
def test_second_acceptance_changes_nothing_and_sends_no_mail(played: Played) -> None:
    assert played.states("request/twice")[1:] == [("2035-03-06T09:00", "accepted")]
    assert [name for name in played.names("engagement/twice") if name.endswith("match")] == [
        "mentee.match",
        "mentor.match",
    ]
    assert played.refusals("request/twice") == [
        ("2035-03-06T09:05", "request.accepted", "the request was already accepted")
    ]
    assert played.names("request/twice") == ASKED


QUE = PLAY.mentee("que")
PLAY.ask("crossing", QUE, GUS, "2035-03-05T12:30")
PLAY.at("2035-03-06T10:00", "request.accepted", request="crossing")
PLAY.at("2035-03-06T10:00", "request.declined", request="crossing")
PLAY.ask("other-way", QUE, CARO, "2035-03-05T12:30")
PLAY.at("2035-03-06T10:30", "request.canceled", request="other-way")
PLAY.at("2035-03-06T10:30", "request.accepted", request="other-way")


@pytest.mark.rule("REQ10")
def test_first_of_two_crossing_answers_counts(played: Played) -> None:
    assert [state for _, state in played.states("request/crossing")] == ["open", "accepted"]
    assert [event for _, event, _ in played.refusals("request/crossing")] == ["request.declined"]
    assert played.names("request/crossing") == ASKED
    assert [state for _, state in played.states("request/other-way")] == ["open", "canceled"]
    assert [event for _, event, _ in played.refusals("request/other-way")] == ["request.accepted"]
    assert not played.states("engagement/other-way")


RIO = PLAY.mentee("rio")
PLAY.at("2035-03-06T11:00", "request.accepted", request="early")
PLAY.ask("early", RIO, GUS, "2035-03-06T13:00")


@pytest.mark.rule("REQ5", "REQ10")
def test_early_answer_is_held_and_applied_to_its_request(played: Played) -> None:
    assert played.states("request/early")[-1] == ("2035-03-06T13:00", "accepted")
    assert played.states("engagement/early")[0] == ("2035-03-06T13:00", "active")
    assert not played.refusals("request/early")
    assert not set(played.names("request/early")) - set(ASKED)


PLAY.at("2035-03-06T11:30", "request.accepted", request="never")


@pytest.mark.rule("REQ10", "STA2")
def test_answer_without_a_request_becomes_a_task_after_a_day(played: Played) -> None:
    assert played.tasks("request/never") == [("2035-03-07T11:30", "event_unapplied")]
    ((_, event, reason),) = played.refusals("request/never")
    assert (event, reason) == ("request.accepted", "request/never did not arrive in time")


PLAY.at("2035-03-06T15:00", "request.accepted", request="brink")
PLAY.ask("brink", RIO, GUS, "2035-03-07T15:00")
PLAY.at("2035-03-06T15:30", "request.accepted", request="too-early")
PLAY.ask("too-early", RIO, GUS, "2035-03-07T15:31")


@pytest.mark.rule("REQ5", "REQ10", "T2")
def test_request_in_the_last_second_still_gets_its_early_answer(
    played: Played,
) -> None:
    assert played.states("request/brink")[-1] == ("2035-03-07T15:00", "accepted")
    assert not played.refusals("request/brink")
    assert [event for _, event, _ in played.refusals("request/too-early")] == ["request.accepted"]
    assert played.states("request/too-early")[0] == ("2035-03-07T15:31", "open")


WANDA = PLAY.mentor("wanda")
PLAY.ask("left-1", TOM, WANDA, "2035-03-12T10:00")
PLAY.ask("left-2", ANA, WANDA, "2035-03-12T11:00")
PLAY.at("2035-03-13T08:00", "profile.withdrawn", profile=WANDA)


@pytest.mark.rule("MEM4", "ONB6")
def test_mentors_withdrawal_makes_open_requests_unavailable(played: Played) -> None:
    for request in ("request/left-1", "request/left-2"):
        assert played.states(request)[1:] == [("2035-03-13T08:00", "unavailable")]
        assert played.names(request) == ["mentee.mentor_unavailable", *ASKED]
        assert played.why(request, "unavailable") == "the mentor's profile was withdrawn"


OTTO = PLAY.mentor("otto")
PLAY.ask("held-1", TOM, OTTO, "2035-03-12T10:00")
PLAY.at("2035-03-13T08:00", "profile.updated", profile=OTTO, mentees_at_a_time=0)
PLAY.ask("held-2", ANA, OTTO, "2035-03-14T10:00")


@pytest.mark.rule("MEM4")
def test_mentor_on_hold_takes_no_open_and_no_new_request(played: Played) -> None:
    assert played.states("request/held-1")[1:] == [("2035-03-13T08:00", "unavailable")]
    assert played.states("request/held-2") == [("2035-03-14T10:00", "unavailable")]
    assert played.mails("request/held-2") == [("2035-03-14T10:00", "mentee.mentor_unavailable")]
    assert not played.names("request/held-2", "cancelled")
    assert not played.tasks("request/held-2")


VERA = PLAY.mentee("vera")
PLAY.ask("gone", VERA, GUS, "2035-03-12T10:00")
PLAY.at("2035-03-13T08:00", "profile.withdrawn", profile=VERA)


@pytest.mark.rule("REQ7", "ONB6")
def test_mentees_withdrawal_cancels_open_requests(played: Played) -> None:
    assert played.states("request/gone")[1:] == [("2035-03-13T08:00", "canceled")]
    assert "mentor.request_canceled" in played.names("request/gone")


BOTH_MENTOR, BOTH_MENTEE = PLAY.mentor("both"), PLAY.mentee("both")
PLAY.ask("self", BOTH_MENTEE, BOTH_MENTOR, "2035-03-05T10:00")
PLAY.ask("upside-down", GUS, TOM, "2035-03-05T10:00")


@pytest.mark.rule("MEM5", "REQ1")
def test_only_a_mentee_can_request_and_never_oneself(played: Played) -> None:
    assert played.refusals("request/self") == [
        ("2035-03-05T10:00", "request.created", "nobody can request themselves")
    ]
    assert (
        played.refusals("request/upside-down")[0][2] == "a request is from a mentee's profile to a mentor's"
    )
    assert not [row for row in played.rows if row.get("workflow") in ("request/self", "request/upside-down")]


LARS = PLAY.mentee("lars", standing="lapsed")
PLAY.ask("lapsed", LARS, GUS, "2035-03-05T10:00")


@pytest.mark.rule("MEM1")
def test_lapsed_mentee_cannot_request(played: Played) -> None:
    assert played.refusals("request/lapsed") == [
        ("2035-03-05T10:00", "request.created", "the mentee is not in good standing")
    ]
    assert not played.states("request/lapsed")


FELIX = PLAY.mentee("felix", "2035-03-06T10:00")
KIM, LEE = PLAY.mentor("kim"), PLAY.mentor("lee")
for number, asked in enumerate((GUS, CARO, MARTA, KIM, LEE), start=1):
    PLAY.ask(f"five-{number}", FELIX, asked, "2035-03-07T10:00")
PLAY.at("2035-03-08T10:00", "request.accepted", request="five-1")
PLAY.at("2035-03-08T10:00", "request.accepted", request="five-4")


@pytest.mark.rule("ONB3", "REQ5", "REQ10")
def test_two_of_five_requests_accepted_match_the_onboarding_once(played: Played) -> None:
    accepted = [n for n in range(1, 6) if played.states(f"request/five-{n}")[-1][1] == "accepted"]
    assert accepted == [1, 4]
    for number in accepted:
        assert played.states(f"engagement/five-{number}")[0] == ("2035-03-08T10:00", "active")
    assert played.states("onboarding/mentee-felix") == [
        ("2035-03-06T10:00", "waiting"),
        ("2035-03-08T10:00", "matched"),
    ]
    assert not played.names("onboarding/mentee-felix")
    for number in (2, 3, 5):
        assert played.states(f"request/five-{number}")[-1][1] == "expired"


UMA = PLAY.mentor("uma", 1)
SOL, IDA = PLAY.mentee("sol"), PLAY.mentee("ida")
PLAY.ask("place-1", SOL, UMA, "2035-03-12T10:00")
PLAY.ask("place-2", IDA, UMA, "2035-03-12T11:00")
PLAY.at("2035-03-13T10:00", "request.accepted", request="place-1")
PLAY.at("2035-03-13T10:00", "request.accepted", request="place-2")
PLAY.ask("place-3", TOM, UMA, "2035-03-14T10:00")


@pytest.mark.rule("MEM4", "REQ5")
def test_last_place_goes_to_one_request_the_other_is_unavailable(played: Played) -> None:
    assert played.states("request/place-1")[-1][1] == "accepted"
    assert played.states("request/place-2")[1:] == [("2035-03-13T10:00", "unavailable")]
    assert played.why("request/place-2", "unavailable") == "the mentor has no place left"
    assert "mentee.mentor_unavailable" in played.names("request/place-2")
    assert [event for _, event, _ in played.refusals("request/place-2")] == ["request.accepted"]
    assert not played.states("engagement/place-2")
    assert played.states("request/place-3") == [("2035-03-14T10:00", "unavailable")]


EVA = PLAY.mentee("eva")
PLAY.ask("no", EVA, KIM, "2035-03-12T10:00")
PLAY.at("2035-03-12T15:00", "request.declined", request="no", reason="zebras are my field")


@pytest.mark.rule("REQ6", "MAIL4")
def test_decline_reason_stays_with_staff(played: Played) -> None:
    assert played.states("request/no")[-1] == ("2035-03-12T15:00", "declined")
    assert played.why("request/no", "declined") == "declined by the mentor: zebras are my field"
    assert played.names("request/no") == [
        "mentee.request_declined",
        "mentee.request_sent",
        "mentor.declined_checkin",
        "mentor.request_received",
    ]
    notice = played.letter("request/no", "mentee.request_declined")
    assert "zebras" not in notice.text + notice.html
    assert "mentoring/directory" in notice.text
    assert "mentor.request_reminder" in played.names("request/no", "cancelled")


PLAY.ask("back", EVA, LEE, "2035-03-12T10:30")
PLAY.at("2035-03-12T16:00", "request.canceled", request="back")


@pytest.mark.rule("REQ7")
def test_withdrawn_request_notifies_both(played: Played) -> None:
    assert played.states("request/back")[-1] == ("2035-03-12T16:00", "canceled")
    assert played.names("request/back") == [
        "mentee.request_canceled",
        "mentee.request_sent",
        "mentor.request_canceled",
        "mentor.request_received",
    ]


PLAY.ask("staff-cancel", EVA, GUS, "2035-03-12T11:00")
PLAY.staff("2035-03-13T08:59", "cancel", "request/staff-cancel", reason="asked twice")


@pytest.mark.rule("REQ9", "STA3", "MAIL4")
def test_staff_cancel_a_minute_before_a_reminder_stops_it(played: Played) -> None:
    assert played.states("request/staff-cancel")[1:] == [("2035-03-13T08:59", "canceled")]
    assert played.why("request/staff-cancel", "canceled") == "cancelled by staff: asked twice"
    sent = played.names("request/staff-cancel")
    assert {"mentor.request_canceled", "mentee.request_canceled"} <= set(sent)
    assert "mentor.request_reminder" not in sent
    assert not played.tasks("request/staff-cancel")


PLAY.ask("extended", EVA, MARTA, "2035-03-12T09:00")
PLAY.staff("2035-03-13T05:00", "extend", "request/extended", business_days=3)
PLAY.ask("reopened", EVA, CARO, "2035-03-05T09:00")
PLAY.staff("2035-03-08T09:00", "extend", "request/reopened", business_days=2)


@pytest.mark.rule("REQ9")
def test_staff_extension_moves_everything_pending(played: Played) -> None:
    """Madrid is five hours ahead in these weeks: business days 2, 3 and 10 become 5, 6 and 13.

    Maundy Thursday is a holiday in most parts of Spain (T1).
    """
    assert played.mails("request/extended")[2:5] == [
        ("2035-03-19T04:00", "mentor.request_reminder"),
        ("2035-03-19T12:00", "mentor.request_past_due"),
        ("2035-03-21T09:00", "mentee.request_unanswered"),
    ]
    assert played.states("request/extended")[1:] == [
        ("2035-03-19T12:00", "past_due"),
        ("2035-04-02T11:00", "expired"),
    ]
    assert played.tasks("request/extended") == [("2035-03-20T12:00", "request_unanswered")]


@pytest.mark.rule("REQ9")
def test_extension_after_the_deadline_reopens_the_request(played: Played) -> None:
    assert [state for _, state in played.states("request/reopened")] == [
        "open",
        "past_due",
        "open",
        "past_due",
        "expired",
    ]
    assert played.states("request/reopened")[1:4] == [
        ("2035-03-07T17:00", "past_due"),
        ("2035-03-08T09:00", "open"),
        ("2035-03-09T17:00", "past_due"),
    ]
    assert played.names("request/reopened").count("mentor.request_past_due") == 2


ZOE = PLAY.mentee("zoe")
PLAY.ask("standing", ZOE, LEE, "2035-03-12T10:00")
PLAY.member("zoe", "2035-03-12T12:00", standing="lapsed")
PLAY.at("2035-03-12T13:00", "request.accepted", request="standing")
PLAY.member("zoe", "2035-03-13T12:00", standing="good")
PLAY.at("2035-03-13T13:00", "request.accepted", request="standing")


@pytest.mark.rule("MEM2", "MEM1")
def test_request_of_a_lapsed_mentee_can_be_accepted_all_the_same(played: Played) -> None:
    """Staff get a task."""
    assert played.tasks("request/standing") == [("2035-03-12T12:00", "member_lapsed")]
    assert played.states("request/standing")[-1] == ("2035-03-12T13:00", "accepted")
    assert [when for when, _, _ in played.refusals("request/standing")] == ["2035-03-13T13:00"]


REQUESTS = sorted(
    {event.data["request"] for event in PLAY.events if event.type == "request.created"} - {"early"}
)


@pytest.mark.rule("REQ5")
def test_request_mails_hide_the_other_partys_address(played: Played) -> None:
    seen = 0
    people = [person["email"] for person in played.people.values()]
    for letter in played.letters:
        shown = letter.text + letter.html + letter.subject + letter.recipient
        others = [email for email in people if email != letter.address and email in shown]
        seen += 1
        if others:
            assert letter.subject in played.subjects("engagement/"), (letter.subject, others)
    assert seen == played.end["mails"] > 100


@pytest.mark.rule("REQ5", "ENG1")
def test_match_mail_shows_each_the_others_address(played: Played) -> None:
    to_mentor = played.letter("engagement/late", "mentor.match")
    to_mentee = played.letter("engagement/late", "mentee.match")
    assert "noa@example.org" in to_mentor.text
    assert "noa@example.org" in to_mentor.html
    assert "gus@example.org" in to_mentee.text
    assert "gus@example.org" in to_mentee.html


@pytest.mark.rule("REQ1")
def test_subject_names_the_due_day_in_the_readers_language(played: Played) -> None:
    english = played.letter("request/friday", "mentor.request_received")
    assert "Tuesday, March 13" in english.subject
    assert english.language == "en"
    assert "Let us talk" in english.text
    assert "4 months" in english.text
    spanish = played.letter("request/easter", "mentor.request_received")
    assert "martes 27 de marzo" in spanish.subject
    assert spanish.language == "es"
    assert "¿Me acompaña?" in spanish.text
    for letter in (english, spanish):
        assert len(re.findall(r"https?://\S+/\S+", letter.text)) >= 2


@pytest.mark.rule("REQ2", "REQ3", "MAIL5")
def test_follow_ups_are_threaded_below_the_first_mail(played: Played) -> None:
    first = played.letter("request/friday", "mentor.request_received").message["Message-ID"]
    reminder = played.letter("request/friday", "mentor.request_reminder").message
    past_due = played.letter("request/friday", "mentor.request_past_due").message
    assert first not in (None, "")
    assert "In-Reply-To" not in played.letter("request/friday", "mentor.request_received").message
    assert reminder["References"].split() == [first]
    assert reminder["In-Reply-To"] == first
    assert past_due["References"].split() == [first, reminder["Message-ID"]]
    assert past_due["In-Reply-To"] == reminder["Message-ID"]
    sent = played.letter("request/friday", "mentee.request_sent").message["Message-ID"]
    assert played.letter("request/friday", "mentee.request_unanswered").message["References"] == sent


@pytest.mark.rule("REQ10", "MAIL1")
def test_every_request_mail_goes_out_once_and_none_after_the_end(played: Played) -> None:
    for request in REQUESTS:
        workflow = f"request/{request}"
        states = played.states(workflow)
        if not states:
            continue
        sent = played.mails(workflow)
        late = {name for at, name in sent if at > states[-1][0]}
        assert late <= {"mentee.request_expired"}, workflow
        if request != "reopened":
            assert len({name for _, name in sent}) == len(sent), workflow
        assert states[-1][1] not in ("open", "past_due"), workflow
