"""From a message's name and its data to subject, text and HTML, in the reader's language and zone.

Templates are read, and their MJML compiled, when a `Composer` is made; composing only fills them in. How to write
one is told in `templates/README.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, get_timezone_location
from jinja2 import (
    DictLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    Undefined,
    pass_context,
)
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup, escape
from mjml import mjml2html

from activities.mime import (
    AddressRefused,
    Attachment,
    Composed,
    MailEnvelope,
    build_mail,
    one_line,
    showable,
    subject_line,
)
from activities.samples import sample_context
from rules.messages import CATALOGUE, Message

__all__ = [
    "AddressRefused",
    "Attachment",
    "Composed",
    "Composer",
    "MailEnvelope",
    "TemplateFailed",
    "build_mail",
    "first_name",
]

_SUFFIXES = ("subject", "text", "mjml")
_MESSAGE_GOES_HERE = "<!-- message -->"
_FILE = re.compile(
    rf"(?P<message>[a-z]+\.[a-z_]+)(\.(?P<number>\d+|more))?\.(?P<suffix>{'|'.join(_SUFFIXES)})"
)

_LONGEST_NAME = 120
_LONGEST_LINE = 2_000
_LONGEST_PASSAGE = 10_000
_PREVIEW = 140
_TEXT_WIDTH = 76

_NAMES = {"name", "first_name", "manager_name"}
_PASSAGES = {"message", "goals", "purpose", "text"}
_LINKS = {"links", "resources"}
_LINK = re.compile(r"(https?://|mailto:)[^\s<>\"]+")
_TITLES = {"dr", "dra", "eng", "ing", "lic", "miss", "mr", "mrs", "ms", "mx", "prof", "sr", "sra", "srta"}


class TemplateFailed(Exception):
    """A message could not be composed. The text names the template and the variable, never their values (MEM6)."""


def first_name(name: str) -> str:
    """The name by which to greet somebody of whom only the full name is known.

    `Ana Pérez` → `Ana`, `Pérez, Ana` → `Ana`, `Dr. Ana Pérez` → `Ana`; where that is a guess too far
    (`J. R. Pérez`, one word), the name as it is.
    """
    given = name.partition(",")[2]
    words = (given if given.strip() else name).split()
    while len(words) > 1 and words[0].rstrip(".").lower() in _TITLES:
        words.pop(0)
    if not words or len(words[0].rstrip(".")) < 2 or words[0].endswith("."):
        return " ".join(words)
    return words[0]


class Composer:
    """All templates of the mail, ready to be filled in.

    `templates` is the folder with a subfolder for each language. Each of `overrides` is a folder of the same
    layout whose texts go before it, message by message: what a program says in its own words.
    """

    def __init__(self, templates: Path, overrides: Sequence[Path] = ()) -> None:
        self._problems: list[str] = []
        frame = _Frame(templates)
        languages = sorted(path.parent.name for path in templates.glob("*/words.jinja"))
        self._languages = {
            language: _Language(language, [*overrides, templates], frame, self._problems)
            for language in languages
        }
        for folder in overrides:
            if not folder.is_dir():
                self._problems.append(f"{folder}: no such folder")
                continue
            for path in sorted(folder.iterdir()):
                if path.name not in self._languages:
                    self._problems.append(f"{path}: not a language of the templates ({', '.join(languages)})")

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages there are templates for, as `en`."""
        return tuple(self._languages)

    def language(self, *wished: str) -> str:
        """The first of the wished languages that there are templates for (`es-CO` → `es`), else English (MAIL5)."""
        for wish in wished:
            language = wish.replace("_", "-").partition("-")[0].lower()
            if language in self._languages:
                return language
        return "en"

    def compose(
        self, message: str, number: int | None, locale: str, context: Mapping[str, object]
    ) -> Composed:
        """The message in the reader's language (MAIL5).

        `context` holds plain data, as described in `templates/README.md`; nothing in it is ever read as a template.
        A language without templates falls back to the program's. Raises TemplateFailed if there is no such
        template or a variable is missing, None, or not made for showing.
        """
        entry = CATALOGUE.get(message)
        if entry is None:
            raise TemplateFailed(f"{message}: no such message")
        program = context.get("program")
        spoken_by_program = str(program.get("language", "")) if isinstance(program, Mapping) else ""
        language = self._languages[self.language(locale, spoken_by_program)]
        trio = language.find(message, number)
        if trio is None:
            raise TemplateFailed(f"{_named(message, number)}: no template in {language.name}")
        try:
            return trio.fill({**_prepared(context), **_about(entry, number, language.name)})
        except (TemplateFailed, TemplateError, ValueError, TypeError, KeyError) as error:
            raise TemplateFailed(f"{_named(message, number)} in {language.name}: {error}") from None

    def written(self) -> Iterator[tuple[str, int | None, str]]:
        """Message, number and language of everything in the catalogue that there is a template for."""
        for entry in CATALOGUE.values():
            for language in self._languages.values():
                for number in entry.occurrences:
                    if language.find(entry.name, number) is not None:
                        yield entry.name, number, language.name

    def missing(self, program: Mapping[str, object] | None = None) -> list[str]:
        """What is wrong with the templates, one line each; empty if every message can go out in every language.

        Files that belong to no message, incomplete ones, messages without a text, and texts that cannot be filled
        in with sample data. `program` stands in for the sample's, to check a program's own resources and terms.
        """
        problems = list(self._problems)
        written = set(self.written())
        for entry in CATALOGUE.values():
            for language in self._languages:
                for number in entry.occurrences:
                    if (entry.name, number, language) not in written:
                        problems.append(f"{_named(entry.name, number)}: no template in {language}")
                        continue
                    context = dict(sample_context(entry.name, number, language))
                    if program is not None:
                        context["program"] = program
                    try:
                        composed = self.compose(entry.name, number, language, context)
                    except TemplateFailed as failure:
                        problems.append(str(failure))
                        continue
                    if not composed.subject.strip():
                        problems.append(f"{_named(entry.name, number)} in {language}: needs a subject")
                    if composed.html.count("<h1") != 1:
                        problems.append(f"{_named(entry.name, number)} in {language}: needs exactly one <h1>")
        return problems


