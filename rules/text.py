"""Sanitize text that somebody else wrote, for each place that it goes to.

Each function is named by the target, or by the source where that decides what to remove. Targets differ: a database
refuses NUL and lone surrogates, a terminal obeys escape sequences, a header ends at a line break. Validation
(`rules.validation`) refuses such text where a sender can correct it; these functions keep what can be kept.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST_TEXT = 10_000
"""Longest free text that is kept, in characters."""

LONGEST_KEPT_REPLY = 2_000
"""Longest reply of a mail server that is kept, in characters."""

LONGEST_CLUSTER = 24
"""Most code points that are kept of one character as a reader counts it; family emoji and conjuncts need about ten."""

ERASED: Final = "erased"
"""What is read where a person's text was (STA5)."""

_ERASED_IN: Final = {"es": "borrado"}

_CONTROL = {"Cc", "Cs"}
"""Unicode categories of control characters and of lone surrogates, which UTF-8 cannot encode."""

_UNSAFE_IN_MAIL = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters other than line breaks and tabs
    "\u202a-\u202e\u2066-\u2069\ufeff"  # bidirectional overrides and isolates, byte order mark
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, tag characters
)
_INVISIBLE_IN_PRINT = re.compile("[\u00ad\u200b\u2060]")  # soft hyphen, zero-width space, word joiner
_UNSAFE_IN_TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str, language: str) -> str:
    """Return text as it is shown in a language: that of an erased person is the word for it (STA5)."""
    return _ERASED_IN.get(language.partition("-")[0], ERASED) if text == ERASED else text


def folded(text: str) -> str:
    """Return text as a search compares it: in lower case, without accents and marks, single spaces."""
    if text.isascii():
        return " ".join(text.lower().split())
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(each for each in apart if not unicodedata.combining(each)).split())


def folded_member(name: str, email: str, id: str) -> str:
    """Return what a search finds a member by, in the order of names."""
    return f"{folded(name)} {folded(email)} {folded(id)}"


def for_database(text: str) -> str:
    """Return text for a column: control characters become spaces, and what exceeds LONGEST_TEXT is cut.

    PostgreSQL refuses NUL in text, and no UTF-8 database takes lone surrogates. Line feeds and tabs stay.
    """
    kept = text[:LONGEST_TEXT].replace("\r\n", "\n")
    return "".join(" " if _is_control(character) else character for character in kept)


def for_mail(text: str) -> str:
    """Return text for the body of a mail, without control and bidirectional characters; line breaks and tabs stay.

    A bidirectional override makes a reader see other words or another address than the ones that are there.
    """
    return _UNSAFE_IN_MAIL.sub("", text)


def for_header(text: str, longest: int) -> str:
    """Return text for a header: like `for_mail`, on one line, cut to `longest` characters with an ellipsis.

    A line break in a header would start another header.
    """
    line = " ".join(for_mail(text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def for_pdf(text: str) -> str:
    """Return text for a letter: like `for_mail`, without invisible characters, line ends as `\\n`, tabs as spaces.

    A letter is compared by eye with the record, so each character of it must be visible on the page. Of a character
    with more than LONGEST_CLUSTER code points the rest is cut: shapers need time that grows with its square, or fail.
    """
    visible = _cut_clusters(_INVISIBLE_IN_PRINT.sub("", for_mail(text)))
    return "\n".join(line.replace("\t", " ").rstrip() for line in visible.splitlines()).strip()


def for_terminal(text: str) -> str:
    """Escape control and bidirectional characters as `\\uXXXX`, so that a terminal shows them and obeys none."""
    return _UNSAFE_IN_TERMINAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def from_form(text: str) -> str:
    """Return the text of a form field without control characters and outer space; line ends become `\\n`.

    Browsers send `\\r\\n` for a line break, whatever was typed (HTML, form submission).
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(character for character in lines if not _is_control(character)).strip()


def from_mail_server(reply: str) -> str:
    """Return a mail server's reply for the database: what cannot be printed becomes U+FFFD, the end is cut.

    A reply is any bytes that a server sends. The replacement shows staff that something was there.
    """
    shown = (
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in reply
    )
    return "".join(shown)[:LONGEST_KEPT_REPLY]


def _cut_clusters(text: str) -> str:
    """Return text without what exceeds LONGEST_CLUSTER code points in one character (grapheme cluster, UAX 29)."""
    if text.isascii():
        return text
    kept: list[str] = []
    length, before = 0, ""
    for character in text:
        length = length + 1 if before and _joins(before, character) else 1
        if length <= LONGEST_CLUSTER:
            kept.append(character)
        before = character
    return "".join(kept)


def _joins(before: str, character: str) -> bool:
    """Whether a character belongs to the one before it: a mark, a joiner, a conjunct, a syllable of jamo."""
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character in "\u200c\u200d"
        or before == "\u200d"
        or unicodedata.combining(before) == 9  # a virama joins the letters on both of its sides
        or ("\u1100" <= before <= "\u11ff" and "\u1100" <= character <= "\u11ff")
    )


def _is_control(character: str) -> bool:
    """Whether a character is a control character or a lone surrogate, other than line feed and tab."""
    return unicodedata.category(character) in _CONTROL and character not in "\n\t"
