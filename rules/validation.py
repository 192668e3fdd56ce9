"""The shapes of values that come from outside, in events and in program files.

A reader takes whatever came and returns the value that the rules work with. It raises ValidationError with every
issue of the value, each with its place, and nothing else, whatever it is given. A reason quotes a short, printable
value, and describes any other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import NamedTuple, TypeVar
from zoneinfo import available_timezones

from rules.calendar import known_zone
from rules.mail_address import (
    LONGEST_ADDRESS,
    AddressRejected,
    MailAddress,
    cleaned_address,
    mail_address,
)
from rules.text import LONGEST_TEXT

T = TypeVar("T")
Validator = Callable[[object], T]

EARLIEST_YEAR, LATEST_YEAR = 1900, 2200
LONGEST_LINE = 200
LONGEST_LINK = 2_000
LONGEST_QUOTE = 60
"""Characters of a value that a reason quotes."""
_MOST_BITS_SHOWN = 64

IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
CODE = re.compile(r"[A-Z][A-Z0-9-]{1,9}")
COUNTRY = re.compile(r"[A-Z]{2}")
LANGUAGE = re.compile(r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]{2,8}){0,3})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,9})?)?"
LOCAL = re.compile(_DAY.pattern + _CLOCK)
INSTANT = re.compile(_DAY.pattern + _CLOCK + r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
_LINK = re.compile(
    rf"https://{_HOST}(?::[0-9]{{1,5}})?(?:[/?#](?:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]|\[|\]|%[0-9A-Fa-f]{{2}})*)?"
)

_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
_BREAKS_A_LINE = {"Cc", "Cs", "Zl", "Zp"}
_BREAKS_A_TEXT = {"Cc", "Cs"}


class Issue(NamedTuple):
    """One thing that is wrong: the steps to its place (keys, and positions from 0), and the reason in words."""

    path: tuple[str | int, ...]
    reason: str


class ValidationError(ValueError):
    """A value is not what it has to be; `faults` holds every reason, with paths that start at the value."""

    def __init__(self, reason: str = "", faults: Iterable[Issue] = ()) -> None:
        self.faults = (*faults, *([Issue((), reason)] if reason else []))
        super().__init__("; ".join(fault.reason for fault in self.faults))


class Issues:
    """Collects the issues of the parts of a value, so that one error reports all of them."""

    def __init__(self) -> None:
        self.found: list[Issue] = []

    def add(self, reason: str, *path: str | int) -> None:
        """Add an issue at a path from the value that is being validated."""
        self.found.append(Issue(path, reason))

    def read(self, step: str | int, reader: Validator[T], value: object) -> T | None:
        """Return a part as its validator returns it; None with its issues added under that step."""
        try:
            return reader(value)
        except ValidationError as wrong:
            self.found += (Issue((step, *fault.path), fault.reason) for fault in wrong.faults)
            return None

    def settle(self) -> None:
        """Raise ValidationError if there is any issue."""
        if self.found:
            raise ValidationError(faults=self.found)


def kind_of(value: object) -> str:
    """Return the kind of a value and, where it is short, the value: `the number 7`, `the text 'yes'`, `a list`."""
    if isinstance(value, str):
        return f"the text {quote(value)}" if _quotable(value) else quote(value)
    if isinstance(value, bool):
        return quote(value)
    if isinstance(value, int | float):
        return f"the number {quote(value)}" if _quotable(value) else quote(value)
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return "nothing" if value is None else "something else"


def quote(value: object) -> str:
    """Return a value as a reason may show it: quoted where it is short and printable, else described.

    Line breaks, control characters and direction marks never come through, nor does text of more than
    LONGEST_QUOTE characters.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if _quotable(value):
            return repr(value)
        return f"text of {len(value)} characters" if len(value) > LONGEST_QUOTE else "unprintable text"
    if isinstance(value, int | float):
        return str(value) if _quotable(value) else "a number of very many digits"
    return kind_of(value)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that was probably meant, to append to a reason; empty if none is near."""
    close = get_close_matches(word[:80], known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def text_of(value: object) -> str:
    """Return the value if it is text. Raises ValidationError for any other kind."""
    if not isinstance(value, str):
        raise ValidationError(f"must be text, not {kind_of(value)}")
    return value


def mapping(value: object) -> Mapping[str, object]:
    """Return a table without keys that are not text. Raises ValidationError for anything else."""
    if not isinstance(value, Mapping):
        raise ValidationError(f"must be a table of keys and values, not {kind_of(value)}")
    return {key: item for key, item in value.items() if isinstance(key, str)}


def single_line(most: int = LONGEST_LINE) -> Validator[str]:
    """Text on one line: something to see, no line break, no control character; trimmed.

    Template syntax, markup and right-to-left text are ordinary text; the code that shows it must escape it.
    """

    def read(value: object) -> str:
        text = text_of(value)
        if len(text) > most:
            raise ValidationError(f"must be at most {most} characters long, not {len(text)}")
        if _holds(text, _BREAKS_A_LINE):
            raise ValidationError("must be on one line, without line breaks or other control characters")
        if _invisible(text):
            raise ValidationError("must not be empty")
        return text.strip()

    return read


def multi_line(most: int = LONGEST_TEXT, *, blank: bool = True) -> Validator[str]:
    """Free text of several lines, with tabs but no other control characters; line ends become `\\n`.

    With `blank` false there has to be something to see.
    """

    def read(value: object) -> str:
        text = text_of(value)
        if len(text) > most:
            raise ValidationError(f"must be at most {most} characters long, not {len(text)}")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if _holds(text.replace("\n", "").replace("\t", ""), _BREAKS_A_TEXT):
            raise ValidationError("must not hold control characters other than line breaks and tabs")
        if not blank and _invisible(text):
            raise ValidationError("must not be empty")
        return text

    return read


def matching(pattern: re.Pattern[str], reason: str) -> Validator[str]:
    """Text of a form; the reason says which, after "must be"."""

    def read(value: object) -> str:
        text = text_of(value)
        if not pattern.fullmatch(text):
            raise ValidationError(f"must be {reason}, not {quote(text)}")
        return text

    return read


def choice(*words: str) -> Validator[str]:
    """One of a few words, exactly."""

    def read(value: object) -> str:
        text = text_of(value)
        if text not in words:
            raise ValidationError(
                f"must be one of {', '.join(words)}, not {quote(text)}{nearest(text, words)}"
            )
        return text

    return read


def integer(least: int, most: int) -> Validator[int]:
    """A whole number within limits, both included; 2.0 is one, true and "2" are none."""

    def read(value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValidationError(f"must be a whole number from {least} to {most}, not {kind_of(value)}")
        if not least <= value <= most:
            raise ValidationError(f"must be a whole number from {least} to {most}, not {quote(value)}")
        return value

    return read


def boolean(value: object) -> bool:
    """True or false, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise ValidationError(f"must be true or false, not {kind_of(value)}")
    return value