@dataclass(frozen=True, slots=True)
class _Trio:
    """The templates of one message, text and HTML each in pieces: what comes before it, itself, what follows.

    `file` is where they are from, without the suffixes.
    """

    file: Path
    subject: Template
    text: Sequence[Template]
    html: Sequence[Template]

    def fill(self, values: dict[str, object]) -> Composed:
        suffix = "subject"
        try:
            subject = subject_line(self.subject.render(values))
            suffix = "text"
            text = _wrapped("\n".join(piece.render(values) for piece in self.text))
            greeting, _, rest = text.partition("\n\n")
            preview = one_line((rest or greeting).partition("\n\n")[0], _PREVIEW)
            suffix = "mjml"
            values |= {"subject": subject, "preview": preview}
            return Composed(subject, text, "".join(piece.render(values) for piece in self.html))
        except Exception as error:
            # A program's own words may do anything that the sandbox lets them do.
            raise TemplateFailed(f"{error} ({self.file}.{suffix})") from None


class _Frame:
    """What surrounds every message, read once."""

    def __init__(self, templates: Path) -> None:
        self.folder = templates
        base = (templates / "base.mjml").read_text("utf-8")
        # The compiler knows inline styles only by name, so they are taken out and written to the tags here.
        block = re.search(r'<mj-style inline="inline">(.*?)</mj-style>', base, re.DOTALL)
        rules = re.findall(r"(\w+) \{ (.*?) \}", block.group(1)) if block else []
        self._styles = {tag: declarations.replace('"', "'") for tag, declarations in rules}
        self._base = base.replace(block.group(0), "") if block else base
        self._text = (templates / "base.text").read_text("utf-8")
        self.parts_html = self._styled((templates / "parts.html").read_text("utf-8"))
        self.parts_text = (templates / "parts.text").read_text("utf-8")

    def html(self, message: str) -> list[str]:
        cut = f"<mj-raw>{_MESSAGE_GOES_HERE}</mj-raw>"
        source = self._base.replace(_MESSAGE_GOES_HERE, f"{cut}{message}{cut}")
        return mjml2html(self._styled(source)).split(_MESSAGE_GOES_HERE)

    def text(self, message: str) -> list[str]:
        before, _, after = self._text.partition(_MESSAGE_GOES_HERE)
        return [before, message, after]

    def _styled(self, source: str) -> str:
        """Tags without a style of their own get the one that the base has for them."""

        def dressed(tag: re.Match[str]) -> str:
            style = self._styles.get(tag[1])
            return tag[0] if style is None or "style=" in tag[2] else f'<{tag[1]} style="{style}"{tag[2]}>'

        return re.sub(r"<([a-z][a-z0-9]*)((?:\s[^<>]*)?)>", dressed, source)


