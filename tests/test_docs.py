"""The documentation against the repository: its commands, options, links, paths and settings exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer

from cli.main import app
from worker.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "templates/README.md",
    ROOT / "deploy/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

MOST_TERMS = 25
LONGEST_TERM = 2
"""Lines that a term of the glossary may take."""

CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"")
FILE = re.compile(r"(?:[a-z_]+/)+[\w.-]*|[\w-]+\.(?:md|toml|py)")


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    """A page of the documentation."""
    path: Path = request.param
    return path


def code_of(page: Path) -> list[str]:
    """The lines of code blocks and the code spans of a page."""
    text = page.read_text(encoding="utf-8")
    return [line for block, span in CODE.findall(text) for line in (block or span).splitlines()]


def test_documented_commands_and_options_exist(page: Path) -> None:
    wrong = []
    for line in code_of(page):
        for words in re.findall(r"(?:^|[\s/])throughline((?: +[^\s#]+)+)", line):
            wrong += [f"{line}: {problem}" for problem in problems_of(words.replace("\\|", "|").split())]
    assert wrong == []


def problems_of(words: list[str]) -> list[str]:
    """What is wrong with the words after `throughline`; `cancel|extend` stands for each of its names."""
    commands = [typer.main.get_command(app)]
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]*(\|[a-z-]+)*", word) or not all(
            hasattr(c, "commands") for c in commands
        ):
            break
        known = commands[0].commands  # type: ignore[attr-defined]
        names = word.split("|")
        if unknown := [name for name in names if name not in known]:
            return [f"no command {name}" for name in unknown]
        commands = [known[name] for name in names]
    options = [word.partition("=")[0].strip("[],.") for word in words if word.startswith(("--", "[--"))]
    known_options = [{*(name for p in command.params for name in p.opts), "--help"} for command in commands]
    return [
        f"no option {option}" for option in options if any(option not in known for known in known_options)
    ]


def test_documented_make_targets_exist(page: Path) -> None:
    named = [name for line in code_of(page) for name in re.findall(r"(?:^|\s)make ([a-z-]+)", line)]
    assert [name for name in named if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)] == []


def test_links_lead_to_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link or source for link, source in LINK.findall(text)]
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (page.parent / link).exists()] == []


def test_named_files_of_the_repository_exist(page: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    rooms = {name.partition("/")[0] for name in tracked.splitlines() if "/" in name}
    named = [span for _, span in CODE.findall(page.read_text(encoding="utf-8")) if FILE.fullmatch(span)]
    inside = [name for name in named if name.partition("/")[0] in rooms and "/" in name]
    assert [name for name in inside if not (ROOT / name).exists()] == []


def test_deploying_names_every_setting_that_exists() -> None:
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`THROUGHLINE_.*?) \|", text, re.MULTILINE)
    named = []
    for row in rows:
        first, *more = re.findall(r"`THROUGHLINE(_\w+)`|`(_\w+)`", row)
        groups = ("_SMTP", "_DKIM", "_OAUTH", "_IMAP", "_OIDC")
        group = next((name for name in groups if first[0].startswith(f"{name}_")), "")
        named += [first[0], *(full or group + short for full, short in more)]
    unsaid = {"templates"}  # for the tests and the demo: a program's own texts lie beside its file
    assert sorted(named) == sorted(f"_{name.upper()}" for name in set(Settings.model_fields) - unsaid)


def test_glossary_is_short() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = text.split("\n- ")[1:]
    assert len(terms) <= MOST_TERMS
    assert [term for term in terms if len(term.strip().splitlines()) > LONGEST_TERM] == []
    assert sorted(terms) == terms, "in alphabetical order"
