"""What a personal page is made of: the visit, the handler of its purpose, the page it answers with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from starlette.datastructures import FormData

from database.links import Link, Links
from gateway.links.reader import Reader
from rules.text import from_form


@dataclass(frozen=True, slots=True)
class LinkVisit:
    """Somebody opens a link that holds: `at` is program time.

    `question` is the same for all links of one mail that only differ in their detail, like its *yes* and its *no*.
    """

    link: Link
    token: str
    question: str
    reader: Reader
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page to show: a template and its values. `language` stands in for the reader's."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    language: str | None = None


class LinkHandler(Protocol):
    """What a kind of link does. Both may raise Unavailable, or errors of the database."""

    async def show(self, visit: LinkVisit) -> Page:
        """The page that says what will happen, or where things stand. Changes nothing."""
        ...

    async def act(self, visit: LinkVisit, form: FormData) -> Page:
        """Do it, and show what happens next; on a mistake, the page with all that was typed."""
        ...


def message(
    key: str,
    names: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    action: tuple[str, str] | None = None,
) -> Page:
    """A page that only says something: `key.title` and the passage `key.text`, with `names` filled in.

    `action` is a link below it: the key of its words, and its address.
    """
    return Page("message.html", {"key": key, "names": names or {}, "action": action}, status)


def form_text(form: FormData, name: str) -> str:
    """Return the text of a form field; empty where the field is missing or a file."""
    value = form.get(name)
    return from_form(value) if isinstance(value, str) else ""


NOT_THEIRS = Page("", status=404)
"""For a link that holds, but not for this: its profile has no part in its subject, or there is no such subject."""


def question(links: Links, link: Link) -> str:
    """What a link asks, as a short name that tells nobody anything; whatever its detail."""
    return hashlib.sha256(links.token(replace(link, detail="")).encode()).hexdigest()[:32]
