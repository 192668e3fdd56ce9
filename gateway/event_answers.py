"""The answer to a request of events one by one: what became of each, for a sender who asks for it (RFC 7240)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from database.events import KnownEvent
from gateway.problems import WrongField
from rules.events import Envelope, FieldError

MOST_ITEMS: Final = 1000
"""Events that are answered one by one: an answer must not be much larger than its request."""

MOST_ERRORS_OF_AN_EVENT: Final = 10

Item = tuple[Envelope | None, Sequence[FieldError]]
"""An event that can be stored, or what is wrong with it."""


class EventAnswer(BaseModel):
    """What became of one event of a request."""

    outcome: Literal["accepted", "known", "refused"] = Field(
        description="accepted: stored now. known: stored before, by its source and id. refused: not stored."
    )
    source: str | None = Field(default=None, description="Of an event that is not refused.")
    id: str | None = Field(default=None, description="Of an event that is not refused.")
    state: str | None = Field(
        default=None,
        description="Of a known event: stored, held, applying, applied or refused by the rules since.",
    )
    reason: str | None = Field(
        default=None, description="Why a known event was refused, or what it waits for."
    )
    errors: list[WrongField] | None = Field(
        default=None, description="What is wrong with a refused event; pointers lead into the body."
    )
    ignored: list[str] | None = Field(default=None, description="Data of the event that nobody knows.")


class EventAnswers(BaseModel):
    """What became of each event of a request, in its order."""

    accepted: int = Field(ge=0)
    known: int = Field(ge=0)
    refused: int = Field(ge=0)
    events: list[EventAnswer]


def wants_each(headers: Mapping[str, str]) -> bool:
    """Return whether a sender asks for an answer to each event: `Prefer: handling=lenient`."""
    preferences = headers.get("prefer", "").lower().replace(" ", "").replace('"', "")
    return any(each.partition(";")[0] == "handling=lenient" for each in preferences.split(","))


def answers_of(
    bases: Sequence[str], items: Sequence[Item], known: Sequence[KnownEvent | None]
) -> dict[str, Any]:
    """Return the answer to items, which lie in the body at these pointers.

    `known` has an entry for each item that was stored.
    """
    stored = iter(known)
    found: list[EventAnswer] = []
    for base, (envelope, errors) in zip(bases, items, strict=True):
        if envelope is None:
            wrong = [
                WrongField(pointer=f"{base}{each.pointer}", reason=each.reason)
                for each in errors[:MOST_ERRORS_OF_AN_EVENT]
            ]
            found.append(EventAnswer(outcome="refused", errors=wrong))
            continue
        before = next(stored)
        found.append(
            EventAnswer(
                outcome="known" if before else "accepted",
                source=envelope.source,
                id=envelope.id,
                state=before.state if before else None,
                reason=before.reason if before else None,
                ignored=[f"{base}{pointer}" for pointer in envelope.ignored] or None,
            )
        )
    counts = {name: sum(each.outcome == name for each in found) for name in ("accepted", "known", "refused")}
    return EventAnswers(**counts, events=found).model_dump(exclude_none=True)
