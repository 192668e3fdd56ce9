"""A program file, validated: every number of the rulebook (COH5).

A program is a TOML file and needs no code. The dataclasses here are its schema, one for each of its tables; a wrong
file is refused with all of its mistakes at once, each a line with file, key and reason. Days are calendar days
unless a name says business days; dates and times are local to whoever is mailed or has to act.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import available_timezones

from rules.calendar import Calendar, Hours, calendar_for, known_country, known_subdivision, known_zone
from rules.catalogue import BUNDLED_CATALOGUE, Catalogue, load_catalogue
from rules.messages import MessageClass
from rules.toml_schema import (
    Mistake,
    ProgramError,
    Setting,
    field,
    in_language,
    nested,
    parse,
    read_text,
    settings,
    table,
    table_validator,
    texts,
    tuple_of,
)
from rules.validation import (
    Issue,
    Issues,
    ValidationError,
    Validator,
    boolean,
    certification_code,
    choice,
    day,
    email,
    identifier,
    integer,
    kind_of,
    link,
    mapping,
    matching,
    multi_line,
    nearest,
    single_line,
    text_of,
)

__all__ = [
    "CreditPolicy",
    "EngagementPolicy",
    "EventPolicy",
    "MailPolicy",
    "Manager",
    "Mistake",
    "OnboardingPolicy",
    "Program",
    "ProgramError",
    "Question",
    "RequestPolicy",
    "Setting",
    "SurveyPolicy",
    "load_program",
    "parse_program",
]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ROLES = ("mentor", "mentee")

NEEDED_RESOURCES = (
    "directory",
    "profile",
    "membership",
    "library",
    "community",
    "video",
    "tip_sheet",
    "first_meeting_questions",
    "smart_goals",
    "oskar",
)
"""The names by which the bundled mails link to what every program has (MEE2); a program's own texts may use more."""

_MOST_CHECKED = 50
_DAYS = integer(0, 730)
_LANGUAGE = matching(re.compile(r"[a-z]{2,3}"), "a language's code in lower case, like es")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_QUESTION_ID = matching(_NAME, "an id like goals_met: lower case letters, digits and _")


def _ascending(least: int, most: int) -> Validator[tuple[int, ...]]:
    read_list = tuple_of(integer(least, most), least=1)

    def read(value: object) -> tuple[int, ...]:
        numbers = read_list(value)
        if list(numbers) != sorted(numbers):
            raise ValidationError("must be in ascending order")
        return numbers

    return read


def _weekdays(value: object) -> frozenset[int]:
    names = tuple_of(choice(*WEEKDAYS), least=1, most=7)(value)
    return frozenset(WEEKDAYS.index(name) for name in names)


def _weekdays_shown(days: frozenset[int]) -> str:
    return ", ".join(WEEKDAYS[day] for day in sorted(days))


def _closing_days(value: object) -> frozenset[date]:
    return frozenset(tuple_of(day, most=1000)(value))


def _time_of_day(value: object) -> time:
    if not isinstance(value, time):
        raise ValidationError(f"must be a time like 09:00:00, without quotes, not {kind_of(value)}")
    if value.second or value.microsecond:
        raise ValidationError("must be on a full minute")
    return value


def _zone(value: object) -> str:
    name = text_of(value)
    if not known_zone(name):
        raise ValidationError(f"is no time zone of the zone database{nearest(name, available_timezones())}")
    return name


def _country(value: object) -> str:
    code = text_of(value)
    if not (len(code) == 2 and code.isupper() and known_country(code)):
        raise ValidationError(
            "must be the code of a country with known holidays, of two capital letters, like CO"
        )
    return code


def _resources(value: object) -> Mapping[str, str]:
    given, faults = mapping(value), Issues()
    if len(given) > _MOST_CHECKED:
        raise ValidationError(f"must have at most {_MOST_CHECKED} entries")
    others = [name for name in given if name not in NEEDED_RESOURCES]
    for name in NEEDED_RESOURCES:
        if name not in given:
            faults.add(f"is missing{nearest(name, others)}", name)
    links: dict[str, str] = {}
    for name, address in given.items():
        if not _NAME.fullmatch(name):
            faults.add("must be named by lower case letters, digits and _", name)
        links[name] = faults.read(name, link, address) or ""
    faults.settle()
    return MappingProxyType(links)


