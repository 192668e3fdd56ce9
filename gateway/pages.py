"""Pages for people: rendered on the server, without scripts, in the reader's language.

A page is written once, as a template; its sentences stand in one catalogue per language (`templates/pages/en.toml`,
`es.toml`). A sentence may have names in braces, filled in escaped.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
FALLBACK = "en"


class PageTexts:
    """The sentences of all pages in one language, by dotted key: `accept.title`."""

    def __init__(self, language: str, texts: Mapping[str, Any]) -> None:
        self.language = language
        self.texts: dict[str, str | tuple[str, ...]] = dict(_flat(texts))

    def has(self, key: str) -> bool:
        """Whether there is a sentence, or a passage, of this key."""
        return key in self.texts

    def say(self, key: str, **values: object) -> Markup:
        """A sentence with its names filled in. Raises KeyError for a key or a name that is missing."""
        text = self.texts[key]
        if not isinstance(text, str):
            raise KeyError(f"{key} is a passage of several sentences")
        return _filled(text, values)

    def passage(self, key: str, **values: object) -> list[Markup]:
        """The paragraphs of a passage. Raises KeyError for a key or a name that is missing."""
        text = self.texts[key]
        return [_filled(paragraph, values) for paragraph in ([text] if isinstance(text, str) else text)]

    def date(self, day: date) -> str:
        """A date in words."""
        return format_date(day, format="long", locale=self.language)


def _flat(texts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str | tuple[str, ...]]]:
    for key, value in texts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", tuple(value) if isinstance(value, list) else value


def _filled(text: str, values: Mapping[str, object]) -> Markup:
    return Markup(escape(text)).format_map(values)


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence to be said in the reader's language."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)


class Pages:
    """All templates and catalogues of the pages, read once."""

    def __init__(self, folder: Path = TEMPLATES / "pages") -> None:
        self._catalogues = {
            path.stem: PageTexts(path.stem, tomllib.loads(path.read_text("utf-8")))
            for path in sorted(folder.glob("*.toml"))
        }
        style = (folder / "style.css").read_text("utf-8")
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["style"] = Markup(style)
        self._environment.filters["own_name"] = _own_name
        fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self.headers = {
            "Content-Security-Policy": (
                f"default-src 'none'; style-src 'sha256-{fingerprint}'; img-src data:; form-action 'self'; "
                "base-uri 'none'; frame-ancestors 'none'"
            ),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex, nofollow",
            "Cache-Control": "no-store",
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that there is a catalogue for."""
        return tuple(self._catalogues)

    def catalogue(self, language: str) -> PageTexts:
        """The catalogue of a language, else the English one."""
        return self._catalogues.get(language) or self._catalogues[FALLBACK]

    def language(self, accepted: str) -> str:
        """The best language for a reader of whom only the header `Accept-Language` is known."""
        wished = []
        for position, part in enumerate(accepted.split(",")[:20]):
            code, _, weight = part.partition(";q=")
            try:
                wished.append((-float(weight or 1), position, code.strip().lower().partition("-")[0]))
            except ValueError:
                continue
        return next((code for _, _, code in sorted(wished) if code in self._catalogues), FALLBACK)

    def respond(
        self,
        template: str,
        language: str,
        values: Mapping[str, object],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """A page as an answer.

        Templates get `values`, `language`, `say(key, …)`, `passage(key, …)`, and `word(value)`, which puts dates and
        sentences into words; whatever `values["always"]` holds can stand in every sentence.
        """
        catalogue = self.catalogue(language)
        always: Any = values.get("always", {})

        def worded(more: Mapping[str, object]) -> dict[str, object]:
            return {**always, **{name: word(value) for name, value in more.items()}}

        def word(value: object) -> object:
            if isinstance(value, Text):
                return catalogue.say(value.key, **worded(value.values))
            return catalogue.date(value) if isinstance(value, date) else value

        def say(key: str, **more: object) -> Markup:
            return catalogue.say(key, **worded(more))

        def passage(key: str, **more: object) -> list[Markup]:
            return catalogue.passage(key, **worded(more))

        page = self._environment.get_template(template).render(
            {
                **values,
                "always": always,
                "language": catalogue.language,
                "say": say,
                "passage": passage,
                "word": word,
            }
        )
        return HTMLResponse(page, status, {**self.headers, **(headers or {})})


def _own_name(language: str) -> str:
    """A language's name in itself."""
    name = Locale.parse(language).get_display_name(language) or language
    return name[:1].upper() + name[1:]


class PageHeaders:
    """Gives the pages' headers to every HTML answer, whoever made it; what an answer sets itself stays."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app, with the headers."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                if headers.get("content-type", "").startswith("text/html"):
                    for name, value in self._headers.items():
                        headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent)