class _Language:
    """The templates of one language, by folder and file name."""

    def __init__(self, name: str, folders: Sequence[Path], frame: _Frame, problems: list[str]) -> None:
        self.name = name
        words = (folders[-1] / name / "words.jinja").read_text("utf-8")
        self._html = _environment(True, {"words": words, "parts": frame.parts_html})
        self._text = _environment(False, {"words": words, "parts": frame.parts_text})
        filters = _date_filters(name, vars(self._text.get_template("words").module)["formats"])
        for environment in (self._html, self._text):
            environment.filters.update(filters)
        self._folders = [self._read(folder / name, frame, problems) for folder in folders]

    def find(self, message: str, number: int | None) -> _Trio | None:
        """The most special text of the first folder that has one for this message."""
        names = [message] if number is None else [f"{message}.{number}", f"{message}.more", message]
        for folder in self._folders:
            for name in names:
                if name in folder:
                    return folder[name]
        return None

    def _read(self, folder: Path, frame: _Frame, problems: list[str]) -> dict[str, _Trio]:
        sources: dict[str, dict[str, str]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path == frame.folder / self.name / "words.jinja":
                continue
            problem = _misnamed(path.name)
            if problem:
                problems.append(f"{path}: {problem}")
            else:
                try:
                    sources.setdefault(path.stem, {})[path.suffix[1:]] = path.read_text("utf-8")
                except UnicodeDecodeError:
                    problems.append(f"{path}: is not UTF-8 text")
        trios = {}
        for name, files in sources.items():
            lacking = [suffix for suffix in _SUFFIXES if suffix not in files]
            if lacking:
                problems.append(f"{folder / name}: lacks .{' and .'.join(lacking)}")
                continue
            suffix = "subject"
            try:
                subject = self._text.from_string(files[suffix])
                suffix = "text"
                text = [self._text.piece(source) for source in frame.text(files[suffix])]
                suffix = "mjml"
                html = [self._html.piece(source) for source in frame.html(files[suffix])]
                trios[name] = _Trio(folder / name, subject, text, html)
            except (TemplateError, ValueError, OSError) as error:
                problems.append(f"{folder / name}.{suffix}: {error}")
        return trios


class _Environment(SandboxedEnvironment):
    """Templates over plain data: a dot means a key, and no method of a dict is in reach."""

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
        """The template of a source; what surrounds every message is compiled once."""
        if source not in self._pieces:
            self._pieces[source] = self.from_string(source)
        return self._pieces[source]

    def _absent(self, key: object) -> Undefined:
        return self.undefined(hint=f"{key} is missing from the data", name=str(key))


def _environment(autoescape: bool, shared: dict[str, str]) -> _Environment:
    environment = _Environment(
        loader=DictLoader(shared),
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    del environment.filters["safe"]
    environment.filters.update(quoted=_quoted, paragraphs=_paragraphs)
    for name in shared:
        environment.globals[name] = environment.get_template(name).module
    return environment


def _finalize(value: object) -> object:
    if isinstance(value, (str, int, Undefined)) and not isinstance(value, bool):
        return value
    raise TemplateRuntimeError(f"a value of type {type(value).__name__} cannot be shown; dates need a filter")


def _date_filters(language: str, formats: Mapping[str, str]) -> dict[str, Callable[..., str]]:
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


def _named(message: str, number: int | None) -> str:
    return message if number is None else f"{message} {number}"


def _misnamed(file: str) -> str:
    named = _FILE.fullmatch(file)
    if named is None:
        return "not a file of a message (<message>[.<number>].subject, .text or .mjml)"
    entry = CATALOGUE.get(named["message"])
    if entry is None:
        return "no such message"
    if named["number"] is None or (named["number"] == "more" and entry.numbers):
        return ""
    if not entry.numbers:
        return "this message has no numbers"
    if int(named["number"]) not in entry.numbers and not entry.open_ended:
        return "this message is not sent with this number"
    return ""


def _about(entry: Message, number: int | None, language: str) -> dict[str, object]:
    return {
        "audience": entry.audience.value,
        "stoppable": entry.message_class.stoppable,
        "number": number,
        "language": language,
    }


def _prepared(context: Mapping[str, object]) -> dict[str, object]:
    """A copy that is safe to show, with the names to greet by filled in."""
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
            return showable(value).strip()[:_LONGEST_PASSAGE]
        return one_line(value, _LONGEST_NAME if key in _NAMES else _LONGEST_LINE)
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
    """Somebody's own words in a plain text: each line marked as theirs."""
    return "\n".join(f"> {line}".rstrip() for line in passage.splitlines())


def _paragraphs(passage: str) -> Markup:
    """Somebody's own words in HTML, with their line breaks."""
    return Markup("<br />").join(escape(line) for line in passage.splitlines())


_ITEM = re.compile(r"(?:- |\d+\. )")


def _wrapped(text: str) -> str:
    """The text with lines of readable length: paragraphs and list items filled, links on lines of their own.

    A line that starts with two spaces continues the list item above it, or else stands as it is; one that starts
    with `> ` is a quotation and stays one.
    """
    lines: list[str] = []
    words: list[str] = []
    first = rest = ""

    def flush() -> None:
        nonlocal first, rest
        if words:
            lines.extend(_filled(words, first, rest))
            words.clear()
        first = rest = ""

    for line in text.splitlines():
        stripped = line.strip()
        if not stripped:
            flush()
            if lines and lines[-1]:
                lines.append("")
        elif stripped == "--":
            flush()
            lines.append("-- ")  # the mark by which mail readers know where the signature starts
        elif line.startswith(">"):
            flush()
            lines.extend(_filled(stripped[1:].split(), "> ", "> ") or [">"])
        elif stripped.startswith(("http://", "https://", "mailto:")) and " " not in stripped:
            indent = rest if line.startswith("  ") else ""
            lines.extend(_filled(words, first, rest))
            words.clear()
            first = rest
            lines.append(indent + stripped)
        elif item := _ITEM.match(line):
            flush()
            first, rest = item[0], " " * len(item[0])
            words.extend(line[item.end() :].split())
        elif line.startswith("  ") and not rest:
            flush()
            lines.append(line.rstrip())
        else:
            words.extend(stripped.split())
    flush()
    return "\n".join(lines).strip("\n") + "\n"


def _filled(words: list[str], first: str, rest: str) -> list[str]:
    lines: list[str] = []
    line = first
    length = 0
    for word in words:
        if length and len(line) + 1 + len(word) > _TEXT_WIDTH:
            lines.append(line)
            line, length = rest, 0
        line += f" {word}" if length else word
        length += 1
    return [*lines, line] if length else lines
