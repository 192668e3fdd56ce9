"""What a mail reader would make of an HTML mail: its structure, its sizes, its colors in light and dark.

Knows as much of CSS as the mails use: inline styles, and the rules of `@media (prefers-color-scheme: dark)` made of
tags and classes, all of them `!important`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from mail.composer import Composer

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "mail"
COMPOSER = Composer(TEMPLATES)
"""All bundled templates, compiled once for each test process: that takes a second."""

VOID = {"br", "hr", "img", "input", "link", "meta"}
DARK = "@media (prefers-color-scheme: dark)"


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    @property
    def style(self) -> dict[str, str]:
        return _declarations(self.attributes.get("style", ""))

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def lineage(self) -> Iterator[Element]:
        element: Element | None = self
        while element is not None:
            yield element
            element = element.parent

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.walk() if element.tag == tag]

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.open = Element("document", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.open))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.children.append(data)


def parsed(html: str) -> Element:
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open is builder.root, f"<{builder.open.tag}> is never closed"
    return builder.root


def shown_texts(document: Element) -> list[tuple[str, Element]]:
    """Every piece of text that a reader sees, with the element it stands in."""
    found = []
    for element in document.walk():
        if any(one.tag in {"style", "title", "head"} for one in element.lineage()):
            continue
        if any(one.style.get("display") == "none" for one in element.lineage()):
            continue
        found += [(c.strip(), element) for c in element.children if isinstance(c, str) and c.strip()]
    return found


def font_size(element: Element) -> float:
    for one in element.lineage():
        if "font-size" in one.style:
            return float(one.style["font-size"].removesuffix("px"))
    raise AssertionError(f"no font size above <{element.tag}>")


def contrast(element: Element, html: str, dark: bool) -> float:
    """The contrast ratio (WCAG 2) of the text in an element to what is behind it."""
    rules = _dark_rules(html) if dark else []
    front = _luminance(_inherited(element, ("color",), rules))
    back = _luminance(_inherited(element, ("background", "background-color"), rules))
    return (max(front, back) + 0.05) / (min(front, back) + 0.05)


def _inherited(element: Element, properties: tuple[str, ...], rules: list[_Rule]) -> str:
    for one in element.lineage():
        matching = sorted(
            (rule for rule in rules if _matches(one, rule.selector)), key=lambda rule: rule.weight
        )
        for declarations in [*(rule.declarations for rule in reversed(matching)), one.style]:
            for name in properties:
                if name in declarations:
                    return declarations[name]
    raise AssertionError(f"no {properties[0]} for <{element.tag}>")


@dataclass(frozen=True)
class _Rule:
    selector: list[str]
    declarations: dict[str, str]
    weight: tuple[int, int, int]


def _dark_rules(html: str) -> list[_Rule]:
    assert html.count(DARK) == 1
    block = html.partition(DARK)[2].partition("{")[2]
    end = re.search(r"\}\s*\}", block)
    assert end is not None
    rules: list[_Rule] = []
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", block[: end.end() - 1]):
        assert body.count(";") == body.count("!important"), f"mail readers need !important: {body}"
        for selector in selectors.split(","):
            parts = selector.split()
            classes = sum(part.count(".") for part in parts)
            tags = sum(not part.startswith(".") for part in parts)
            rules.append(_Rule(parts, _declarations(body), (classes, tags, len(rules))))
    return rules


def _matches(element: Element, selector: list[str]) -> bool:
    *ancestors, last = selector
    if not _is(element, last):
        return False
    above = list(element.lineage())[1:]
    for part in reversed(ancestors):
        while above and not _is(above[0], part):
            above.pop(0)
        if not above:
            return False
        above.pop(0)
    return True


def _is(element: Element, part: str) -> bool:
    tag, *classes = part.split(".")
    return tag in ("", element.tag) and set(classes) <= element.classes


def _declarations(css: str) -> dict[str, str]:
    pairs = (one.partition(":") for one in css.split(";") if ":" in one)
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs}


def _luminance(color: str) -> float:
    digits = color.removeprefix("#")
    assert re.fullmatch(r"[0-9a-f]{3}|[0-9a-f]{6}", digits), f"not a plain color: {color}"
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = (_linear(int(digits[i : i + 2], 16) / 255) for i in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)
