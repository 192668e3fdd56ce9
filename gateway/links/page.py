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
    after_post: bool = False
    """Whether the browser was sent here after it posted the form: the page then confirms what was stored."""


@dataclass(frozen=True, slots=True)
class LinkPage:
    """A page to show: a template and its values."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    language: str | None = None
    """Shown in this language instead of the reader's."""
    stored: bool = False
    """Whether a form was stored: the browser is sent to a page that it can load again and go back to."""


class LinkHandler(Protocol):
    """What the links of one purpose do. Both methods may raise Unavailable, or errors of the database."""

    async def get(self, visit: LinkVisit) -> LinkPage:
        """Return the page that says what will happen, or what has happened. Changes nothing."""
        ...

    async def post(self, visit: LinkVisit, form: FormData) -> LinkPage:
        """Do it, and return STORED or a page; on a mistake, return the form with its input.

        An act that cannot be undone needs a choice or a tick that no form has preset (MAIL9).
        """
        ...


NOT_THEIRS = LinkPage("", status=404)
"""Answer to a valid link whose subject is unknown, or in which its profile has no part."""


STORED = LinkPage("", stored=True)
"""Answer to a form that was stored: `get` confirms it, since the visit is then `after_post`."""


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
    return LinkPage(template, {**values, "errors": errors}, 422 if errors else 200)


def form_text(form: FormData, name: str) -> str:
    """Return the text of a form field; empty where the field is missing or a file."""
    value = form.get(name)
    return from_form(value) if isinstance(value, str) else ""


def refuse_unticked(form: Mapping[str, str], errors: FieldErrors) -> FieldErrors:
    """Return the errors of a form, with one for the tick that the reader has to set (MAIL9)."""
    return errors if form.get("confirm") == "yes" else {"confirm": Text("site.tick"), **errors}


def too_long(text: str) -> Text | None:
    """Return what is wrong with a text of more characters than an event may carry."""
    return Text("site.too_long", {"most": f"{LONGEST_TEXT:,}"}) if len(text) > LONGEST_TEXT else None


def question_id(links: Links, link: Link) -> str:
    """Return the id of a link's question: the same whatever its detail, and opaque to other systems."""
    return hashlib.sha256(links.token(replace(link, detail="")).encode()).hexdigest()[:32]
