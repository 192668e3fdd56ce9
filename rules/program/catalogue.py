"""Certifications, their domains and the caps of their cycles: dated data, in a file of its own (CPE9, CPE12).

What a certifying body requires changes from time to time. Every entry says from which day it holds, and perhaps
until which, so that a claim is decided by what held on its credit date. Dates have no zone; both ends count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Protocol

from rules.program.toml_schema import (
    content_of,
    field,
    in_language,
    parse,
    read_text,
    table,
    table_validator,
    texts,
    tuple_of,
)
from rules.validation import Issue, certification_code, day, identifier, integer, language_code, single_line

BUNDLED_CATALOGUE = Path(__file__).resolve().parents[2] / "programs" / "catalogue.toml"


@table
class Domain:
    """A field of knowledge of one certification, under an id that stays when its name is reworded (CPE6)."""

    id: str = field(identifier, "CPE6", about="the id that claims and letters keep")
    name: Mapping[str, str] = field(texts(single_line()), "CPE6", "MAIL5", about="the name in each language")
    valid_from: date = field(day, "CPE12", about="the first day on which it holds")
    valid_until: date | None = field(day, "CPE12", about="the last day on which it holds", default=None)

    def name_in(self, language: str) -> str:
        """Return the name in a language, else in the catalogue's first."""
        return in_language(self.name, language)


@table
class Category:
    """A category of credit, with the most of it that counts in one cycle (CPE9)."""

    id: str = field(identifier, "CPE9", about="the id by which a program names it")
    number: int = field(integer(1, 99), "CPE9", about="its number in the recertification guide")
    name: Mapping[str, str] = field(texts(single_line()), "CPE9", "MAIL5", about="the name in each language")
    cap: int = field(integer(0, 1000), "CPE9", about="the most credits of it that count in one cycle")
    valid_from: date = field(day, "CPE12", about="the first day on which it holds")
    valid_until: date | None = field(day, "CPE12", about="the last day on which it holds", default=None)


@table
class Certification:
    """A certification that is kept up with credit, cycle by cycle (CPE3, CPE4)."""

    code: str = field(certification_code, "CPE3", about="its code, like CPP")
    name: Mapping[str, str] = field(texts(single_line()), "CPE3", "MAIL5", about="the name in each language")
    cycle_years: int = field(
        integer(1, 20), "CPE4", about="how long a cycle is meant to be; a member's is recorded data"
    )
    cycle_credits: int = field(integer(1, 1000), "CPE9", about="the credits that a cycle asks for")
    grace_months: int = field(
        integer(0, 24), "CPE4", about="months after a cycle in which to submit, never to earn"
    )
    valid_from: date = field(day, "CPE12", about="the first day on which it holds")
    valid_until: date | None = field(day, "CPE12", about="the last day on which it holds", default=None)
    domains: tuple[Domain, ...] = field(
        tuple_of(table_validator(Domain), least=1), "CPE6", about="its domains"
    )

    def name_in(self, language: str) -> str:
        """Return the name in a language, else in the catalogue's first."""
        return in_language(self.name, language)

    def domain(self, words: str) -> Domain | None:
        """Return the domain of an id, or of a name in any language, ignoring case; None if there is none."""
        wanted = words.strip().casefold()
        for domain in self.domains:
            if wanted in {domain.id.casefold(), *(name.casefold() for name in domain.name.values())}:
                return domain
        return None

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for domains of one id whose times overlap, and for dates in the wrong order."""
        yield from _overlaps("domains", [(domain.id, domain) for domain in self.domains])


@table
class Catalogue:
    """All certifications and categories of credit that this file knows (CPE12).

    `version` is the file's own name of its state and `fingerprint` the SHA-256 of its content; a claim records
    both.
    """

    version: str = field(identifier, "CPE12", about="the version that a claim names")
    languages: tuple[str, ...] = field(
        tuple_of(language_code, least=1, most=20),
        "MAIL5",
        about="the languages of every name; the first is the fallback",
    )
    categories: tuple[Category, ...] = field(
        tuple_of(table_validator(Category), least=1), "CPE9", about="categories of credit"
    )
    certifications: tuple[Certification, ...] = field(
        tuple_of(table_validator(Certification), least=1), "CPE3", about="the certifications"
    )
    fingerprint: str = ""

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of every certification, each once, whenever it is valid."""
        return tuple(dict.fromkeys(certification.code for certification in self.certifications))

    def certification(self, code: str, on: date) -> Certification | None:
        """Return the certification valid on a day, with the domains of that day; None if there is none (CPE12)."""
        for certification in self.certifications:
            if certification.code == code and _holds(certification, on):
                domains = tuple(domain for domain in certification.domains if _holds(domain, on))
                return replace(certification, domains=domains)
        return None

    def category(self, id: str, on: date) -> Category | None:
        """Return the category of credit that is valid on a day, with its cap; None if there is none (CPE9, CPE12)."""
        return next((each for each in self.categories if each.id == id and _holds(each, on)), None)

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for entries of one code or id whose times overlap, and for dates in the wrong order."""
        yield from _overlaps("categories", [(category.id, category) for category in self.categories])
        yield from _overlaps("certifications", [(each.code, each) for each in self.certifications])


def parse_catalogue(text: str, file: str) -> Catalogue:
    """Parse the text of a catalogue. Raises ProgramError with every mistake, each under the name `file`."""
    return parse(Catalogue, content_of(text, file), lambda path: file, texts_at="name")


def load_catalogue(path: Path = BUNDLED_CATALOGUE) -> Catalogue:
    """Load a catalogue. Raises ProgramError with every mistake, or if the file cannot be read."""
    return parse_catalogue(read_text(path), str(path))


class _Dated(Protocol):
    @property
    def valid_from(self) -> date: ...

    @property
    def valid_until(self) -> date | None: ...


def _holds(entry: _Dated, on: date) -> bool:
    return entry.valid_from <= on and (entry.valid_until is None or on <= entry.valid_until)


def _overlaps(key: str, entries: Sequence[tuple[str, _Dated]]) -> Iterator[Issue]:
    for position, (name, entry) in enumerate(entries):
        if entry.valid_until is not None and entry.valid_until < entry.valid_from:
            yield Issue((key, position, "valid_until"), "must not lie before valid_from")
        for earlier_name, earlier in entries[:position]:
            if name == earlier_name and _meet(earlier, entry):
                yield Issue((key, position), f"{name} is there twice for some of the same days")
                break


def _meet(one: _Dated, other: _Dated) -> bool:
    return _holds(one, other.valid_from) or _holds(other, one.valid_from)
