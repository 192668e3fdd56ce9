"""Letters and certificates as PDF/A-2b, to be filed and checked for years (CPE5, CPE6, CPE8, CPE11).

The words are in `templates/documents/<language>.toml`, the layout in the `.typ` files beside them. Data reaches the
layout as JSON and is never read as markup. The same data gives the same bytes: no clock, no typefaces of the machine.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import qrcode
import typst
from babel.dates import format_date
from jinja2 import StrictUndefined, Template, TemplateError, TemplateRuntimeError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from evidence import typefaces
from rules.calendar import known_zone
from rules.credit import fingerprint
from rules.program.brand import PLAIN
from rules.program.logo import Logo
from rules.text import for_pdf

_LAYOUTS = {
    "confirmation": "letter.typ",
    "mentor_letter": "letter.typ",
    "certificate": "certificate.typ",
}
_CLAIMANTS = {"confirmation": "mentor", "mentor_letter": "mentee"}
_STANDARDS: list[typst.PDFStandard] = ["a-2b", "ua-1"]
_UNFIT = (TemplateError, KeyError, TypeError, ValueError)
_NO_GLYPH = re.compile(r'the text `"((?:[^"\\]|\\.)+)"` could not be displayed')
_MOST_NUMBERS = 300
"""Most characters that are shown by their number; more would fill pages, and take seconds to lay out."""

_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t"}


class DocumentError(Exception):
    """A document could not be rendered. The text names the document and the variable, never their values (MEM6)."""


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """A document, and what no typeface had."""

    content: bytes
    """The PDF."""
    lacking: str = ""
    """The characters that are shown by their number, since no installed typeface has them."""


@dataclass(frozen=True, slots=True)
class DocumentBrand:
    """How a program's documents look."""

    accent: str = PLAIN.accent
    """The colour of headings and lines, as `#rrggbb`."""
    logo: Logo | None = None
    footer: str = ""
    """A line at the foot, in the language of the document."""


