"""Program files and the catalogue: what a good one says, and how a wrong one is refused."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields
from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.calendar import Hours, calendar_for
from rules.holiday_data import HolidayChange
from rules.messages import MessageClass
from rules.program import NEEDED_RESOURCES, Program, load_program, parse_program
from rules.program.catalogue import BUNDLED_CATALOGUE, load_catalogue, parse_catalogue
from rules.program.toml_schema import ProgramError

FILE = Path(__file__).resolve().parents[2] / "programs" / "asis-global.toml"
TEXT = FILE.read_text(encoding="utf-8")
HOURS_COUNTRY = 'country = "US"'
CATALOGUE = load_catalogue()
CATALOGUE_TEXT = BUNDLED_CATALOGUE.read_text(encoding="utf-8")

pytestmark = pytest.mark.rule("COH5")


def changed(*swaps: tuple[str, str], text: str = TEXT) -> str:
    """The bundled program with some of its text swapped for other text."""
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def mistakes(text: str) -> dict[str, str]:
    """The reason for each key of a file that is refused."""
    with pytest.raises(ProgramError) as refused:
        parse_program(text, "wrong.toml", CATALOGUE)
    found = refused.value.mistakes
    assert found
    assert {mistake.file for mistake in found} == {"wrong.toml"}
    assert str(refused.value).splitlines() == [str(mistake) for mistake in found]
    return {mistake.key: mistake.reason for mistake in found}


@pytest.fixture(scope="module")
def program() -> Program:
    return load_program(FILE)


@pytest.mark.rule("ONB1", "ONB2", "ONB4", "ONB5", "MEM1", "MEM3")
def test_bundled_program_has_the_numbers_of_the_handbook(program: Program) -> None:
    onboarding, request, engagement = program.onboarding, program.request, program.engagement
    assert (onboarding.welcome_after_days, onboarding.starts_after_days) == (7, 7)
    assert onboarding.check_ins == (0, 14, 28, 42)
    assert (onboarding.extension_spacing_days, onboarding.unmatched_after_days) == (14, 14)
    assert (onboarding.lapsed_after_days, onboarding.mentor_years) == (60, 5)
    assert onboarding.mentor_certifications == ("APP",)
    assert request.answer_business_days == 2
    assert request.unanswered_business_days == 3
    assert request.expires_business_days == 10
    assert (engagement.default_months, engagement.discovery_days, engagement.discovery_repeats) == (6, 14, 1)
    assert (engagement.pulse_from_month, engagement.inactive_after_pulses, engagement.wrap_up_days) == (
        2,
        2,
        14,
    )
    assert (program.credit.amount("mentor"), program.credit.amount("mentee"), program.credit.cap) == (
        9,
        5,
        30,
    )
    assert (program.credit.gate_months, program.credit.precheck_months) == (6, 5)
    assert program.credit.reminder_days == program.survey.reminder_days == (7, 14, 21)
    assert (program.credit.task_after_days, program.credit.missing_after_days) == (28, 60)
    assert program.credit.certifications == ("APP", "CPP", "PCI", "PSP")
    assert program.survey.closes_after_days == 30
    assert program.events.hold_hours == 24
    assert dict(program.mail.stale_after) == {"owed": 7, "nudge": 3, "compliance": 14}
    assert dict(program.mail.when_stale) == {"owed": "ask", "nudge": "skip", "compliance": "send"}
    assert set(program.mail.stale_after) == set(MessageClass)


@pytest.mark.rule("ONB7", "MAIL5")
def test_bundled_program_names_its_manager_and_mailbox(program: Program) -> None:
    assert (program.id, program.name) == ("asis-global", "Security Leaders Mentoring Program")
    assert program.languages == ("en", "es")
    assert (program.manager.name, program.manager.title) == ("Lina Forero", "Member Engagement Specialist")
    assert program.mailbox == "mentoring@asisonline.org"
    assert set(NEEDED_RESOURCES) <= set(program.resources)
    assert all(link.startswith("https://") for link in program.resources.values())


@pytest.mark.rule("T1", "T4")
def test_program_hours_define_its_calendars(program: Program) -> None:
    assert program.hours == Hours(
        working_week=None,
        closing_days=frozenset(),
        send_time=time(9),
        close_of_business=time(17),
        country="US",
        subdivision=None,
        zone="America/New_York",
    )
    assert not calendar_for(program.hours, None, None, None).is_business_day(date(2028, 7, 4))


@pytest.mark.rule("T1", "COH5")
def test_program_file_strikes_and_adds_holidays_by_place() -> None:
    """Texas keeps its offices open on some of its holidays."""
    holidays = """
    working_week = ["monday", "tuesday"]
    [[hours.holidays]]
    country = "US"
    subdivision = "us-tx"
    strike = ["Texas Independence Day", "03-31", 2027-04-21]
    add = ["12-24", 2027-02-01]
    """
    changed_program = parse_program(
        changed(("[onboarding]", holidays + "[onboarding]")), "changed.toml", CATALOGUE
    )
    change = HolidayChange(
        "US",
        "TX",
        frozenset({"Texas Independence Day", "03-31", "2027-04-21"}),
        frozenset({"12-24", "2027-02-01"}),
    )
    assert changed_program.hours.holidays == (change,)
    assert changed_program.hours.working_week == frozenset({0, 1})
    table = {(setting.section, setting.key): setting for setting in changed_program.describe()}
    assert table["hours", "holidays"].value == (
        "US-TX: not 03-31, not 2027-04-21, not Texas Independence Day, 12-24, 2027-02-01"
    )


def test_survey_questions_differ_by_role_in_every_language(program: Program) -> None:
    for role in ("mentor", "mentee"):
        questions = program.survey.questions(role)
        assert {question.kind for question in questions} == {"yes_no", "choice", "rating", "text"}
        assert all(set(question.text) == set(program.languages) for question in questions)
    of_mentor, of_mentee = program.survey.questions("mentor"), program.survey.questions("mentee")
    assert not {question.text_in("en") for question in of_mentor} & {
        question.text_in("en") for question in of_mentee
    }
    assert of_mentor[0].choices[0].text_in("es") == "Sí, del todo"
    assert of_mentor[0].choices[0].text_in("fr") == "Yes, all the way"


@pytest.mark.rule("MAIL5")
@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        (["es", "en"], "es"),
        (["fr", None, "", "ES_co"], "es"),
        (["en-GB", "es"], "en"),
        (["fr"], "en"),
        ([], "en"),
        ([3, {}], "en"),
    ],
)
def test_first_preferred_language_of_the_program_is_used(
    program: Program, wishes: list[object], language: str
) -> None:
    assert program.language(wishes) == language
    assert program.language(wishes, ["en"]) == "en"


def test_settings_table_has_every_value_with_its_rules(program: Program) -> None:
    table = {(setting.section, setting.key): setting for setting in program.describe()}
    assert table["onboarding", "check_ins"].value == "0, 14, 28, 42"
    assert table["onboarding", "check_ins"].rules == ("ONB2",)
    assert table["hours", "working_week"].value == "of each country"
    assert table["hours", "holidays"].value == "none"
    assert table["hours", "subdivision"].value == "-"
    assert table["mail", "stale_after.nudge"].value == "3"
    assert table["resources", "directory"].value == program.resources["directory"]
    assert all(setting.rules and setting.about for setting in table.values())

    written = tomllib.loads(TEXT)
    for name, value in written.items():
        keys = value if isinstance(value, dict) else {name: value}
        section = name if isinstance(value, dict) else "program"
        for key, inner in keys.items():
            shown = [f"{key}.{deeper}" for deeper in inner] if isinstance(inner, dict) else [key]
            assert all((section, each) in table for each in shown), (section, key)
    assert {key for section, key in table if section == "hours"} == {field.name for field in fields(Hours)}


def test_fingerprint_follows_content_and_not_layout(program: Program) -> None:
    laid_out = TEXT.replace("\n[", "\n\n# a remark\n[").replace("wrap_up_days = 14", "wrap_up_days    =   14")
    assert laid_out != TEXT
    assert parse_program(laid_out, "x").fingerprint == program.fingerprint
    other = parse_program(changed(("wrap_up_days = 14", "wrap_up_days = 15")), "x")
    assert other.fingerprint != program.fingerprint
    assert len(program.fingerprint) == 64


@pytest.mark.rule("CPE11")
def test_letters_are_kept_for_the_programs_years_or_five(
    program: Program,
) -> None:
    assert program.credit.retention_years == 5
    assert (
        parse_program(changed(("retention_years = 5", "retention_years = 7")), "x").credit.retention_years
        == 7
    )
    assert parse_program(changed(("retention_years = 5", "")), "x").credit.retention_years == 5
    (shown,) = [setting for setting in program.describe() if setting.key == "retention_years"]
    assert (shown.section, shown.value, shown.rules) == ("credit", "5", ("CPE11",))
    assert "kept" in shown.about


def test_loaded_program_is_immutable(program: Program) -> None:
    with pytest.raises(AttributeError):
        program.onboarding.mentor_years = 0  # type: ignore[misc]
    with pytest.raises(TypeError):
        program.resources["directory"] = "https://elsewhere.example.org"  # type: ignore[index]


def test_all_mistakes_are_reported_at_once() -> None:
    found = mistakes(
        changed(
            ("welcome_after_days", "welcome_after_day"),
            ("[0, 14, 28, 42]", "[0, 28, 14, 42]"),
            ("unmatched_after_days = 14", "unmatched_after_days = -1"),
            ("America/New_York", "Amercia/New_York"),
            ('country = "US"', 'country = "XX"'),
            (
                '"https://www.asisonline.org/mentoring/directory"',
                '"http://www.asisonline.org/mentoring/directory"',
            ),
            ('email = "mentoring@asisonline.org"', 'email = "a@example.org\\nBcc: b@example.org"'),
            ('"CPP", "PCI"', '"CPP", "CISSP"'),
            ('text.es = "En conjunto, ¿cómo fue la experiencia para usted?"', ""),
            ("required = true", 'required = "yes"'),
        )
    )
    assert found == {
        "onboarding.welcome_after_days": "is missing",
        "onboarding.welcome_after_day": "is no key of this table; did you mean welcome_after_days?",
        "onboarding.check_ins": "must be in ascending order",
        "onboarding.unmatched_after_days": "must be a whole number from 0 to 730, not -1",
        "hours.zone": (
            "'Amercia/New_York' is no time zone of the zone database; did you mean America/New_York?"
        ),
        "hours.country": "must be the code of a country with known holidays, of two capital letters, like CO, not 'XX'",
        "resources.directory": "must be an https address, like https://www.example.org/page, not 'http://www.asisonline.org/mentoring/directory'",
        "manager.email": "must be on one line, without line breaks or other control characters",
        "credit.certifications[2]": "'CISSP' is no certification of the catalogue",
        "survey.mentor[5].text.es": "is missing: every text is needed in every language",
        "survey.mentor[0].required": "must be true or false, not the text 'yes'",
    }


def test_mistake_is_one_line_of_file_key_and_reason() -> None:
    with pytest.raises(ProgramError) as refused:
        parse_program(changed(("mentor_years = 5", "mentor_years = true")), "programs/mine.toml")
    assert str(refused.value) == (
        "programs/mine.toml: onboarding.mentor_years: must be a whole number from 0 to 80, not true"
    )


@pytest.mark.parametrize(
    ("swap", "key", "part_of_reason"),
    [
        (('id = "asis-global"', 'id = "asis global"'), "id", "1 to 64 characters"),
        (('id = "asis-global"', "id = 7"), "id", "must be text, not the number 7"),
        (('name = "Lina Forero"', 'name = "Lina\\u0007"'), "manager.name", "control characters"),
        (('name = "Lina Forero"', 'name = "Lina\\u2028Forero"'), "manager.name", "line breaks"),
        (('name = "Lina Forero"', 'name = " \\u200b "'), "manager.name", "must not be empty"),
        (('name = "Lina Forero"', f'name = "{"L" * 76}"'), "manager.name", "at most 75 characters"),
        (('email = "mentoring@', 'email = "Lina <mentoring@'), "manager.email", "one mail address"),
        (
            ('mailbox = "mentoring@asisonline.org"', 'mailbox = "asisonline.org"'),
            "mailbox",
            "one mail address",
        ),
        (('languages = ["en", "es"]', "languages = []"), "languages", "must not be empty"),
        (('languages = ["en", "es"]', 'languages = ["en", "en"]'), "languages[1]", "is there twice"),
        (('languages = ["en", "es"]', 'languages = ["EN", "es"]'), "languages[0]", "lower case"),
        (('languages = ["en", "es"]', 'languages = "en"'), "languages", "must be a list, not the text 'en'"),
        (
            ('languages = ["en", "es"]', 'languages = ["en"]'),
            "survey.mentee[0].text.es",
            "none of the file's languages",
        ),
        (
            ('languages = ["en", "es"]', 'languages = ["en", "es", "pt"]'),
            "survey.mentor[0].choices[2].text.pt",
            "is missing",
        ),
        (
            ("closing_days = []", 'closing_days = []\nworking_week = ["Monday"]'),
            "hours.working_week[0]",
            "one of monday",
        ),
        (
            (HOURS_COUNTRY, HOURS_COUNTRY + '\nholidays = [{ country = "US", subdivision = "ZZ" }]'),
            "hours.holidays[0].subdivision",
            "no part of US",
        ),
        (
            (HOURS_COUNTRY, HOURS_COUNTRY + '\nholidays = [{ country = "US", strike = ["Texas Day"] }]'),
            "hours.holidays[0].strike[0]",
            "no holiday of US",
        ),
        (
            (HOURS_COUNTRY, HOURS_COUNTRY + '\nholidays = [{ country = "US", add = ["Texas Day"] }]'),
            "hours.holidays[0].add[0]",
            "must be a date",
        ),
        (
            (HOURS_COUNTRY, HOURS_COUNTRY + '\nholidays = [{ country = "US", add = ["02-30"] }]'),
            "hours.holidays[0].add[0]",
            "must be a day like 12-24",
        ),
        (("closing_days = []", 'closing_days = ["24 December"]'), "hours.closing_days[0]", "must be a date"),
        (("send_time = 09:00:00", 'send_time = "09:00"'), "hours.send_time", "without quotes"),
        (("send_time = 09:00:00", "send_time = 09:00:30"), "hours.send_time", "full minute"),
        (("send_time = 09:00:00", "send_time = 17:00:00"), "hours.close_of_business", "later than send_time"),
        (("send_window = 0", "send_window = 481"), "hours.send_window", "from 0 to 480"),
        (("send_window = 0", "send_window = -1"), "hours.send_window", "from 0 to 480"),
        (("send_window = 0", "send_window = 7.5"), "hours.send_window", "whole number"),
        (
            ("send_time = 09:00:00 # T4\nsend_window = 0", "send_time = 09:01:00\nsend_window = 480"),
            "hours.send_window",
            "end by close_of_business",
        ),
        (('country = "US"', 'country = "us"'), "hours.country", "capital letters"),
        (('country = "US"', 'country = "US"\nsubdivision = "ZZ"'), "hours.subdivision", "no part of US"),
        (('"America/New_York"', '"../../etc/passwd"'), "hours.zone", "no time zone"),
        (("check_ins = [0, 14, 28, 42]", "check_ins = []"), "onboarding.check_ins", "must not be empty"),
        (("check_ins = [0, 14,", "check_ins = [0, 0,"), "onboarding.check_ins[1]", "is there twice"),
        (
            ("check_ins = [0, 14,", "check_ins = [0, 14.5,"),
            "onboarding.check_ins[1]",
            "must be a whole number",
        ),
        (
            ("lapsed_after_days = 60", "lapsed_after_days = nan"),
            "onboarding.lapsed_after_days",
            "whole number",
        ),
        (
            ("lapsed_after_days = 60", "lapsed_after_days = 9e99"),
            "onboarding.lapsed_after_days",
            "whole number",
        ),
        (('["APP"] # MEM3', '["APPLE"]'), "onboarding.mentor_certifications[0]", "did you mean APP?"),
        (
            ("answer_business_days = 2", "answer_business_days = 4"),
            "request.unanswered_business_days",
            "less than",
        ),
        (
            ("expires_business_days = 10", "expires_business_days = 3"),
            "request.expires_business_days",
            "more than",
        ),
        (("precheck_months = 5", "precheck_months = 6"), "credit.precheck_months", "less than gate_months"),
        (("task_after_days = 28", "task_after_days = 21"), "credit.reminder_days", "before task_after_days"),
        (("missing_after_days = 60", "missing_after_days = 28"), "credit.missing_after_days", "more than"),
        (("retention_years = 5", "retention_years = 0"), "credit.retention_years", "from 1 to 100"),
        (("retention_years = 5", 'retention_years = "5"'), "credit.retention_years", "whole number"),
        (
            ('counts_as = "Instructor"', 'counts_as = "Instructors"'),
            "credit.counts_as",
            "did you mean Instructor?",
        ),
        (("{ Instructor = 30 }", "{ Instructor = 31 }"), "credit.caps.Instructor", "catalogue's cap of 30"),
        (("{ Instructor = 30 }", "{ Instructor = 30, Author = 5 }"), "credit.caps.Author", "no category"),
        (
            ("closes_after_days = 30", "closes_after_days = 21"),
            "survey.reminder_days",
            "before closes_after_days",
        ),
        (('id = "mentor_helped"', 'id = "goals_met"'), "survey.mentor[1].id", "is there twice"),
        (('kind = "rating"', 'kind = "ratings"'), "survey.mentor[5].kind", "did you mean rating?"),
        (('kind = "choice"', 'kind = "yes_no"'), "survey.mentor[0].choices", "has no place"),
        (('kind = "yes_no"', 'kind = "choice"'), "survey.mentor[1].choices", "at least 2"),
        (("nudge = 3,", ""), "mail.stale_after.nudge", "is missing"),
        (('nudge = "skip"', 'nudgge = "skip"'), "mail.when_stale.nudgge", "did you mean nudge?"),
        (('owed = "ask"', 'owed = "wait"'), "mail.when_stale.owed", "one of send, skip, ask"),
        (("retry_days = 5", "retry_days = 0"), "mail.retry_days", "from 1 to 30"),
        (("oskar = ", "oscar = "), "resources.oskar", "is missing; did you mean oscar?"),
        (("directory = ", "Directory = "), "resources.Directory", "lower case"),
        (
            ("https://www.asisonline.org/mentoring/directory", "https://user:pw@example.org/"),
            "resources.directory",
            "https address",
        ),
        (
            ("https://www.asisonline.org/mentoring/directory", 'https://example.org/\\" onclick=\\"x'),
            "resources.directory",
            "https address",
        ),
        (("[events]", "[event]"), "event", "did you mean events?"),
        (("[events]", "[events.deeper]"), "events.deeper", "no key of this table"),
        (('id = "asis-global"', '"i\\nd" = "x"\nid = "asis-global"'), '"i\\nd"', "no key of this table"),
    ],
)
def test_wrong_value_is_refused_with_its_key_and_reason(
    swap: tuple[str, str], key: str, part_of_reason: str
) -> None:
    found = mistakes(changed(swap))
    assert part_of_reason in found[key]


def test_every_table_and_key_is_required() -> None:
    found = mistakes("")
    assert {key for key, reason in found.items() if reason == "is missing"} == {
        field.name for field in fields(Program) if field.default is MISSING
    }


def test_custom_resource_may_have_a_custom_name() -> None:
    own = changed(("[resources]", '[resources]\nguide_week_1 = "https://guides.example.org/1"'))
    assert parse_program(own, "x").resources["guide_week_1"] == "https://guides.example.org/1"


def test_program_without_credit_and_with_a_place_is_valid() -> None:
    program = parse_program(
        changed(
            ('certifications = ["APP", "CPP", "PCI", "PSP"]', "certifications = []"),
            ('country = "US"', 'country = "ES"\nsubdivision = "CT"'),
            ("America/New_York", "Europe/Madrid"),
            ("closing_days = []", "closing_days = [2028-12-24, 2028-12-31]"),
        ),
        "x",
        CATALOGUE,
    )
    assert program.credit.certifications == ()
    assert program.hours.subdivision == "CT"
    assert program.hours.closing_days == {date(2028, 12, 24), date(2028, 12, 31)}


@pytest.mark.parametrize(
    ("text", "key", "part_of_reason"),
    [
        ('id = "a"\nname = \n', "line 2", "no TOML: Invalid value"),
        ('id = "a"\nid = "b"\n', "line 2", "no TOML: Cannot overwrite a value"),
        ('id = "a"\nname = """open', "line 2", "no TOML"),
        ("day = 2028-02-30", "line 1", "no TOML: Invalid date"),
        ('id = "\x00"', "line 1", "no TOML"),
        ("a = " + "[" * 3_000, "the file", "tables too deep"),
        ("a = 1\nb = " + "9" * 4_500, "line 2", "at most"),
        ("#\n" * 150_000, "the file", "at most"),
        ("." * 10, "line 1", "no TOML"),
    ],
)
def test_file_that_is_no_toml_is_refused_with_its_line(text: str, key: str, part_of_reason: str) -> None:
    found = mistakes(text)
    assert part_of_reason in found[key]