identifier = matching(IDENTIFIER, "an id: 1 to 64 characters out of A-Z a-z 0-9 . _ -")

certification_code = matching(CODE, "a certification's code, like CPP")

country_code = matching(COUNTRY, "a country's code of two capital letters (ISO 3166-1), like CO")


def language_code(value: object) -> str:
    """A language, with script or region if need be: `es`, `es-CO`; the language comes out in lower case."""
    match = LANGUAGE.fullmatch(text_of(value))
    if not match:
        raise ValidationError(f"must be a language's code, like es or es-CO, not {quote(value)}")
    return match[1].lower() + match[2].replace("_", "-")


def zone_name(value: object) -> str:
    """A time zone by its IANA name."""
    name = text_of(value)
    if not known_zone(name):
        hint = nearest(name, available_timezones()) if len(name) <= LONGEST_QUOTE else ""
        raise ValidationError(
            f"{quote(name)} is no time zone of the zone database{hint or ' (America/Bogota is one)'}"
        )
    return name


def email(value: object) -> str:
    """One mail address and nothing else, at most 254 characters; a domain in another script comes out as ASCII."""
    return _address(value).ascii


def email_as_given(value: object) -> str:
    """One mail address as its owner writes it, without invisible characters."""
    return _address(value).given


def _address(value: object) -> MailAddress:
    text = text_of(value)
    if len(text) > 2 * LONGEST_ADDRESS:
        raise ValidationError(f"must be at most {LONGEST_ADDRESS} characters long, not {len(text)}")
    shown = cleaned_address(text)
    if _holds(shown, _BREAKS_A_LINE):
        raise ValidationError("must be on one line, without line breaks or other control characters")
    try:
        return mail_address(text)
    except AddressRejected as rejected:
        quoted = quote(text if _holds(text, _BREAKS_A_LINE) else shown)
        raise ValidationError(f"{rejected}, unlike {quoted}") from None


