"""The run of the whole suite answers for the rulebook page."""

from __future__ import annotations

from pathlib import Path

import pytest

PAGE = """
| id | rule | source |
|---|---|---|
| **T1** | A business day is a weekday. | H |
| `T2` | Two business days are two. | H |

T3 is spoken of, not laid down.
"""


@pytest.fixture(params=[(), ("-n", "2")], ids=["one process", "two workers"])
def spread(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How the run is spread over processes."""
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a page of two rules, of which one has two tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makefile(".md", **{"docs/rules": PAGE})
    pytester.makeini(
        "[pytest]\ntestpaths = tests\naddopts = -p xdist -p tests.support.reports.rules_table\n"
        "markers = rule(*ids): x\n"
    )
    _write(
        pytester,
        "tests/test_days.py",
        """
        import pytest
        pytestmark = pytest.mark.rule("T1")
        @pytest.mark.parametrize("n", [1, 2, 3])
        def test_weekdays_count(n): pass
        def test_holidays_do_not_count(): pass
        """,
    )
    return pytester


def test_rule_without_a_test_fails_the_whole_run(suite: pytest.Pytester, spread: tuple[str, ...]) -> None:
    result = suite.runpytest_subprocess(*spread)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["T1 *2  A business day*", "T2 *0  Two*", "Rules that no test names: T2", "*4 passed*"]
    )


def test_partial_run_does_not_need_every_rule(suite: pytest.Pytester, spread: tuple[str, ...]) -> None:
    for selection in (
        ("tests/test_days.py",),
        ("-k", "weekdays"),
        ("--deselect", "tests/test_days.py::test_holidays"),
    ):
        result = suite.runpytest_subprocess(*spread, *selection)
        assert result.ret == pytest.ExitCode.OK
        result.stdout.no_fnmatch_line("Rules that no test names*")


def test_naming_the_tests_folder_is_a_whole_run(suite: pytest.Pytester) -> None:
    assert suite.runpytest_subprocess("tests").ret == pytest.ExitCode.TESTS_FAILED


def test_run_that_names_every_rule_passes(suite: pytest.Pytester, spread: tuple[str, ...]) -> None:
    _write(suite, "tests/test_two.py", "import pytest\n@pytest.mark.rule('T2', 'T1')\ndef test_two(): pass\n")
    result = suite.runpytest_subprocess(*spread)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["T1 *3  *", "T2 *1  *"])


def test_unknown_rule_in_a_test_fails_the_whole_run(suite: pytest.Pytester, spread: tuple[str, ...]) -> None:
    _write(suite, "tests/test_two.py", "import pytest\n@pytest.mark.rule('T2', 'T3')\ndef test_two(): pass\n")
    result = suite.runpytest_subprocess(*spread)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["Tests name rules that are not on the page: T3"])


def _write(suite: pytest.Pytester, name: str, text: str) -> None:
    suite.makepyfile(**{name.removesuffix(".py"): text})
