"""How the code is laid out: sizes, names with one meaning, and no circle of modules; read off the source.

What is longer or wider than the measure says why in a comment `# long: reason`: a file among its first lines, a
function on the line above it (above its decorators), a folder in its `__init__.py`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("rules", "database", "lifecycles", "mail", "evidence", "activities", "workflows"),
    *("staff", "gateway", "worker", "embedded", "cli"),
)
LINES_OF_A_FILE = 410
LINES_OF_A_FUNCTION = 40
PARAMETERS = 6
FILES_OF_A_FOLDER = 13
FILES_OF_A_FOLDER_OF_TESTS = 16
LINES_OF_A_HEADER = 20
LONG = re.compile(r"^\s*# long: \S.*", re.MULTILINE)
GENERATED = ("database/migrations/versions/",)

Function = ast.FunctionDef | ast.AsyncFunctionDef

ONE_SUBJECT = "one subject; the room says which side of it"

SAME_MODULE: Mapping[str, str] = {
    **dict.fromkeys(
        ("onboarding", "request", "engagement", "claim", "survey", "cohort", "meetup"),
        "a kind of lifecycle, seen by its room",
    ),
    **dict.fromkeys(
        ("claims", "engagements", "requests", "surveys", "cohorts", "meetups"),
        "rows and acts of a kind of lifecycle, by room",
    ),
    **dict.fromkeys(
        ("acts", "agenda", "facts"), "a part of each lifecycle's rules, and what all of them share"
    ),
    **dict.fromkeys(
        ("audit", "checkpoints", "inbox", "watchdog", "tasks", "people", "records", "members", "lifecycles"),
        ONE_SUBJECT,
    ),
    **dict.fromkeys(("events", "mail", "program", "staff", "processes", "digest"), ONE_SUBJECT),
    "curriculum": "the curriculum of a program, seen by each room",
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


def functions(source: str) -> Iterator[Function]:
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, Function))


def length_of(function: Function) -> int:
    """The lines of a function's own code: without its docstring, and without the functions and classes inside it."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    lines = set(range(body[0].lineno, (body[-1].end_lineno or 0) + 1))
    for node in ast.walk(function):
        if node is not function and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def parameters_of(function: Function) -> int:
    """How many arguments a caller may give."""
    given = function.args
    named = [
        each
        for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)
        if each.arg not in ("self", "cls")
    ]
    return len(named)


def says_why(function: Function, source: str) -> bool:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return first > 1 and bool(LONG.match(source.splitlines()[first - 2]))


def unexplained(limit: int, measure: str) -> list[str]:
    """The functions over a limit that do not say why."""
    measured = {"lines": length_of, "parameters": parameters_of}[measure]
    return [
        f"{path}:{function.lineno}: {function.name} has {measured(function)} {measure}"
        for path, source in PRODUCT.items()
        if not path.startswith(GENERATED)
        for function in functions(source)
        if measured(function) > limit and not says_why(function, source)
    ]


def test_modules_import_each_other_in_no_circle() -> None:
    known = frozenset(map(name_of, PRODUCT))
    graph = {name_of(path): set(imports_of(path, source, known)) for path, source in PRODUCT.items()}
    assert len(graph) > 100
    assert circles(graph) == []


def test_circle_of_modules_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_files_are_short_or_say_why() -> None:
    assert [
        f"{path}: {len(lines)} lines"
        for path, source in PRODUCT.items()
        if not path.startswith(GENERATED)
        and len(lines := source.splitlines()) > LINES_OF_A_FILE
        and not LONG.search("\n".join(lines[:LINES_OF_A_HEADER]))
    ] == []


def test_functions_are_short_or_say_why() -> None:
    assert unexplained(LINES_OF_A_FUNCTION, "lines") == []


def test_functions_have_few_parameters_or_say_why() -> None:
    assert unexplained(PARAMETERS, "parameters") == []


def test_folders_have_few_files_or_say_why() -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for path in (*PRODUCT, *modules("tests")):
        folder, _, file = path.rpartition("/")
        if file not in ("__init__.py", "conftest.py") and not path.startswith(GENERATED):
            files[folder].append(file)
    assert {
        folder: len(names)
        for folder, names in files.items()
        if len(names) > (FILES_OF_A_FOLDER_OF_TESTS if folder.startswith("tests") else FILES_OF_A_FOLDER)
        and not f"{folder}/".startswith(GENERATED)
        and not LONG.search(PRODUCT.get(f"{folder}/__init__.py", ""))
    } == {}


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
