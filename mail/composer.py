"""Compose subject, text and HTML of a message from its data, in the reader's language and zone.

Templates are read, and their MJML compiled, when a `Composer` is made; composing only fills them in. How to write
one is described in `templates/README.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from jinja2 import Template, TemplateError
from mjml import mjml2html

from mail.branding import brand_values
from mail.mime import Composed, subject_line
from mail.samples import sample_context
from mail.template_environment import date_filters, prepared, template_environment
from mail.text_layout import wrapped
from rules.messages import CATALOGUE, MessageType
from rules.program.brand import PLAIN, Palette
from rules.text import for_header

_SUFFIXES = ("subject", "text", "mjml")
_MESSAGE_GOES_HERE = "<!-- message -->"
_FILE = re.compile(
    rf"(?P<message>[a-z]+\.[a-z_]+)(\.(?P<number>\d+|more))?\.(?P<suffix>{'|'.join(_SUFFIXES)})"
)
_PREVIEW = 140


class TemplateFailed(Exception):
    """A message could not be composed. The text names the template and the variable, never their values (MEM6)."""


class Composer:
    """All mail templates, compiled.

    `templates` is the folder with a subfolder for each language. Each of `overrides` is a folder of the same
    layout whose texts replace the bundled ones, message by message: a program's own texts. `palette` has the colours.
    """

    def __init__(self, templates: Path, overrides: Sequence[Path] = (), palette: Palette = PLAIN) -> None:
        self._problems: list[str] = []
        frame = _Frame(templates, asdict(palette))
        languages = sorted(path.parent.name for path in templates.glob("*/words.jinja"))
        self._languages = {
            language: _LanguageTemplates(language, [*overrides, templates], frame, self._problems)
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
        """The languages that there are templates for, as `en`."""
        return tuple(self._languages)

    def language(self, *wished: str) -> str:
        """Return the first wished language that has templates (`es-CO` → `es`), else English (MAIL5)."""
        for wish in wished:
            language = wish.replace("_", "-").partition("-")[0].lower()
            if language in self._languages:
                return language
        return "en"

    def compose(
        self, message: str, number: int | None, locale: str, context: Mapping[str, object]
    ) -> Composed:
        """Return the message in the reader's language (MAIL5).

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
            values = {**prepared(context), **_about(entry, number, language.name)}
            return trio.fill({**values, "brand": brand_values(values.get("program"), language.name)})
        except (TemplateFailed, TemplateError, ValueError, TypeError, KeyError) as error:
            raise TemplateFailed(f"{_named(message, number)} in {language.name}: {error}") from None

    def written(self) -> Iterator[tuple[str, int | None, str]]:
        """Yield message, number and language of everything in the catalogue that has a template."""
        for entry in CATALOGUE.values():
            for language in self._languages.values():
                for number in entry.occurrences:
                    if language.find(entry.name, number) is not None:
                        yield entry.name, number, language.name

    def sources(self) -> dict[str, tuple[str, Mapping[str, str]]]:
        """Return fingerprint and templates of each text, by language and name, as `es/mentee.match`."""
        return {
            f"{language.name}/{trio.file.name}": (trio.fingerprint, trio.sources)
            for language in self._languages.values()
            for trio in language.trios()
        }

    def source(self, message: str, number: int | None, language: str) -> Path | None:
        """Return the folder and name of the files that a text comes from, without their suffix; None without a text."""
        templates = self._languages.get(language)
        trio = templates.find(message, number) if templates else None
        return trio.file if trio else None

    def missing(self, program: Mapping[str, object] | None = None) -> list[str]:
        """Return what is wrong with the templates, one line each; empty if all messages can go out in all languages.

        Reported are files of no message, incomplete ones, messages without a text, and texts that fail with sample
        data. `program` stands in for the sample's, to check a program's own resources and terms.
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
    """The templates of one message. Text and HTML come in three pieces: the frame before, the message, the frame after.

    `file` is their path without the suffix.
    """

    file: Path
    subject: Template
    text: Sequence[Template]
    html: Sequence[Template]
    sources: Mapping[str, str]
    """The three templates as they are written, by suffix."""
    fingerprint: str

    def fill(self, values: dict[str, object]) -> Composed:
        suffix = "subject"
        try:
            subject = subject_line(self.subject.render(values))
            suffix = "text"
            text = wrapped("\n".join(piece.render(values) for piece in self.text))
            greeting, _, rest = text.partition("\n\n")
            preview = for_header((rest or greeting).partition("\n\n")[0], _PREVIEW)
            suffix = "mjml"
            values |= {"subject": subject, "preview": preview}
            html = "".join(piece.render(values) for piece in self.html)
            return Composed(subject, text, html, self.fingerprint)
        except Exception as error:
            # A program's own template may raise anything that the sandbox allows.
            raise TemplateFailed(f"{error} ({self.file}.{suffix})") from None


class _Frame:
    """The frame around every message, read once."""

    def __init__(self, templates: Path, palette: dict[str, str]) -> None:
        self.folder = templates
        self.shared: dict[str, object] = {"palette": palette}
        base = (templates / "base.mjml").read_text("utf-8")
        # mjml-python parses `<mj-style inline>` and applies none of it, so the styles are written into the tags here.
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
        """Give tags without a style of their own the one that the base has for them."""

        def dressed(tag: re.Match[str]) -> str:
            style = self._styles.get(tag[1])
            return tag[0] if style is None or "style=" in tag[2] else f'<{tag[1]} style="{style}"{tag[2]}>'

        return re.sub(r"<([a-z][a-z0-9]*)((?:\s[^<>]*)?)>", dressed, source)


class _LanguageTemplates:
    """The templates of one language, by folder and file name."""

    def __init__(self, name: str, folders: Sequence[Path], frame: _Frame, problems: list[str]) -> None:
        self.name = name
        words = (folders[-1] / name / "words.jinja").read_text("utf-8")
        self._html = template_environment(True, {"words": words, "parts": frame.parts_html}, frame.shared)
        self._text = template_environment(False, {"words": words, "parts": frame.parts_text}, frame.shared)
        filters = date_filters(name, vars(self._text.get_template("words").module)["formats"])
        for environment in (self._html, self._text):
            environment.filters.update(filters)
        self._folders = [self._read(folder / name, frame, problems) for folder in folders]

    def find(self, message: str, number: int | None) -> _Trio | None:
        """Return the most specific template of the first folder that has one for this message."""
        names = [message] if number is None else [f"{message}.{number}", f"{message}.more", message]
        for folder in self._folders:
            for name in names:
                if name in folder:
                    return folder[name]
        return None

    def trios(self) -> Iterator[_Trio]:
        """Yield the templates that are used: of several of one name, those of the first folder."""
        names = {name for folder in self._folders for name in folder}
        for name in sorted(names):
            yield next(folder[name] for folder in self._folders if name in folder)

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
                trios[name] = _Trio(folder / name, subject, text, html, files, _fingerprint(files))
            except (TemplateError, ValueError, OSError) as error:
                problems.append(f"{folder / name}.{suffix}: {error}")
        return trios


def _fingerprint(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of the templates of a text."""
    return sha256("\0".join(files[suffix] for suffix in _SUFFIXES).encode()).hexdigest()


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


def _about(entry: MessageType, number: int | None, language: str) -> dict[str, object]:
    return {
        "audience": entry.audience.value,
        "stoppable": entry.message_class.stoppable,
        "number": number,
        "language": language,
    }
