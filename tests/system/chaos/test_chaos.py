"""A month of a program while its parts are taken away: the mail server has what the rules owe, each once.

The long form is `python -m benchmarks chaos`: hundreds of people, a year, dozens of faults.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chaos.lives import HOMES, draw_lives
from tests.support.chaos.run import CRASHES, OUTAGES, run_chaos
from tests.support.limits import SOAK
from tests.support.reports.fault_table import Judge
from tests.support.servers.postgres_server import PostgresServer

ROUNDS = min(SOAK, 10)


@pytest.mark.rule("MAIL1", "MAIL2", "MAIL3", "REQ10", "ONB3", "ENG1", "STA2", "T9")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1, 1 + ROUNDS))
async def test_all_that_rules_owe_arrives_once_through_chaos(
    postgres: PostgresServer, tmp_path: Path, fault_run: Judge, seed: int
) -> None:
    lives = draw_lives(16, 30, seed, homes=HOMES[:1], every=5)
    count = await run_chaos(lives, postgres, tmp_path, faults=7, workers=1)
    assert count.trouble() == []
    assert count.faults.total() == len(OUTAGES + CRASHES), "each fault has struck"
    due = [row for row in count.rows if row.due_at and row.due_at <= lives.until]
    fault_run("chaos: every part taken away", due, count.received.elements(), count.decided.elements())
