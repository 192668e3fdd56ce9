"""The rulebook page against the tests: which rules have a test that names them.

Tests say which rules they prove with `@pytest.mark.rule("T2", …)`. After a run of the whole suite the terminal shows
every id of `docs/rules.md` with the number of tests that name it. An id without a test, or a test that names
an id which is not on the page, fails that run. A run of some tests fails for unknown ids only.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from textwrap import shorten
from typing import Any

import pytest

PAGE = Path("docs/rules.md")
TESTS = Path("tests")
SELECTING = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
ROW = re.compile(r"^\|\s*(?:\*\*|`)([A-Z]+[0-9]+)(?:\*\*|`)\s*\|\s*(.*?)\s*\|", re.MULTILINE)


def rules_on(page: str) -> dict[str, str]:
    """The rules of a page by id: table rows whose first cell is an id in bold or backticks, and their text."""
    return {match[1]: match[2] for match in ROW.finditer(page)}


def count_by_rule(items: list[pytest.Item]) -> Counter[str]:
    """How many tests name each rule; the cases of a parametrised test are one test."""
    named = {
        (rule, item.nodeid.partition("[")[0])
        for item in items
        for mark in item.iter_markers("rule")
        for rule in mark.args
    }
    return Counter(rule for rule, _ in named)


def problems(rules: dict[str, str], tests: Counter[str]) -> tuple[list[str], list[str]]:
    """The rules without a test, and the ids that tests name but the page does not have."""
    return [rule for rule in rules if not tests[rule]], sorted(rule for rule in tests if rule not in rules)


class RulesTable:
    """The plugin: counts where tests are collected (with xdist, in the workers), judges where the run ends."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tests: Counter[str] = Counter()
        self.rules = rules_on((config.rootpath / PAGE).read_text(encoding="utf-8"))
        asked_for = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
        selected = any(config.getoption(option, None) for option in SELECTING)
        self.whole = asked_for == {config.rootpath / TESTS} and not selected

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self.tests = count_by_rule(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        counted = getattr(node, "workeroutput", {}).get("rules_table")
        if counted:
            self.tests = Counter(counted)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(self.config, "workeroutput", None)
        if output is not None:
            output["rules_table"] = dict(self.tests)
        elif (
            self.whole and any(problems(self.rules, self.tests)) and session.exitstatus == pytest.ExitCode.OK
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        untested, unknown = problems(self.rules, self.tests)
        if self.whole:
            width = self.config.get_terminal_writer().fullwidth
            terminalreporter.section("rules")
            for rule, text in self.rules.items():
                line = f"{rule:<7}{self.tests[rule]:>4}  " + shorten(text, width - 14, placeholder=" …")
                terminalreporter.line(line, red=rule in untested)
            if untested:
                terminalreporter.line(f"Rules that no test names: {', '.join(untested)}", red=True, bold=True)
        if unknown:
            terminalreporter.line(
                f"Tests name rules that are not on the page: {', '.join(unknown)}", red=True
            )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RulesTable(config), "throughline-rules-table")
