"""The description of events comes from the models that check them: schemas, examples, and the page in docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from rules.events import EVENT_TYPES, check_event, read_event
from rules.events.description import component_schemas, data_schema, example, fields_of, page
from rules.events.schema import EventPart, keys_of

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = component_schemas()


def is_valid(name: str, value: Any) -> bool:
    """Whether a value is what the component of this name describes."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    return bool(jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(value))


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_example_of_each_type_is_accepted_as_it_is(type: str) -> None:
    envelope, errors = read_event(example(type))
    assert errors == []
    assert envelope is not None
    assert envelope.ignored == ()
    assert envelope.data == EVENT_TYPES[type].example


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_example_of_each_type_fits_its_schema(type: str) -> None:
    name = EVENT_TYPES[type].__name__
    assert is_valid(name, EVENT_TYPES[type].example)
    assert is_valid(f"{name}Event", example(type))
    assert is_valid("CloudEvent", example(type))
    assert SCHEMAS[name]["examples"] == [EVENT_TYPES[type].example]
    assert SCHEMAS[f"{name}Event"]["examples"] == [example(type)]
    assert jsonschema_rs.Draft202012Validator(data_schema(type)).is_valid(dict(EVENT_TYPES[type].example))


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_schema_of_each_type_has_its_fields_and_no_others(type: str) -> None:
    model = EVENT_TYPES[type]
    schema = SCHEMAS[model.__name__]
    assert set(schema["properties"]) == set(keys_of(model))
    for key in keys_of(model):
        _, errors = check_event(type, {k: v for k, v in model.example.items() if k != key})
        pointers = {error.pointer for error in errors if error.reason == "is missing"}
        assert (key in schema.get("required", [])) == (f"/data/{key}" in pointers)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_is_described(name: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[name])
    assert SCHEMAS[name]["description"]
    for field in SCHEMAS[name].get("properties", {}).values():
        assert "$ref" in field or "const" in field or field["description"]


def test_type_decides_which_schema_an_event_has() -> None:
    event = SCHEMAS["CloudEvent"]
    assert set(event["discriminator"]["mapping"]) == set(EVENT_TYPES)
    assert [each["$ref"] for each in event["oneOf"]] == list(event["discriminator"]["mapping"].values())
    assert not is_valid("CloudEvent", {**example("profile.created"), "type": "request.created"})


WRONG = [
    ("profile.created", {"role": "boss"}),
    ("profile.created", {"profile": "no blanks"}),
    ("member.updated", {"country": "Colombia"}),
    ("member.updated", {"birth_year": 1899}),
    ("engagement.met", {"date": "yesterday"}),
    ("engagement.ended", {"reason": "misconduct"}),
    ("survey.answered", {"answers": {"a b": 1}}),
    ("survey.answered", {"answers": {"a": [1]}}),
    ("meetup.scheduled", {"link": "http://example.org"}),
    ("staff.cancel", {"target": "onboarding/a/b"}),
    ("staff.extend", {"check_ins": 27}),
    ("claim.domains_chosen", {"domains": []}),
]


@pytest.mark.parametrize(("type", "change"), WRONG)
def test_what_is_refused_does_not_fit_the_schema_either(type: str, change: dict[str, Any]) -> None:
    data = {**EVENT_TYPES[type].example, **change}
    assert check_event(type, data)[1]
    assert not is_valid(EVENT_TYPES[type].__name__, data)


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_null_fits_the_schema_where_it_counts_as_absent(type: str) -> None:
    model = EVENT_TYPES[type]
    for field in fields_of(model):
        if not field.required and field.name not in model.example:
            data = {**model.example, field.name: None}
            assert check_event(type, data)[1] == []
            assert is_valid(model.__name__, data)


def test_page_about_events_is_up_to_date() -> None:
    written = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert written == page(), "run: throughline event types --markdown > docs/events.md"


def test_page_has_every_type_field_and_example() -> None:
    text = page()
    for type, model in EVENT_TYPES.items():
        part = text.partition(f"### `{type}`\n")[2].partition("\n#")[0]
        assert all(f"\n| `{field.name}` |" in part for field in fields_of(model))
        assert json.loads(part.partition("```json\n")[2].partition("```")[0]) == model.example


def test_fields_say_what_they_hold_and_what_null_does() -> None:
    forms = {field.name: (field.form, field.about) for field in fields_of(EVENT_TYPES["member.updated"])}
    assert forms["member"] == ("id", "The member's id.")
    assert forms["standing"][0] == "`good` · `lapsed`"
    assert forms["birth_year"] == ("whole number, 1900 to 2100", "The year of birth. Null clears it.")
    assert forms["certifications"][0] == "list of objects of `code`, `cycle_start`, `cycle_end`, at most 20"
    assert all(issubclass(model, EventPart) and model.__doc__ for model in EVENT_TYPES.values())
