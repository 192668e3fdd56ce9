"""The history of a program that ran for two years elsewhere: as a member database would export it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

ZONES = (("America/New_York", "US", "en"), ("America/Bogota", "CO", "es"), ("Europe/Madrid", "ES", "es"))


def history_of(pairs: int, now: datetime, years: int = 2) -> list[dict[str, Any]]:
    """Return about twelve events for each pair, the pairs spread evenly over the years before `now`."""
    return [event for pair in range(pairs) for event in _pair(pair, pairs, now, years)]


def _pair(pair: int, pairs: int, now: datetime, years: int) -> Iterator[dict[str, Any]]:
    began = now - timedelta(days=365 * years) + timedelta(days=365 * years - 10) * pair / pairs

    def event(day: float, type: str, **data: Any) -> Iterator[dict[str, Any]]:
        at = began + timedelta(days=day)
        if at < now:
            yield {
                "source": "/old-program",
                "id": f"{pair}-{type}-{day}-{data.get('by', '')}",
                "type": type,
                "time": at.isoformat(timespec="seconds"),
                "data": data,
            }

    mentor, mentee, asked = f"teach-{pair}", f"learn-{pair}", f"r-{pair}"
    for name, day in ((mentor, 0.0), (mentee, 0.2)):
        zone, country, language = ZONES[pair % len(ZONES)]
        yield from event(
            day,
            "member.updated",
            member=name,
            name=f"{name.title()} Vega",
            email=f"{name}@example.org",
            standing="good",
            time_zone=zone,
            country=country,
            languages=[language],
        )
        role = "mentor" if name == mentor else "mentee"
        yield from event(day + 0.1, "profile.created", profile=f"p-{name}", member=name, role=role)
    yield from event(3, "request.created", request=asked, mentee=f"p-{mentee}", mentor=f"p-{mentor}")
    if pair % 5 == 4:
        yield from event(4, "request.declined", request=asked, reason="no time")
        return
    yield from event(5, "request.accepted", request=asked)
    yield from event(12, "engagement.plan_agreed", engagement=asked, months=6, goals="Lead a team.")
    for by in (f"p-{mentor}", f"p-{mentee}"):
        yield from event(19.5, "engagement.discovery", engagement=asked, by=by, answer="good_fit")
    ends_early = pair % 5 == 3
    for month in range(2, 4 if ends_early else 6):
        yield from event(30.5 * month, "engagement.met", engagement=asked, by=f"p-{mentee}", answer="yes")
    if ends_early:
        yield from event(120, "engagement.ended", engagement=asked, by=f"p-{mentor}", reason="no_time")
