"""What all personal links share: the visit, the handler of a purpose, and the page that it answers with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from starlette.datastructures import FormData

from database.links import Link, Links
from gateway.links.reader import LinkReader
from gateway.pages import Text
from rules.text import LONGEST_TEXT, from_form

SOURCE = "/links"
"""Source of the events that come from personal links."""

FieldErrors = dict[str, Text]
"""What is wrong in a form, by field."""


@dataclass(frozen=True, slots=True)
class LinkVisit:
    """A valid link that its reader opened."""

    link: Link
    token: str
    question: str
    """Id of the question that the link asks: the same for links of one mail that differ only in their detail, such as
    its *yes* and its *no*."""
    reader: LinkReader
    at: datetime
    """Program time, in UTC."""


@dataclass(frozen=True, slots=True)
class LinkPage:
    """A page to show: a template and its values."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    language: str | None = None
    """Shown in this language instead of the reader's."""


class LinkHandler(Protocol):
    """What the links of one purpose do. Both methods may raise Unavailable, or errors of the database."""

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the page that says what will happen, or what has happened. Changes nothing."""
        ...

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Do it, and return the page that confirms it; on a mistake, return the form with its input."""
        ...


NOT_THEIRS = LinkPage("", status=404)
"""Answer to a valid link whose subject is unknown, or in which its profile has no part."""


def message_page(
    key: str,
    names: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    action: tuple[str, str] | None = None,
) -> LinkPage:
    """Return a page that only says something: `key.title` and the paragraphs of `key.text`, with `names` filled in.

    `action` is a link below it: the key of its words, and its address.
    """
    return LinkPage("message.html", {"key": key, "names": names or {}, "action": action}, status)


def form_page(template: str, values: Mapping[str, object], errors: FieldErrors) -> LinkPage:
    """Return a page with a form and what is wrong in it, if anything."""
    return LinkPage(template, {**values, "errors": errors}, 400 if errors else 200)


def form_text(form: FormData, name: str) -> str:
    """Return the text of a form field; empty where the field is missing or a file."""
    value = form.get(name)
    return from_form(value) if isinstance(value, str) else ""


def too_long(text: str) -> Text | None:
    """Return what is wrong with a text of more characters than an event may carry."""
    return Text("site.too_long", {"most": f"{LONGEST_TEXT:,}"}) if len(text) > LONGEST_TEXT else None


def question_id(links: Links, link: Link) -> str:
    """Return the id of a link's question: the same whatever its detail, and opaque to other systems."""
    return hashlib.sha256(links.token(replace(link, detail="")).encode()).hexdigest()[:32]
