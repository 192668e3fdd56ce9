"""The description of events, from the models that check them: JSON schemas, examples and the page in docs/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from rules.events.check import MOST_IGNORED
from rules.events.data import EVENT_TYPES
from rules.events.envelope import CloudEvent
from rules.events.fields import pattern
from rules.events.outgoing_types import OUTGOING_TYPES
from rules.events.schema import MOST_KEYS, EventData, EventPart, cleared_by_null
from rules.validation import IDENTIFIER

_LINE = 110
_COMPONENT = "#/components/schemas/{model}"


class _Schema(GenerateJsonSchema):
    """Leaves out titles, which repeat names of fields, and defaults, as null and an absent field may differ."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


class FieldDescription(NamedTuple):
    """A field as people read about it."""

    name: str
    required: bool
    form: str
    """What its values look like."""
    about: str


def example(type: str) -> dict[str, Any]:
    """Return a whole event of a type."""
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/members",
        "type": type,
        "time": "2028-03-06T10:00:00-05:00",
        "data": dict(EVENT_TYPES[type].example),
    }


def component_schemas() -> dict[str, Any]:
    """Return the JSON schemas of all events as OpenAPI components.

    `CloudEvent` is any event. Each type has two more: its data (`ProfileCreated`) and the event with its envelope
    (`ProfileCreatedEvent`).
    """
    models: list[type[EventPart]] = [CloudEvent, *EVENT_TYPES.values()]
    _, found = models_json_schema(
        [(model, "validation") for model in models],
        ref_template=_COMPONENT,
        schema_generator=_Schema,
    )
    schemas: dict[str, Any] = found["$defs"]
    envelope = schemas.pop(CloudEvent.__name__)
    references = {}
    for name, model in EVENT_TYPES.items():
        schemas[model.__name__]["examples"] = [dict(model.example)]
        whole = f"{model.__name__}Event"
        references[name] = _COMPONENT.format(model=whole)
        schemas[whole] = {
            **envelope,
            "title": whole,
            "description": f"A CloudEvent of the type {name}.",
            "properties": {
                **envelope["properties"],
                "type": {"const": name},
                "data": {"$ref": _COMPONENT.format(model=model.__name__)},
            },
            "examples": [example(name)],
        }
    schemas[CloudEvent.__name__] = {
        "description": envelope["description"],
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "type", "mapping": references},
    }
    return schemas


def data_schema(type: str) -> dict[str, Any]:
    """Return the JSON schema of a type's data, by itself."""
    return EVENT_TYPES[type].model_json_schema(schema_generator=_Schema)


def outgoing_schema(type: str) -> dict[str, Any]:
    """Return the JSON schema of the data of a type of event that goes out."""
    return OUTGOING_TYPES[type].model_json_schema(schema_generator=_Schema)


def fields_of(model: type[EventPart]) -> list[FieldDescription]:
    """Return the fields of a model, required ones first."""
    schema = model.model_json_schema(schema_generator=_Schema)
    definitions = schema.get("$defs", {})
    required = schema.get("required", [])
    cleared = cleared_by_null(model)
    found = []
    for name, described in schema["properties"].items():
        values = _without_null(described)
        about = described["description"] + (" Null clears it." if name in cleared else "")
        found.append(FieldDescription(name, name in required, _form(values, definitions), about))
    return sorted(found, key=lambda field: not field.required)


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((each for each in schema.get("anyOf", ()) if each.get("type") != "null"), schema)


