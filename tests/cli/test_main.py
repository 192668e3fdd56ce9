"""The command as a whole: what it lists, how it completes, and that it starts without its libraries."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.groups import first_paragraph
from cli.main import Commands, app
from tests.support.cli import COMMAND, ROOT, environment, throughline

SLOW = ("sqlalchemy", "temporalio", "pydantic", "fastapi", "rich", "structlog", "httpx")
"""Libraries that take long to load, and that `--help`, `--version` and completion do without."""


def groups(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a group of commands and all groups below it, with the words that lead there."""
    yield words, command
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            yield from groups(below, *words, name)


GROUPS = dict(groups(typer.main.get_command(app)))


def test_top_help_lists_demo_first_under_headings() -> None:
    done = throughline("--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    headings = [line.removesuffix(":") for line in lines if line.endswith(":")][1:]
    assert headings == list(Commands.panels)
    assert lines[lines.index(f"{headings[0]}:") + 1].split()[0] == "demo"


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_sentences_of_help_are_whole_at_80_columns(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"}).stdout
    assert max(map(len, said.splitlines())) <= 80
    assert "..." not in said.replace("[ARGS]...", "")
    text = " ".join(said.split())
    for name, command in GROUPS[words].commands.items():
        sentence = first_paragraph(command.help)
        assert sentence.endswith("."), (name, sentence)
        assert sentence in text


def test_summaries_are_those_of_the_commands_themselves() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    listed = {each.name: each.summary for panel in Commands.panels.values() for each in panel}
    assert listed == {name: first_paragraph(command.help) for name, command in commands.items()}


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done = throughline("--version")
    assert (done.returncode, done.stdout) == (0, f"throughline {project['version']}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed_for_a_shell(shell: str) -> None:
    # Without detection of the shell, the option takes its name; the tests run in no shell that could be detected.
    done = throughline(
        "--show-completion", shell, settings={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": 1}
    )
    assert done.returncode == 0, done.stderr
    assert "_THROUGHLINE_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("throughline de", {"demo"}),
        ("throughline w", {"webhook", "why", "worker"}),
        ("throughline staff re", {"resume", "reject", "revoke", "reopen"}),
        ("throughline demo --sc", {"--script"}),
    ],
)
def test_command_completes_names_and_options(line: str, completions: set[str]) -> None:
    words = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
        "_THROUGHLINE_COMPLETE": "complete_bash",
    }
    done = subprocess.run([COMMAND], capture_output=True, text=True, timeout=100, env=environment(**words))
    assert (set(done.stdout.split()), done.stderr) == (completions, "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_no_slow_library(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from cli.main import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({SLOW!r}) & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.stderr.strip() == "[]", done.stdout