def link(value: object) -> str:
    """An https address of a host by name, without user or password."""
    text = text_of(value)
    if len(text) > LONGEST_LINK:
        raise ValidationError(f"must be at most {LONGEST_LINK} characters long, not {len(text)}")
    if not _LINK.fullmatch(text):
        # A password stands before an @ or in a query, and has no place in an error.
        quoted = "" if {"@", "?"} & set(text) else f", not {quote(text)}"
        raise ValidationError(f"must be an https address, like https://www.example.org/page{quoted}")
    return text


def day(value: object) -> date:
    """A date: ISO 8601 text, or a date; of a datetime, the date that it shows."""
    if isinstance(value, datetime):
        value = value.date()
    if not isinstance(value, date):
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValidationError(f"must be a date like 2028-03-06, not {kind_of(value)}")
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise ValidationError(f"must be a date that the calendar has, not {quote(value)}") from None
    _near(value.year)
    return value


def instant(value: object) -> datetime:
    """A moment in time: RFC 3339 text with its offset, or an aware datetime; comes out in UTC."""
    moment = _moment(value, INSTANT, "a date and time with its offset, like 2028-03-06T10:00:00-05:00")
    if moment.utcoffset() is None:
        raise ValidationError(
            f"must have an offset, like 2028-03-06T10:00:00-05:00, unlike {moment.isoformat()}"
        )
    return moment.astimezone(UTC)


def local_or_instant(value: object) -> datetime:
    """A date and time: with an offset an instant, in UTC; without one a local time of a zone given elsewhere."""
    if isinstance(value, str) and LOCAL.fullmatch(value):
        return _moment(value, LOCAL, "")
    moment = _moment(value, INSTANT, "a date and time, like 2028-03-06T10:00:00 or 2028-03-06T10:00:00-05:00")
    return moment if moment.utcoffset() is None else moment.astimezone(UTC)


def entries(value: object, least: int, most: int) -> Sequence[object]:
    """Return a list whose entries nobody has read yet. Raises ValidationError for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise ValidationError(f"must be a list, not {kind_of(value)}")
    if len(value) > most:
        raise ValidationError(f"must have at most {most} entries, not {len(value)}")
    if len(value) < least:
        raise ValidationError("must not be empty" if least == 1 else f"must have at least {least} entries")
    return value


def list_of(
    reader: Validator[T], *, least: int = 0, most: int = 50, alone: bool = False
) -> Validator[list[T]]:
    """A list of values; with `alone`, a single text stands for a list of one."""

    def read(value: object) -> list[T]:
        if alone and isinstance(value, str):
            value = [value]
        faults = Issues()
        items = [
            faults.read(position, reader, item) for position, item in enumerate(entries(value, least, most))
        ]
        faults.settle()
        return [item for item in items if item is not None]

    return read


def without_repeats(reader: Validator[list[T]]) -> Validator[list[T]]:
    """The list with equal values only once, at their first place."""

    def read(value: object) -> list[T]:
        kept: list[T] = []
        for item in reader(value):
            if item not in kept:
                kept.append(item)
        return kept

    return read


def _quotable(value: str | int | float) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_QUOTE and value.isprintable()
    return isinstance(value, float) or value.bit_length() <= _MOST_BITS_SHOWN


def _holds(text: str, categories: set[str]) -> bool:
    return any(unicodedata.category(character) in categories for character in text)


def _invisible(text: str) -> bool:
    return all(unicodedata.category(character) in _INVISIBLE for character in text)


def _moment(value: object, form: re.Pattern[str], words: str) -> datetime:
    if not isinstance(value, datetime):
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValidationError(f"must be {words}, not {kind_of(value)}")
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError:
            raise ValidationError(
                f"must be a date and time that the calendar has, not {quote(value)}"
            ) from None
    _near(value.year)
    return value


def _near(year: int) -> None:
    if not EARLIEST_YEAR <= year <= LATEST_YEAR:
        raise ValidationError(f"must lie between the years {EARLIEST_YEAR} and {LATEST_YEAR}, not in {year}")
