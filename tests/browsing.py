"""The gateway's pages in a real browser, and what would be wrong with one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Route

from tests.gateway_world import World

FAULTS = """() => {
  const faults = [];
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
  for (const target of document.querySelectorAll("button, .button, .choice, .field input, .field select")) {
    const box = target.getBoundingClientRect();
    if (box.height < 44) faults.push(`hard to hit: ${target.outerHTML.slice(0, 80)} ${box.height}`);
    if (box.right > root.clientWidth) faults.push("sticks out: " + target.outerHTML.slice(0, 80));
  }
  const size = parseFloat(getComputedStyle(document.querySelector("main p, main label")).fontSize);
  if (size < 16) faults.push(`small text: ${size}`);
  return faults;
}"""


@asynccontextmanager
async def browsing(browser: Browser, desk: World, **options: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page whose requests the gateway answers, headers and all, and what its console complains of."""
    context = await browser.new_context(base_url="https://mentoring.example.org", **options)

    async def answer(route: Route) -> None:
        request = route.request
        response = await desk.client.request(
            request.method,
            request.url,
            content=request.post_data_buffer,
            headers={"content-type": request.headers.get("content-type", "")},
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
    const input = document.createElement("input");
    input.name = name;
    input.value = value;
    form.append(input);
  }
  document.body.append(form);
  form.submit();
}"""
