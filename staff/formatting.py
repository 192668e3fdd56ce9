"""How staff read instants and numbered messages."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def local(at: datetime | None, zone: str) -> str:
    """Return an instant on the clock of a zone, as in `Mon 2028-03-13 09:00 EDT`; an empty text for None."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M %Z}" if at else ""


def local_iso(at: datetime | None, zone: str) -> str | None:
    """Return an instant in ISO 8601 with the offset of a zone, to the second; None for None."""
    return at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds") if at else None


def numbered(message: str, number: int | None) -> str:
    """Return a message's name with its number, if it has one."""
    return message if number is None else f"{message} {number}"
