"""`throughline badge`: a badge that goes out, is verified with and without the network, and what does not hold."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import uvicorn

from database.models import AuditRecord
from evidence.letters import LetterService
from gateway.app import create_app
from tests.support.badges.badge_fixture import CERTIFICATE, LETTER, RING, BadgeFixture, badge_rows
from tests.support.cli import ROOT, CliFixture
from tests.support.gateway import CATALOGUE, DOCUMENTS, PAGES, eventually, gateway_fixture
from tests.support.gateway import SECRET as WEBHOOK_SECRET

pytestmark = pytest.mark.rule("CPE14")

SECRET = "the first key of a ring"
SIGNED = {"THROUGHLINE_SECRET": SECRET, "THROUGHLINE_BASE_URL": "https://mentoring.example.org"}


@pytest.fixture
async def badges(cli: CliFixture, migrated_file: Path, tmp_path: Path) -> AsyncIterator[BadgeFixture]:
    """A deployment with a letter and a certificate; the command works on its database."""
    file = shutil.copy(migrated_file, tmp_path / "badges.db")
    cli.settings |= {"THROUGHLINE_DATABASE": f"sqlite:///{file}", **SIGNED}
    async with gateway_fixture(f"sqlite:///{file}", badge_rows(), keys=RING) as made:
        yield BadgeFixture(made)


@pytest.fixture
async def kept(badges: BadgeFixture, cli: CliFixture, tmp_path: Path) -> Path:
    """A folder with an exported badge, the issuer's profile and the status list."""
    said = await cli.throughline("badge", "export", LETTER, "--out", tmp_path / "badge.jwt")
    assert said.status == 0, said.err
    assert "https://mentoring.example.org/badges/" in said.out
    (tmp_path / "profile.json").write_bytes(await badges.read("/badges/issuers/asis-global"))
    (tmp_path / "keys.json").write_bytes(await badges.read("/badges/keys"))
    (tmp_path / "status.jwt").write_bytes(await badges.read("/badges/status/1"))
    return tmp_path


@pytest.mark.parametrize("profile", ["profile.json", "keys.json"])
async def test_exported_badge_verifies_offline(cli: CliFixture, kept: Path, profile: str) -> None:
    offline = ("--profile", kept / profile, "--status", kept / "status.jwt")
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", *offline)
    assert (said.status, said.err, said.out.count("\n")) == (0, "", 1)
    assert "valid: Mentoring credit for CPP, as a mentor, issued by Security Leaders" in said.out
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", *offline, "--json")
    assert (said.json["valid"], said.json["state"], said.json["since"]) == (
        True,
        "valid",
        "2026-07-11T01:30:00+00:00",
    )
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", "--profile", kept / profile)
    assert (said.status, "was not checked" in said.out) == (0, True)


async def test_badge_names_its_holder_to_who_knows_the_address(cli: CliFixture, kept: Path) -> None:
    known = (kept / "badge.jwt", "--profile", kept / "profile.json", "--email")
    assert (await cli.throughline("badge", "verify", *known, "marcus@example.org")).status == 0
    said = await cli.throughline("badge", "verify", *known, "ana@example.org")
    assert (said.status, "it was not issued to ana@example.org" in said.err) == (1, True)


async def test_altered_badge_is_one_clear_line(cli: CliFixture, kept: Path) -> None:
    head, payload, signature = (kept / "badge.jwt").read_text().split(".")
    (kept / "altered.jwt").write_text(f"{head}.{payload[:-8]}fX19fX19.{signature}")
    (kept / "unsigned.jwt").write_text(f"{head}.{payload}.")
    (kept / "other.json").write_text('{"type": "OpenBadgeCredential"}')
    for name in ("altered.jwt", "unsigned.jwt", "other.json"):
        said = await cli.throughline("badge", "verify", kept / name, "--profile", kept / "profile.json")
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    said = await cli.throughline(
        "badge", "verify", kept / "unsigned.jwt", "--profile", kept / "profile.json", "--json"
    )
    assert (said.status, said.json["valid"], said.json["state"]) == (1, False, "invalid")
    assert (await cli.throughline("badge", "verify", kept / "none.jwt")).status == 1


async def test_revoked_badge_is_refused(cli: CliFixture, badges: BadgeFixture, kept: Path) -> None:
    await badges.revoke(LETTER)
    (kept / "status.jwt").write_bytes(await badges.read("/badges/status/1"))
    offline = ("--profile", kept / "profile.json", "--status", kept / "status.jwt")
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", *offline)
    assert (said.status, "it was revoked or withdrawn" in said.err) == (1, True)
    said = await cli.throughline("badge", "export", CERTIFICATE, "--out", kept / "other.jwt")
    assert said.status == 0
    said = await cli.throughline("badge", "verify", kept / "other.jwt", *offline)
    assert said.status == 0, said.err


async def test_old_status_list_does_not_hide_a_revocation_for_long(cli: CliFixture, kept: Path) -> None:
    offline = ("--profile", kept / "profile.json", "--status", kept / "status.jwt")
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", *offline, "--at", "2100-01-01")
    assert (said.status, "the status list holds no longer than" in said.err) == (1, True)
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", *offline, "--at", "2026-07-10")
    assert (said.status, "the badge holds only from 2026-07-11 01:30 UTC" in said.err) == (1, True)


