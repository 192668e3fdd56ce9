"""Names that others rely on stay: what the code has is compared with the literals of `wire_names.py`."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from temporalio import workflow

import activities
import workflows
from activities.webhooks import envelope_of
from cli.main import app
from database.models import Base, OutboxEvent
from database.session import Database
from evidence import checkpoints
from evidence.dossier import export
from lifecycles.registry import LIFECYCLES
from rules.events import EVENT_TYPES
from rules.events.description import fields_of
from rules.events.outgoing_types import OUTGOING_TYPES
from rules.messages import CATALOGUE
from tests.contract import wire_names
from tests.support.dossiers import AT, opened
from tests.support.gateway import gateway_fixture
from worker.settings import Settings
from worker.workflow_runtime import WORKFLOWS
from workflows.lifecycle import LifecycleWorkflow
from workflows.messages import ActInput, Answer, Matched

ROOT = Path(__file__).resolve().parents[2]
PATCHING = ("workflow.patched", "workflow.deprecate_patch")
Listed = str | Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Promise:
    """What a kind of name is for, who relies on it, and what to do instead of removing or renaming one."""

    used_for: str
    relied_on_by: str
    instead: str


PROMISES = {
    "WORKFLOW_TYPES": Promise(
        "Temporal finds the code of a running workflow by its type",
        "workflows that are open in production, recorded histories, staff scripts",
        "keep the old type registered until none is open, and start new ones under a new type",
    ),
    "WORKFLOW_IDS": Promise(
        "a workflow, its row, its mail and its audit chain are found by this id",
        "open workflows, rows, dossiers, links in mail, staff scripts (`temporal workflow signal`)",
        "add another prefix for a new kind of lifecycle",
    ),
    "TASK_QUEUES": Promise(
        "workers take work from a queue by its name",
        "open workflows, workers of another version during a deployment",
        "add a queue, and let workers of both versions poll the old one until it is empty",
    ),
    "PATCHES": Promise(
        "a history that recorded a patch asks for it again at each replay",
        "open workflows, recorded histories",
        "call `workflow.deprecate_patch` with it, and remove it once no open history holds it",
    ),
    "SIGNALS": Promise(
        "any Temporal client drives a lifecycle by signals, and histories hold them",
        "partner systems, staff scripts, open workflows, recorded histories",
        "add a signal beside it, and keep the old one as a handler that does the same",
    ),
    "UPDATES": Promise(
        "the command and other clients act and hear the answer by updates",
        "partner systems, the command of another version, open workflows",
        "add an update beside it, and keep the old one as a handler that does the same",
    ),
    "ACTIVITIES": Promise(
        "a history schedules an activity by its name; a method may be renamed with `@activity.defn(name=…)`",
        "open workflows, workers of another version during a deployment, recorded histories",
        "add an activity, call it behind `workflow.patched`, and keep the old one registered",
    ),
    "FACTS": Promise(
        "facts stand in histories and in the column `facts` of a lifecycle's row, by the names of their fields",
        "open workflows, rows in every database, recorded histories",
        "add a field with a default, and go on reading the old one (the class itself may be renamed here)",
    ),
    "HISTORY_VALUES": Promise(
        "inputs and results of workflows, signals, updates and activities stand in histories by field names",
        "open workflows, partner systems that send signals, recorded histories",
        "add a field with a default, and go on reading the old one (the class itself may be renamed here)",
    ),
    "STATES": Promise(
        "a state stands in rows, audit records and timelines, and pages have a text for each",
        "rows in every database, dossiers, reports, scenarios and their checks",
        "add a state, and leave the old one to the rows that have it",
    ),
    "STAFF_TASKS": Promise(
        "staff filter and settle tasks by kind",
        "rows in every database, the command, staff scripts",
        "add a kind, and leave the old one to the tasks that have it",
    ),
    "EVENTS": Promise(
        "other systems tell what happened in events of these types and fields (`!` marks a required field)",
        "member and registration systems, stored events, published documentation",
        "add an optional field, or a new versioned type (`member.updated.v2`) beside the old one; "
        "a required field may become optional, never the reverse",
    ),
    "OUTGOING_EVENTS": Promise(
        "other systems read events of these types and fields (`!` marks a field that is always there)",
        "receivers of events, published documentation",
        "add an optional field, or a new type beside the old one",
    ),
    "OUTGOING_ENVELOPE": Promise(
        "other systems read these fields of every event",
        "receivers of events, published documentation",
        "add a field",
    ),
    "MESSAGES": Promise(
        "a message's name stands in rows, audit records, program files and the names of its templates",
        "rows in every database, programs' own texts, preferences of members, dossiers",
        "add a message, and leave the old one to the rows that have it",
    ),
    "LINKS": Promise(
        "a link in a mail that was sent names its purpose in a signed token",
        "mail in the inboxes of members, for as long as a link holds",
        "add a purpose, and keep the handler of the old one",
    ),
    "ROUTES": Promise(
        "others call the gateway by method and path, and letters print the address of their check",
        "member and registration systems, load balancers, mail and letters that went out",
        "add a route, and keep the old one or redirect it",
    ),
    "TABLES": Promise(
        "reports and migrations read tables and columns by name",
        "every database in production, reports of staff, older versions during a deployment",
        "add a nullable column or a table in a migration, and go on filling the old one",
    ),
    "DOSSIER": Promise(
        "auditors check a dossier offline, with the verifier that is in it or with their own",
        "dossiers and verifiers that were handed out",
        "raise FORMAT in evidence/verifier.py, and go on verifying the old format",
    ),
    "TIMELINE": Promise(
        "scripts read the JSON Lines of `throughline rehearse --json`",
        "acceptance checks of programs, staff scripts",
        "add a key",
    ),
    "TIMELINE_KINDS": Promise(
        "scripts tell the lines of `throughline rehearse --json` apart by `kind`",
        "acceptance checks of programs, staff scripts",
        "add a kind",
    ),
    "FAULTS": Promise(
        "scenario files name what goes wrong and when",
        "scenarios of programs",
        "add a kind of fault",
    ),
    "COMMANDS": Promise(
        "staff scripts, service units and runbooks give these commands and options",
        "deployments, staff scripts, documentation",
        "add a command or an option, and keep the old one as an alias",
    ),
    "SETTINGS": Promise(
        "a deployment sets THROUGHLINE_… in its environment; an unknown variable is ignored without a word",
        "deployments, service units, .env files",
        "add a setting, and go on reading the old one",
    ),
}


def flat(names: Listed) -> set[str]:
    """All names of a list; with groups, as `group` and `group: name`."""
    if isinstance(names, str):
        return (
            set(map(str.strip, names.strip().splitlines()))
            if names == wire_names.PATCHES
            else set(names.split())
        )
    return set(names) | {f"{group}: {name}" for group, listed in names.items() for name in listed.split()}


def hold(title: str, found: set[str], *, complete: bool = True) -> None:
    """Fail with what the reader has to know if names are missing, or (where `complete`) not listed."""
    listed, promise = flat(getattr(wire_names, title)), PROMISES[title]
    lines = [f"  missing in the code: {name}" for name in sorted(listed - found)]
    if lines:
        lines += [
            f"  used for: {promise.used_for}",
            f"  relied on by: {promise.relied_on_by}",
            f"  instead of removing or renaming: {promise.instead}",
        ]
    new = sorted(found - listed) if complete else []
    lines += [f"  new in the code: {name}" for name in new]
    if new:
        lines += [
            f"  a new name of this list is a promise: {promise.used_for}; relied on by {promise.relied_on_by}",
            "  if it is meant to last, add it to tests/contract/wire_names.py and to the documentation",
        ]
    if lines:
        pytest.fail("\n".join([f"wire names, {title}:", *lines]), pytrace=False)


def handlers(kind: str) -> dict[str, Any]:
    """The signals or updates of all workflow types, as `Type: name`, each with what it takes.

    Lifecycles receive them by one dynamic handler, and list them in tables.
    """
    # The SDK has no public way to read a definition back.
    definitions = {each: workflow._Definition.must_from_class(each) for each in WORKFLOWS}
    named = {
        f"{definition.name}: {name}": handler.fn
        for definition in definitions.values()
        for name, handler in getattr(definition, kind).items()
        if name
    }
    listed = {
        f"{definitions[each].name}: {name}": spec.takes.to_act
        for each in WORKFLOWS
        if issubclass(each, LifecycleWorkflow)
        for name, spec in getattr(each, kind.upper()).items()
    }
    return {**named, **listed}


def modules(package: types.ModuleType) -> Iterator[types.ModuleType]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(module.name)


def activity_methods() -> dict[str, Callable[..., Any]]:
    return {
        definition.name: method
        for module in modules(activities)
        for owner in vars(module).values()
        if inspect.isclass(owner)
        for method in vars(owner).values()
        if (definition := getattr(method, "__temporal_activity_definition", None))
    }


def classes_in(hint: object) -> Iterator[type[Any]]:
    """The dataclasses that a type names, and those that their fields name."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
        for each in typing.get_type_hints(hint).values():
            yield from classes_in(each)
    for each in typing.get_args(hint):
        yield from classes_in(each)


