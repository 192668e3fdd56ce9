"""The table of runs under faults: counted on the receiving side, whole under xdist, before pytest's own last line."""

from __future__ import annotations

from pathlib import Path

import pytest

from database.models import Message
from tests.support.reports.fault_table import FaultRun, judged


def rows(*states: str) -> list[Message]:
    """Messages `d1`, `d2`, … in these states."""
    return [Message(delivery=f"d{number}", state=state) for number, state in enumerate(states, 1)]


@pytest.mark.rule("MAIL1", "MAIL2")
@pytest.mark.parametrize(
    ("states", "received", "decided", "run"),
    [
        (["sent", "sent"], ["d1", "d2"], ["d1", "d2"], FaultRun(2, 2, 0, 0, 0, 0)),
        (["sent", "sent"], ["d1"], ["d1", "d2"], FaultRun(2, 1, 1, 0, 0, 0)),
        (["sent"], ["d1", "d1"], ["d1"], FaultRun(1, 1, 0, 1, 0, 0)),
        (["sent"], ["d1"], ["d1", "d1"], FaultRun(1, 1, 0, 1, 0, 0)),
        (["failed"], ["d1"], ["d1"], FaultRun(1, 1, 0, 1, 0, 0)),
        (["planned"], ["d1"], [], FaultRun(1, 1, 0, 0, 1, 0)),
        (["sent"], ["d1"], [], FaultRun(1, 1, 0, 0, 1, 0)),
        (["ambiguous", "ambiguous"], ["d1"], ["d1", "d2"], FaultRun(2, 1, 0, 0, 0, 2)),
        ([], ["d1"], [], FaultRun(0, 1, 0, 1, 0, 0)),
    ],
    ids=[
        "all well",
        "lost",
        "twice",
        "two decisions",
        "failed and there",
        "stuck",
        "no record",
        "doubt",
        "unknown",
    ],
)
def test_run_is_counted_by_the_servers_messages(
    states: list[str], received: list[str], decided: list[str], run: FaultRun
) -> None:
    assert judged(rows(*states), received, decided) == run


@pytest.mark.parametrize("spread", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_table_sums_all_tests_before_the_last_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, spread: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p xdist -p tests.support.reports.fault_table\n")
    pytester.makepyfile(
        """
        import pytest
        from database.models import Message

        @pytest.mark.parametrize("time", [1, 2])
        def test_a_drop(fault_run, time):
            fault_run("a drop", [Message(delivery="d1", state="sent")], ["d1"], ["d1"])

        def test_silence(fault_run):
            fault_run("silence", [Message(delivery="d1", state="sent")], [], ["d1"])
        """
    )
    result = pytester.runpytest_subprocess(*spread)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*faults, counted at the mail server*",
            "fault * runs  intents  received  lost  doubled  stuck  ambiguous",
            "a drop * 2 * 2 * 2 * 0 * 0 * 0 * 0",
            "silence * 1 * 1 * 0 * 1 * 0 * 0 * 0",
            "all * 3 * 3 * 2 * 1 * 0 * 0 * 0",
        ]
    )
    assert "1 failed, 2 passed" in result.outlines[-1]


def test_run_without_faults_has_no_table(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p tests.support.reports.fault_table\n")
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest_subprocess().stdout.no_fnmatch_line("*faults, counted*")
