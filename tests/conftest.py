"""What the tests share: real servers, each as small and as short-lived as it can be."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from playwright.async_api import Browser, async_playwright
from temporalio.testing import WorkflowEnvironment

from tests.support.limits import SOAK, USUAL_EXAMPLES
from tests.support.servers.capturing_smtp import CapturingSmtp
from tests.support.servers.freezing_proxy import FreezingProxy
from tests.support.servers.postgres_server import PostgresServer

pytest_plugins = [
    "tests.support.reports.rules_table",
    "tests.support.reports.fault_table",
    "tests.support.databases",
    "tests.support.dossiers",
    "pytester",
]

settings.register_profile(
    "throughline",
    deadline=None,
    max_examples=USUAL_EXAMPLES * SOAK,
    derandomize=os.environ.get("CI") == "true" and SOAK == 1,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("throughline"), max_examples=USUAL_EXAMPLES // 6)
settings.load_profile("throughline")

# By default structlog draws each traceback with the values of all variables: seconds of work for one.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def program(name: str) -> str:
    """The path of a command that came with the locked packages."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert found, f"the command `{name}` is missing: run `make setup`"
    return found


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, one for each test process. A test that stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: PostgresServer) -> str:
    """The SQLAlchemy address of the server's own database, `postgres`."""
    return postgres.url()


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[FreezingProxy]:
    """A way to the PostgreSQL server that can freeze."""
    async with FreezingProxy(postgres.port) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The SQLAlchemy address of an empty database of the test's own: SQLite once, PostgreSQL once."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'throughline.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
async def temporal_dev() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal dev server, one for each test process, on the machine's time.

    The tests of a process share it: each takes workflow ids and task queues of its own.
    """
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"),
        # A workflow can be paused from outside; the server has that behind a switch.
        dev_server_extra_args=["--dynamic-config-value", "frontend.WorkflowPauseEnabled=true"],
    ) as environment:
        yield environment


@pytest.fixture
async def smtp_sink() -> AsyncIterator[CapturingSmtp]:
    """An SMTP server that accepts and keeps every message."""
    async with CapturingSmtp() as sink:
        yield sink


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium; each test opens a context of its own in it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "Chromium is missing: run `make browser`, or install Debian's package `chromium`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()
