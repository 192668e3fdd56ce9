"""The parts of a mail, within bounds (RFC 2045, RFC 2046).

A report comes from anywhere. Python's parser takes minutes for 360,000 parameters in one header, and recurses for each
nested message. This one is linear in what it keeps: size, header fields, depth and the number of parts have limits.
What exceeds them is dropped.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass

LARGEST = 256 * 1024
"""Octets of a mail that are kept; the rest is dropped. A report quotes headers or a mail of ours."""

DEEPEST = 8
"""Levels of nested parts that are read. A report has two; a forwarded one four."""

MOST_PARTS = 60
"""Parts that are read."""

_MOST_FIELDS = 300
_LONGEST_FIELD = 4_000
_FIELD = re.compile(rb"([!-9;-~]{1,80})[ \t]*:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))""", re.IGNORECASE)
_CHARSET = re.compile(r"""charset\s*=\s*"?([\w.:-]{1,40})""", re.IGNORECASE)
_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}")
_FIRST_DELIMITER = re.compile(rb"(?:^|\n)--([!-~]{1,200})[ \t]*\n(?=content-)", re.IGNORECASE)
_MESSAGES = {"message/rfc822", "message/global"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part with its header fields, names in lower case, and its body as it stands in the mail."""

    fields: tuple[tuple[str, str], ...]
    body: bytes
    depth: int = 0
    quoted: bool = False
    """Whether it belongs to a mail within the mail: to ours, in a report."""

    def get(self, name: str) -> str:
        """Return the first field of a name, on one line; empty if there is none."""
        return next((value for field, value in self.fields if field == name.lower()), "")

    def all(self, name: str) -> list[str]:
        """Return the fields of a name."""
        return [value for field, value in self.fields if field == name.lower()]

    @property
    def content_type(self) -> str:
        """The media type, in lower case."""
        found = _TYPE.match(self.get("content-type").strip())
        return found[0].lower() if found else "text/plain"

    @property
    def decoded(self) -> bytes:
        """The body without its transfer encoding. What is not base64 is dropped."""
        encoding = self.get("content-transfer-encoding").strip().lower()
        if encoding == "base64":
            return _from_base64(self.body)
        return quopri.decodestring(self.body) if encoding == "quoted-printable" else self.body

    @property
    def text(self) -> str:
        """The body as text; bytes that its charset does not have become U+FFFD."""
        named = _CHARSET.search(self.get("content-type"))
        content = self.decoded
        for charset in (named[1] if named else "utf-8", "utf-8"):
            try:
                return content.decode(charset, "replace")
            except (LookupError, ValueError):
                continue
        return content.decode("latin-1")


def parse(content: bytes, depth: int = 0, quoted: bool = False) -> Part:
    """Return a mail, or a block of fields, as one part. Line ends become line feeds."""
    rest = re.sub(rb"\r\n|\r", b"\n", content[:LARGEST])
    if rest.startswith(b"From "):
        # The separator line of an mbox file.
        rest = rest.partition(b"\n")[2]
    fields: list[tuple[str, str]] = []
    position = 0
    while found := _FIELD.match(rest, position):
        position = found.end()
        if len(fields) < _MOST_FIELDS:
            fields.append((found[1].decode("ascii").lower(), _on_one_line(found[2])))
    if rest.startswith(b"\n", position):
        position += 1
    return Part(tuple(fields), rest[position:], depth, quoted)


def walk(content: bytes) -> Iterator[Part]:
    """Yield a mail's parts in their order, each container before what it holds."""
    waiting = [parse(content)]
    for _ in range(MOST_PARTS):
        if not waiting:
            return
        part = waiting.pop()
        yield part
        if part.depth < DEEPEST:
            waiting.extend(reversed(_inner(part)))


def _inner(part: Part) -> list[Part]:
    if part.content_type in _MESSAGES:
        return [parse(part.decoded, part.depth + 1, quoted=True)]
    if not part.content_type.startswith("multipart/"):
        return []
    named = _BOUNDARY.search(part.get("content-type"))
    pieces = (
        _cut(part.body, (named[1] or named[2]).rstrip().encode("utf-8", "surrogateescape")) if named else []
    )
    if not pieces and (line := _FIRST_DELIMITER.search(part.body)):
        # Relays rewrite header fields; the delimiter lines in the body are what counts then.
        pieces = _cut(part.body, line[1])
    inner = (piece.removeprefix(b"\n") for piece in pieces if piece.strip())
    return [parse(piece, part.depth + 1, part.quoted) for piece in inner]


def _cut(body: bytes, boundary: bytes) -> list[bytes]:
    delimiter = rb"(?:^|\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?=\n|$)"
    return re.split(delimiter, body, maxsplit=MOST_PARTS)[1:]


def _on_one_line(value: bytes) -> str:
    return " ".join(value[:_LONGEST_FIELD].decode("utf-8", "replace").split())


def _from_base64(body: bytes) -> bytes:
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
    # A cut or damaged end must not lose the rest.
    whole = letters[: len(letters) // 4 * 4 if len(letters) % 4 == 1 else len(letters)]
    try:
        return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
    except binascii.Error:
        return b""
