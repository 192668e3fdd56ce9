"""The gateway's pages in a real browser, and what would be wrong with one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Route

from tests.support.gateway import GatewayFixture
from tests.support.limits import PATIENCE

_PASSED_ON = {"accept", "content-type", "accept-language"}

COLORS = r"""
  const parts = color => (color.match(/[\d.]+/g) || []).map(Number);
  const light = ([red, green, blue]) => {
    const linear = share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    return 0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  };
  const contrast = (one, other) => {
    const [more, less] = [light(one), light(other)].sort((a, b) => b - a);
    return (more + 0.05) / (less + 0.05);
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const color = parts(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = () => {
    const found = [];
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
      const element = words.currentNode.parentElement;
      if (!words.currentNode.data.trim() || !element.getClientRects().length) continue;
      const ratio = contrast(parts(getComputedStyle(element).color), ground(element));
      if (ratio < 4.5) found.push(`faint (${ratio.toFixed(1)}): ${words.currentNode.data.slice(0, 40)}`);
    }
    return found;
  };
"""

FAULTS = (
    """() => {
  const faults = [];
"""
    + COLORS
    + """
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`scrolls sideways: ${root.scrollWidth}`);
  const count = (selector, wanted) => {
    const found = document.querySelectorAll(selector).length;
    if (found !== wanted) faults.push(`${found} × ${selector}`);
  };
  for (const one of ["h1", "header", "main", "footer", "title"]) count(one, 1);
  count("script", 0);
  if (!["en", "es"].includes(root.lang)) faults.push("no language");
  if (!document.title.trim() || document.title.includes("<")) faults.push("title: " + document.title);
  for (const field of document.querySelectorAll("input:not([type=hidden]), textarea, select")) {
    if (!field.labels.length || !field.labels[0].innerText.trim()) faults.push(`no label: ${field.name}`);
    for (const id of (field.getAttribute("aria-describedby") || "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) faults.push(`describes nothing: ${id}`);
  }
  for (const link of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(link.hash.slice(1))) faults.push(`leads nowhere: ${link.hash}`);
  const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice: " + ids);
  const targets = "button, .button, .choice, .field input:not([type=checkbox]), .field select";
  for (const target of document.querySelectorAll(targets)) {
    const box = target.getBoundingClientRect();
    if (box.height < 44) faults.push(`hard to hit: ${target.outerHTML.slice(0, 80)} ${box.height}`);
    if (box.right > root.clientWidth) faults.push("sticks out: " + target.outerHTML.slice(0, 80));
  }
  const size = parseFloat(getComputedStyle(document.querySelector("main p, main label")).fontSize);
  if (size < 16) faults.push(`small text: ${size}`);
  for (const element of document.querySelectorAll("[aria-label]"))
    if (!element.ariaLabel.trim()) faults.push("says nothing: " + element.outerHTML.slice(0, 80));
  faults.push(...faint());
  for (const field of document.querySelectorAll(".field input:not([type=checkbox]), textarea, select")) {
    const ratio = contrast(parts(getComputedStyle(field).borderTopColor), ground(field.parentElement));
    if (ratio < 3) faults.push(`a field without an edge: ${field.name}`);
  }
  return faults;
}"""
)


@asynccontextmanager
async def browsing(
    browser: Browser, gateway: GatewayFixture, **options: Any
) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page whose requests the gateway answers, headers and all, and what its console complains of."""
    context = await browser.new_context(base_url="https://mentoring.example.org", **options)
    context.set_default_timeout(PATIENCE * 1000)

    async def answer(route: Route) -> None:
        request = route.request
        response = await gateway.client.request(
            request.method,
            request.url,
            content=request.post_data_buffer,
            headers={name: text for name, text in request.headers.items() if name in _PASSED_ON},
        )
        await route.fulfill(
            status=response.status_code, headers=dict(response.headers), body=response.content
        )

    await context.route("**/*", answer)
    page = await context.new_page()
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page, complaints
    finally:
        await context.close()


POST = """([path, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = path;
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("textarea");
    input.name = name;
    input.value = value;
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}"""


async def focused_in_turn(page: Page) -> list[str]:
    """What the Tab key comes to in turn, as `button Send`; what does not show it is `(unseen)`."""
    found: list[str] = []
    while True:
        await page.keyboard.press("Tab")
        here = await page.evaluate(FOCUSED)
        if not here or here in found:
            return found
        found.append(here)


FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body || element === document.documentElement) return "";
  const style = getComputedStyle(element);
  const seen = style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2;
  const name = element.innerText || element.name || "";
  const value = ["radio", "checkbox"].includes(element.type) ? "=" + element.value : "";
  return `${element.tagName.toLowerCase()} ${name}${value}${seen ? "" : " (unseen)"}`;
}"""
