"""The look of a program's mails and pages: colours, the line at the foot, and the logo as a PNG (MAIL5).

Mail programs show no SVG, and some show no `data:` address: a logo goes along as a PNG part that the HTML names by its
Content-ID (RFC 2392).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import typst

from rules.program import Program
from rules.program.logo import Logo

MOST_HEIGHT, MOST_WIDTH = 48, 240
"""The most pixels that a logo takes on a screen."""

_DENSE = 144
"""Points per inch of a drawn SVG: two pixels for each on the screen, for dense screens."""


@dataclass(frozen=True, slots=True)
class LogoImage:
    """A logo as mails and pages show it: a PNG, and its size on the screen in pixels."""

    png: bytes
    width: int
    height: int

    @property
    def content_id(self) -> str:
        """The name of its part in a mail, without angle brackets: the same for the same logo."""
        return f"logo-{hashlib.sha256(self.png).hexdigest()[:20]}@logo.invalid"

    @property
    def data_url(self) -> str:
        """Its address with the image in it, for a page: nothing is loaded from elsewhere."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@lru_cache(maxsize=64)
def logo_image(logo: Logo) -> LogoImage:
    """Return a logo as a PNG, no higher than MOST_HEIGHT and no wider than MOST_WIDTH on the screen."""
    scale = min(MOST_HEIGHT / logo.height, MOST_WIDTH / logo.width)
    if logo.kind == "png":
        scale = min(scale, 1.0)
    width, height = max(1, round(logo.width * scale)), max(1, round(logo.height * scale))
    return LogoImage(logo.content if logo.kind == "png" else _drawn(logo, width, height), width, height)


def _drawn(logo: Logo, width: int, height: int) -> bytes:
    """Draw an SVG. Raises ValueError if it cannot be drawn."""
    page = (
        "#set page(width: auto, height: auto, margin: 0pt, fill: none)\n"
        f'#image(bytes(sys.inputs.svg), format: "svg", width: {width / 2}pt, height: {height / 2}pt)'
    )
    inputs = {"svg": logo.content.decode("utf-8-sig")}
    try:
        drawn = typst.compile(page.encode(), format="png", ppi=2 * _DENSE, sys_inputs=inputs)
    except typst.TypstError:
        raise ValueError("the logo cannot be drawn") from None
    if not isinstance(drawn, bytes):
        raise ValueError("the logo cannot be drawn")
    return drawn


def brand_context(program: Program) -> dict[str, object]:
    """Return the logo and the lines at the foot, as mail templates need them.

    Raises ValueError for a logo that cannot be drawn.
    """
    image = logo_image(program.logo) if program.logo else None
    shown = image and {"src": f"cid:{image.content_id}", "width": image.width, "height": image.height}
    footer = {language: program.brand.footer_in(language) for language in program.languages}
    return {"logo": shown, "footer": footer}


def brand_values(program: object, language: str) -> dict[str, object]:
    """Return the logo and the line at the foot of a template's `program`, in a language; without a brand, none."""
    brand = program.get("brand") if isinstance(program, Mapping) else None
    if not isinstance(brand, Mapping):
        return {"logo": None, "footer": ""}
    footer = brand["footer"]
    return {"logo": brand["logo"], "footer": footer.get(language) or next(iter(footer.values()), "")}
