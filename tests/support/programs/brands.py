"""A brand for tests: a logo, a program file beside it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 50"><defs><linearGradient id="a"><stop offset="0"/>'
    '</linearGradient></defs><circle cx="25" cy="25" r="20" fill="url(#a)"/><path d="M60 20h80v10h-80z"/></svg>'
)
"""A logo of shapes and a gradient."""

FOOTER = {"en": "Run by <b>members</b> & friends {{ 7 * 7 }}", "es": "De la gente, para la gente"}

COLOUR = "#8a1538"

PROGRAM = Path(__file__).resolve().parents[3] / "programs" / "asis-global.toml"


def png(width: int, height: int, *more: tuple[bytes, bytes], pixels: bytes | None = None) -> bytes:
    """A grey PNG; `more` are chunks behind its head."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x60" * width) * height) if pixels is None else pixels
    chunks = [(b"IHDR", head), *more, (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def branded(folder: Path, brand: str, logo: bytes | str = SVG, name: str = "logo.svg") -> Path:
    """Write the bundled program with another `[brand]` into a folder, and a logo beside it."""
    text = PROGRAM.read_text("utf-8")
    before, _, rest = text.partition("[brand]")
    after = rest[rest.index("\n[") :] if rest else before[before.index("\n[manager]") :]
    before = before if rest else before[: before.index("\n[manager]")]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(logo.encode() if isinstance(logo, str) else logo)
    file = folder / "asis-global.toml"
    file.write_text(f"{before}\n[brand]\n{brand}\n{after}", "utf-8")
    return file


def full_brand(name: str = "logo.svg") -> str:
    """A `[brand]` with everything."""
    footer = "\n".join(f'footer.{language} = "{line}"' for language, line in FOOTER.items())
    return f'logo = "{name}"\ncolour = "{COLOUR}"\n{footer}'
