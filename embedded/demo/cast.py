"""Who takes part in a demo: sample members, how each of them goes about it, and the places to sign up from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Any, Final
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample member, as in `member.updated`, and the roles to sign up for."""

    member: str
    name: str
    country: str
    time_zone: str
    language: str
    roles: tuple[str, ...]
    standing: str = "good"
    more: dict[str, Any] = field(default_factory=dict)
    certification: str = ""
    wishes: dict[str, Any] = field(default_factory=dict)
    """What each profile says, as in `profile.created`."""

    def data(self, year: int) -> dict[str, Any]:
        """Return the data of this member's `member.updated`; certification cycles begin with a year."""
        cycle = {"cycle_start": f"{year}-01-01", "cycle_end": f"{year + 2}-12-31"}
        return {
            "certifications": [{"code": self.certification, **cycle}] if self.certification else [],
            "member": self.member,
            "name": self.name,
            "email": f"{self.member}@example.org",
            "standing": self.standing,
            "country": self.country,
            "time_zone": self.time_zone,
            "languages": [self.language],
            **self.more,
        }

    def profile(self, role: str) -> str:
        """Return the id of the profile of a role."""
        return f"p-{self.member}" if role == self.roles[0] else f"p-{self.member}-{role}"


SAMPLES: Final = (
    Sample("ana", "Ana Pérez", "CO", "America/Bogota", "es", ("mentee",), certification="PSP"),
    Sample(
        "marcus",
        "Marcus Oyelaran",
        "US",
        "America/New_York",
        "en",
        ("mentor",),
        more={"years_management": 12},
        certification="CPP",
    ),
    Sample(
        "lucia",
        "Lucía Ferrer",
        "ES",
        "Europe/Madrid",
        "es",
        ("mentor", "mentee"),
        more={"years_management": 7},
    ),
    Sample(
        "grace", "Grace Lindqvist", "CA", "America/Toronto", "en", ("mentee",), more={"subdivision": "ON"}
    ),
    Sample(
        "diego", "Diego Rojas", "CO", "America/Bogota", "es", ("mentee",), "lapsed", {"years_management": 3}
    ),
    Sample("tom", "Tom Whitfield", "US", "America/Chicago", "en", ("mentor",), more={"years_management": 2}),
)
"""Three countries and more, both languages, standing that has lapsed (MEM1), somebody in both roles (MEM5), a mentor
whose experience needs a review (MEM3)."""


@dataclass(frozen=True, slots=True)
class Persona:
    """How a sample member goes about the part of a profile: at which hour of the day, what they ask and answer.

    `signs_up_after`, `asks_after` and `standing_after` are days after the demo's start, as are the keys of `saves`: on
    these the profile is saved with something new. `wants` are the mentors to ask, one after the other. A mentor who is
    not to accept `declines` with a reason, or `leaves_waiting` some mentees. `late` names the first of a series of
    messages that is acted on, where that is not the first one.
    """

    profile: str
    member: str
    zone: str
    hour: time
    signs_up_after: int | None = None
    asks_after: int | None = None
    standing_after: int | None = None
    wants: tuple[str, ...] = ()
    asks: str = ""
    months: int | None = None
    goals: str = ""
    slow_to_meet: bool = False
    ends_at_pulse: int | None = None
    extends_by: int = 0
    leaves_waiting: tuple[str, ...] = ()
    declines: str = ""
    writes: str = ""
    no_fit_at_first: bool = False
    """Whether the first mentor or mentee is no fit."""
    forgets_steps: bool = False
    """Whether the steps of the curriculum are left undone."""
    saves: dict[int, dict[str, Any]] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)

    def own_acts(self) -> list[tuple[str, int]]:
        """Return what the person does of their own accord, and on which day."""
        acts = (
            ("signs up", self.signs_up_after),
            ("asks", self.asks_after),
            ("standing", self.standing_after),
        )
        own = [(act, days) for act, days in acts if days is not None]
        return [*own, *((f"saves {days}", days) for days in self.saves)]

    @property
    def tz(self) -> ZoneInfo:
        """The zone of `hour`."""
        return ZoneInfo(self.zone)

    def reacts_to(self, what: str, number: int | None) -> bool:
        """Whether this one of a series of messages is acted on: of reminders one alone, of questions each."""
        first = self.late.get(what, 1)
        if number is None or what in ("discovery", "pulse", "curriculum"):
            return (number or 1) >= first
        return number == first


