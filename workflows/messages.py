"""What signals and updates carry, how their input is read, and what updates answer.

Workflows import this module passed through their sandbox: it holds no state, and creating its classes again for each
workflow was measured at a third of the cost of loading one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

from rules.acts import NOBODY, PROGRAM, Act
from rules.agenda import MessageChange
from rules.text import for_database

LONGEST_NAME = 200
"""Longest id, actor, answer or date of an input, in characters: what the columns of the database take."""

MOST_DOMAINS = 50
"""The most domains that one input names."""

LARGEST_NUMBER = 10_000
"""The largest number of months, days or check-ins that is read. The rules allow far less, and say how much."""

LONGEST_UPDATE_ID = 100
"""Longest update id that is kept as it is. A longer one counts by its hash."""


class InvalidInput(ValueError):
    """The input of a signal or update that cannot be used. The text says why, without the input's own words."""


def refuse_local(at: datetime | None) -> None:
    """Raise ValueError for a time that is no instant because it has no offset (T8)."""
    if at is not None and at.utcoffset() is None:
        raise ValueError("a time needs its offset")


@dataclass(frozen=True, slots=True)
class ActInput:
    """What signals and updates carry; each uses what it needs (CONTRACTS: "Workflow ids and Temporal names").

    Any client may send them: words that no database takes are made readable, and a time without an offset raises
    ValueError. `reason` and `actor` say why and by whom, `by` is the profile of the one of the two who acts. `at` is
    when it happened, `heard_at` when the engine heard of it, if either was before its arrival; `history` marks what
    happened before a take-over (T9, T10). `event` is the stored event behind it, empty for a plain client.
    """

    reason: str = ""
    actor: str = ""
    at: datetime | None = None
    event: str = ""
    by: str = ""
    answer: str = ""
    end: str = ""
    months: int = 0
    business_days: int = 0
    check_ins: int = 0
    good: bool | None = None
    domains: list[str] = field(default_factory=list)
    heard_at: datetime | None = None
    history: bool = False
    step: str = ""

    def __post_init__(self) -> None:
        refuse_local(self.at)
        refuse_local(self.heard_at)
        for name in ("reason", "actor", "event", "by", "answer", "end", "step"):
            object.__setattr__(self, name, for_database(getattr(self, name)))
        object.__setattr__(self, "domains", [for_database(domain) for domain in self.domains])

    def to_act(self, name: str, act_id: str, *, signal: bool = False) -> Act:
        """Return the act of a signal or update. One that came as an event has an id of it: a repeat counts once.

        A time ahead of the workflow's clock counts as the moment of receipt (T9).
        """
        details = {
            "answer": self.answer,
            "end": self.end,
            "months": str(self.months or ""),
            "business_days": str(self.business_days or ""),
            "check_ins": str(self.check_ins or ""),
            "domains": "\n".join(self.domains),
            "step": self.step,
            "good": "" if self.good is None else "yes" if self.good else "no",
        }
        return Act(
            id=f"{name} by event {self.event}" if self.event else act_id,
            name=name,
            actor=(self.actor or self.by or NOBODY)[:LONGEST_NAME],
            reason=self.reason,
            details={key: value for key, value in details.items() if value},
            at=_past(self.at),
            by=self.by,
            event=self.event,
            signal=signal,
            heard_at=self.heard_at,
            history=self.history,
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """The mentee has a match: an accepted request (ONB3)."""

    request: str
    at: datetime | None = None
    heard_at: datetime | None = None
    history: bool = False
    no_fit: bool = False
    """For the end of the match: whether it was no fit (ONB8)."""

    def __post_init__(self) -> None:
        refuse_local(self.at)
        refuse_local(self.heard_at)
        object.__setattr__(self, "request", for_database(self.request))

    def to_act(self, name: str, act_id: str, *, signal: bool = False) -> Act:
        """Return the act that it is: the program's."""
        return Act(
            id=act_id,
            name=name,
            actor=PROGRAM,
            details={"request": self.request, **({"no_fit": "yes"} if self.no_fit else {})},
            at=_past(self.at),
            signal=signal,
            heard_at=self.heard_at,
            history=self.history,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an act changed, as an update answers it (STA1): the state after it, messages moved, dropped and added.

    An update that was applied before, and is sent again under its id, changes nothing more.
    """

    state: str
    moved: list[MessageChange] = field(default_factory=list)
    dropped: list[MessageChange] = field(default_factory=list)
    added: list[MessageChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One signal or update of a lifecycle, as its workflow's tables list them."""

    meaning: str
    """What it does, and when an update of this name is refused."""
    needs: tuple[str, ...] = ()
    """The fields of its input that must be there."""
    default: ActInput = field(default_factory=ActInput)
    """The input of one that has none."""
    takes: type[ActInput] | type[Matched] = ActInput
    replans_only: bool = False
    """Whether it only asks for a new plan. Its input, if it has any, is not looked at."""


Specs = Mapping[str, MessageSpec]
"""The signals or updates of a workflow type, by name."""


def update_act_id(update_id: str) -> str:
    """Return the id of the act of an update. The same update sent again has the same one."""
    if len(update_id) > LONGEST_UPDATE_ID:
        update_id = hashlib.sha256(update_id.encode()).hexdigest()
    return f"update {for_database(update_id)}"


def read_input(spec: MessageSpec, given: Sequence[RawValue]) -> ActInput | Matched:
    """Return the input of a signal or update, whatever bytes a client sent. Raises InvalidInput with the reason."""
    if len(given) > 1:
        raise InvalidInput(f"it takes one input, not {len(given)}")
    content: Any = None
    if given:
        try:
            content = workflow.payload_converter().from_payload(given[0].payload)
        except Exception:
            raise InvalidInput("its input cannot be read as JSON") from None
    if content is None and not spec.needs:
        return spec.default
    if content is None:
        raise InvalidInput(f"it needs an input with {' and '.join(spec.needs)}")
    if not isinstance(content, dict):
        raise InvalidInput("its input is no JSON object")
    known = {each.name for each in fields(spec.takes)}
    values = {name: _READERS[name](name, value) for name, value in content.items() if name in known}
    for name in spec.needs:
        if values.get(name) in (None, "", []):
            raise InvalidInput(f"{name} is missing")
    return spec.takes(**values)


def read_as_before(spec: MessageSpec, given: Sequence[RawValue]) -> ActInput | Matched:
    """Return the input as runs read it that began before inputs were checked. Raises InvalidInput."""
    if not given:
        return spec.default
    try:
        found: ActInput | Matched = workflow.payload_converter().from_payload(given[0].payload, spec.takes)
    except Exception:
        raise InvalidInput("its input cannot be read") from None
    return found


def _past(at: datetime | None) -> datetime:
    now = workflow.now()
    return min(at, now) if at else now


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name} is text")
    return value


def _name(name: str, value: object) -> str:
    text = _text(name, value)
    if len(text) > LONGEST_NAME:
        raise InvalidInput(f"{name} is longer than {LONGEST_NAME} characters")
    return text


def _number(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise InvalidInput(f"{name} is a whole number")
    if abs(value) > LARGEST_NUMBER:
        raise InvalidInput(f"{name} is at most {LARGEST_NUMBER}")
    return int(value)


def _instant(name: str, value: object) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(_text(name, value))
        refuse_local(at)
    except ValueError:
        raise InvalidInput(f"{name} is a time with its offset, like 2028-03-14T09:00:00-05:00") from None
    if not 1970 <= at.year < 9999:
        raise InvalidInput(f"{name} lies outside the years of a calendar")
    return at


def _yes_or_no(name: str, value: object) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"{name} is true or false")
    return value


def _flag(name: str, value: object) -> bool:
    return bool(_yes_or_no(name, value))


def _domains(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_DOMAINS:
        raise InvalidInput(f"{name} is a list of at most {MOST_DOMAINS} names")
    return [_name(f"each of {name}", each) for each in value]


_READERS: Mapping[str, Callable[[str, object], Any]] = MappingProxyType(
    {
        "reason": _text,
        **dict.fromkeys(("actor", "event", "by", "answer", "end", "request", "step"), _name),
        **dict.fromkeys(("months", "business_days", "check_ins"), _number),
        **dict.fromkeys(("at", "heard_at"), _instant),
        **dict.fromkeys(("history", "no_fit"), _flag),
        "good": _yes_or_no,
        "domains": _domains,
    }
)
