"""Who takes part in a demo: sample members, and the places that a visitor can sign up from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample member, as `member.updated` tells one, and the roles to sign up for."""

    member: str
    name: str
    country: str
    time_zone: str
    language: str
    roles: tuple[str, ...]
    standing: str = "good"
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        """What the member database tells of this member."""
        return {
            "member": self.member,
            "name": self.name,
            "email": f"{self.member}@example.org",
            "standing": self.standing,
            "country": self.country,
            "time_zone": self.time_zone,
            "languages": [self.language],
            **self.more,
        }


SAMPLES: Final = (
    Sample("ana", "Ana Pérez", "CO", "America/Bogota", "es", ("mentee",)),
    Sample(
        "marcus",
        "Marcus Oyelaran",
        "US",
        "America/New_York",
        "en",
        ("mentor",),
        more={"years_management": 12},
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
