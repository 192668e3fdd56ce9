"""What a log line shows of addresses, tokens, passwords and the texts of errors."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from database.links import Link, Links
from worker.monitoring.redaction import RedactedStream, format_traceback, redact

ROOT = Path(__file__).resolve().parents[3]
TOKEN = Links("https://mentoring.example.org", "a secret of sixteen and more").token(
    Link("extend", "p-1", "engagement/r-1", datetime(2028, 3, 6, tzinfo=UTC))
)


@pytest.mark.rule("MEM6")
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 <ximena.q+news@mail.example.org>: no such user", "550 5.1.1 <[address]>: no such user"),
        ('rcpt "ximena q"@example.org refused', "rcpt [address] refused"),
        ("to josé@correo.méxico.example", "to [address]"),
        ("{'authorization': 'Bearer abc.def.ghi'}", "{'authorization': '[secret]'}"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [secret]"),
        ("sent Bearer abcdefghij12", "sent Bearer [secret]"),
        ("Cookie: session=abc", "Cookie: [secret]"),
        ("password=hunter2&x=1", "password=[secret]&x=1"),
        ('{"refresh_token": "1//abc"}', '{"refresh_token": "[secret]"}'),
        ("postgresql://app:hunter2@db/mentoring", "postgresql://[secret]@db/mentoring"),
        ("key whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "key [secret]"),
        (f"GET /l/{TOKEN} 500", "GET /l/[secret] 500"),
        (f"token {TOKEN}", "token [secret]"),
        ("GET /staff/sign-in/AbCdEfGh12345678", "GET /staff/sign-in/[secret]"),
    ],
)
def test_addresses_and_secrets_are_removed(said: str, kept: str) -> None:
    assert redact(said) == kept


@pytest.mark.parametrize(
    "said",
    [
        "worker_started environment=production programs=asis-global",
        "workflow=claim/r-1/mentor/CPP message=mentor.credit_ready delivery=3f2ab1cd5e6f",
        '  File "worker/processes.py", line 12, in run_worker',
        "the mail server 10.0.0.7:25 cannot be used: 421 4.7.0 try again later",
        "http://127.0.0.1:8080/staff/show/onboarding/p-1",
    ],
)
def test_ids_paths_and_instants_stay(said: str) -> None:
    assert redact(said) == said


@pytest.mark.rule("MEM6")
def test_traceback_has_frames_and_no_text_of_unexpected_errors() -> None:
    def fail(name: str) -> None:
        try:
            dict[str, int]()[name]
        except KeyError as error:
            raise ValueError(name) from error

    with pytest.raises(ValueError, match="Ximena") as caught:
        fail("Ximena " + "Quintanilla")
    text = format_traceback(caught.value)
    assert "Ximena Quintanilla" not in text
    assert text.index("KeyError") < text.index("ValueError")
    assert "in fail" in text


def test_traceback_keeps_what_a_server_said() -> None:
    refused = OperationalError("SELECT", {}, OSError("connection to server at 10.0.0.7 refused"))
    assert "10.0.0.7 refused" in format_traceback(refused)
    duplicate = IntegrityError("INSERT", {}, ValueError("Key (name)=(Ximena) already exists"))
    assert "Ximena" not in format_traceback(duplicate)
    group = ExceptionGroup("Ximena", [ValueError("Ximena"), ConnectionError("reset")])
    assert format_traceback(group).endswith("ExceptionGroup of ValueError, ConnectionError: reset")


def test_stream_redacts_what_bypasses_every_logger() -> None:
    under = io.StringIO()
    stream = cast(io.StringIO, RedactedStream(under))
    print("Traceback: ximena@example.org", file=stream, flush=True)
    assert under.getvalue() == "Traceback: [address]\n"


LIBRARIES = """
import asyncio, logging, sys, warnings
import structlog
from worker.log_setup import redact_output, set_up_logging
set_up_logging(logging.INFO, json="json" in sys.argv)
redact_output()
structlog.get_logger().info("thing_done", workflow="onboarding/p-1", to="ximena@example.org")
logging.getLogger("uvicorn.error").error("Exception in ASGI application\\nximena", exc_info=ValueError("Quintanilla"))
logging.getLogger("mail.log").warning("%r from %s", "Quintanilla", "ximena@example.org")
logging.getLogger("temporalio.worker").warning("Failed activation on workflow %s", "Onboarding")
warnings.warn("Quintanilla is deprecated")
async def fail():
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": KeyError("Quintanilla")})
asyncio.run(fail())
print("ximena@example.org", file=sys.stderr)
"""


@pytest.mark.rule("MEM6")
@pytest.mark.parametrize("form", ["text", "json"])
def test_libraries_log_through_the_same_line(form: str) -> None:
    """What uvicorn, asyncio, aiosmtpd and Python itself say has no name and no address, and is kept otherwise."""
    ended = subprocess.run(
        [sys.executable, "-c", LIBRARIES, form], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for hidden in ("Quintanilla", "ximena"):
        assert hidden not in ended.stderr + ended.stdout
    for kept in (
        "thing_done",
        "onboarding/p-1",
        "Exception in ASGI application",
        "%r from %s",
        "UserWarning",
    ):
        assert kept in ended.stderr
    assert "Failed activation on workflow Onboarding" in ended.stderr
    if form == "json":
        lines = [json.loads(line) for line in ended.stderr.splitlines()[:-1]]
        assert {"event", "level", "timestamp"} <= lines[0].keys()
        assert [line["library"] for line in lines if line["event"] == "library_reported"] == [
            *("uvicorn.error", "mail.log", "py.warnings", "asyncio")
        ]
