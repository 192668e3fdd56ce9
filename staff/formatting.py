"""How staff read instants and numbered messages."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def local(at: datetime | None, zone: str) -> str:
    """An instant as the clock of a zone shows it: `Mon 2028-03-13 09:00 EDT`; nothing for none."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M %Z}" if at else ""


def local_iso(at: datetime | None, zone: str) -> str | None:
    """An instant in ISO 8601 with the offset of a zone, to the second."""
    return at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds") if at else None


def numbered(message: str, number: int | None) -> str:
    """A message's name with its number, if it has one."""
    return message if number is None else f"{message} {number}"
