"""How the code is laid out: no circle of modules, and names with one meaning; read off the source."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("rules", "database", "lifecycles", "mail", "evidence", "activities", "workflows"),
    *("staff", "gateway", "worker", "embedded", "cli"),
)
GENERATED = ("database/migrations/versions/",)

ONE_SUBJECT = "one subject; the room says which side of it"

SAME_MODULE: Mapping[str, str] = {
    **dict.fromkeys(
        ("onboarding", "request", "engagement", "claim", "survey"), "a kind of lifecycle, seen by its room"
    ),
    **dict.fromkeys(
        ("claims", "engagements", "requests", "surveys"), "rows and acts of a kind of lifecycle, by room"
    ),
    **dict.fromkeys(
        ("acts", "agenda", "facts"), "a part of each lifecycle's rules, and what all of them share"
    ),
    **dict.fromkeys(
        ("audit", "checkpoints", "inbox", "watchdog", "tasks", "people", "records", "members"), ONE_SUBJECT
    ),
    **dict.fromkeys(("events", "mail", "program", "staff", "processes"), ONE_SUBJECT),
    "base": "what the modules of one folder share",
    "decisions": "how a room decides: on a delivery, on credit",
    "messages": "the messages of the mail; the messages that Temporal carries, its own word for signals and updates",
    "pages": "the pages of one web application",
    "settings": "the settings of one room",
    "timeline": "a claim over time; a program over time",
}
"""Module names that several rooms share on purpose, each with the reason; a part of them may be there."""


def modules(*folders: str) -> dict[str, str]:
    """The modules of folders, as their source by their path."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


PRODUCT = modules(*ROOMS)


def name_of(path: str) -> str:
    """The dotted name of a module."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(path: str, source: str, known: frozenset[str]) -> Iterator[str]:
    """The modules that a module imports, also inside of functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                if below in known:
                    yield below
                elif node.module in known:
                    yield node.module


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other by imports (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def test_modules_import_each_other_in_no_circle() -> None:
    known = frozenset(map(name_of, PRODUCT))
    graph = {name_of(path): set(imports_of(path, source, known)) for path, source in PRODUCT.items()}
    assert len(graph) > 100
    assert circles(graph) == []


def test_circle_of_modules_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_public_class_names_mean_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, source in PRODUCT.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    shared = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert shared == {}


def test_module_names_mean_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in PRODUCT:
        name = path.rpartition("/")[2]
        if name != "__init__.py" and not path.startswith(GENERATED):
            places[name.removesuffix(".py")].append(path)
    shared = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert {name: paths for name, paths in shared.items() if name not in SAME_MODULE} == {}