def test_deep_or_huge_file_is_refused_with_few_lines() -> None:
    assert mistakes("a" + ".a" * 1_900 + " = 1")["a"].startswith("is no key")
    assert len(mistakes("".join(f"key{n} = 1\n" for n in range(15_000)))) < 40
    strange = ", ".join(f'l{n} = "x"' for n in range(300))
    found = mistakes(changed(('text = { en = "Not yet", es = "Todavía no" }', f"text = {{ {strange} }}")))
    assert len(found) <= 101
    assert found["the file"].startswith("has ")


def test_unreadable_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"nowhere\.toml: the file: cannot be read: No such file"):
        load_program(tmp_path / "nowhere.toml")
    with pytest.raises(ProgramError, match="the file: cannot be read: Is a directory"):
        load_program(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes('id = "a"\nname = "Programa de Mentoría"'.encode("latin-1"))
    with pytest.raises(ProgramError, match=r"latin\.toml: line 2: is not UTF-8"):
        load_program(latin)
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * 10_000_000)
    with pytest.raises(ProgramError, match="at most"):
        load_program(huge)


def test_program_is_checked_against_its_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("\ufeff" + TEXT.replace("\n", "\r\n"), encoding="utf-8")
    assert load_program(file).fingerprint == load_program(FILE).fingerprint
    (tmp_path / "catalogue.toml").write_text(CATALOGUE_TEXT.replace('"PSP"', '"PSX"'), encoding="utf-8")
    with pytest.raises(
        ProgramError, match=r"credit\.certifications\[3\]: 'PSP' is no certification of the catalogue"
    ):
        load_program(file)


