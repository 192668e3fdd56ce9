"""Traces of a process: off without an endpoint, refused where they cannot work, and nothing that a replay compares."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.worker import Replayer

from database.traces import current_trace, span
from tests.histories.record import recorded
from tests.support.cli import environment, throughline
from tests.support.servers.otlp_receiver import OtlpReceiver
from worker.monitoring.tracing import tracing
from worker.workflow_runtime import WORKFLOWS, workflow_runner

ROOT = Path(__file__).resolve().parents[3]

WITHOUT_AN_ENDPOINT = """
import asyncio, sys
from worker.monitoring.tracing import tracing
from worker.processes import run_worker

async def trace():
    async with tracing("worker") as interceptors:
        return interceptors

assert asyncio.run(trace()) == ()
print(*(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))))
"""

WITHOUT_THE_PACKAGE = """
import sys
sys.modules["opentelemetry.exporter"] = None
from cli.main import main
main()
"""


def python(program: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, from the root."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**settings),
        timeout=120,
    )


def test_process_without_an_endpoint_loads_no_opentelemetry() -> None:
    done = python(WITHOUT_AN_ENDPOINT)
    assert done.stderr == ""
    assert done.stdout.split() == []


def test_endpoint_without_the_packages_is_refused_with_what_to_install(tmp_path: Path) -> None:
    settings = {
        "THROUGHLINE_DATABASE": f"sqlite:///{tmp_path / 'none.db'}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    }
    done = python(WITHOUT_THE_PACKAGE, "worker", **settings)
    assert done.returncode == 1
    assert "pip install 'throughline[tracing]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_endpoint_that_is_no_http_address_is_refused(tmp_path: Path) -> None:
    settings = {"THROUGHLINE_DATABASE": f"sqlite:///{tmp_path / 'none.db'}"}
    done = throughline("worker", settings={**settings, "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"})
    assert done.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: must begin with http:// or https://" in done.stderr


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """A receiver that the environment names."""
    receiver = OtlpReceiver()
    with receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        yield receiver


@pytest.mark.rule("T6", "T7")
async def test_recorded_histories_replay_with_the_interceptor(collector: OtlpReceiver) -> None:
    async with tracing("worker") as interceptors:
        for history in recorded().values():
            replayer = Replayer(
                workflows=WORKFLOWS, workflow_runner=workflow_runner(), interceptors=interceptors
            )
            await replayer.replay_workflow(history)


async def test_stored_trace_goes_on_in_another_task_and_ends_with_the_block(collector: OtlpReceiver) -> None:
    async def later(parent: str | None) -> None:
        with span("applied", parent, event="7"):
            await asyncio.sleep(0)

    async with tracing("gateway"):
        assert current_trace() is None
        with span("received"):
            stored = current_trace()
        assert stored is not None
        assert len(stored) == 55
        await asyncio.create_task(later(stored))
    assert current_trace() is None
    found = {each.name: (service, each) for service, each in collector.spans()}
    received, applied = found["received"][1], found["applied"][1]
    assert (applied.trace_id, applied.parent_span_id) == (received.trace_id, received.span_id)
    assert found["applied"][0] == "throughline-gateway"
    assert [(each.key, each.value.string_value) for each in applied.attributes] == [
        ("throughline.event", "7")
    ]


@pytest.mark.rule("MEM6")
async def test_span_of_an_error_has_its_name_and_not_its_words(collector: OtlpReceiver) -> None:
    async with tracing("worker"):
        with pytest.raises(ValueError, match="Quintanilla"), span("fails"):
            raise ValueError("Ximena Quintanilla <x.quintanilla@example.org>")
    [(_, failed)] = collector.spans()
    assert failed.status.message == "ValueError"
    assert b"uintanilla" not in collector.written()
