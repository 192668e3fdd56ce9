"""The logo of a program: a PNG or an SVG, checked by its content, and reduced to what shows (COH5).

An SVG may hold shapes and gradients, and nothing that runs or loads: mails, pages and letters show it unasked.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from rules.validation import ValidationError, quote

LARGEST_LOGO = 100 * 1024
"""Bytes of a logo's file: each mail carries it."""

MOST_PIXELS = 2_000
"""Pixels, or units of an SVG, of a logo's longer side."""

MOST_SHAPES = 2_000

DEEPEST_SHAPE = 32
"""How deep shapes of an SVG may stand in one another: renderers recurse."""

_PNG = b"\x89PNG\r\n\x1a\n"
_SHOWN_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by PNG's colour type (W3C PNG, 11.2.1)."""

_SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = {
    *("svg", "g", "defs", "title", "desc", "clipPath", "linearGradient", "radialGradient", "stop"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"),
}
_LENGTH = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(px)?")
_INSIDE = re.compile(r"url\(\s*[\"']?#[A-Za-z0-9_.-]+[\"']?\s*\)", re.IGNORECASE)
_LOADS = re.compile(r"url\s*\(|javascript:|data:|https?:|//|@|\\|expression", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Logo:
    """A logo that was checked: `content` of a `kind`, `png` or `svg`, with its natural size in pixels."""

    kind: str
    content: bytes
    width: float
    height: float


def read_logo(data: bytes) -> Logo:
    """Return the logo in a file's content. Raises ValidationError with the reason for anything else."""
    if len(data) > LARGEST_LOGO:
        raise ValidationError(f"must be at most {LARGEST_LOGO} bytes large")
    return _png(data) if data.startswith(_PNG) else _svg(data)


def _sized(kind: str, content: bytes, width: float, height: float) -> Logo:
    if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
        raise ValidationError(
            f"must be at most {MOST_PIXELS} pixels wide and high, not {width:g} x {height:g}"
        )
    return Logo(kind, content, width, height)


def _png(data: bytes) -> Logo:
    """Return a PNG without what does not show: texts, profiles, other images."""
    chunks = list(_chunks(data))
    names = [name for name, _ in chunks]
    if names[:1] != [b"IHDR"] or names[-1:] != [b"IEND"] or len(chunks[0][1]) != 13:
        raise ValidationError("is a damaged PNG: its head or its end is missing")
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    kept = b"".join(_chunk(name, body) for name, body in chunks if name in _SHOWN_CHUNKS)
    logo = _sized("png", _PNG + kept, width, height)
    if colours not in _SAMPLES or depth not in (1, 2, 4, 8, 16) or interlaced:
        raise ValidationError("is a PNG that is interlaced, or of no known kind of colour")
    rows = height * (1 + (width * depth * _SAMPLES[colours] + 7) // 8)
    inflate = zlib.decompressobj()
    try:
        pixels = inflate.decompress(b"".join(body for name, body in chunks if name == b"IDAT"), rows + 1)
    except zlib.error:
        raise ValidationError("is a damaged PNG: its pixels cannot be read") from None
    if len(pixels) != rows:
        raise ValidationError("is a damaged PNG: it has not the pixels that its head says")
    return logo


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        body, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if check != struct.pack(">I", zlib.crc32(name + body)):
            raise ValidationError("is a damaged PNG: a check sum is wrong")
        yield name, body
        at += 12 + length


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _svg(data: bytes) -> Logo:
    root = _parsed(data)
    for count, element in enumerate(_elements(root)):
        if count >= MOST_SHAPES:
            raise ValidationError(f"must have at most {MOST_SHAPES} shapes")
        _refuse_unsafe(element)
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    try:
        inner = [float(number) for number in box] if len(box) == 4 else []
    except ValueError:
        inner = []
    sides = [_LENGTH.fullmatch(root.get(name, "").strip()) for name in ("width", "height")]
    if inner:
        width, height = inner[2], inner[3]
    elif sides[0] and sides[1]:
        width, height = float(sides[0][1]), float(sides[1][1])
    else:
        raise ValidationError("must be an SVG with a viewBox, or with width and height in pixels")
    return _sized("svg", data, width, height)


def _elements(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Yield an element and all in it. Raises ValidationError where they stand too deep in one another."""
    pending = [(root, 1)]
    while pending:
        element, depth = pending.pop()
        if depth > DEEPEST_SHAPE:
            raise ValidationError(f"must have shapes at most {DEEPEST_SHAPE} deep in one another")
        yield element
        pending += [(inner, depth + 1) for inner in element]


def _parsed(data: bytes) -> ElementTree.Element:
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValidationError("is neither a PNG nor an SVG") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text or re.search(r"<\?(?!xml\s)", text):
        raise ValidationError("must be an SVG without document type, entities and processing instructions")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError):
        raise ValidationError("is neither a PNG nor an SVG") from None
    if root.tag != f"{_SVG}svg":
        raise ValidationError("is neither a PNG nor an SVG")
    return root


def _refuse_unsafe(element: ElementTree.Element) -> None:
    """Raise ValidationError for what could run, load, or need a typeface."""
    name = element.tag.removeprefix(_SVG)
    if name not in _SHAPES or element.tag == name:
        raise ValidationError(
            f"must have no {quote(name.rpartition('}')[2])} in it: shapes and gradients only"
        )
    for full_name, value in element.attrib.items():
        attribute = full_name.rpartition("}")[2].lower()
        if attribute.startswith("on"):
            raise ValidationError(f"must run no script, unlike {quote(attribute)}")
        if attribute == "href" and not value.startswith("#"):
            raise ValidationError("must refer to nothing outside of itself")
        if _LOADS.search(_INSIDE.sub("", value)):
            raise ValidationError(f"must refer to nothing outside of itself, unlike its {quote(attribute)}")
