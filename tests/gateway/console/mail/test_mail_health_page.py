"""The page of mail health, and what managers do about it (MAIL3, MAIL10, STA3)."""

from __future__ import annotations

import pytest

from database.models import Suppression
from tests.gateway.console.mail.test_ahead_page import mail
from tests.support.console.staff import ConsoleFixture
from tests.support.gateway import NOW

pytestmark = pytest.mark.rule("MAIL3", "MAIL10", "STA3")

HEALTH = "/staff/mail"
ADDRESS = "ana@example.org"


async def prepare(console: ConsoleFixture) -> str:
    """Mail to Ana that was sent, is unclear and came back, and her address suppressed. Returns the address."""
    values = {"decided_at": NOW, "attempted_at": NOW, "recipient": ADDRESS, "response": "250 ok"}
    await console.add(
        mail("ok", 0, state="sent", **values),
        mail("late", -1, state="sent", **values),
        mail("unclear", 0, state="ambiguous", **values),
        mail("back", 0, state="sent", came_back="hard", came_back_at=NOW, came_back_reason="550", **values),
        Suppression(address=ADDRESS, kind="hard", reason="550 no such user", last_at=NOW, since=NOW),
    )
    return ADDRESS


async def test_page_is_for_managers_and_shows_how_mail_fares(console: ConsoleFixture) -> None:
    address = await prepare(console)
    for who in ("cora", "vito"):
        assert (await console.get(who, HEALTH)).status_code == 404
    page = await console.get("mia", f"{HEALTH}?days=7&program=none")
    for shown in (address, "550 no such user", "example.org: 1", "no such address", "open", "Mail it again"):
        assert shown in page.text
    for shown in ("Service level by day", "The objective is 99 %", "0 / 1", "86400 s late"):
        assert shown in page.text
    assert "Mail it again" not in (await console.get("reader", HEALTH)).text
