"""The sandbox that renders mail templates, and the values that templates see."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, get_timezone_location
from jinja2 import DictLoader, StrictUndefined, Template, TemplateRuntimeError, Undefined, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup, escape

from rules.text import for_header, for_mail

_LONGEST_NAME = 120
_LONGEST_LINE = 2_000
_LONGEST_PASSAGE = 10_000

_NAMES = {"name", "first_name", "manager_name"}
_PASSAGES = {"message", "goals", "purpose", "text"}
_LINKS = {"links", "resources"}
_LINK = re.compile(r"(https?://|mailto:)[^\s<>\"]+")
_TITLES = {"dr", "dra", "eng", "ing", "lic", "miss", "mr", "mrs", "ms", "mx", "prof", "sr", "sra", "srta"}


def first_name(name: str) -> str:
    """Return the name to greet a person by, of whom only the full name is known.

    `Ana Pérez` → `Ana`, `Pérez, Ana` → `Ana`, `Dr. Ana Pérez` → `Ana`. Where the first name is not certain
    (`J. R. Pérez`, one word), the name stays as it is.
    """
    given = name.partition(",")[2]
    words = (given if given.strip() else name).split()
    while len(words) > 1 and words[0].rstrip(".").lower() in _TITLES:
        words.pop(0)
    if not words or len(words[0].rstrip(".")) < 2 or words[0].endswith("."):
        return " ".join(words)
    return words[0]


_LIKE_I = re.compile(r"h?[iy](?![aeou])")


def spanish_and(name: str) -> str:
    """Return a name behind the Spanish "and", which is "e" before the sound of an i: "e Ingrid", "y Marta"."""
    plain = unicodedata.normalize("NFD", name).casefold()
    letters = "".join(each for each in plain if not unicodedata.combining(each))
    return f"{'e' if _LIKE_I.match(letters) else 'y'} {name}"


class TemplateEnvironment(SandboxedEnvironment):
    """Templates over plain data: a dot reads a key, and no method of a dict can be called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pieces: dict[str, Template] = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self._absent(attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict):
            return obj[argument] if argument in obj else self._absent(argument)
        return super().getitem(obj, argument)

    def piece(self, source: str) -> Template:
        """Return the template of a source; each source is compiled once."""
        if source not in self._pieces:
            self._pieces[source] = self.from_string(source)
        return self._pieces[source]

    def _absent(self, key: object) -> Undefined:
        return self.undefined(hint=f"{key} is missing from the data", name=str(key))


def template_environment(
    autoescape: bool, shared: dict[str, str], values: Mapping[str, object]
) -> TemplateEnvironment:
    """Return an environment with shared templates as modules, and with values that all of them see."""
    environment = TemplateEnvironment(
        loader=DictLoader(shared),
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    del environment.filters["safe"]
    environment.globals.update(values)
    environment.filters.update(quoted=_quoted, paragraphs=_paragraphs, y=spanish_and, sentence=_sentence)
    for name in shared:
        environment.globals[name] = environment.get_template(name).module
    return environment


def _finalize(value: object) -> object:
    if isinstance(value, (str, int, Undefined)) and not isinstance(value, bool):
        return value
    raise TemplateRuntimeError(f"a value of type {type(value).__name__} cannot be shown; dates need a filter")


def date_filters(language: str, formats: Mapping[str, str]) -> dict[str, Callable[..., str]]:
    def local(context: Context, value: object) -> date:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise TemplateRuntimeError("an instant without a zone")
            return value.astimezone(_zone(context["to"]["zone"]))
        if isinstance(value, date):
            return value
        raise TemplateRuntimeError("a date is missing")  # never taken for today (T8)

    @pass_context
    def day(context: Context, value: object) -> str:
        return format_date(local(context, value), formats["day"], locale=language)

    @pass_context
    def full_day(context: Context, value: object) -> str:
        return format_date(local(context, value), formats["full_day"], locale=language)

    @pass_context
    def moment(context: Context, value: object) -> str:
        at = local(context, value)
        if not isinstance(at, datetime):
            raise TemplateRuntimeError("a date has no time of day")
        zone = formats["zone"].format(city=_city(context["to"]["zone"], language))
        # Babel takes a naive value for UTC, which is what keeps the local time as it is here.
        return f"{format_datetime(at.replace(tzinfo=None), formats['moment'], locale=language)} ({zone})"

    return {"day": day, "full_day": full_day, "moment": moment}


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=1024)
def _city(zone: str, language: str) -> str:
    if zone in ("UTC", "Etc/UTC"):
        return "UTC"
    return get_timezone_location(_zone(zone), locale=language, return_city=True).rpartition("/")[2]


def prepared(context: Mapping[str, object]) -> dict[str, object]:
    """Return a sanitized copy, with the names to greet by filled in."""
    values: dict[str, object] = {key: _clean(value, key) for key, value in context.items()}
    for person in (values.get("to"), values.get("other")):
        if isinstance(person, dict) and not person.get("first_name"):
            person["first_name"] = first_name(str(person.get("name") or ""))
    program = values.get("program")
    if isinstance(program, dict):
        program["manager_first_name"] = first_name(str(program.get("manager_name") or ""))
    return values


def _clean(value: object, key: str) -> object:
    if isinstance(value, str):
        if key in _PASSAGES:
            return for_mail(value).strip()[:_LONGEST_PASSAGE]
        return for_header(value, _LONGEST_NAME if key in _NAMES else _LONGEST_LINE)
    if isinstance(value, Mapping):
        cleaned = {str(name): _clean(item, str(name)) for name, item in value.items()}
        if key in _LINKS:
            for name, link in cleaned.items():
                if not isinstance(link, str) or not _LINK.fullmatch(link):
                    raise ValueError(f"{key}.{name} is not a web or mail address")
        return cleaned
    if isinstance(value, (list, tuple)):
        return [_clean(item, key) for item in value]
    return value


def _quoted(passage: str) -> str:
    """Return somebody's own words for a text part: each line marked as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in passage.splitlines())


def _paragraphs(passage: str) -> Markup:
    """Return somebody's own words in HTML, with their line breaks."""
    return Markup("<br />").join(escape(line) for line in passage.splitlines())


def _sentence(name: str) -> str:
    """Return a name at the beginning of a sentence: that of an erased person is a common noun."""
    return name[:1].upper() + name[1:]