class DocumentRenderer:
    """Renders letters and certificates. `templates` is the folder of layouts and words.

    `templates/README.md` describes `data`: plain JSON values, dates as YYYY-MM-DD, instants as ISO 8601
    with an offset. Kinds are `confirmation` (signed by the mentee, for the mentor's credit), `mentor_letter` (signed
    by the mentor, for the mentee's) and `certificate` (issued by the program).
    """

    def __init__(self, templates: Path) -> None:
        self._folder = templates
        self._languages = {
            path.stem: _DocumentTexts(path.stem, tomllib.loads(path.read_text("utf-8")))
            for path in sorted(templates.glob("*.toml"))
        }
        self._fonts = typst.Fonts(include_system_fonts=False, font_paths=list(typefaces.folders()))
        self._families = self._fonts.families()

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that there are texts for, as `en`."""
        return tuple(self._languages)

    def statement(self, kind: str, locale: str, data: Mapping[str, object]) -> str:
        """Return the text that is shown, signed and printed; blank lines part paragraphs (CPE8).

        It needs no values of the signature. Raises DocumentError for an unknown kind or
        language, and if a variable is missing.
        """
        try:
            return self._texts_in(locale).statement(kind, _complete(kind, data))
        except _UNFIT as error:
            raise _failed(kind, locale, error) from None

    def render(
        self, kind: str, locale: str, data: Mapping[str, object], brand: DocumentBrand | None = None
    ) -> RenderedDocument:
        """Return the document as PDF/A-2b, tagged for accessibility (CPE8).

        `data["statement"]` is printed as it was signed; without it, the text as it reads now. `data["translations"]`
        has, by language, what replaces values of `data` there. The document's date is that of the signature or issue.
        Raises DocumentError like `statement`, and for a signature or a date that cannot be read.
        """
        try:
            complete = _complete(kind, data)
            view = self._view(kind, locale, complete)
            view |= _look(brand or DocumentBrand())
            at = _instant(complete["issued" if kind == "certificate" else "signature"])
        except _UNFIT as error:
            raise _failed(kind, locale, error) from None
        try:
            return RenderedDocument(self._compiled(kind, {**view, "missing": False}, at))
        except typst.TypstError as error:
            # With a mark that no typeface has, the letter before it is reported too; each typeface has ASCII.
            named = {glyph for text in _NO_GLYPH.findall(error.diagnostic) for glyph in _unescaped(text)}
            lacking = {glyph for glyph in named if not glyph.isascii()}
        try:
            content = self._compiled(kind, {**_numbered(view, lacking), "missing": True}, at)
        except typst.TypstError:
            raise DocumentError(f"{kind} in {locale}: the layout failed") from None
        return RenderedDocument(content, "".join(sorted(lacking)))

    def badge_words(self, kind: str, locale: str, data: Mapping[str, object]) -> dict[str, str]:
        """Return the texts of a badge of a kind, `credit` or `participation`, by their names (CPE14).

        Raises DocumentError like `statement`.
        """
        try:
            return self._texts_in(locale).badge(
                kind, {key: _clean(value, key) for key, value in data.items()}
            )
        except _UNFIT as error:
            raise _failed(f"badge of {kind}", locale, error) from None

    def _view(self, kind: str, locale: str, data: dict[str, Any]) -> dict[str, object]:
        """Return what the layout shows, with an unsigned translation for each further language (CPE8)."""
        translations = data.pop("translations", None) or {}
        view = self._texts_in(locale).view(kind, data)
        view["translations"] = [
            self._texts_in(other).view(kind, {**data, **values, "statement": None})
            for other, values in translations.items()
        ]
        view["typefaces"] = typefaces.installed(
            typefaces.in_order(json.dumps(view, ensure_ascii=False)), self._families
        )
        return view

    def _compiled(self, kind: str, view: Mapping[str, object], at: datetime) -> bytes:
        try:
            pdf = typst.compile(
                str(self._folder / _LAYOUTS[kind]),
                root=str(self._folder),
                font_paths=self._fonts,
                ignore_system_fonts=True,
                sys_inputs={"data": json.dumps(view)},
                pdf_standards=_STANDARDS,
                timestamp=int(at.timestamp()),
            )
        except BaseException as failed:
            # A panic of typst's text shaper is no Exception, and would end the worker.
            if type(failed).__name__ != "PanicException":
                raise
            raise DocumentError(f"{kind}: the layout failed") from None
        if not isinstance(pdf, bytes):
            raise TypeError("typst returned more than one document")
        return pdf

    def _texts_in(self, locale: str) -> _DocumentTexts:
        language = self._languages.get(locale.replace("_", "-").partition("-")[0].lower())
        if language is None:
            raise DocumentError(f"no documents in {locale}")
        return language


class _DocumentTexts:
    """The texts of one language, each a template over a document's data."""

    def __init__(self, name: str, words: Mapping[str, Any]) -> None:
        self.name = name
        texts = SandboxedEnvironment(
            undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
        )
        texts.filters.update(day=self._day, moment=self._moment, zone=_zone_and_offset)
        self._day_format = words["sheet"]["day"]
        self._words = _each_text(words, texts.from_string)

    def statement(self, kind: str, data: Mapping[str, object]) -> str:
        return re.sub(r"\n{3,}", "\n\n", self._words[kind]["statement"].render(data)).strip()

    def badge(self, kind: str, data: Mapping[str, object]) -> dict[str, str]:
        return {
            name: " ".join(text.render(data).split()) for name, text in self._words["badge"][kind].items()
        }

    def view(self, kind: str, data: Mapping[str, Any]) -> dict[str, object]:
        """Return what the layout shows, as text."""
        statement = data.get("statement") or self.statement(kind, data)
        certificate = kind == "certificate"
        issuer = data["manager"] if certificate else {"name": data["signature"]["name"], "title": ""}
        shown = {
            "words": self._words["sheet"],
            **{key: self._words[kind][key] for key in ("title", "subtitle", "scope")},
            "signed": self._words["issued" if certificate else "signed"],
            "columns": [] if certificate else self._words["columns"],
        }
        return {
            **_each_text(shown, lambda text: text.render(data), Template),
            "language": self.name,
            "organisation": data["program"]["organisation"],
            "program": data["program"]["name"],
            "id": data["document"]["id"],
            "url": data["document"]["url"],
            "qr": _qr(data["document"]["url"]),
            "statement": [paragraph.split("\n") for paragraph in re.split(r"\n{2,}", for_pdf(statement))],
            "signer": issuer["name"],
            "signer_title": issuer["title"],
            "fingerprint": re.findall(".{8}", fingerprint(statement)),
        }

    def _day(self, value: object) -> str:
        try:
            on = date.fromisoformat(str(value))
        except ValueError:
            raise TemplateRuntimeError("a date cannot be read") from None
        return format_date(on, self._day_format, locale=self.name)

    def _moment(self, value: object) -> str:
        at = _instant(value)
        return f"{self._day(at.date().isoformat())}, {at:%H:%M:%S}"