def in_histories() -> set[type[Any]]:
    """The dataclasses that workflows, signals, updates and activities carry."""
    runs = [workflow._Definition.must_from_class(each).run_fn for each in WORKFLOWS]
    functions = [
        *runs,
        *handlers("signals").values(),
        *handlers("updates").values(),
        *activity_methods().values(),
    ]
    hints: list[object] = [
        hint for function in functions for hint in typing.get_type_hints(function).values()
    ]
    hints += [ActInput, Matched, Answer]
    return {found for hint in hints for found in classes_in(hint)}


def fields(owner: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(owner)]


def nested_fields(owner: type[Any], prefix: str = "") -> Iterator[str]:
    """The fields of a dataclass and of those in it, dotted."""
    hints = typing.get_type_hints(owner)
    for name in fields(owner):
        yield f"{prefix}{name}"
        below = list(classes_in(hints[name]))
        if below:
            yield from nested_fields(below[0], f"{prefix}{name}.")


def literals(*rooms: str) -> set[str]:
    """Every text that stands as a constant in the modules of rooms."""
    return {
        node.value
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def command_lines(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield from command_lines(below, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(path)
        for parameter in command.params:
            options = parameter.opts if parameter.param_type_name == "option" else [parameter.name.upper()]
            yield from (f"{' '.join(path)}: {name}" for name in options if name != "--help")


def test_every_list_has_its_promise_and_no_name_twice() -> None:
    lists = {name: value for name, value in vars(wire_names).items() if name.isupper()}
    assert set(lists) == set(PROMISES)
    for title, listed in lists.items():
        for names in [listed] if isinstance(listed, str) else listed.values():
            assert len(names.split()) == len(set(names.split())), title


def test_removed_name_fails_with_its_use_and_the_alternative() -> None:
    with pytest.raises(pytest.fail.Exception) as failed:
        hold("TASK_QUEUES", {"throughline"})
    for words in ("throughline-mail", "used for", "relied on by", "instead of removing"):
        assert words in str(failed.value)


def test_new_name_fails_until_it_is_listed() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"new in the code: throughline-web[\s\S]*wire_names\.py"):
        hold("TASK_QUEUES", {"throughline", "throughline-mail", "throughline-web"})


def test_workflow_types_stay() -> None:
    hold("WORKFLOW_TYPES", {str(workflow._Definition.must_from_class(each).name) for each in WORKFLOWS})


def test_workflow_ids_stay() -> None:
    written = literals("database", "lifecycles", "activities", "evidence", "workflows", "cli", "rules")
    fixed = {name for name in flat(wire_names.WORKFLOW_IDS) if name in written}
    hold("WORKFLOW_IDS", fixed | {f"{kind}/" for kind in LIFECYCLES})


def test_task_queues_stay() -> None:
    queues = {
        value
        for package in (activities, workflows)
        for module in modules(package)
        for name, value in vars(module).items()
        if name.endswith("QUEUE") and isinstance(value, str)
    }
    hold("TASK_QUEUES", queues)


def test_patches_stay() -> None:
    found: set[str] = set()
    for module in modules(workflows):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in PATCHING:
                # The one inbox of earlier versions asks for a patch of its own in each turn.
                found.add(eval(ast.unparse(node.args[0]), {**vars(module), "turn": 0}))
    hold("PATCHES", found)


@pytest.mark.parametrize("kind", ["signals", "updates"])
def test_signals_and_updates_stay(kind: str) -> None:
    found = set(handlers(kind))
    hold(kind.upper(), found | {name.partition(":")[0] for name in found})


def test_activity_names_stay() -> None:
    hold("ACTIVITIES", set(activity_methods()))


def test_fields_of_facts_stay() -> None:
    owners = {owner for owner in in_histories() if owner.__name__.endswith("Facts")}
    found = {f"{owner.__name__}: {name}" for owner in owners for name in nested_fields(owner)}
    hold("FACTS", found | {owner.__name__ for owner in owners})


def test_fields_of_values_in_histories_stay() -> None:
    below_facts = {
        inner for owner in in_histories() if owner.__name__.endswith("Facts") for inner in classes_in(owner)
    }
    owners = in_histories() - below_facts
    found = {f"{owner.__name__}: {name}" for owner in owners for name in fields(owner)}
    hold("HISTORY_VALUES", found | {owner.__name__ for owner in owners})


def test_states_stay() -> None:
    written = literals("rules", "database", "lifecycles", "activities", "workflows")
    found = {name for name in flat(wire_names.STATES) if name.rpartition(" ")[2] in written}
    hold("STATES", found | set(wire_names.STATES), complete=False)


def test_kinds_of_staff_tasks_stay() -> None:
    hold(
        "STAFF_TASKS",
        literals("rules", "database", "lifecycles", "mail", "evidence", "activities"),
        complete=False,
    )


def test_event_types_and_their_fields_stay() -> None:
    found = {
        f"{name}: {field.name}{'!' if field.required else ''}"
        for name, model in EVENT_TYPES.items()
        for field in fields_of(model)
    }
    hold("EVENTS", found | set(EVENT_TYPES))


def test_outgoing_types_and_their_fields_stay() -> None:
    found = {
        f"{name}: {field.name}{'!' if field.required else ''}"
        for name, model in OUTGOING_TYPES.items()
        for field in fields_of(model)
    }
    hold("OUTGOING_EVENTS", found | set(OUTGOING_TYPES))
    row = OutboxEvent(event_id="e", subject="s", sequence=1, type="t", at=AT, data={})
    hold("OUTGOING_ENVELOPE", set(envelope_of(row, "/s")))


@pytest.mark.rule("MAIL1")
def test_message_names_stay() -> None:
    hold("MESSAGES", set(CATALOGUE))


def test_purposes_of_links_stay() -> None:
    hold("LINKS", literals("gateway", "mail"), complete=False)


async def test_routes_stay(sqlite_url: str) -> None:
    async with gateway_fixture(sqlite_url) as made:
        paths = (await made.client.get("/openapi.json")).json()["paths"]
    hold(
        "ROUTES",
        {
            f"{method.upper()}:{path}"
            for path, methods in paths.items()
            for method in methods
            if method != "head"
        },
    )


def test_tables_and_columns_stay() -> None:
    tables = Base.metadata.tables
    found = {f"{name}: {column.name}" for name, table in tables.items() for column in table.columns}
    hold("TABLES", found | set(tables))


@pytest.mark.rule("CPE11")
async def test_files_and_keys_of_a_dossier_stay(dossier: bytes, database: Database) -> None:
    assert dossier
    async with database.begin() as session:
        await checkpoints.take(session, AT + timedelta(days=1))
        files = opened(await export(session, "r-1"))
    found = {f"files: {'letters/' if name.startswith('letters/') else name}" for name in files} | {"files"}
    records = [json.loads(line) for line in files["records.jsonl"].splitlines()]
    for name, values in {
        "manifest.json": [json.loads(files["manifest.json"])],
        "records.jsonl": records,
        "versions.json": list(json.loads(files["versions.json"]).values()),
        "checkpoints.json": json.loads(files["checkpoints.json"]),
    }.items():
        found |= {name} | {f"{name}: {key}" for value in values for key in value}
        found |= {f"{name}: proof.{key}" for value in values for key in value.get("proof", ())}
    hold("DOSSIER", found)


def test_keys_and_kinds_of_the_timeline_stay() -> None:
    written = literals("lifecycles", "rules", "activities", "embedded", "cli")
    hold("TIMELINE", written, complete=False)
    hold("TIMELINE_KINDS", written, complete=False)


def test_kinds_of_faults_in_scenarios_stay() -> None:
    hold("FAULTS", literals("embedded"), complete=False)


def test_commands_and_their_options_stay() -> None:
    hold("COMMANDS", set(command_lines(typer.main.get_command(app))))


def test_settings_stay() -> None:
    hold("SETTINGS", set(Settings.model_fields))