@given(st.text(max_size=300))
def test_no_text_crashes_the_program_parser(text: str) -> None:
    with pytest.raises(ProgramError):
        parse_program(text, "odd.toml", CATALOGUE)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.times(),
    st.datetimes(),
)
KEYS = sorted({key for table in tomllib.loads(TEXT).values() if isinstance(table, dict) for key in table})
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from([*KEYS, "text", "en", "odd"]), inner, max_size=6),
    ),
    max_leaves=12,
)


def as_toml(value: object) -> str:
    """A value in TOML's inline form; None has none and becomes an empty text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) or value is None:
        escaped = "".join(f"\\U{ord(character):08x}" for character in value or "")
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    return value.isoformat()  # type: ignore[attr-defined, no-any-return]


@given(table=st.sampled_from(sorted(tomllib.loads(TEXT))), tree=TREES)
def test_no_value_crashes_the_program_validation(table: str, tree: object) -> None:
    written = {key: "" for key in tomllib.loads(TEXT) if key != table}
    text = f"{table} = {as_toml(tree)}\n" + "".join(f'{key} = ""\n' for key in written)
    with pytest.raises(ProgramError) as refused:
        parse_program(text, "odd.toml", CATALOGUE)
    assert len(str(refused.value).splitlines()) == len(refused.value.mistakes)


def test_catalogue_has_the_certifications_and_their_domains() -> None:
    on = date(2028, 3, 6)
    assert CATALOGUE.codes == ("APP", "CPP", "PCI", "PSP")
    certifications = [known for code in CATALOGUE.codes if (known := CATALOGUE.certification(code, on))]
    domains = {known.code: [domain.id for domain in known.domains] for known in certifications}
    assert {code: len(ids) for code, ids in domains.items()} == {"APP": 4, "CPP": 7, "PCI": 3, "PSP": 3}
    everywhere = [id for ids in domains.values() for id in ids]
    assert len(everywhere) == len(set(everywhere))
    psp = CATALOGUE.certification("PSP", on)
    assert psp is not None
    assert psp.name_in("es") == "Profesional en Seguridad Física"
    assert (psp.cycle_years, psp.cycle_credits, psp.grace_months) == (3, 60, 3)
    categories = [CATALOGUE.category(id, on) for id in ("Membership", "Instructor", "Volunteer")]
    assert [category.cap for category in categories if category] == [24, 30, 30]


@pytest.mark.parametrize(
    "words", ["psp-assessment", "Physical Security Assessment", " evaluación de la SEGURIDAD física "]
)
def test_domain_is_found_by_id_or_name_in_any_language(words: str) -> None:
    psp = CATALOGUE.certification("PSP", date(2028, 3, 6))
    assert psp is not None
    domain = psp.domain(words)
    assert domain is not None
    assert domain.id == "psp-assessment"
    assert psp.domain("Investigations") is None


def test_catalogue_answers_for_the_given_day() -> None:
    text = changed(
        (
            '{ id = "psp-assessment", valid_from = 2021-01-01,',
            '{ id = "psp-assessment", valid_from = 2021-01-01, valid_until = 2029-12-31,',
        ),
        (
            "cap = 30\nvalid_from = 2021-01-01\n",
            "cap = 30\nvalid_from = 2021-01-01\nvalid_until = 2029-12-31\n\n[[categories]]\n"
            'id = "Instructor"\nnumber = 3\nname = { en = "Instructor", es = "Instructor" }\n'
            "cap = 20\nvalid_from = 2030-01-01\n",
        ),
        text=CATALOGUE_TEXT,
    )
    catalogue = parse_catalogue(text, "catalogue.toml")
    last, next_day = date(2029, 12, 31), date(2030, 1, 1)
    certifications = [catalogue.certification("PSP", day) for day in (last, next_day)]
    assert [len(known.domains) for known in certifications if known] == [3, 2]
    categories = [catalogue.category("Instructor", day) for day in (last, next_day)]
    assert [known.cap for known in categories if known] == [30, 20]
    assert catalogue.certification("PSP", date(2020, 12, 31)) is None
    assert catalogue.certification("XYZ", last) is None
    assert catalogue.category("Author", last) is None
    assert catalogue.fingerprint != CATALOGUE.fingerprint


@pytest.mark.parametrize(
    ("swap", "key", "part_of_reason"),
    [
        (
            ('code = "PSP"', 'code = "CPP"'),
            "certifications[3]",
            "CPP is there twice for some of the same days",
        ),
        (('code = "PSP"', 'code = "psp"'), "certifications[3].code", "certification's code"),
        (
            ('"pci-case-presentation"', '"pci-investigative-techniques"'),
            "certifications[2].domains[2]",
            "there twice",
        ),
        ((', es = "Gestión de crisis"', ""), "certifications[1].domains[6].name.es", "is missing"),
        (("cap = 24", "cap = -1"), "categories[0].cap", "whole number"),
        (
            (
                "cap = 24\nvalid_from = 2021-01-01",
                "cap = 24\nvalid_from = 2021-01-01\nvalid_until = 2020-01-01",
            ),
            "categories[0].valid_until",
            "before valid_from",
        ),
        (
            ("valid_from = 2021-01-01", "valid_from = 0001-01-01"),
            "categories[0].valid_from",
            "between the years",
        ),
        (("grace_months", "grace_month"), "certifications[0].grace_month", "did you mean grace_months?"),
        (('version = "2024-11"', "version = 1 2"), "line 9", "no TOML"),
    ],
)
def test_wrong_catalogue_is_refused_the_same_way(
    swap: tuple[str, str], key: str, part_of_reason: str
) -> None:
    with pytest.raises(ProgramError) as refused:
        parse_catalogue(changed(swap, text=CATALOGUE_TEXT), "catalogue.toml")
    found = {mistake.key: mistake.reason for mistake in refused.value.mistakes}
    assert part_of_reason in found[key]
