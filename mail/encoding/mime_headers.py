"""Header lines, folded: plain where the text is plain, else as encoded words (RFC 5322, 2.2.3; RFC 2047)."""

from __future__ import annotations

import re
from binascii import b2a_base64

_LINE = 76
"""The longest line with an encoded word (RFC 2047, 2). Plain headers keep to it too."""

_BEGIN_Q, _BEGIN_B, _END = "=?utf-8?q?", "=?utf-8?b?", "?="
_AROUND = len(_BEGIN_Q) + len(_END)
_PLAIN_IN_Q = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""What stands for itself in an encoded word of a display name (RFC 2047, 5 (3))."""

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")


def text_header(header: str, value: str) -> str:
    """Return a header of free text without its last line end. `value` is one line without outer space."""
    if not _reads_as_itself(value):
        return f"{header}: {encoded_words(value, len(header) + 2)}"
    if len(header) + 2 + len(value) <= _LINE:
        return f"{header}: {value}"
    first, *words = value.split(" ")
    lines = [f"{header}: {first}"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) <= _LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines)


def address_header(header: str, name: str, address: str) -> str:
    """Return a header of one address without its last line end. `name` is one line without syntax, or empty."""
    if not name:
        return f"{header}: {address}"
    if not _ATOMS.fullmatch(name) or not _reads_as_itself(name):
        name = encoded_words(name, len(header) + 2)
    fold = "\r\n " if len(header) + len(name.rpartition("\r\n")[2]) + len(address) > 70 else " "
    return f"{header}: {name}{fold}<{address}>"


def encoded_words(value: str, used: int) -> str:
    """Return text as encoded words, a line each. `used` is how many characters stand before it on the first line.

    No character is split between two words (RFC 2047, 5). Of both encodings the shorter one is taken.
    """
    in_q = [_in_q(character) for character in value]
    as_q = sum(map(len, in_q)) <= len(value.encode()) * 4 / 3
    sizes = [len(one) for one in in_q] if as_q else [len(character.encode()) for character in value]
    words, start, size = [], 0, 0
    room = _room(_LINE - used, as_q)
    for place, more in enumerate(sizes):
        if size + more > room and place > start:
            words.append((start, place))
            start, size, room = place, 0, _room(_LINE - 1, as_q)
        size += more
    words.append((start, len(value)))
    if as_q:
        return "\r\n ".join(f"{_BEGIN_Q}{''.join(in_q[one:other])}{_END}" for one, other in words)
    return "\r\n ".join(f"{_BEGIN_B}{_in_base64(value[one:other])}{_END}" for one, other in words)


def _reads_as_itself(value: str) -> bool:
    # A mail program decodes any ASCII text that looks like an encoded word (RFC 2047), so such text is encoded too.
    return value.isascii() and "=?" not in value


def _room(characters: int, as_q: bool) -> int:
    """Return what an encoded word of so many characters takes: characters of Q, or bytes before base64."""
    inside = characters - _AROUND
    return inside if as_q else inside // 4 * 3


def _in_q(character: str) -> str:
    if character in _PLAIN_IN_Q:
        return character
    if character == " ":
        return "_"
    return "".join(f"={byte:02X}" for byte in character.encode())


def _in_base64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode("ascii")
