"""What the models of events share: how a value is read, how its schema says so, and what null means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from rules.validation import ValidationError, Validator, choice, mapping

T = TypeVar("T")

MOST_KEYS = 200
"""Keys of one object: several times what any type has, so that senders may add their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Reads a field by a validator, which has our own words for errors, and describes it by a JSON schema."""

    read: Validator[Any]
    schema: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Reads one of the words of a Literal, with our own words for errors."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(choice(*get_args(source)), handler(source))


@dataclass(frozen=True, slots=True)
class Clears:
    """Marks a field in which null takes back what was known, and is read as `to`; elsewhere null counts as absent."""

    to: tuple[()] | None


Clearable = Annotated[T | None, Clears(None)]
"""A field that null clears."""

ClearableList = Annotated[T | None, Clears(())]
"""A field that null empties."""


class EventPart(BaseModel):
    """An object in an event. Unknown keys are left out, and null counts as absent unless the field is `Clears`."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> dict[str, object]:
        given = value if isinstance(value, dict) else mapping(value)
        if len(given) > MOST_KEYS:
            raise ValidationError(f"must have at most {MOST_KEYS} keys, not {len(given)}")
        cleared = cleared_by_null(cls)
        return {
            key: cleared[key] if item is None else item
            for key, item in given.items()
            if item is not None or key in cleared
        }


class EventData(EventPart):
    """The data of a type of event; a class each, with what the type means as its docstring."""

    event_type: ClassVar[str]
    about: ClassVar[str]
    """The subject, as a pattern over the data: `request/{request}`."""
    waits_for: ClassVar[tuple[str, ...]] = ()
    """What has to be known first, as patterns."""
    example: ClassVar[Mapping[str, Any]]
    not_kept: ClassVar[str] = ""
    """What this version does not keep yet, such as `meetups`: an event about it is refused at the door."""

    @classmethod
    def subject_of(cls, data: Mapping[str, Any]) -> str:
        """Return what checked data are about, like `request/r-1`."""
        return cls.about.format_map(data)

    @classmethod
    def references_of(cls, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what checked data refer to, like `profile/p-1`."""
        return tuple(pattern.format_map(data) for pattern in cls.waits_for)


@cache
def keys_of(model: type[EventPart]) -> Mapping[str, None]:
    """Return the keys that a model knows, in its order."""
    return {field.alias or name: None for name, field in model.model_fields.items()}


@cache
def parts_of(model: type[EventPart]) -> Mapping[str, type[EventPart]]:
    """Return the keys of a model that hold a list of objects, with the model of these."""
    return {
        field.alias or name: part
        for name, field in model.model_fields.items()
        for part in _models_in(field.annotation)
    }


def _models_in(annotation: Any) -> Iterator[type[EventPart]]:
    if isinstance(annotation, type) and issubclass(annotation, EventPart):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


@cache
def cleared_by_null(model: type[EventPart]) -> Mapping[str, Any]:
    """Return the keys that null clears, each with the value that stands for null."""
    return {
        field.alias or name: mark.to
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Clears)
    }
