"""Facts of a lifecycle as its row keeps them.

During an upgrade workers of two versions share the rows. Fields that only the newer one knows stay in a row that the
older one writes, and a row that lacks a field has its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

Facts = TypeVar("Facts")


class UnreadableFacts(ValueError):
    """Facts in a row that this version cannot read; the text names fields, and no values (MEM6)."""


def facts_to_row(facts: object, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return facts as the JSON that a lifecycle's row keeps.

    `before` is what the row has now: the fields of it that this version does not know are kept.
    """
    kind, dumped = facts.__class__, _dumped(facts)
    if before is None or before == dumped:
        return dumped
    try:
        known = _dumped(facts_from_row(kind, dict(before)))
    except UnreadableFacts:
        return dumped
    if known == before:
        return dumped
    kept: dict[str, Any] = _with_unknown(before, known, dumped)
    return kept


def facts_from_row(kind: type[Facts], row: dict[str, Any]) -> Facts:
    """Return facts from a lifecycle's row. Raises UnreadableFacts."""
    try:
        facts: Facts = _adapter(kind).validate_python(row)
    except ValidationError as error:
        fields = sorted({".".join(map(str, each["loc"])) or kind.__name__ for each in error.errors()})
        raise UnreadableFacts(f"its facts cannot be read: {', '.join(fields)}") from None
    return facts


def _dumped(facts: object) -> dict[str, Any]:
    dumped: dict[str, Any] = _adapter(facts.__class__).dump_python(facts, mode="json")
    return dumped


def _with_unknown(before: Any, known: Any, after: Any) -> Any:
    """Return `after` with what `before` has beyond `known`, the part of it that this version reads.

    An entry of a list is the same one where what is known of it is the same.
    """
    if isinstance(before, dict) and isinstance(known, dict) and isinstance(after, dict):
        unknown = {name: value for name, value in before.items() if name not in known}
        shared = before.keys() & known.keys()
        merged = {
            name: _with_unknown(before[name], known[name], value) if name in shared else value
            for name, value in after.items()
        }
        return {**unknown, **merged}
    if isinstance(before, list) and isinstance(known, list) and isinstance(after, list):
        left = list(zip(before, known, strict=False))
        return [_entry(left, each) for each in after]
    return after


def _entry(left: list[tuple[Any, Any]], after: Any) -> Any:
    """Return an entry of a list with what is unknown of the same one in `left`, which is then taken out."""
    for place, (before, known) in enumerate(left):
        if known == after:
            del left[place]
            return _with_unknown(before, known, after)
    return after


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # Built once: building one costs more than a whole plan.
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
