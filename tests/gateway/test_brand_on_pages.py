"""A program's logo, colours and line at the foot on its pages, in a browser that blocks what the policy forbids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser

from rules.program import load_program
from tests.support.browser import FAULTS, browsing
from tests.support.gateway import GatewayFixture, at_the_gate, gateway_fixture
from tests.support.programs.brands import branded, full_brand

pytestmark = pytest.mark.rule("MAIL5")

SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]


async def test_page_shows_the_brand_and_is_readable(
    sqlite_url: str, chromium: Browser, tmp_path: Path
) -> None:
    program = replace(load_program(branded(tmp_path, full_brand())), mailbox="mentoring@example.org")
    async with (
        gateway_fixture(sqlite_url, at_the_gate(), programs={program.id: program}) as made,
        browsing(chromium, made, viewport={"width": 390, "height": 800}) as (page, complaints),
    ):
        for path in (
            made.path("answer", "p-marcus", "request/r-1", "accept"),
            made.path("plan", "p-marcus", "engagement/r-1"),
            "/verify",
        ):
            await page.goto(path)
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                assert await page.evaluate(FAULTS) == []
            await page.emulate_media(color_scheme="light")
            logo = page.get_by_alt_text("ASIS International")
            assert await logo.evaluate("image => [image.naturalWidth > 0, image.width, image.height]") == [
                True,
                144,
                48,
            ]
            bar = "() => getComputedStyle(document.querySelector('.card')).borderTopColor"
            assert await page.evaluate(bar) == "rgb(138, 21, 56)"
            assert "Run by <b>members</b> & friends {{ 7 * 7 }}" in await page.inner_text("footer")
        assert [text for text in complaints if "status of 4" not in text] == []


async def test_page_of_a_program_without_a_brand_has_no_logo(sqlite_url: str, tmp_path: Path) -> None:
    program = load_program(branded(tmp_path, ""))
    async with gateway_fixture(sqlite_url, programs={program.id: program}) as made:
        page = await _page(made)
        assert "<img" not in page
        assert page.count("<p>", page.index("<footer>")) == 1
        assert "--accent: #0b5f5c" in page


async def _page(made: GatewayFixture) -> str:
    return (await made.client.get(made.path("answer", "p-marcus", "request/r-1", "accept"))).text
