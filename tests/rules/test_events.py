"""Inbound events: what is accepted, what is refused and where, and what has to be known first."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.events import (
    EVENT_TYPES,
    FieldError,
    check_event,
    references,
    subject,
)
from rules.events.schema import keys_of

MEMBER = {"member": "ana", "name": "Ana Pérez", "email": "ana@example.org", "standing": "good"}
STAFF = {"actor": "lina", "reason": "moved away"}
COHORT_PAIR = {"cohort": "c-1", "mentee": "p-1", "mentor": "p-2", **STAFF}
MEETUP = {
    "meetup": "m-1",
    "program": "asis-global",
    "title": "Spring meetup",
    "starts_at": "2028-04-05T12:00:00",
    "time_zone": "America/New_York",
}

SMALLEST: dict[str, dict[str, Any]] = {
    "member.updated": MEMBER,
    "member.erased": {"member": "ana", "actor": "lina", "reason": "asked by letter"},
    "profile.created": {"profile": "p-1", "member": "ana", "role": "mentee"},
    "profile.updated": {"profile": "p-1"},
    "profile.withdrawn": {"profile": "p-1"},
    "request.created": {"request": "r-1", "mentee": "p-1", "mentor": "p-2"},
    "request.accepted": {"request": "r-1"},
    "request.declined": {"request": "r-1"},
    "request.canceled": {"request": "r-1"},
    "engagement.discovery": {"engagement": "r-1", "by": "p-1", "answer": "not_met"},
    "engagement.plan_agreed": {"engagement": "r-1"},
    "engagement.met": {"engagement": "r-1", "by": "p-1", "answer": "yes"},
    "engagement.extension_agreed": {"engagement": "r-1", "by": "p-1", "end": "2028-12-31"},
    "engagement.ended": {"engagement": "r-1", "by": "p-1", "reason": "goals_met"},
    "engagement.misconduct_reported": {"engagement": "r-1", "by": "p-1", "text": "He asked for money."},
    "curriculum.done": {"engagement": "r-1", "by": "p-1", "step": "good_time_journal"},
    "claim.domains_chosen": {
        "engagement": "r-1",
        "by": "p-1",
        "certification": "PSP",
        "domains": ["psp-assessment"],
    },
    "letter.signed": {"engagement": "r-1", "by": "p-1", "for": "mentor", "name": "Ana Pérez"},
    "claim.submitted": {"engagement": "r-1", "by": "p-1", "certification": "PSP"},
    "survey.answered": {"engagement": "r-1", "by": "p-1", "answers": {"goals_met": "yes"}},
    "mail.bounced": {"delivery": "d-1", "kind": "hard"},
    "meetup.scheduled": MEETUP,
    "meetup.changed": {"meetup": "m-1"},
    "meetup.canceled": {"meetup": "m-1"},
    "meetup.answered": {"meetup": "m-1", "by": "p-1", "answer": "maybe"},
    "cohort.scheduled": {
        "cohort": "c-1",
        "program": "mentors4u-colombia",
        "opens": "2028-02-01",
        "closes": "2028-02-29",
        "kick_off": "2028-03-15",
    },
    "cohort.confirmed": {"cohort": "c-1", "actor": "lina"},
    "cohort.pair_locked": COHORT_PAIR,
    "cohort.pair_forbidden": COHORT_PAIR,
    "cohort.pair_changed": COHORT_PAIR,
    "staff.cancel": {"target": "onboarding/p-1", **STAFF},
    "staff.extend": {"target": "request/r-1", **STAFF, "business_days": 3},
    "staff.pause": {"target": "engagement/r-1", **STAFF},
    "staff.resume": {"target": "onboarding/p-1", **STAFF},
    "staff.end": {"target": "engagement/r-1", **STAFF},
    "staff.accept": {"target": "claim/r-1/mentor/CPP", **STAFF},
    "staff.reject": {"target": "claim/r-1/mentor/CPP", **STAFF},
    "staff.reopen": {"target": "claim/r-1/mentor/CPP", **STAFF},
    "staff.revoke": {"target": "claim/r-1/mentor/CPP", **STAFF},
}
"""The least that an event of each type carries."""


def accepted(type: str, **more: object) -> dict[str, Any]:
    """The data as they come out of an event that is accepted."""
    data, problems = check_event(type, SMALLEST[type] | more)
    assert problems == []
    return data


def refused(type: str, **more: object) -> dict[str, str]:
    """The reason for each pointer of an event that is refused."""
    data, problems = check_event(type, SMALLEST[type] | more)
    assert data == {}
    return {problem.pointer: problem.reason for problem in problems}


def test_every_event_type_has_a_minimal_example_here() -> None:
    assert set(SMALLEST) == set(EVENT_TYPES)


@pytest.mark.parametrize("type", SMALLEST)
def test_minimal_event_of_each_type_is_accepted(type: str) -> None:
    assert accepted(type) == SMALLEST[type]


@pytest.mark.parametrize(
    ("type", "field"), [(type, field) for type, data in SMALLEST.items() for field in data]
)
def test_every_required_field_is_needed_and_null_is_missing(type: str, field: str) -> None:
    for missing in (SMALLEST[type] | {field: None}, {k: v for k, v in SMALLEST[type].items() if k != field}):
        data, problems = check_event(type, missing)
        assert data == {}
        assert len(problems) == 1
        assert problems[0].reason.startswith("is missing")


@pytest.mark.parametrize("type", SMALLEST)
def test_accepted_data_is_accepted_again_unchanged(type: str) -> None:
    full = accepted(type, **FULL.get(type, {}))
    assert check_event(type, full) == (full, [])
    assert json.loads(json.dumps(full)) == full


@pytest.mark.parametrize("type", SMALLEST)
def test_unknown_fields_are_dropped(type: str) -> None:
    assert accepted(type, traceparent="00-1", **{"x-y": {"deep": [1, None]}}) == SMALLEST[type]


FULL: dict[str, dict[str, Any]] = {
    "member.updated": {
        "time_zone": "America/Bogota",
        "country": "CO",
        "subdivision": "CO-ANT",
        "languages": ["ES", "en", "pt_br", "es"],
        "nationality": "VE",
        "birth_year": 1990,
        "years_management": 5.0,
        "employer": " Andina  S.A. ",
        "certifications": [
            {"code": "PSP", "cycle_start": date(2027, 1, 1), "cycle_end": "2029-12-31", "no": 7}
        ],
    },
    "profile.created": {
        "program": "asis-global",
        "mentees_at_a_time": 0,
        "areas": ["Certification", "Certification", " Networking "],
        "interests": "chess",
        "goals": ["Find my feet", "Pass the exam"],
        "languages": "es",
    },
    "request.created": {"message": "Hello,\r\n\tI am Ana.", "areas": [], "months": 6},
    "engagement.plan_agreed": {"end": datetime.fromisoformat("2028-12-31T10:00:00"), "goals": "One.\nTwo."},
    "engagement.met": {"date": "2028-05-01"},
    "letter.signed": {"certification": "PSP", "purpose": "To grow.", "domains": ["psp-design"]},
    "survey.answered": {"answers": {"rating": 5, "extend": False, "comment": "", "none": None}},
    "mail.bounced": {"message_id": "<a.b@example.org>"},
    "meetup.scheduled": {
        "starts_at": "2028-04-05T12:00:00-04:00",
        "duration": 90,
        "link": "https://meet.example.org/1?pwd=a%20b",
        "resources": {"Slides": "https://files.example.org/slides"},
    },
    "meetup.changed": {
        "starts_at": datetime.fromisoformat("2028-04-05T12:00:00"),
        "duration": "PT1H30M",
        "resources": ["https://files.example.org/slides"],
    },
}


def test_accepted_data_is_normalized() -> None:
    member = accepted("member.updated", **FULL["member.updated"])
    assert member["subdivision"] == "ANT"
    assert member["languages"] == ["es", "en", "pt-br"]
    assert (member["birth_year"], member["years_management"]) == (1990, 5)
    assert member["employer"] == "Andina  S.A."
    assert member["certifications"] == [
        {"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}
    ]
    profile = accepted("profile.created", **FULL["profile.created"])
    assert profile["areas"] == ["Certification", "Networking"]
    assert profile["interests"] == ["chess"]
    assert profile["goals"] == "Find my feet\nPass the exam"
    assert profile["languages"] == ["es"]
    assert accepted("request.created", **FULL["request.created"])["message"] == "Hello,\n\tI am Ana."
    assert accepted("engagement.plan_agreed", **FULL["engagement.plan_agreed"])["end"] == "2028-12-31"
    answers = accepted("survey.answered", **FULL["survey.answered"])["answers"]
    assert answers == {"rating": 5, "extend": False, "comment": ""}


def test_meetup_start_is_an_instant_or_a_local_time() -> None:
    scheduled = accepted("meetup.scheduled", **FULL["meetup.scheduled"])
    assert scheduled["starts_at"] == "2028-04-05T16:00:00+00:00"
    assert scheduled["duration"] == "PT90M"
    assert scheduled["resources"] == [{"title": "Slides", "link": "https://files.example.org/slides"}]
    changed = accepted("meetup.changed", **FULL["meetup.changed"])
    assert changed["starts_at"] == "2028-04-05T12:00:00"
    assert changed["duration"] == "PT1H30M"
    link = "https://files.example.org/slides"
    assert changed["resources"] == [{"title": link, "link": link}]


def test_null_clears_a_field_of_members_and_profiles_only() -> None:
    member = accepted("member.updated", time_zone=None, certifications=None)
    assert (member["time_zone"], member["certifications"]) == (None, [])
    profile = accepted("profile.updated", mentees_at_a_time=None, areas=None, goals=None)
    assert profile == {"profile": "p-1", "mentees_at_a_time": None, "areas": [], "goals": None}
    assert accepted("request.created", message=None, months=None) == SMALLEST["request.created"]
    assert "check_ins" not in accepted("staff.extend", check_ins=None)


@pytest.mark.rule("T8")
@pytest.mark.parametrize(
    "day",
    [
        *(
            "",
            "now",
            "2028-02-30",
            "2028-3-6",
            "20280306",
            "2028-W10-1",
            "06.03.2028",
            "2028-03-06T10:00:00Z",
        ),
        *(
            "0001-01-01",
            "9999-12-31",
            "２０２８-03-06",
            " 2028-03-06",
            "2028-03-06\n",
            20280306,
            True,
            [],
            {},
        ),
    ],
)
def test_unreadable_date_is_refused(day: object) -> None:
    assert set(refused("engagement.extension_agreed", end=day)) == {"/data/end"}


@pytest.mark.rule("MEM6", "COH5")
@pytest.mark.parametrize(
    "name",
    [
        *(
            "Ana\nBcc: eve@example.org",
            "Ana\rPérez",
            "Ana\u2028Pérez",
            "Ana\u0085",
            "Ana\x00",
            "Ana\x1b[31m",
            "\x7f",
        ),
        *("", "   ", "\u200b\u2060", "A" * 201, "Ana\ud800", 7, None, ["Ana"], {"first": "Ana"}),
    ],
)
def test_name_with_line_breaks_or_controls_is_refused(name: object) -> None:
    assert set(refused("member.updated", name=name)) == {"/data/name"}
    assert set(refused("letter.signed", name=name)) == {"/data/name"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "{{ config }}",
            "{% raw %}",
            "${7*7}",
            "<script>alert(1)</script>",
            "Robert'); DROP TABLE members;--",
        ),
        *(
            "مريم الشريف",
            "שרה לוי",
            "\u202eabc",
            "O’Brien, Jr.",
            "José-María",
            "王小明",
            "A",
            "👩‍🚒",
            "A" * 200,
            "null",
        ),
        *("=cmd|' /C calc'!A0", "../../etc/passwd", "%s%n", "\\0", "Zoe\u0301"),
    ],
)
def test_unusual_names_are_accepted(name: str) -> None:
    assert accepted("member.updated", name=name)["name"] == name


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "ana",
            "@example.org",
            "ana@",
            "ana@example",
            "ana@@example.org",
            "ana@example..org",
            "ana@-a.org",
        ),
        *("Ana <ana@example.org>", "ana@example.org, eve@example.org", "ana@example.org;eve@example.org"),
        *(
            "ana@example.org\nBcc: eve@example.org",
            "ana\r\n@example.org",
            "ana@example.org\x00",
            "a na@example.org",
        ),
        *("ana@[127.0.0.1]", "ana@127.0.0.1", '"ana"@example.org', "ana(a)@example.org", ".ana@example.org"),
        *("ana.@example.org", "a..na@example.org", "añá@example.org", "a" * 65 + "@example.org"),
        *(
            "a@" + "b" * 63 + ".",
            "a@" + ".".join(["b" * 60] * 5) + ".org",
            "ana@exämple\u2028.org",
            7,
            None,
            [],
            {},
        ),
    ],
)
def test_anything_but_one_plain_mail_address_is_refused(address: object) -> None:
    assert set(refused("member.updated", email=address)) == {"/data/email"}


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("ana+mentoring@sub.example.org", "ana+mentoring@sub.example.org"),
        ("O'Brien_1@EXAMPLE.org", "O'Brien_1@EXAMPLE.org"),
        (" ana@example.org ", "ana@example.org"),
        ("ana@bücher.example", "ana@bücher.example"),
        ("\ufeffana@exam\u200bple.org\u00a0\t", "ana@example.org"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_mail_address_is_kept_as_given_without_what_nobody_sees(address: str, kept: str) -> None:
    assert accepted("member.updated", email=address)["email"] == kept


WRONG: dict[tuple[str, str], list[object]] = {
    ("member.updated", "member"): ["", "a" * 65, "a b", "a/b", "añá", "a\n", 7, True],
    ("profile.created", "role"): ["", "Mentor", "admin", ["mentor"], 1],
    ("member.updated", "standing"): ["Good", "expired", True],
    ("member.updated", "time_zone"): ["Bogota", "UTC-5", "../../etc/passwd", "a" * 9999, 5],
    ("member.updated", "country"): ["co", "COL", "C0", "", "Colombia", 57],
    ("member.updated", "nationality"): ["ve", "X"],
    ("member.updated", "subdivision"): ["US-", "US NY", "A" * 8, 1],
    ("member.updated", "birth_year"): [1899, 2101, "1990", 1990.5, True, float("nan")],
    ("member.updated", "years_management"): [-1, 81, float("inf")],
    ("member.updated", "employer"): ["", "a" * 201, "a\nb", 5],
    ("profile.created", "mentees_at_a_time"): [-1, 1001, "2", True, 10**400],
    ("profile.created", "areas"): [{}, 7, ["a"] * 51],
    ("request.created", "months"): [0, 121, "6"],
    ("request.created", "message"): ["a" * 10_001, "a\x00", "a\x1b", "\ud800", ["a"]],
    ("engagement.discovery", "answer"): ["yes", "Good_fit", True],
    ("engagement.met", "answer"): [True, "maybe"],
    ("engagement.ended", "reason"): ["misconduct", "", "goals met"],
    ("engagement.misconduct_reported", "text"): ["", " \n "],
    ("claim.submitted", "certification"): ["psp", "P", "A" * 11, "PSP;"],
    ("claim.domains_chosen", "domains"): [[], {}, 7],
    ("letter.signed", "for"): ["both", "p-1"],
    ("survey.answered", "answers"): [
        [],
        "yes",
        {"a b": 1},
        {"": 1},
        {"x" * 65: 1},
        {f"q{n}": 1 for n in range(101)},
    ],
    ("mail.bounced", "kind"): ["Hard", "unknown"],
    ("meetup.scheduled", "starts_at"): [
        "2028-04-05",
        "12:00",
        "2028-04-05T25:00:00",
        0,
        "2028-04-05T12:00:00+99:00",
        "0001-01-01T00:00:00Z",
    ],
    ("meetup.scheduled", "duration"): [
        "1h",
        "P1M",
        "PT0S",
        "P8D",
        "PT" + "0" * 36 + "5M!",
        0,
        "P" + "9" * 5000 + "D",
    ],
    ("meetup.scheduled", "link"): [
        "http://example.org",
        "javascript:alert(1)",
        "https://",
        "https://a@example.org",
        "https://example.org/ x",
        1,
    ],
    ("staff.cancel", "target"): [
        "p-1",
        "onboarding/",
        "onboarding/a/b",
        "inbox",
        "member/a",
        "claim/r-1",
        "claim/r-1/both/PSP",
        "survey/r-1/mentor/PSP",
    ],
    ("staff.cancel", "reason"): ["", "\t", "a" * 10_001],
    ("staff.cancel", "actor"): ["", "lina\neve", 7],
}
"""Values that a field of an event does not take."""


@pytest.mark.parametrize(
    ("type", "field", "value"), [(*place, value) for place, values in WRONG.items() for value in values]
)
def test_wrong_value_is_refused_by_its_field(type: str, field: str, value: object) -> None:
    assert set(refused(type, **{field: value})) == {f"/data/{field}"}


@pytest.mark.parametrize(
    ("certification", "pointers"),
    [
        ({}, {"code", "cycle_start", "cycle_end"}),
        ({"code": "PSP", "cycle_start": "2029-12-31", "cycle_end": "2027-01-01"}, {"cycle_end"}),
        ({"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": None}, {"cycle_end"}),
        ({"code": "psp", "cycle_start": "soon", "cycle_end": "2027-01-01"}, {"code", "cycle_start"}),
    ],
)
@pytest.mark.rule("T8")
def test_certification_with_an_unreadable_cycle_is_refused(
    certification: dict[str, object], pointers: set[str]
) -> None:
    good = {"code": "CPP", "cycle_start": "2027-01-01", "cycle_end": "2027-01-01"}
    found = refused("member.updated", certifications=[good, certification])
    assert set(found) == {f"/data/certifications/1/{field}" for field in pointers}
    assert set(refused("member.updated", certifications=[good, "PSP"])) == {"/data/certifications/1"}


def test_all_errors_are_reported_at_once() -> None:
    _, problems = check_event(
        "member.updated", {"name": "", "email": "x", "standing": "good", "country": "co"}
    )
    assert {problem.pointer for problem in problems} == {
        "/data/member",
        "/data/name",
        "/data/email",
        "/data/country",
    }


@pytest.mark.rule("MEM6")
def test_error_never_quotes_the_input() -> None:
    secret = "Perez-secret"
    for type, smallest in SMALLEST.items():
        for field in smallest:
            for odd in (secret + "\n", [secret], {secret: secret}, {"a": secret + "\x00"}, secret * 2000):
                for problem in check_event(type, smallest | {field: odd})[1]:
                    assert secret not in problem.pointer + problem.reason


@pytest.mark.parametrize(
    "type", ["", "member.update", "Member.Updated", "staff.", "x" * 100_000, None, 7, [], {}]
)
def test_unknown_event_type_is_an_error_of_the_type(type: Any) -> None:
    data, problems = check_event(type, MEMBER)
    assert data == {}
    assert [problem.pointer for problem in problems] == ["/type"]


def test_misspelled_event_type_gets_a_suggestion() -> None:
    assert check_event("member.update", MEMBER)[1] == [
        FieldError("/type", "'member.update' is no type of event; did you mean member.updated?")
    ]


@pytest.mark.rule("STA3", "ONB5")
@pytest.mark.parametrize(
    ("target", "details", "pointers"),
    [
        ("onboarding/p-1", {"check_ins": 2}, set()),
        ("request/r-1", {"business_days": 60}, set()),
        ("engagement/r-1", {"months": 3}, set()),
        ("engagement/r-1", {"end": "2029-01-31"}, set()),
        ("onboarding/p-1", {}, {"/data/check_ins"}),
        ("onboarding/p-1", {"months": 1}, {"/data/months"}),
        ("onboarding/p-1", {"check_ins": 27}, {"/data/check_ins"}),
        ("onboarding/p-1", {"check_ins": 1, "months": 1}, {"/data/months"}),
        ("request/r-1", {"business_days": 0}, {"/data/business_days"}),
        ("request/r-1", {"end": "2029-01-31"}, {"/data/end"}),
        ("engagement/r-1", {"months": 1, "end": "2029-01-31"}, {"/data/end"}),
        ("engagement/r-1", {"end": "soon"}, {"/data/end"}),
        ("survey/r-1/mentor", {"months": 1}, {"/data/target"}),
        ("claim/r-1/mentor/PSP", {"months": 1}, {"/data/target"}),
    ],
)
def test_extension_takes_only_the_unit_of_its_target(
    target: str, details: dict[str, object], pointers: set[str]
) -> None:
    _, problems = check_event("staff.extend", {"target": target, **STAFF, **details})
    assert {problem.pointer for problem in problems} == pointers


@pytest.mark.rule("ONB5")
@pytest.mark.parametrize("type", ["staff.pause", "staff.resume"])
def test_only_onboardings_and_engagements_pause(type: str) -> None:
    assert set(refused(type, target="request/r-1")) == {"/data/target"}
    assert accepted(type, target="engagement/r-1")


def test_plan_takes_months_or_an_end_but_not_both() -> None:
    assert set(refused("engagement.plan_agreed", months=6, end="2028-12-31")) == {"/data/end"}


def test_bounce_names_the_delivery_or_the_message() -> None:
    assert check_event("mail.bounced", {"message_id": "<a@example.org>", "kind": "soft"})[1] == []
    assert check_event("mail.bounced", {"kind": "soft"})[1][0].pointer == "/data/delivery"


@pytest.mark.parametrize(
    ("type", "about", "needed"),
    [
        ("member.updated", "member/ana", ()),
        ("profile.created", "onboarding/p-1", ("member/ana",)),
        ("profile.updated", "onboarding/p-1", ("profile/p-1",)),
        ("profile.withdrawn", "onboarding/p-1", ("profile/p-1",)),
        ("request.created", "request/r-1", ("profile/p-1", "profile/p-2")),
        ("request.accepted", "request/r-1", ("request/r-1",)),
        ("engagement.met", "engagement/r-1", ("engagement/r-1",)),
        ("letter.signed", "engagement/r-1", ("engagement/r-1",)),
        ("claim.domains_chosen", "engagement/r-1", ("engagement/r-1",)),
        ("survey.answered", "engagement/r-1", ("engagement/r-1",)),
        ("mail.bounced", "mail/d-1", ()),
        ("meetup.scheduled", "meetup/m-1", ()),
        ("meetup.changed", "meetup/m-1", ("meetup/m-1",)),
        ("staff.cancel", "onboarding/p-1", ("profile/p-1",)),
        ("staff.extend", "request/r-1", ("request/r-1",)),
        ("staff.pause", "engagement/r-1", ("engagement/r-1",)),
    ],
)
def test_event_names_its_target_and_its_prerequisites(type: str, about: str, needed: tuple[str, ...]) -> None:
    assert subject(type, SMALLEST[type]) == about
    assert references(type, SMALLEST[type]) == needed


def test_staff_act_on_a_claim_or_survey_needs_the_engagement() -> None:
    for target in ("claim/r-1/mentor/PSP", "survey/r-1/mentee"):
        data = accepted("staff.cancel", target=target)
        assert subject("staff.cancel", data) == target
        assert references("staff.cancel", data) == ("engagement/r-1",)


def test_bounce_without_a_delivery_targets_its_message() -> None:
    assert (
        subject("mail.bounced", {"message_id": "<a@example.org>", "kind": "soft"}) == "mail/<a@example.org>"
    )


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=30),
        st.sampled_from(
            ["mentor", "2028-03-06", "onboarding/p-1", "PSP", "https://example.org", "a@example.org"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
FIELDS = sorted(
    {key for model in EVENT_TYPES.values() for key in keys_of(model)} | {"code", "cycle_end", "odd", "rol"}
)


def holds(type: str, data: dict[str, Any], problems: list[FieldError]) -> None:
    """What `check_event` promises of its answer."""
    if problems:
        assert data == {}
        assert all(problem.pointer.startswith(("/data", "/type")) and problem.reason for problem in problems)
    else:
        json.dumps(data, allow_nan=False).encode()
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
        assert check_event(type, data) == (data, [])
        assert "/" in subject(type, data)
        assert all("/" in reference for reference in references(type, data))


@given(type=st.sampled_from(sorted(EVENT_TYPES)), data=JSON)
def test_no_json_value_crashes_the_validation(type: str, data: object) -> None:
    holds(type, *check_event(type, data))


@given(
    type=st.sampled_from(sorted(EVENT_TYPES)),
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    left_out=st.sets(st.sampled_from(FIELDS), max_size=2),
)
def test_no_field_value_crashes_the_validation(
    type: str, changes: dict[str, object], left_out: set[str]
) -> None:
    data = {key: value for key, value in (SMALLEST[type] | changes).items() if key not in left_out}
    holds(type, *check_event(type, data))


@given(type=st.text(max_size=30), data=JSON)
def test_no_event_type_crashes_the_validation(type: str, data: object) -> None:
    checked, problems = check_event(type, data)
    assert type in EVENT_TYPES or (checked == {} and problems)
