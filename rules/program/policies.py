"""The tables of a program file: hours, onboarding, requests, engagements, credit, events, mail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time

from rules.calendar import Hours
from rules.holiday_data import HolidayChange, known_holiday, known_subdivision, subdivision_code
from rules.program.toml_schema import field, table, table_validator, tuple_of
from rules.program.values import (
    DAYS,
    ascending,
    by_class,
    caps,
    closing_days,
    country_value,
    holiday,
    holiday_day,
    reminders_end_before,
    time_of_day,
    weekdays,
    weekdays_shown,
)
from rules.validation import (
    Issue,
    Issues,
    certification_code,
    choice,
    email,
    identifier,
    integer,
    nearest,
    quote,
    single_line,
    zone_name,
)

ROLES = ("mentor", "mentee")
MOST_PARTNERS = 200


@table
class HolidayTable:
    """Holidays that do not count, or count too, in a country or a part of it (T1)."""

    country: str = field(country_value, "T1", about="the country")
    subdivision: str | None = field(single_line(20), "T1", about="the part of it; all of it", default=None)
    strike: tuple[str, ...] = field(
        tuple_of(holiday, most=100), "T1", about="what is a work day there: a name or a day", default=()
    )
    add: tuple[str, ...] = field(
        tuple_of(holiday_day, most=100), "T1", about="what is a holiday there: a day", default=()
    )

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for an unknown part of the country, and for a holiday that the place does not have."""
        if self.subdivision is not None and not known_subdivision(self.country, self.subdivision):
            reason = f"{quote(self.subdivision)} is no part of {self.country} with known holidays"
            yield Issue(("subdivision",), reason)
            return
        part = subdivision_code(self.country, self.subdivision)
        for position, name in enumerate(self.strike):
            if not name[0].isdigit() and not known_holiday(self.country, part, name):
                place = part or self.country
                yield Issue(("strike", position), f"{quote(name)} is no holiday of {place} in the data")

    def change(self) -> HolidayChange:
        """Return the change as `rules.calendar` takes it."""
        part = subdivision_code(self.country, self.subdivision)
        return HolidayChange(self.country, part, frozenset(self.strike), frozenset(self.add))


def _holidays_shown(changes: tuple[HolidayChange, ...]) -> str:
    shown = [
        f"{'-'.join(filter(None, (change.country, change.subdivision)))}: "
        + ", ".join([f"not {each}" for each in sorted(change.strike)] + sorted(change.add))
        for change in changes
    ]
    return "; ".join(shown) or "none"


def _minutes(at: time) -> float:
    return at.hour * 60 + at.minute + at.second / 60