def _by_class(read: Validator[Any]) -> Validator[Mapping[str, Any]]:
    def read_classes(value: object) -> Mapping[str, Any]:
        given, faults = mapping(value), Issues()
        kept = {}
        classes = [each.value for each in MessageClass]
        for name in classes:
            if name in given:
                kept[name] = faults.read(name, read, given[name])
            else:
                faults.add("is missing", name)
        for name in list(given)[:_MOST_CHECKED]:
            if name not in classes:
                faults.add(f"is no class of messages{nearest(name, classes)}", name)
        faults.settle()
        return MappingProxyType(kept)

    return read_classes


def _caps(value: object) -> Mapping[str, int]:
    faults = Issues()
    caps = {
        name: faults.read(name, integer(0, 1000), each)
        for name, each in list(mapping(value).items())[:_MOST_CHECKED]
    }
    faults.settle()
    return MappingProxyType({name: cap for name, cap in caps.items() if cap is not None})


def _reminders_end_before(days: tuple[int, ...], limit: int, key: str) -> Iterator[Issue]:
    if days[-1] >= limit:
        yield Issue(("reminder_days",), f"the last reminder must come before {key}, which is {limit}")


@table
class _HoursTable:
    """The `[hours]` of a program file; becomes `rules.calendar.Hours`."""

    working_week: frozenset[int] = field(_weekdays, "T1", about="the weekdays of work", show=_weekdays_shown)
    closing_days: frozenset[date] = field(
        _closing_days, "T1", about="days on which nobody of the program acts"
    )
    send_time: time = field(
        _time_of_day, "T4", about="when scheduled mail goes out, on the recipient's clock"
    )
    close_of_business: time = field(
        _time_of_day, "T2", about="when a due day ends, on the clock of who has to act"
    )
    country: str = field(_country, "T1", about="whose holidays count for persons of unknown country")
    subdivision: str | None = field(
        single_line(20), "T1", about="and of which part of the country", default=None
    )
    zone: str = field(
        _zone, "T4", "ENG1", about="the program's time zone, for its own dates and unknown persons"
    )

    def conflicts(self) -> Iterator[Issue]:
        """A subdivision that the country does not have, and a day that ends before its mail."""
        if self.subdivision is not None and not known_subdivision(self.country, self.subdivision):
            yield Issue(("subdivision",), f"is no part of {self.country} with known holidays")
        if self.close_of_business <= self.send_time:
            yield Issue(("close_of_business",), "must be later than send_time")

    def hours(self) -> Hours:
        """The same as the calendar takes it."""
        return Hours(
            working_week=self.working_week,
            closing_days=self.closing_days,
            send_time=self.send_time,
            close_of_business=self.close_of_business,
            country=self.country,
            subdivision=self.subdivision,
            zone=self.zone,
        )


@table
class Manager:
    """The person in whose name the program writes (ONB7)."""

    name: str = field(single_line(75), "ONB7", about="who writes")
    title: str = field(single_line(), "ONB7", about="and in what function")
    email: str = field(email, "STA4", about="where the program manager gets digests and alarms")


@table
class OnboardingPolicy:
    """The first weeks of mentors and mentees (MEM1, MEM3, ONB1, ONB2, ONB4, ONB5). Days are calendar days."""

    welcome_after_days: int = field(_DAYS, "ONB1", about="days from a mentor's profile to the welcome")
    starts_after_days: int = field(
        _DAYS, "ONB2", about="days from a mentee's profile to the anchor of the check-ins"
    )
    check_ins: tuple[int, ...] = field(
        _ascending(0, 730), "ONB2", about="days from the anchor to each check-in"
    )
    extension_spacing_days: int = field(
        integer(1, 365), "ONB5", about="days between the check-ins that staff add"
    )
    unmatched_after_days: int = field(
        _DAYS, "ONB4", about="days from the last check-in to closing as unmatched"
    )
    lapsed_after_days: int = field(
        _DAYS, "MEM1", about="days for good standing to return before closing as lapsed"
    )
    mentor_years: int = field(integer(0, 80), "MEM3", about="years in management that a mentor should have")
    mentor_certifications: tuple[str, ...] = field(
        tuple_of(certification_code), "MEM3", about="certifications that stand for those years"
    )


