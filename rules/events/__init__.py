"""The events that come in: what each carries, what it is about, and what has to be known before it (MEM6).

Nothing that comes from outside is believed. `read_event` checks an event whole, `check_event` its data; both name
every wrong field by a JSON pointer and raise nothing, whatever they are given. What comes out is plain JSON: dates
and times are ISO 8601 text, instants in UTC. Keys that nobody knows are left out and named as ignored.
"""

from __future__ import annotations

from rules.events.check import (
    MOST_IGNORED,
    CheckedData,
    FieldError,
    check_data,
    check_event,
    references,
    refused_at_the_door,
    subject,
)
from rules.events.data import EVENT_TYPES
from rules.events.envelope import Envelope, check_envelope, read_event

__all__ = [
    "EVENT_TYPES",
    "MOST_IGNORED",
    "CheckedData",
    "Envelope",
    "FieldError",
    "check_data",
    "check_envelope",
    "check_event",
    "read_event",
    "references",
    "refused_at_the_door",
    "subject",
]
