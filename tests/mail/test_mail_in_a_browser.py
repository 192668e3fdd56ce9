"""Every mail as a browser lays it out: on a phone and on a wide screen, in light and dark."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.async_api import Browser

from mail.samples import sample_context
from tests.support.browser import COLORS
from tests.support.mail_html import COMPOSER

pytestmark = pytest.mark.rule("MAIL5")

READERS: list[tuple[Literal["light", "dark"], int]] = [("light", 320), ("dark", 390), ("light", 1000)]

FAULTS = (
    """() => {
  const root = document.documentElement;
"""
    + COLORS
    + """
  const faults = faint();
  if (root.scrollWidth > root.clientWidth) faults.push(`scrolls sideways: ${root.scrollWidth}`);
  for (const button of document.querySelectorAll(".button a, .quiet a")) {
    const box = button.getBoundingClientRect();
    if (box.height < 44) faults.push(`hard to hit: ${button.innerText} ${box.height}`);
    if (box.right > root.clientWidth) faults.push("sticks out: " + button.innerText);
  }
  return faults;
}"""
)


@pytest.mark.parametrize("language", ["en", "es"])
async def test_mail_is_readable_in_every_size_and_color_scheme(chromium: Browser, language: str) -> None:
    faults: dict[str, list[str]] = {}
    context = await chromium.new_context(offline=True)
    page = await context.new_page()
    for message, number, written_in in COMPOSER.written():
        if written_in != language:
            continue
        sample = sample_context(message, number, language)
        await page.set_content(COMPOSER.compose(message, number, language, sample).html)
        for scheme, width in READERS:
            await page.emulate_media(color_scheme=scheme)
            await page.set_viewport_size({"width": width, "height": 800})
            if found := await page.evaluate(FAULTS):
                faults[f"{message} {number or ''} {scheme} {width}"] = found
    await context.close()
    assert faults == {}


async def test_long_words_do_not_widen_a_mail_beyond_the_phone(chromium: Browser) -> None:
    long = "Maximiliana-Guadalupe" + "x" * 60
    faults: dict[str, list[str]] = {}
    context = await chromium.new_context(offline=True, viewport={"width": 390, "height": 800})
    page = await context.new_page()
    for message in ("mentor.request_received", "mentee.match", "mentor.pulse", "mentee.credit_ready"):
        sample = sample_context(message, None, "en")
        other: Any = sample["other"]
        sample["other"] = {**other, "name": long, "email": f"{long}@example.org"}
        number = 1 if message == "mentor.pulse" else None
        await page.set_content(COMPOSER.compose(message, number, "en", sample).html)
        if found := await page.evaluate(FAULTS):
            faults[message] = found
    await context.close()
    assert faults == {}