CAST: Final = {
    part.profile: part
    for part in (
        Persona(
            "p-ana",
            "ana",
            "America/Bogota",
            time(19, 40),
            asks_after=8,
            wants=("p-marcus", "p-lucia"),
            asks="Me gustaría aprender de su camino hacia la dirección de seguridad.",
            goals="Dirigir mi primera evaluación de seguridad física.\nPresentar un presupuesto al comité.",
        ),
        Persona(
            "p-marcus",
            "marcus",
            "America/New_York",
            time(12, 15),
            writes="To prepare Ana to lead her first physical security assessment, and to win a budget for it.",
            late={"write_letter": 2, "survey": 2},
        ),
        Persona("p-lucia", "lucia", "Europe/Madrid", time(21, 5), extends_by=3, late={"discovery": 2}),
        Persona(
            "p-grace",
            "grace",
            "America/Toronto",
            time(8, 25),
            asks_after=37,
            wants=("p-tom", "p-lucia", "p-marcus"),
            asks="I move from the police to corporate security this year. Would you walk part of the way with me?",
            months=4,
            goals="Translate twenty years of police work into the language of a board.",
            slow_to_meet=True,
            extends_by=3,
        ),
        Persona(
            "p-diego",
            "diego",
            "America/Bogota",
            time(13, 20),
            signs_up_after=9,
            asks_after=58,
            standing_after=16,
            wants=("p-tom", "p-marcus", "p-lucia"),
            asks="Quiero pasar de la operación a la gestión de riesgos.",
            goals="Hacer mi primer mapa de riesgos.",
            ends_at_pulse=2,
        ),
        Persona(
            "p-tom",
            "tom",
            "America/Chicago",
            time(17, 30),
            leaves_waiting=("p-grace",),
            declines="My hands are full with a new site this year.",
        ),
    )
}
"""Who acts by themselves, by profile: one pair finishes and gets its letters, one extends, one ends early; one request
is left without an answer, one is declined. Lucía Ferrer as mentee only reads her mail."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part in the demo of a program."""

    program: str
    samples: tuple[Sample, ...]
    personas: Mapping[str, Persona]
    """Who acts by themselves, by profile."""
    home: str
    """The zone that the form to sign up offers first."""
    partners: tuple[str, ...] = ()
    """Of a cohort that is scheduled by event: the partners whose people take part."""
    shown: str = ""
    """The member whose mail a script shows in full."""

    def sample(self, member: str) -> Sample:
        """Return a member of the cast."""
        return next(sample for sample in self.samples if sample.member == member)


GLOBAL: Final = Cast("asis-global", SAMPLES, CAST, home="America/New_York", shown="ana")


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to sign up from."""

    label: str
    country: str
    time_zone: str
    subdivision: str | None = None


PLACES: Final = {
    place.time_zone: place
    for place in (
        Place("Argentina, Buenos Aires", "AR", "America/Argentina/Buenos_Aires"),
        Place("Australia, Sydney", "AU", "Australia/Sydney", "NSW"),
        Place("Brazil, São Paulo", "BR", "America/Sao_Paulo", "SP"),
        Place("Canada, Toronto", "CA", "America/Toronto", "ON"),
        Place("Chile, Santiago", "CL", "America/Santiago"),
        Place("Colombia, Bogotá", "CO", "America/Bogota"),
        Place("Germany, Berlin", "DE", "Europe/Berlin", "BE"),
        Place("India, Kolkata", "IN", "Asia/Kolkata"),
        Place("Japan, Tokyo", "JP", "Asia/Tokyo"),
        Place("Kenya, Nairobi", "KE", "Africa/Nairobi"),
        Place("Mexico, Mexico City", "MX", "America/Mexico_City"),
        Place("Peru, Lima", "PE", "America/Lima"),
        Place("South Africa, Johannesburg", "ZA", "Africa/Johannesburg"),
        Place("Spain, Madrid", "ES", "Europe/Madrid", "MD"),
        Place("United Arab Emirates, Dubai", "AE", "Asia/Dubai"),
        Place("United Kingdom, London", "GB", "Europe/London"),
        Place("United States, Chicago", "US", "America/Chicago"),
        Place("United States, Los Angeles", "US", "America/Los_Angeles", "CA"),
        Place("United States, New York", "US", "America/New_York", "NY"),
    )
}
"""Places by their zone."""
