"""Facts of a lifecycle as its row keeps them."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

Facts = TypeVar("Facts")


def facts_to_row(facts: object) -> dict[str, Any]:
    """Return facts as the JSON that a lifecycle's row keeps."""
    dumped: dict[str, Any] = _adapter(facts.__class__).dump_python(facts, mode="json")
    return dumped


def facts_from_row(kind: type[Facts], row: dict[str, Any]) -> Facts:
    """Return facts from a lifecycle's row."""
    facts: Facts = _adapter(kind).validate_python(row)
    return facts


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # Built once: building one costs more than a whole plan.
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