@table
class RequestPolicy:
    """How long a request may wait (REQ2, REQ4, REQ8). Business days of the person who has to act (T1, T2)."""

    answer_business_days: int = field(integer(1, 60), "REQ2", about="business days for the mentor to answer")
    unanswered_business_days: int = field(
        integer(1, 60), "REQ4", about="business days after which the mentee is offered to ask somebody else"
    )
    expires_business_days: int = field(integer(1, 250), "REQ8", about="business days after which it expires")

    def conflicts(self) -> Iterator[Issue]:
        """Deadlines in the wrong order."""
        if self.unanswered_business_days < self.answer_business_days:
            yield Issue(("unanswered_business_days",), "must not be less than answer_business_days")
        if self.expires_business_days <= self.unanswered_business_days:
            yield Issue(("expires_business_days",), "must be more than unanswered_business_days")


@table
class EngagementPolicy:
    """The course of an engagement (ENG2-ENG5). Months are calendar months (T3)."""

    default_months: int = field(integer(1, 120), "ENG3", about="months, where the two agreed on nothing else")
    discovery_days: int = field(
        integer(1, 365), "ENG2", about="days to the question about the discovery call"
    )
    discovery_repeats: int = field(
        integer(0, 12), "ENG2", about="how often it is asked again, as many days apart"
    )
    pulse_from_month: int = field(
        integer(1, 120), "ENG4", about="the first month in which both are asked if they met"
    )
    inactive_after_pulses: int = field(
        integer(1, 60), "ENG4", about="months in a row without a yes that open a task"
    )
    wrap_up_days: int = field(
        integer(1, 365), "ENG5", about="days before the planned end to ask: finish or extend"
    )


@table
class CreditPolicy:
    """Continuing education credit (CPE1-CPE4, CPE7, CPE9, CPE10). Months are calendar months (T3)."""

    mentor: int = field(integer(0, 1000), "CPE2", about="credits for the mentor of an engagement")
    mentee: int = field(integer(0, 1000), "CPE2", about="credits for the mentee of an engagement")
    gate_months: int = field(integer(1, 120), "CPE1", about="months that an engagement has to be active")
    precheck_months: int = field(
        integer(0, 120), "CPE7", about="months until domains, cycle and cap are checked"
    )
    reminder_days: tuple[int, ...] = field(
        _ascending(1, 365), "CPE7", about="days from the gate to each reminder"
    )
    task_after_days: int = field(integer(1, 730), "CPE7", about="days from the gate to the staff task")
    missing_after_days: int = field(integer(1, 730), "CPE7", about="days from the gate to evidence_missing")
    certifications: tuple[str, ...] = field(
        tuple_of(certification_code), "CPE3", about="whose holders get credit"
    )
    category: str = field(
        single_line(), "CPE9", "CPE10", about="the category of credit as the self-report form names it"
    )
    counts_as: str = field(identifier, "CPE9", about="the category under which it is capped: a key of caps")
    caps: Mapping[str, int] = field(
        _caps, "CPE9", about="the most credits of a category that count in one cycle"
    )
    sub_type: str = field(single_line(), "CPE10", about="the sub-type for the self-report form")
    sponsor: str = field(single_line(), "CPE10", about="the sponsor for the self-report form")
    location: str = field(single_line(), "CPE10", about="the location for the self-report form")
    retention_years: int = field(
        integer(1, 100),
        "CPE11",
        about="full calendar years for which letters and their record are kept",
        default=5,
    )

    def amount(self, role: str) -> int:
        """The credits of a role, `mentor` or `mentee`, for one engagement (CPE2)."""
        return {"mentor": self.mentor, "mentee": self.mentee}[role]

    @property
    def cap(self) -> int:
        """The most credits of this program's kind that count in one cycle (CPE9)."""
        return self.caps[self.counts_as]

    def conflicts(self) -> Iterator[Issue]:
        """Dates in the wrong order, and a category without its cap."""
        if self.precheck_months >= self.gate_months:
            yield Issue(("precheck_months",), "must be less than gate_months")
        yield from _reminders_end_before(self.reminder_days, self.task_after_days, "task_after_days")
        if self.missing_after_days <= self.task_after_days:
            yield Issue(("missing_after_days",), "must be more than task_after_days")
        if self.counts_as not in self.caps:
            yield Issue(("counts_as",), f"must be a key of caps{nearest(self.counts_as, self.caps)}")


@table
class Choice:
    """One of the answers to choose from."""

    id: str = field(_QUESTION_ID, "SUR1", about="what is stored as the answer")
    text: Mapping[str, str] = field(
        texts(single_line()), "SUR1", "MAIL5", about="the answer in each language"
    )

    def text_in(self, language: str) -> str:
        """The answer in a language, else in the program's first."""
        return in_language(self.text, language)


