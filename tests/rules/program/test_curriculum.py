"""The curriculum along an engagement: hard dates by hand, what moves a step, and what has been done (COH4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import engagement
from rules.acts import Act
from rules.agenda import Agenda, Refused
from rules.calendar import Calendar, calendar_for
from rules.engagement import CurriculumCourse, EngagementFacts, NewEnd, StepOf
from rules.engagement.curriculum import begun, moved
from rules.program import Program, parse_program
from rules.program.toml_schema import ProgramError
from tests.support.limits import examples
from tests.support.programs.curricula import STEPS, curriculum_program, curriculum_text
from tests.support.programs.program_files import changed_text

pytestmark = pytest.mark.rule("COH4")

PROGRAM = curriculum_program()
MONDAY = "2028-03-06T10:00"


def at(text: str, zone: str = "America/Bogota") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def pair(text: str = MONDAY, starts_on: str = "", carried: tuple[str, ...] = ()) -> EngagementFacts:
    """A pair that begins; `carried` are steps that the mentee did in an earlier pair."""
    facts = EngagementFacts("r-1", "p-mentee", "p-mentor", at(text))
    steps = [StepOf("mentee", step, at("2028-01-10T12:00")) for step in carried]
    return begun(facts, date.fromisoformat(starts_on or text[:10]), PROGRAM.fingerprint, steps)


def calendar(program: Program = PROGRAM, zone: str | None = None, country: str | None = None) -> Calendar:
    return calendar_for(program.hours, zone, country, None)


def agenda(facts: EngagementFacts, program: Program = PROGRAM, mentee: Calendar | None = None) -> Agenda:
    own = calendar(program)
    return engagement.agenda(facts, program.engagement, own, own, mentee or own, program.curriculum)


def steps(
    facts: EngagementFacts,
    role: str = "mentee",
    program: Program = PROGRAM,
    mentee: Calendar | None = None,
) -> dict[str, str]:
    """The mails about steps to a side: id of the step, and the local time in Bogotá."""
    return {
        mail.step.removeprefix(f"{role}.curriculum."): local(mail.due)
        for mail in agenda(facts, program, mentee).mails
        if mail.message == f"{role}.curriculum"
    }


def local(due: datetime | None) -> str:
    return due.astimezone(ZoneInfo("America/Bogota")).strftime("%m-%d %H:%M") if due else "held"


def act(
    facts: EngagementFacts, name: str, when: str, program: Program = PROGRAM, **details: str
) -> EngagementFacts:
    """The facts after an act; `by` and `step` are details."""
    by = details.pop("by", "")
    made = Act(f"{name} {when}", name, "lina", details=details, at=at(when), by=by)
    state = engagement.state_at(facts, program.engagement, calendar(program), at(when))
    return engagement.apply(facts, made, state, at(when), program)


def done(facts: EngagementFacts, step: str, when: str, by: str = "p-mentee") -> EngagementFacts:
    return act(facts, "curriculum_done", when, by=by, step=step)


def lagging(facts: EngagementFacts) -> list[tuple[str, str]]:
    return [
        (local(task.due), task.cause) for task in agenda(facts).tasks if task.kind == "curriculum_lagging"
    ]


def test_steps_open_by_week_on_business_mornings_of_each() -> None:
    """20 March is a holiday in Colombia; the first step comes on the morning after the start."""
    assert steps(pair()) == {
        "welcome": "03-07 09:00",
        "good_time": "03-13 09:00",
        "odyssey": "03-21 09:00",
        "prototype": "04-03 09:00",
    }
    assert list(steps(pair(), "mentor")) == ["welcome", "odyssey", "review"]


def test_the_number_is_the_place_in_the_whole_curriculum() -> None:
    numbers = {mail.step: mail.number for mail in agenda(pair()).mails if "curriculum" in mail.step}
    assert numbers["mentee.curriculum.odyssey"] == numbers["mentor.curriculum.odyssey"] == 3
    assert numbers["mentor.curriculum.review"] == 5


def test_weeks_count_from_the_later_of_kick_off_and_start() -> None:
    """A pair that is confirmed before the kick-off is mailed nothing before it."""
    early = steps(pair("2028-02-21T10:00", starts_on="2028-03-06"))
    assert early["welcome"] == "03-06 09:00"
    assert early["good_time"] == "03-13 09:00"


def test_who_joins_late_begins_with_the_first_step() -> None:
    assert steps(pair("2028-04-17T10:00"))["welcome"] == "04-18 09:00"
    assert steps(pair("2028-04-17T10:00"))["odyssey"] == "05-02 09:00"


def test_who_is_paired_again_goes_on_at_the_first_open_step() -> None:
    """The steps done in the earlier pair are not mailed again. The new mentor begins with the first one."""
    again = pair("2028-04-10T10:00", carried=("welcome", "good_time"))
    assert steps(again) == {"odyssey": "04-11 09:00", "prototype": "04-24 09:00"}
    assert list(steps(again, "mentor")) == ["welcome", "odyssey", "review"]
    everything = pair("2028-04-10T10:00", carried=("welcome", "good_time", "odyssey", "prototype"))
    assert steps(everything) == {}


def test_break_over_a_due_date_moves_it_and_what_follows() -> None:
    program = curriculum_program(STEPS, "breaks = [{ first = 2028-03-18, last = 2028-03-26 }]")
    assert steps(pair(), program=program) == {
        "welcome": "03-07 09:00",
        "good_time": "03-13 09:00",
        "odyssey": "03-29 09:00",
        "prototype": "04-12 09:00",
    }


def test_start_inside_a_break_waits_for_its_end() -> None:
    program = curriculum_program(STEPS, "breaks = [{ first = 2028-03-01, last = 2028-03-12 }]")
    assert steps(pair(), program=program)["welcome"] == "03-13 09:00"
    assert steps(pair(), program=program)["good_time"] == "03-21 09:00"


def test_yearly_break_over_new_year_comes_every_year() -> None:
    program = curriculum_program(STEPS, 'breaks = [{ first = "12-16", last = "01-10" }]')
    assert steps(pair("2028-12-04T10:00"), program=program)["odyssey"] == "01-15 09:00"
    assert steps(pair("2030-12-09T10:00"), program=program)["odyssey"] == "01-20 09:00"


def test_break_with_a_leap_day_has_its_neighbour_in_other_years() -> None:
    program = curriculum_program(STEPS, 'breaks = [{ first = "02-29", last = "03-01" }]')
    assert steps(pair("2028-02-22T10:00"), program=program)["good_time"] == "03-02 09:00"
    assert steps(pair("2029-02-22T10:00"), program=program)["good_time"] == "03-02 09:00"


def test_start_on_a_leap_day_counts_weeks_from_it() -> None:
    assert steps(pair("2028-02-29T08:00")) == {
        "welcome": "02-29 09:00",
        "good_time": "03-07 09:00",
        "odyssey": "03-14 09:00",
        "prototype": "03-28 09:00",
    }


def test_kick_off_on_a_holiday_opens_on_the_next_business_day() -> None:
    assert steps(pair("2028-03-20T00:00"))["welcome"] == "03-21 09:00"
    assert steps(pair("2028-03-20T00:00"))["good_time"] == "03-27 09:00"


@pytest.mark.rule("T4")
def test_clock_change_keeps_the_readers_morning() -> None:
    """In New York clocks go forward on 12 March: 9:00 there is 9:00, then 8:00 in Bogotá."""
    york = calendar(PROGRAM, "America/New_York", "US")
    found = steps(pair(), mentee=york)
    assert (found["welcome"], found["good_time"]) == ("03-07 09:00", "03-13 08:00")


def test_pause_moves_what_is_pending_by_its_length() -> None:
    paused = act(pair(), "pause", "2028-03-14T10:00")
    assert steps(paused) == dict.fromkeys(["welcome", "good_time", "odyssey", "prototype"], "held") | {
        name: when for name, when in steps(paused).items() if name in ("welcome", "good_time")
    }
    resumed = act(paused, "resume", "2028-03-28T10:00")
    assert steps(resumed)["good_time"] == "03-13 09:00"
    assert steps(resumed)["odyssey"] == "04-03 09:00"
    assert steps(resumed)["prototype"] == "04-17 09:00"


def test_day_in_a_break_and_in_a_pause_counts_once() -> None:
    program = curriculum_program(STEPS, "breaks = [{ first = 2028-03-18, last = 2028-03-26 }]")
    both = act(act(pair(), "pause", "2028-03-20T00:00", program), "resume", "2028-03-29T00:00", program)
    assert steps(both, program=program)["odyssey"] == "03-31 09:00"


def test_extension_moves_no_step_and_brings_back_what_lay_behind_the_end() -> None:
    short = replace(pair(), months=1)
    assert list(steps(short)) == ["welcome", "good_time", "odyssey", "prototype"]
    assert "review" not in steps(short, "mentor")
    longer = engagement.extend(
        short, NewEnd(at("2028-03-20T12:00"), "staff", months=2), "active", PROGRAM.engagement, calendar()
    )
    assert steps(longer, "mentor")["review"] == "04-10 09:00"


def test_step_that_is_done_is_not_mailed_and_moves_no_other() -> None:
    facts = done(pair(), "odyssey", "2028-03-08T12:00")
    assert steps(facts) == {
        "welcome": "03-07 09:00",
        "good_time": "03-13 09:00",
        "prototype": "04-03 09:00",
    }
    assert "odyssey" in steps(facts, "mentor")
    assert done(facts, "odyssey", "2028-03-09T12:00") == facts


@pytest.mark.parametrize(
    ("step", "by", "why"),
    [
        ("nothing", "p-mentee", "the curriculum has no step nothing"),
        ("review", "p-mentee", "the step review is for the mentor only"),
        ("welcome", "p-other", "only the mentor and the mentee of an engagement can do this"),
        ("", "p-mentee", "the curriculum has no step "),
    ],
)
def test_step_that_is_not_theirs_is_refused_with_the_reason(step: str, by: str, why: str) -> None:
    with pytest.raises(Refused, match=f"^{why}$"):
        done(pair(), step, "2028-03-08T12:00", by)


def test_nothing_is_done_after_the_end_or_without_a_curriculum() -> None:
    ended = act(pair(), "cancel", "2028-03-08T10:00")
    with pytest.raises(Refused, match="the engagement is over"):
        done(ended, "welcome", "2028-03-08T12:00")
    plain = parse_program(changed_text(), "asis-global.toml")
    with pytest.raises(Refused, match="this program has no curriculum"):
        act(replace(pair(), curriculum=None), "curriculum_done", MONDAY, plain, by="p-mentee", step="welcome")


def test_suspension_stops_steps_and_they_come_back_under_another_key() -> None:
    suspended = act(pair(), "misconduct", "2028-03-10T10:00", by="p-mentee")
    assert steps(suspended) == {}
    resumed = act(suspended, "resume", "2028-03-17T10:00")
    assert steps(resumed)["good_time.2"] == "03-21 09:00"
    assert "welcome" in steps(resumed)


def test_engagement_without_a_curriculum_is_as_before() -> None:
    plain = parse_program(changed_text(zone='"America/Bogota"', country='"CO"'), "asis-global.toml")
    without = replace(pair(), curriculum=None)
    assert agenda(without, plain) == agenda(without, PROGRAM)
    kept = [mail for mail in agenda(pair()).mails if "curriculum" not in mail.step]
    assert kept == list(agenda(without, plain).mails)


def test_late_steps_open_a_task_that_closes_once_they_are_done() -> None:
    """Late after 14 days. The second late step of the mentee is due on 13 March."""
    assert lagging(pair()) == [
        ("04-03 09:00", "the mentor is behind at the step odyssey"),
        ("03-27 09:00", "the mentee is behind at the step good_time"),
    ]
    caught_up = done(pair(), "welcome", "2028-03-28T12:00")
    assert lagging(caught_up)[1] == ("04-03 09:00", "the mentee is behind at the step odyssey")
    all_done = pair()
    for step in ("welcome", "good_time", "odyssey", "prototype"):
        all_done = done(all_done, step, "2028-03-08T12:00")
    assert [cause for _, cause in lagging(all_done)] == ["the mentor is behind at the step odyssey"]


def test_break_makes_nobody_late() -> None:
    program = curriculum_program(STEPS, "breaks = [{ first = 2028-03-18, last = 2028-03-26 }]")
    tasks = {task.cause: local(task.due) for task in agenda(pair(), program).tasks if "behind" in task.cause}
    assert tasks["the mentee is behind at the step good_time"] == "04-05 09:00"


def test_changed_curriculum_moves_only_what_is_pending() -> None:
    """On 15 March two steps are mailed. A new one of the first week comes on the next morning."""
    newer = curriculum_program(
        (
            ("orientation", 1, "guide", "mentee"),
            ("good_time", 1, "task", "mentee"),
            ("welcome", 2, "guide", "both"),
            ("odyssey", 4, "workshop", "both"),
        )
    )
    mailed = [StepOf("mentee", step, at("2028-03-13T09:00")) for step in ("welcome", "good_time")]
    facts = moved(pair(), newer.fingerprint, mailed, at("2028-03-15T11:00"))
    assert steps(facts, program=newer) == {"orientation": "03-16 09:00", "odyssey": "03-27 09:00"}
    assert moved(facts, newer.fingerprint, [], at("2028-03-16T11:00")) == facts


@given(
    day=st.dates(date(2028, 1, 1), date(2031, 12, 31)),
    hour=st.integers(0, 23),
    zone=st.sampled_from(["America/Bogota", "America/New_York", "Pacific/Auckland", "Europe/Madrid"]),
    country=st.sampled_from(["CO", "US", "NZ", "ES"]),
    first=st.integers(-5, 40),
    length=st.integers(0, 20),
)
@settings(max_examples=examples(60))
def test_no_step_before_the_start_or_in_a_break_and_all_in_order(
    day: date, hour: int, zone: str, country: str, first: int, length: int
) -> None:
    begins = day + timedelta(days=first)
    ends = begins + timedelta(days=length)
    program = curriculum_program(STEPS, f"breaks = [{{ first = {begins}, last = {ends} }}]")
    facts = pair(f"{day}T{hour:02}:00")
    reader = calendar(program, zone, country)
    found = [
        mail.due
        for mail in agenda(facts, program, reader).mails
        if mail.message == "mentee.curriculum" and mail.due
    ]
    since, until = at(f"{begins}T00:00"), at(f"{ends + timedelta(days=1)}T00:00")
    assert found == sorted(found)
    for due in found:
        assert due > facts.started_at or due == facts.started_at
        assert not since <= due < until
        assert reader.is_business_day(reader.date_of(due))
        assert reader.local(due).strftime("%H:%M") == "09:00"


def mistakes(text: str) -> dict[str, str]:
    with pytest.raises(ProgramError) as wrong:
        parse_program(text, "p.toml")
    return {mistake.key: mistake.reason for mistake in wrong.value.mistakes}


@pytest.mark.rule("COH5")
@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        (
            curriculum_text((*STEPS, ("welcome", 7, "task", "both"))),
            "curriculum.steps[5].id",
            "is there twice",
        ),
        (
            curriculum_text((*STEPS, ("last", 2, "task", "both"))),
            "curriculum.steps[5].week",
            "not be less than 6",
        ),
        (curriculum_text((("A b", 1, "task", "both"),)), "curriculum.steps[0].id", "an id like good_time"),
        (curriculum_text((("a", 1, "game", "both"),)), "curriculum.steps[0].kind", "guide"),
        (curriculum_text((("a", 0, "task", "all"),)), "curriculum.steps[0].who", "mentor"),
        (curriculum_text(()), "curriculum.steps", "is missing"),
        (
            curriculum_text(STEPS, 'breaks = [{ first = "12-16", last = 2028-01-10 }]'),
            "curriculum.breaks[0].last",
            "written like first",
        ),
        (
            curriculum_text(STEPS, "breaks = [{ first = 2028-04-02, last = 2028-04-01 }]"),
            "curriculum.breaks[0].last",
            "must not come before first",
        ),
        (
            curriculum_text().replace(', es = "El odyssey"', ""),
            "curriculum.steps[2].title.es",
            "every text is needed in every language",
        ),
        (
            curriculum_text().replace('en = "Do review.', 'fr = "Faites.", en = "Do review.'),
            "curriculum.steps[4].text.fr",
            "is none of the file's languages",
        ),
        (curriculum_text().replace("https://guides", "http://guides"), "curriculum.steps[0].link", "https"),
        (
            curriculum_text() + '[[partners]]\nid = "u"\nname = "U"\ncontact = "nobody"\n',
            "partners[0].contact",
            "",
        ),
        (
            curriculum_text()
            + '[[partners]]\nid = "u"\nname = "U"\ncontact = "a@example.org"\n' * 1
            + '[[partners]]\nid = "u"\nname = "V"\ncontact = "b@example.org"\n',
            "partners[1].id",
            "u is there twice",
        ),
    ],
)
def test_wrong_curriculum_is_refused_with_key_and_reason(text: str, key: str, reason: str) -> None:
    found = mistakes(text)
    assert key in found, found
    assert reason in found[key]


def test_course_without_a_policy_plans_nothing() -> None:
    course = CurriculumCourse("2028-03-06", "another")
    plain = parse_program(changed_text(), "asis-global.toml")
    assert not [
        mail for mail in agenda(replace(pair(), curriculum=course), plain).mails if "curriculum" in mail.step
    ]
