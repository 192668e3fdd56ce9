"""Web pages, rendered on the server without scripts, in the reader's language.

A page is one template. Its sentences stand in one file per language (`templates/pages/en.toml`, `es.toml`). A sentence
may have names in braces; their values are escaped.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_location
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mail.branding import LogoImage, logo_image
from rules.program import Program
from rules.program.brand import Palette
from rules.text import ERASED, shown

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
FALLBACK = "en"
_ERASED_NAME = f"<bdi>{ERASED}</bdi>"


class PageTexts:
    """The sentences of all pages in one language, by dotted key: `accept.title`."""

    def __init__(self, language: str, texts: Mapping[str, Any]) -> None:
        self.language = language
        self.texts: dict[str, str | tuple[str, ...]] = dict(_flat(texts))

    def has(self, key: str) -> bool:
        """Return whether there is a sentence or a list of paragraphs with this key."""
        return key in self.texts

    def say(self, key: str, **values: object) -> Markup:
        """Return a sentence with its names filled in. Raises KeyError for a missing key or name."""
        text = self.texts[key]
        if not isinstance(text, str):
            raise KeyError(f"{key} has several paragraphs")
        return _filled(text, values)

    def paragraphs(self, key: str, **values: object) -> list[Markup]:
        """Return paragraphs with their names filled in. Raises KeyError for a missing key or name."""
        text = self.texts[key]
        return [_filled(paragraph, values) for paragraph in ([text] if isinstance(text, str) else text)]

    def date(self, day: date) -> str:
        """Return a date in words."""
        return format_date(day, format="long", locale=self.language)

    def moment(self, at: datetime) -> str:
        """Return an instant in words, on the clock of its zone, which must be a ZoneInfo."""
        locale = "es_CO" if self.language == "es" else self.language
        city = get_timezone_location(at.tzinfo, locale=self.language, return_city=True).rpartition("/")[2]
        return f"{self.date(at.date())}, {format_time(at, 'short', at.tzinfo, locale)} ({city})"


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
    """A sentence by its key, to be put into the reader's language, with the values of its names."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PageBrand:
    """How the pages of a program look: its colours, its logo, and its line at the foot by language."""

    palette: Palette | None
    logo: LogoImage | None
    footer: Mapping[str, str]
    owner: str
    """Whose logo it is, for those who do not see it."""

    @classmethod
    def of(cls, program: Program) -> PageBrand:
        """Return the brand of a program."""
        footer = {language: program.brand.footer_in(language) for language in program.languages}
        return cls(
            program.brand.palette if program.brand.colour else None,
            logo_image(program.logo) if program.logo else None,
            footer,
            program.organisation,
        )

    def footer_in(self, language: str) -> str:
        """Return the line at the foot in a language, else in the program's first; empty without one."""
        return self.footer.get(language) or next(iter(self.footer.values()), "")

    @property
    def style(self) -> str:
        """Its colours as style, behind that of all pages."""
        if self.palette is None:
            return ""
        light, dark = self.palette, "@media (prefers-color-scheme: dark)"
        return (
            f":root {{ --accent: {light.accent}; --on-accent: {light.on_accent}; --soft: {light.soft}; }}\n"
            f"{dark} {{ :root {{ --accent: {light.dark_accent}; --on-accent: {light.dark_on_accent};"
            f" --soft: {light.dark_soft}; }} }}\n"
        )


class Pages:
    """The templates and texts of all pages, read once."""

    def __init__(self, folder: Path = TEMPLATES / "pages") -> None:
        self._texts = {
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
            finalize=_in_language,
        )
        self._style = style
        self._environment.filters["own_name"] = _own_name
        self.headers = {
            "Content-Security-Policy": _content_policy(style),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex, nofollow",
            "Cache-Control": "no-store",
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that there are texts in."""
        return tuple(self._texts)

    def texts(self, language: str) -> PageTexts:
        """Return the texts of a language, else the English ones."""
        return self._texts.get(language) or self._texts[FALLBACK]

    def language(self, accepted: str) -> str:
        """Return the best language for the header `Accept-Language`."""
        wished = []
        for position, part in enumerate(accepted.split(",")[:20]):
            code, _, weight = part.partition(";q=")
            try:
                wished.append((-float(weight or 1), position, code.strip().lower().partition("-")[0]))
            except ValueError:
                continue
        return next((code for _, _, code in sorted(wished) if code in self._texts), FALLBACK)

    def respond(
        self,
        template: str,
        language: str,
        values: Mapping[str, object],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """Return a page as a response.

        Templates get `values`, `language`, and the functions of `_Words`. Every sentence may name the values of
        `site_context`.
        """
        words = _Words(self.texts(language), values.get("site_context", {}))
        brand = words.site_context.get("brand")
        brand = brand if isinstance(brand, PageBrand) else None
        style = self._style + (brand.style if brand else "")
        page = self._environment.get_template(template).render(
            {
                "site_context": words.site_context,
                "brand": brand,
                "style": Markup(style),
                **values,
                "language": words.texts.language,
                "say": words.say,
                "paragraphs": words.paragraphs,
                "word": words.word,
            }
        )
        policy = {"Content-Security-Policy": _content_policy(style)}
        return HTMLResponse(page, status, {**self.headers, **policy, **(headers or {})})


@pass_context
def _in_language(context: Context, value: object) -> object:
    """Return a value as a page shows it."""
    return _shown(value, context.get("language", FALLBACK))


def _shown(value: object, language: str) -> object:
    """Return a value as it is; the word that stands for erased text in the page's language (STA5)."""
    if value in (_ERASED_NAME, ERASED):
        return shown(ERASED, language)
    return value


@lru_cache(maxsize=64)
def _content_policy(style: str) -> str:
    """Return the header Content-Security-Policy of a page: its own style, images within it, no scripts."""
    fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{fingerprint}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


class _Words:
    """Puts the texts and values of one page into one language."""

    def __init__(self, texts: PageTexts, site_context: Any) -> None:
        self.texts = texts
        self.site_context: Mapping[str, object] = site_context

    def say(self, key: str, **values: object) -> Markup:
        """Return a sentence."""
        return self.texts.say(key, **self._filled(values))

    def paragraphs(self, key: str, **values: object) -> list[Markup]:
        """Return paragraphs."""
        return self.texts.paragraphs(key, **self._filled(values))

    def word(self, value: object) -> object:
        """Return a date or an instant in words, a Text as its sentence, and any other value as it is."""
        if isinstance(value, Text):
            return self.say(value.key, **value.values)
        if isinstance(value, datetime):
            return self.texts.moment(value)
        return self.texts.date(value) if isinstance(value, date) else _shown(value, self.texts.language)

    def _filled(self, values: Mapping[str, object]) -> dict[str, object]:
        return {**self.site_context, **{name: self.word(value) for name, value in values.items()}}


def _own_name(language: str) -> str:
    """Return a language's name in that language."""
    name = Locale.parse(language).get_display_name(language) or language
    return name[:1].upper() + name[1:]


class PageHeaders:
    """Middleware that adds the pages' headers to every HTML response. A header that the response has already stays."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, and add the headers to what it sends."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                if headers.get("content-type", "").startswith("text/html"):
                    for name, value in self._headers.items():
                        headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent)
