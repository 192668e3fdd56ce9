"""Which audit record makes an event that goes out, and what of it goes into the event (STA3, MEM6).

What the parties of an engagement must not learn makes no event (ENG8): of a suspension goes out the pause that the
parties see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from rules.events.data import EVENT_TYPES
from rules.events.outgoing_types import (
    ClaimDecided,
    EventRefused,
    LetterMade,
    LetterRevoked,
    LifecycleExtended,
    MailCameBack,
    MailDecided,
    TaskClosed,
    TaskOpened,
)
from rules.kinds import kind_of, parts_of


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event that goes out, before it has a place among those of its subject."""

    type: str
    data: dict[str, Any]


def outgoing_of(subject: str, kind: str, data: Mapping[str, Any], also: Mapping[str, Any]) -> Outgoing | None:
    """Return the event that an audit record makes, if it makes one.

    `also` has ids that the record itself does not hold. The record must not be a confidential one.
    """
    make = _BY_KIND.get(kind)
    return make(subject, {**data, **also}) if make else None


def _of_state(subject: str, data: Mapping[str, Any]) -> Outgoing | None:
    named = _named(subject)
    if named is None:
        return None
    kind, ids = named
    return Outgoing(f"{kind}.state_changed", {**ids, "state": data["state"], "since": _utc(data["due"])})


def _named(subject: str) -> tuple[str, dict[str, str]] | None:
    """Return the kind of a lifecycle, and the ids in its name."""
    kind = kind_of(subject)
    if kind is None:
        return None
    first = "engagement" if kind.name in ("claim", "survey") else kind.name
    fields = ("profile",) if kind.name == "onboarding" else (first, "role", "certification")
    return kind.name, dict(zip(fields, parts_of(subject), strict=False))


def _utc(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone(UTC).isoformat()


_UNITS = ("check_ins", "business_days", "months")


def _of_act(subject: str, data: Mapping[str, Any]) -> Outgoing | None:
    act = str(data.get("act"))
    if act in ("task done", "task dismissed"):
        kept = {"task": data["task"], "number": data["number"], "about": subject}
        return Outgoing(TaskClosed.event_type, {**kept, "state": act.removeprefix("task ")})
    if act != "extend" or kind_of(subject) is None:
        return None
    units = {unit: int(data[unit]) for unit in _UNITS if str(data.get(unit, "")).isdecimal()}
    end = {"end": data["end"]} if data.get("end") else {}
    return Outgoing(LifecycleExtended.event_type, {"lifecycle": subject, **units, **end})


def _of_credit(subject: str, data: Mapping[str, Any]) -> Outgoing | None:
    named = _named(subject)
    if named is None:
        return None
    amounts = {name: data[name] for name in ("earned", "countable") if data.get(name) is not None}
    return Outgoing(ClaimDecided.event_type, {**named[1], "status": data["status"], **amounts})


def _of_letter(subject: str, data: Mapping[str, Any]) -> Outgoing:
    kept = {"lifecycle": subject, "letter": data["letter"]}
    if data.get("revoked"):
        return Outgoing(LetterRevoked.event_type, kept)
    return Outgoing(
        LetterMade.event_type, {**kept, "letter_kind": data["letter_kind"], "sha256": data["sha256"]}
    )


def _of_mail(subject: str, data: Mapping[str, Any]) -> Outgoing:
    kept = {"lifecycle": data["workflow"], "message": data["message"], "to": data["to"]}
    number = {"number": data["number"]} if data.get("number") else {}
    decided = {"delivery": data["delivery"], "decision": data["decision"]}
    return Outgoing(MailDecided.event_type, {**kept, **decided, **number})


def _of_came_back(subject: str, data: Mapping[str, Any]) -> Outgoing:
    kept = {"lifecycle": data["workflow"], "message": data["message"], "to": data["to"]}
    return Outgoing(MailCameBack.event_type, {**kept, "delivery": data["delivery"], "class": data["class"]})


def _of_task(subject: str, data: Mapping[str, Any]) -> Outgoing:
    kept = {"task": data["task"], "number": data["number"], "about": subject}
    return Outgoing(TaskOpened.event_type, kept)


def _of_refusal(subject: str, data: Mapping[str, Any]) -> Outgoing | None:
    if data.get("event") not in EVENT_TYPES:
        # An act by signal: its sender is somebody with access to Temporal, and no system that gets events.
        return None
    return Outgoing(EventRefused.event_type, {"event": data["event"], "id": data["id"], "about": subject})


_BY_KIND: Mapping[str, Callable[[str, Mapping[str, Any]], Outgoing | None]] = MappingProxyType(
    {
        "state": _of_state,
        "act": _of_act,
        "credit": _of_credit,
        "letter": _of_letter,
        "mail": _of_mail,
        "came_back": _of_came_back,
        "task": _of_task,
        "refused": _of_refusal,
    }
)
"""What makes an event of an audit record, by the kind of the record."""

MAKING_EVENTS = frozenset(_BY_KIND)
"""The kinds of audit records that make events."""