@table
class Question:
    """A question of a survey (SUR1): `yes_no`, one `choice` of several, a `rating`, or free `text`."""

    id: str = field(_QUESTION_ID, "SUR1", about="the id under which the answer is stored")
    kind: str = field(choice("yes_no", "choice", "rating", "text"), "SUR1", about="what is asked for")
    required: bool = field(boolean, "SUR1", about="whether it has to be answered", default=False)
    text: Mapping[str, str] = field(
        texts(multi_line(500, blank=False)), "SUR1", "MAIL5", about="the question in each language"
    )
    choices: tuple[Choice, ...] = field(
        tuple_of(table_validator(Choice), most=20), "SUR1", about="the answers of a choice", default=()
    )

    def text_in(self, language: str) -> str:
        """The question in a language, else in the program's first."""
        return in_language(self.text, language)

    def conflicts(self) -> Iterator[Issue]:
        """Choices where there are none to make, none where there are, and two of one id."""
        if self.kind == "choice" and len(self.choices) < 2:
            yield Issue(("choices",), "must have at least 2 entries for a question of the kind choice")
        if self.kind != "choice" and self.choices:
            yield Issue(("choices",), f"has no place in a question of the kind {self.kind}")
        yield from _ids_twice(("choices",), self.choices)


def _ids_twice(path: tuple[str, ...], entries: Sequence[Choice | Question]) -> Iterator[Issue]:
    seen: set[str] = set()
    for position, entry in enumerate(entries):
        if entry.id in seen:
            yield Issue((*path, position, "id"), f"{entry.id} is there twice")
        seen.add(entry.id)


def _questions_shown(questions: tuple[Question, ...]) -> str:
    return ", ".join(f"{question.id} ({question.kind})" for question in questions)


@table
class SurveyPolicy:
    """What mentors and mentees are asked at the end, and how long it stays open (SUR1, SUR2)."""

    reminder_days: tuple[int, ...] = field(
        _ascending(1, 365), "SUR2", about="days from sending to each reminder"
    )
    closes_after_days: int = field(integer(1, 730), "SUR2", about="days from sending until it closes")
    rating_most: int = field(integer(2, 10), "SUR1", about="the best rating; the worst is 1")
    mentor: tuple[Question, ...] = field(
        tuple_of(table_validator(Question), least=1),
        "SUR1",
        about="what mentors are asked",
        show=_questions_shown,
    )
    mentee: tuple[Question, ...] = field(
        tuple_of(table_validator(Question), least=1),
        "SUR1",
        about="what mentees are asked",
        show=_questions_shown,
    )

    def questions(self, role: str) -> tuple[Question, ...]:
        """What a role is asked, `mentor` or `mentee`, in order (SUR1)."""
        return {"mentor": self.mentor, "mentee": self.mentee}[role]

    def conflicts(self) -> Iterator[Issue]:
        """Reminders of a closed survey, and two questions of one id."""
        yield from _reminders_end_before(self.reminder_days, self.closes_after_days, "closes_after_days")
        for role in ROLES:
            yield from _ids_twice((role,), self.questions(role))


@table
class EventPolicy:
    """How long an event waits for what it refers to (decided in the contracts)."""

    hold_hours: int = field(
        integer(1, 24 * 30), "STA2", about="hours until a staff task opens for an event out of order"
    )


@table
class MailPolicy:
    """What becomes of mail that was held up, how long sending is tried, and how fast (T8, MAIL3, CPE8).

    `stale_after` and `when_stale` are keyed by the class of a message: `owed`, `nudge`, `compliance`.
    """

    stale_after: Mapping[str, int] = field(
        _by_class(integer(0, 365)), "T8", about="days of delay after which a message is no longer simply sent"
    )
    when_stale: Mapping[str, str] = field(
        _by_class(choice("send", "skip", "ask")), "T8", about="what happens to it then"
    )
    retry_days: int = field(integer(1, 30), "MAIL3", about="days for which sending is tried again")
    link_days: int = field(integer(1, 730), "CPE8", about="days for which a personal link works")
    rate_per_minute: int = field(
        integer(1, 100_000), "MAIL3", about="messages handed to the mail server in a minute"
    )