@table
class HoursTable:
    """The `[hours]` of a program file; becomes `rules.calendar.Hours`."""

    working_week: frozenset[int] | None = field(
        weekdays,
        "T1",
        about="the weekdays of work for all; without it those of each person's country",
        default=None,
        show=weekdays_shown,
    )
    holidays: tuple[HolidayTable, ...] = field(
        tuple_of(table_validator(HolidayTable), most=100),
        "T1",
        about="holidays that do not count, or count too, by country",
        default=(),
        show=_holidays_shown,
    )
    closing_days: frozenset[date] = field(
        closing_days, "T1", about="days on which nobody of the program acts"
    )
    send_time: time = field(time_of_day, "T4", about="when scheduled mail goes out, on the recipient's clock")
    send_window: int = field(
        integer(0, 480), "T4", about="minutes after it over which scheduled mail is spread", default=0
    )
    close_of_business: time = field(
        time_of_day, "T2", about="when a due day ends, on the clock of who has to act"
    )
    country: str = field(country_value, "T1", about="whose holidays count for persons of unknown country")
    subdivision: str | None = field(
        single_line(20), "T1", about="and of which part of the country", default=None
    )
    zone: str = field(
        zone_name, "T4", "ENG1", about="the program's time zone, for its own dates and unknown persons"
    )

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for a subdivision that the country does not have, and for a day that ends before its mail."""
        if self.subdivision is not None and not known_subdivision(self.country, self.subdivision):
            yield Issue(
                ("subdivision",),
                f"{quote(self.subdivision)} is no part of {self.country} with known holidays",
            )
        if self.close_of_business <= self.send_time:
            yield Issue(("close_of_business",), "must be later than send_time")
        elif _minutes(self.send_time) + self.send_window > _minutes(self.close_of_business):
            yield Issue(("send_window",), "must end by close_of_business")

    def hours(self) -> Hours:
        """Return the hours as `rules.calendar` takes them."""
        return Hours(
            working_week=self.working_week,
            closing_days=self.closing_days,
            send_time=self.send_time,
            send_window=self.send_window,
            close_of_business=self.close_of_business,
            country=self.country,
            subdivision=self.subdivision,
            zone=self.zone,
            holidays=tuple(table.change() for table in self.holidays),
        )


@table
class Manager:
    """The person in whose name the program writes (ONB7)."""

    name: str = field(single_line(75), "ONB7", about="who writes")
    title: str = field(single_line(), "ONB7", about="and in what function")
    email: str = field(email, "STA4", about="where the program manager gets digests and alarms")
    time_zone: str | None = field(
        zone_name, "STA4", about="the zone that the manager lives by; without it the program's", default=None
    )
    digest_time: time = field(
        time_of_day, "STA4", about="when the weekly digest goes out on Monday, in that zone", default=time(8)
    )


@table
class Partner:
    """An organisation whose people take part in the cohorts of a program (COH4)."""

    id: str = field(identifier, "COH4", about="the id by which profiles and cohorts name it")
    name: str = field(single_line(), "COH4", about="its name")
    contact: str = field(email, "COH4", about="the mail address of who looks after its people")


def partners(value: object) -> tuple[Partner, ...]:
    """Read the partners of a program. Raises ValidationError, also for an id that is there twice."""
    found = tuple_of(table_validator(Partner), most=MOST_PARTNERS)(value)
    faults, seen = Issues(), set[str]()
    for position, partner in enumerate(found):
        if partner.id in seen:
            faults.add(f"{partner.id} is there twice", position, "id")
        seen.add(partner.id)
    faults.settle()
    return found


def partners_shown(found: tuple[Partner, ...]) -> str:
    """Return the partners on one line."""
    return ", ".join(f"{each.id} ({each.name})" for each in found) or "none"


@table
class OnboardingPolicy:
    """The first weeks of mentors and mentees (MEM1, MEM3, ONB1, ONB2, ONB4, ONB5). Days are calendar days."""

    welcome_after_days: int = field(DAYS, "ONB1", about="days from a mentor's profile to the welcome")
    starts_after_days: int = field(
        DAYS, "ONB2", about="days from a mentee's profile to the anchor of the check-ins"
    )
    check_ins: tuple[int, ...] = field(
        ascending(0, 730), "ONB2", about="days from the anchor to each check-in"
    )
    extension_spacing_days: int = field(
        integer(1, 365), "ONB5", about="days between the check-ins that staff add"
    )
    unmatched_after_days: int = field(
        DAYS, "ONB4", about="days from the last check-in to closing as unmatched"
    )
    lapsed_after_days: int = field(
        DAYS, "MEM1", about="days for good standing to return before closing as lapsed"
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
        """Yield an issue for deadlines in the wrong order."""
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
        ascending(1, 365), "CPE7", about="days from the gate to each reminder"
    )
    task_after_days: int = field(integer(1, 730), "CPE7", about="days from the gate to the staff task")
    missing_after_days: int = field(integer(1, 730), "CPE7", about="days from the gate to evidence_missing")
    certifications: tuple[str, ...] = field(
        tuple_of(certification_code), "CPE3", about="whose holders get credit"
    )
    certificate_months: int = field(
        integer(0, 120),
        "CPE3",
        about="months active for a certificate of participation, for those without a claim",
        default=3,
    )
    in_cycle: str = field(
        choice("gate", "term"),
        "CPE4",
        about="what has to lie inside a certification's cycle: the gate, or the whole term up to it",
        default="gate",
    )
    category: str = field(
        single_line(), "CPE9", "CPE10", about="the category of credit as the self-report form names it"
    )
    counts_as: str = field(identifier, "CPE9", about="the category under which it is capped: a key of caps")
    caps: Mapping[str, int] = field(
        caps, "CPE9", about="the most credits of a category that count in one cycle"
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
        """Return the credits of a role, `mentor` or `mentee`, for one engagement (CPE2)."""
        return {"mentor": self.mentor, "mentee": self.mentee}[role]

    @property
    def cap(self) -> int:
        """The most credits of this program's kind that count in one cycle (CPE9)."""
        return self.caps[self.counts_as]

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for dates in the wrong order, and for a category without a cap."""
        if self.precheck_months >= self.gate_months:
            yield Issue(("precheck_months",), "must be less than gate_months")
        yield from reminders_end_before(self.reminder_days, self.task_after_days, "task_after_days")
        if self.missing_after_days <= self.task_after_days:
            yield Issue(("missing_after_days",), "must be more than task_after_days")
        if self.counts_as not in self.caps:
            hint = nearest(self.counts_as, self.caps)
            yield Issue(("counts_as",), f"must be a key of caps, not {quote(self.counts_as)}{hint}")


@table
class EventPolicy:
    """How long an event waits for what it refers to (decided in the contracts)."""

    hold_hours: int = field(
        integer(1, 24 * 30), "STA2", about="hours until a staff task opens for an event out of order"
    )


MAIL_CONTENT_DAYS = 90
"""Days for which the bodies of mail are kept where a program does not say otherwise."""


@table
class MailPolicy:
    """How late mail is treated, how long sending is retried, and how fast mail goes out (T8, MAIL3, CPE8).

    `stale_after` and `when_stale` are keyed by the class of a message: `owed`, `nudge`, `compliance`.
    """

    stale_after: Mapping[str, int] = field(
        by_class(integer(0, 365)), "T8", about="days of delay after which a message is no longer simply sent"
    )
    when_stale: Mapping[str, str] = field(
        by_class(choice("send", "skip", "ask")), "T8", about="what happens to it then"
    )
    retry_days: int = field(integer(1, 30), "MAIL3", about="days for which sending is tried again")
    link_days: int = field(integer(1, 730), "CPE8", about="days for which a personal link works")
    rate_per_minute: int = field(
        integer(1, 100_000), "MAIL3", about="messages handed to the mail server in a minute"
    )
    mail_content_days: int = field(
        integer(1, 3650),
        "MAIL1",
        about="days for which the bodies of sent mail are kept, encrypted",
        default=MAIL_CONTENT_DAYS,
    )
    nudges_per_day: int | None = field(
        integer(1, 20),
        "MAIL11",
        about="nudges for a person on one day, over all lifecycles; without it no limit",
        default=None,
    )