def _look(brand: DocumentBrand) -> dict[str, object]:
    """Return what the layout shows of a brand. A PNG is a list of its bytes, since JSON has no others."""
    logo = brand.logo
    shown = logo and {
        "format": logo.kind,
        "content": logo.content.decode("utf-8-sig") if logo.kind == "svg" else list(logo.content),
        "ratio": logo.width / logo.height,
    }
    return {"accent": brand.accent, "logo": shown, "footer": for_pdf(brand.footer)}


def _complete(kind: str, data: Mapping[str, object]) -> dict[str, Any]:
    """Return the sanitized data, with the `claimant` of the document and their `role` in the mentorship."""
    if kind not in _LAYOUTS:
        raise DocumentError(f"{kind}: no such document")
    values: dict[str, Any] = {key: _clean(value, key) for key, value in data.items()}
    values["role"] = _CLAIMANTS.get(kind, values.get("role"))
    if values["role"] not in ("mentor", "mentee"):
        raise DocumentError(f"{kind}: role is neither mentor nor mentee")
    values["claimant"] = values.get(values["role"])
    if kind == "mentor_letter" and not (values.get("purpose") and values.get("domains")):
        raise DocumentError(f"{kind}: needs a purpose and at least one domain (CPE6)")
    return {"paused_days": 0, "gate_met": True, **values}


def _failed(kind: str, locale: str, error: Exception) -> DocumentError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return DocumentError(f"{kind} in {locale}: {reason}")


def _clean(value: object, key: str) -> object:
    if isinstance(value, str):
        if key == "statement":
            return value
        if key == "purpose":
            return for_pdf(value)
        return " ".join(for_pdf(value).split())
    if isinstance(value, Mapping):
        return {str(name): _clean(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, key) for item in value]
    return value


def _each_text(value: Any, change: Callable[[Any], object], text: type = str) -> Any:
    """Return a structure with every text in it changed; `text` is the type of its texts."""
    if isinstance(value, text):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_text(item, change, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change, text) for item in value]
    return value


def _finalize(value: object) -> object:
    if isinstance(value, (str, int, Undefined)) and not isinstance(value, bool):
        return value
    raise TemplateRuntimeError(f"a value of type {type(value).__name__} cannot be shown; dates need a filter")


def _instant(value: object) -> datetime:
    """Return the instant of a signature or issue, in its zone."""
    at = value.get("at") if isinstance(value, Mapping) else None
    try:
        instant = datetime.fromisoformat(str(at))
    except ValueError:
        raise DocumentError("the instant of the signature cannot be read") from None
    if instant.tzinfo is None:
        raise DocumentError("the instant of the signature has no zone")
    return instant.astimezone(_zone(value))


def _zone(value: object) -> ZoneInfo:
    name = value.get("zone") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or not known_zone(name):
        raise DocumentError("the zone of the signature is not known")
    return ZoneInfo(name)


def _zone_and_offset(value: object) -> str:
    offset = f"{_instant(value):%z}"
    return f"{_zone(value).key} (UTC{offset[:3]}:{offset[3:5]})"


def _qr(url: str) -> str:
    """Return the QR code of an address as SVG, one unit a module, with the quiet zone that scanners need."""
    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, border=4)
    code.add_data(url)
    matrix = code.get_matrix()
    bars = (
        f"M{bar.start()},{row}h{bar.end() - bar.start()}v1h-{bar.end() - bar.start()}z"
        for row, cells in enumerate(matrix)
        for bar in re.finditer("1+", "".join("1" if dark else "0" for dark in cells))
    )
    size = len(matrix)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<path d="{"".join(bars)}"/></svg>'
    )


def _unescaped(text: str) -> str:
    """Return a text that typst quotes in its errors, without the escapes."""

    def plain(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2])

    return re.sub(r"\\u\{([0-9a-f]+)\}|\\(.)", plain, text)


def _numbered(view: Mapping[str, object], lacking: set[str]) -> dict[str, object]:
    """Return the view with each character that no typeface has replaced by its code point, or by U+FFFD if many."""
    many = sum(map(json.dumps(view, ensure_ascii=False).count, lacking)) > _MOST_NUMBERS
    numbers = str.maketrans({one: "\ufffd" if many else f"[U+{ord(one):04X}]" for one in lacking})
    numbered: dict[str, object] = _each_text(view, lambda text: text.translate(numbers))
    return numbered