@table
class Program:
    """A program (COH5). `languages` has the fallback first, `fingerprint` is the SHA-256 of the file's content.

    `mailbox` is where replies go and `sender` the address that mail comes from; `resources` are links by name
    (MEE2). `hours` is what `rules.calendar.calendar_for` takes. The other fields are the tables of the file.
    """

    id: str = field(identifier, "COH5", about="the id by which events name the program")
    name: str = field(single_line(75), "ONB7", about="the name that people know")
    policy_version: str = field(identifier, "CPE12", about="the version of these rules that a claim names")
    languages: tuple[str, ...] = field(
        tuple_of(_LANGUAGE, least=1, most=20),
        "MAIL5",
        about="languages of mails and pages; the first is the fallback",
    )
    mailbox: str = field(email, "ONB7", about="the program's mailbox, where replies go")
    sender: str = field(email, "ONB7", about="the address that mail comes from")
    organisation: str = field(single_line(), "MAIL5", about="who runs it, for the foot of each mail")
    postal_address: str = field(single_line(300), "MAIL5", about="where, for the foot of each mail")
    manager: Manager = nested(Manager)
    hours: Hours = nested(_HoursTable, becomes=_HoursTable.hours)
    resources: Mapping[str, str] = field(_resources, "MEE2", about="where mails link to")
    onboarding: OnboardingPolicy = nested(OnboardingPolicy)
    request: RequestPolicy = nested(RequestPolicy)
    engagement: EngagementPolicy = nested(EngagementPolicy)
    credit: CreditPolicy = nested(CreditPolicy)
    survey: SurveyPolicy = nested(SurveyPolicy)
    events: EventPolicy = nested(EventPolicy)
    mail: MailPolicy = nested(MailPolicy)
    fingerprint: str = ""

    def describe(self) -> list[Setting]:
        """Every setting in the order of the file: section, key, value, rule ids, and what it is about."""
        return settings(self, "program")

    def language(self, wishes: Iterable[object], written: Collection[str] | None = None) -> str:
        """The first wished language, as `es` or `es-CO`, that the program has, else the program's first (MAIL5).

        `written` names the languages that there are texts in, where that is not all of the program's.
        """
        for wish in wishes:
            code = str(wish or "").lower().replace("_", "-").partition("-")[0]
            if code in self.languages and (written is None or code in written):
                return code
        return self.languages[0]


def parse_program(text: str, file: str, catalogue: Catalogue | None = None) -> Program:
    """The program in a file's text. Raises ProgramError with every mistake; `file` is the name told in them.

    With a catalogue, certifications that it does not have, and caps above its own, are mistakes too.
    """
    return parse(
        Program,
        text,
        file,
        texts_at="text",
        also=lambda content: iter(()) if catalogue is None else _against(content, catalogue),
    )


def load_program(path: Path, catalogue: Catalogue | None = None) -> Program:
    """The program in a file. Raises ProgramError with every mistake, or if the file cannot be read.

    It is checked against the given catalogue, or the `catalogue.toml` beside it, or the bundled one.
    """
    text = read_text(path)
    if catalogue is None:
        beside = path.with_name("catalogue.toml")
        catalogue = load_catalogue(beside if beside.is_file() else BUNDLED_CATALOGUE)
    return parse_program(text, str(path), catalogue)


def _against(content: Mapping[str, Any], catalogue: Catalogue) -> Iterator[Issue]:
    """What a program says about certifications and the catalogue does not; looked for in files of any shape."""
    for name, key in (("onboarding", "mentor_certifications"), ("credit", "certifications")):
        for position, code in enumerate(_inside(content, name, key, list)[:_MOST_CHECKED]):
            if isinstance(code, str) and code not in catalogue.codes:
                reason = f"is no certification of the catalogue{nearest(code, catalogue.codes)}"
                yield Issue((name, key, position), reason)
    most: dict[str, int] = {}
    for category in catalogue.categories:
        most[category.id] = max(category.cap, most.get(category.id, 0))
    for name, cap in list(_inside(content, "credit", "caps", dict).items())[:_MOST_CHECKED]:
        if name not in most:
            yield Issue(("credit", "caps", name), f"is no category of the catalogue{nearest(name, most)}")
        elif isinstance(cap, int) and cap > most[name]:
            yield Issue(("credit", "caps", name), f"must not be above the catalogue's cap of {most[name]}")


def _inside(content: Mapping[str, Any], name: str, key: str, kind: type[Any]) -> Any:
    table = content.get(name)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, kind) else kind()


def program_calendar(program: Program) -> Calendar:
    """The program's own calendar, for the dates of an engagement (ENG1)."""
    return calendar_for(program.hours, None, None, None)
