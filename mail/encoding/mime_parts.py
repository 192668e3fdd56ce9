"""MIME parts as bytes: headers, an empty line, the encoded body; ASCII, CRLF line ends, no line over 78 characters."""

from __future__ import annotations

import base64
import re
from binascii import b2a_qp
from collections.abc import Sequence

_LONGEST_AS_IT_IS = 78
"""Longest line of text that is not encoded (RFC 5322, 2.1.1)."""

_OVERLONG = re.compile(rb"(?m)^(.{74,})(=20|=09)$")
"""A line that `binascii.b2a_qp` makes longer than 76 characters, by encoding the space at its end."""


def text_part(text: str, subtype: str, parameters: str = "") -> bytes:
    """Return a part of text in UTF-8: as it is where its lines are short and ASCII, else encoded.

    `parameters` of the type stand as in `; method=REQUEST`. What cannot be encoded is left out: NUL and surrogates.
    """
    lines = text.encode("utf-8", "ignore").replace(b"\0", b"").splitlines() or [b""]
    body = b"".join(line + b"\n" for line in lines)
    if body.isascii() and max(map(len, lines)) <= _LONGEST_AS_IT_IS:
        encoding, encoded = "7bit", body.replace(b"\n", b"\r\n")
    else:
        encoding, encoded = "quoted-printable", quoted_printable(body)
        if 3 * len(encoded) > 4 * len(body):
            encoding, encoded = "base64", in_base64(body.replace(b"\n", b"\r\n"))
    head = (
        f'Content-Type: text/{subtype}; charset="utf-8"{parameters}\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode("ascii") + encoded


def file_part(content_type: str, data: bytes, *headers: str) -> bytes:
    """Return a part of bytes, in base64, with more headers after its type."""
    lines = (f"Content-Type: {content_type}", "Content-Transfer-Encoding: base64", *headers, "", "")
    return "\r\n".join(lines).encode("ascii") + in_base64(data)


def multipart(subtype: str, boundary: str, parts: Sequence[bytes], parameters: str = "") -> bytes:
    """Return parts in one. The boundary occurs in none of them."""
    head = f'Content-Type: multipart/{subtype}{parameters};\r\n boundary="{boundary}"\r\n\r\n'
    line = f"--{boundary}".encode("ascii")
    inner = (b"\r\n" + line + b"\r\n").join(parts)
    return b"".join((head.encode("ascii"), line, b"\r\n", inner, b"\r\n", line, b"--\r\n"))


def quoted_printable(text: bytes) -> bytes:
    """Return text whose lines end in line feeds as quoted-printable, in lines of 76 characters (RFC 2045, 6.7)."""
    encoded = b2a_qp(text)
    if b"=20\n" in encoded or b"=09\n" in encoded:
        encoded = _OVERLONG.sub(rb"\1=\n\2", encoded)
    return encoded.replace(b"\n", b"\r\n")


def in_base64(data: bytes) -> bytes:
    """Return bytes in base64, in lines of 76 characters (RFC 2045, 6.8)."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
