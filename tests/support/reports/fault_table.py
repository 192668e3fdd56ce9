"""What was broken on purpose and what came out, as a table at the end of a run (MAIL1, MAIL2).

A test breaks something, and hands the ledger and what the mail server has to the fixture `fault_run`. That counts on
the receiving side, fails the test if a message was lost, doubled or stuck, and adds a line to the table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple, dataclass

import pytest

from database.models import DECISIONS, Message

PROPERTY = "fault_run"


@dataclass(frozen=True)
class FaultRun:
    """The counts of one run.

    `received` counts deliveries that the mail server took responsibility for. `lost` are those that the ledger has as
    sent and the server has not; `doubled` those that the server has twice, or that have two decisions, or that
    it has although the ledger says they did not go out; `stuck` those without a decision; `ambiguous` those that
    the server may have and that staff are asked about.
    """

    intents: int
    received: int
    lost: int
    doubled: int
    stuck: int
    ambiguous: int


Judge = Callable[[str, Iterable[Message], Iterable[str], Iterable[str]], FaultRun]


def judged(rows: Iterable[Message], received: Iterable[str], decided: Iterable[str]) -> FaultRun:
    """The counts for the ledger's rows; a delivery is named each time that it was received, or decided."""
    rows, there, decisions = list(rows), Counter(received), Counter(decided)
    unknown = set(there) - {row.delivery for row in rows}
    not_sent = DECISIONS - {"sent", "ambiguous"}
    return FaultRun(
        intents=len(rows),
        received=len(there),
        lost=sum(row.state == "sent" and not there[row.delivery] for row in rows),
        doubled=len(unknown)
        + sum(
            there[row.delivery] > (row.state not in not_sent) or decisions[row.delivery] > 1 for row in rows
        ),
        stuck=sum(row.state not in DECISIONS or not decisions[row.delivery] for row in rows),
        ambiguous=sum(row.state == "ambiguous" for row in rows),
    )


@pytest.fixture
def fault_run(record_property: Callable[[str, object], None]) -> Judge:
    """Judge a run under a fault: its name for the table, the rows, the deliveries received, those decided."""

    def judge(
        fault: str, rows: Iterable[Message], received: Iterable[str], decided: Iterable[str]
    ) -> FaultRun:
        run = judged(rows, received, decided)
        record_property(PROPERTY, {"fault": fault, **asdict(run)})
        assert (run.lost, run.doubled, run.stuck) == (0, 0, 0), run
        return run

    return judge


class FaultTable:
    """The plugin: collects the runs from the tests' reports, with xdist from all workers, and prints them."""

    def __init__(self) -> None:
        self.runs: defaultdict[str, list[FaultRun]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for name, value in report.user_properties:
                if name == PROPERTY:
                    assert isinstance(value, dict)
                    counts = {key: number for key, number in value.items() if key != "fault"}
                    self.runs[value["fault"]].append(FaultRun(**counts))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.runs:
            return
        columns = ["runs", *FaultRun.__dataclass_fields__]
        width = max(len("fault"), *map(len, self.runs))
        terminalreporter.section("faults, counted at the mail server")
        terminalreporter.line("  ".join([f"{'fault':<{width}}", *columns]))
        everything = [run for runs in self.runs.values() for run in runs]
        for fault, runs in [*sorted(self.runs.items()), ("all", everything)]:
            sums = [len(runs), *(sum(counts) for counts in zip(*map(astuple, runs), strict=True))]
            cells = [f"{value:>{len(name)}}" for name, value in zip(columns, sums, strict=True)]
            bad = any(run.lost or run.doubled or run.stuck for run in runs)
            terminalreporter.line("  ".join([f"{fault:<{width}}", *cells]), red=bad, bold=fault == "all")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(FaultTable(), "throughline-fault-table")