def _form(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return " · ".join(f"`{word}`" for word in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        part = definitions[schema["$ref"].rpartition("/")[2]]
        return f"objects of {', '.join(f'`{name}`' for name in part['properties'])}"
    kind, form = schema.get("type"), schema.get("format")
    if kind == "array":
        each = _form(schema["items"], definitions).partition(", at most ")[0]
        return f"list of {each}, at most {schema['maxItems']}"
    if kind == "integer":
        return f"whole number, {schema['minimum']} to {schema['maximum']}"
    if schema.get("pattern") == pattern(IDENTIFIER):
        return "id"
    if kind == "string":
        most = f", at most {schema['maxLength']:,} characters" if "maxLength" in schema else ""
        return _FORMATS.get(form or "", "text") + (most if form != "email" else "")
    return "object"


_FORMATS = {
    "date": "date",
    "date-time": "date and time with offset",
    "email": "mail address",
    "uri": "https address",
}


def page() -> str:
    """Return the page about events, in Markdown."""
    return "\n".join([*_HEAD, "", *_table(CloudEvent), "", *_RULES, *_types(), "", *_OUTGOING]) + "\n"


def summary() -> str:
    """Return a table of all types in Markdown: the required and the other fields, with a link to the page's section."""
    rows = ["| type | required | optional |", "|---|---|---|"]
    for name, model in EVENT_TYPES.items():
        fields = fields_of(model)
        required, optional = (
            ", ".join(f"`{field.name}`" for field in fields if field.required == needed)
            for needed in (True, False)
        )
        rows.append(f"| [`{name}`](events.md#{name.replace('.', '')}) | {required} | {optional} |")
    return "\n".join(rows) + "\n"


def _types() -> Iterator[str]:
    nouns: dict[str, list[type[EventData]]] = {}
    for name, model in EVENT_TYPES.items():
        nouns.setdefault(name.partition(".")[0], []).append(model)
    for noun, models in nouns.items():
        yield from ("", f"## {noun}")
        for model in models:
            waits = " and ".join(f"`{reference}`" for reference in model.waits_for)
            yield from ("", f"### `{model.event_type}`", "", f"{model.__doc__}")
            yield f"It is about `{model.about}`" + (f", and waits for {waits}." if waits else ".")
            if model.not_kept:
                yield f"It is refused with `400`: nothing keeps {model.not_kept} yet."
            yield from ("", *_table(model), "", "```json")
            yield from (_json(model.example), "```")


def _outgoing_types() -> Iterator[str]:
    for name, model in OUTGOING_TYPES.items():
        yield from ("", f"### `{name}`", "", f"{model.__doc__}", "")
        yield from (*_table(model), "", "```json", _json(model.example), "```")


def _json(value: Mapping[str, Any]) -> str:
    line = json.dumps(dict(value), ensure_ascii=False)
    return line if len(line) <= _LINE else json.dumps(dict(value), ensure_ascii=False, indent=2)


def _table(model: type[EventPart]) -> Iterator[str]:
    yield "| field | needed | value | meaning |"
    yield "|---|---|---|---|"
    for field in fields_of(model):
        needed = "yes" if field.required else ""
        yield f"| `{field.name}` | {needed} | {field.form} | {field.about} |"


_HEAD = (
    "# Events in",
    "",
    "<!-- Generated: `throughline event types --markdown > docs/events.md` -->",
    "",
    "Other systems send CloudEvents 1.0 in structured JSON to `POST /events`, one or a list, signed after the Standard",
    "Webhooks specification. `/openapi.json` has a schema and an example for each type. An event that is accepted is",
    "stored before the answer. The answer is",
    "",
    '- `202` with `{"accepted": 1, "known": 0}`; `known` counts repeats of the same `source` and `id`;',
    "- `400` with `application/problem+json`: `errors` names each wrong field by a JSON pointer, with the reason.",
    "  Nothing of the request is stored;",
    "- `401` for a wrong or old signature, `413` above 1 MiB, `415` for another content type, `503` to try again.",
    "",
    "With the header `Prefer: handling=lenient` each event of a list is answered by itself, and a wrong one keeps no",
    "other from being stored ([connect.md](connect.md#a-list-answered-one-by-one)). Binary mode is",
    "[there](connect.md#binary-mode), too.",
    "",
    "## The envelope",
)

_RULES = (
    "Other attributes are let through.",
    "",
    "## Rules for data",
    "",
    "- Null counts as absent, unless the field says that null clears it.",
    "- A key that nobody knows is left out. The answer names it under `ignored`, as a JSON pointer, and so does the",
    f"  stored event, up to {MOST_IGNORED} for each event. An object has at most {MOST_KEYS} keys.",
    "- A key that is one edit away from a known key is refused while the known key is absent: `rol` for `role`.",
    "- Dates are `2028-03-06`. A date and time with offset is `2028-03-06T10:00:00-05:00`.",
    "- An event may arrive before the one it waits for. It is held, and a staff task opens if it is held too long.",
    "- An id has 1 to 64 characters out of `A-Z a-z 0-9 . _ -`.",
)

_OUTGOING = (
    "# Events out",
    "",
    "Throughline sends events to the endpoints of other systems: `throughline webhook add`. [Webhooks](webhooks.md)",
    "says how to receive them and how to check a signature. Each is a CloudEvent 1.0 in structured JSON of less than",
    "20 kB:",
    "",
    "| field | value |",
    "|---|---|",
    "| `specversion` | `1.0` |",
    "| `id` | The event's id, `evt_…`. Each repeat has the same, and so has `webhook-id`. |",
    "| `source` | `/throughline/` and the name of the deployment. |",
    "| `type` | One of the types below. |",
    "| `subject` | What it is about. An engagement, its request, claims and surveys are one: `engagement/{id}`. |",
    "| `sequence` | Ten digits that grow within a subject. There are gaps where a change makes no event. |",
    "| `time` | When it happened, in UTC. |",
    "| `datacontenttype` | `application/json` |",
    "| `data` | The fields of the type: ids, states and numbers, and no personal data. |",
    "",
    "Receivers should let through fields that they do not know: later versions may add some.",
    "",
    "## Types",
    *_outgoing_types(),
)
