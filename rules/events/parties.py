"""Whom and what an event concerns: the events that concern one of them are applied in their order of arrival (T8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rules.kinds import kind_of, parts_of

_PROFILES = ("profile", "mentee", "mentor", "by")


@dataclass(frozen=True, slots=True)
class Parties:
    """What an event's data name, by ids."""

    members: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    engagement: str | None = None
    """The id of an engagement or its request: they are one."""
    cohort: str | None = None
    mails: tuple[str, ...] = ()
    """Mails that came back, by delivery or Message-ID."""


def parties_of(data: Mapping[str, Any]) -> Parties:
    """Return whom and what an event's data name. Data of an unknown shape name nobody."""
    names = {key: value for key, value in data.items() if isinstance(value, str)}
    profiles = [names[key] for key in _PROFILES if key in names]
    engagement = names.get("request") or names.get("engagement")
    cohort = names.get("cohort")
    target = names.get("target", "")
    if (kind := kind_of(target)) and (parts := parts_of(target)):
        if kind.of_engagement:
            engagement = engagement or parts[0]
        elif kind.subject == "profile":
            profiles.append(parts[0])
        elif kind.name == "cohort":
            cohort = cohort or parts[0]
    members = (names["member"],) if "member" in names else ()
    mails = [names["delivery"]] if "delivery" in names else []
    if message_id := names.get("message_id"):
        mails.append("<" + message_id.strip().removeprefix("<").removesuffix(">") + ">")
    return Parties(members, tuple(dict.fromkeys(profiles)), engagement, cohort, tuple(mails))