async def test_keys_are_rotated_listed_and_recorded(
    cli: CliFixture, badges: BadgeFixture, kept: Path
) -> None:
    said = await cli.throughline("badge", "keys", "rotate", "--reason", "yearly", "--actor", "lina")
    assert said.status == 0, said.err
    listed = (await cli.throughline("badge", "keys", "list", "--json")).lines
    assert [row["state"] for row in listed] == ["signs", "retired"]
    assert "retired" in (await cli.throughline("badge", "keys", "list")).out
    (kept / "profile.json").write_bytes(await badges.read("/badges/issuers/asis-global"))
    old = ("badge", "verify", kept / "badge.jwt", "--profile", kept / "profile.json")
    assert (await cli.throughline(*old)).status == 0
    said = await cli.throughline(
        "badge", "keys", "rotate", "--reason", "a laptop was stolen", "--compromised"
    )
    assert said.status == 0, said.err
    record = (await badges.gateway.all(AuditRecord))[-1]
    assert (record.subject, record.data["act"], record.veiled) == (
        "badges/keys",
        "badge key rotated",
        {"reason": "a laptop was stolen"},
    )


async def test_badge_of_a_compromised_key_is_exported_again(
    cli: CliFixture, badges: BadgeFixture, kept: Path
) -> None:
    said = await cli.throughline("badge", "keys", "rotate", "--reason", "it leaked", "--compromised")
    assert "1 badges were signed again" in said.out
    (kept / "profile.json").write_bytes(await badges.read("/badges/issuers/asis-global"))
    verify = ("badge", "verify", kept / "badge.jwt", "--profile", kept / "profile.json")
    said = await cli.throughline(*verify)
    assert (said.status, "a key that its issuer does not publish" in said.err) == (1, True)
    await cli.throughline("badge", "export", LETTER, "--out", kept / "badge.jwt")
    assert (await cli.throughline(*verify)).status == 0


async def test_badge_is_exported_by_its_claim_too(
    cli: CliFixture, badges: BadgeFixture, tmp_path: Path
) -> None:
    file = tmp_path / "claim.jwt"
    said = await cli.throughline("badge", "export", "claim/r-2/mentor/CPP", "--out", file, "--json")
    assert said.json["letter"] == LETTER
    assert json.loads(said.out)["file"] == str(file)


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("export", "no such code"), {}, "there is no letter or certificate no such code"),
        (("export", LETTER), {"THROUGHLINE_SECRET": ""}, "badges need the key ring"),
        (("keys", "rotate", "--reason", "x"), {"THROUGHLINE_SECRET": ""}, "badges need the key ring"),
    ],
)
async def test_what_has_no_badge_is_one_clear_line(
    cli: CliFixture, badges: BadgeFixture, arguments: tuple[str, ...], settings: dict[str, str], words: str
) -> None:
    said = await cli.throughline("badge", *arguments, **settings)
    assert said.status == 1
    assert words in said.err
    assert said.err.count("\n") == 1


@asynccontextmanager
async def served(badges: BadgeFixture) -> AsyncIterator[str]:
    """The address at which the deployment serves its badges."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{bound.getsockname()[1]}"
        services = replace(badges.gateway.services, letters=LetterService(CATALOGUE, DOCUMENTS, base))
        app = create_app(services, webhook_secrets=[WEBHOOK_SECRET], pages=PAGES)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        running = asyncio.create_task(server.serve(sockets=[bound]))
        await eventually(lambda: server.started)
        yield base
        server.should_exit = True
        await running


async def test_badge_is_verified_by_what_its_issuer_serves(
    cli: CliFixture, badges: BadgeFixture, tmp_path: Path
) -> None:
    async with served(badges) as base:
        file = tmp_path / "served.jwt"
        await cli.throughline("badge", "export", LETTER, "--out", file, THROUGHLINE_BASE_URL=base)
        said = await cli.throughline("badge", "verify", file)
        assert (said.status, said.err) == (0, "")
        assert "not checked" not in said.out
        await badges.revoke(LETTER)
        said = await cli.throughline("badge", "verify", file)
        assert (said.status, "it was revoked or withdrawn" in said.err) == (1, True)


async def test_each_command_of_the_badges_page_works(
    cli: CliFixture, badges: BadgeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docs/badges.md`, in its order; the holder of this letter is Marcus, whom the page calls Ana."""
    blocks = re.findall(
        r"^```\n(.*?)^```$", (ROOT / "docs/badges.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    async with served(badges) as base:
        await cli.throughline("badge", "export", LETTER, "--out", "badge.jwt", THROUGHLINE_BASE_URL=base)
        async with httpx.AsyncClient(base_url=base) as client:
            for name, address in (("profile.json", "issuers/asis-global"), ("status.jwt", "status/1")):
                (tmp_path / name).write_bytes((await client.get(f"/badges/{address}")).content)
        for command in "".join(blocks).replace("ana@example.org", "marcus@example.org").splitlines():
            said = await cli.throughline(*shlex.split(command, comments=True)[1:])
            assert said.status == 0, (command, said.err)


async def test_issuer_that_does_not_answer_leaves_a_badge_unverified(cli: CliFixture, kept: Path) -> None:
    said = await cli.throughline("badge", "verify", kept / "badge.jwt", "--json")
    assert (said.status, said.json["valid"], said.json["state"]) == (1, False, "unknown")
    assert "https://mentoring.example.org/badges/issuers/asis-global/did.json" in said.json["reason"]
