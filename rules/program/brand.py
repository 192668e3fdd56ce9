"""The `[brand]` of a program file: its logo, colour and footer, with contrast checked (COH5, MAIL5)."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rules.program.toml_schema import field, in_language, table, texts
from rules.validation import ValidationError, quote, single_line, text_of

READABLE = 4.5
"""The least contrast of text: WCAG 2.2, level AA."""

CLEAR = 7.0
"""The contrast that derived colours get: level AAA."""

LONGEST_FOOTER = 300

LIGHT_PAGE, LIGHT_CARD = "#edf1f3", "#ffffff"
"""What links stand on in mails and pages: around the card, and on it."""

DARK_CARD = "#1b242a"
"""The same in dark mode; the page around it is darker still."""

_STEPS = 20
_NOT_GLARING = 0.6
_HEX = re.compile(r"#[0-9A-Fa-f]{6}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a program's mails and pages, as `#rrggbb`."""

    accent: str = "#0b5f5c"
    """Links, buttons and the bar on top."""
    on_accent: str = "#ffffff"
    """Text on a button."""
    soft: str = "#e3efee"
    """A quiet button."""
    edge: str = "#6fa8a4"
    """The border of one of several equal buttons."""
    rule: str = "#9fc4c1"
    """The line beside a quotation."""
    dark_accent: str = "#85d3cb"
    dark_on_accent: str = "#0d2322"
    dark_soft: str = "#2a4344"
    dark_on_soft: str = "#c9efeb"


PLAIN = Palette()
"""The colours of a program that names none."""


def palette_of(colour: str) -> Palette:
    """Return the palette of a colour that passed `brand_colour`: its tints, and its lighter hue for dark mode."""
    dark_accent = _until(lambda part: _lighter(colour, part), DARK_CARD, CLEAR)
    dark_soft = _until(lambda part: mixed(dark_accent, DARK_CARD, 0.78 + 0.22 * part), dark_accent, READABLE)
    return Palette(
        accent=colour,
        on_accent="#ffffff",
        soft=_until(lambda part: mixed(colour, "#ffffff", 0.88 + 0.12 * part), colour, READABLE),
        edge=mixed(colour, "#ffffff", 0.42),
        rule=mixed(colour, "#ffffff", 0.6),
        dark_accent=dark_accent,
        dark_on_accent=_until(lambda part: mixed(colour, "#000000", 0.6 + 0.4 * part), dark_accent, CLEAR),
        dark_soft=dark_soft,
        dark_on_soft=_until(lambda part: mixed(dark_accent, "#ffffff", 0.5 + 0.5 * part), dark_soft, CLEAR),
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mixed(one: str, other: str, part: float) -> str:
    """Return a colour with a part, from 0 to 1, of another one."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)


def _lighter(colour: str, part: float) -> str:
    """Return a colour of the same hue, lighter by a part of the way to white, and not glaring."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in _channels(colour)))
    channels = colorsys.hls_to_rgb(hue, lightness + (1 - lightness) * part, min(saturation, _NOT_GLARING))
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)


def brand_colour(value: object) -> str:
    """Read a colour as `#rrggbb`, dark enough for links and for buttons with white text (WCAG AA)."""
    text = text_of(value)
    if not _HEX.fullmatch(text):
        raise ValidationError(f"must be a colour like #0b5f5c, not {quote(text)}")
    colour = text.lower()
    if (found := contrast(colour, LIGHT_PAGE)) < READABLE:
        near = _until(lambda part: mixed(colour, "#000000", part), LIGHT_PAGE, READABLE)
        raise ValidationError(
            f"must contrast {READABLE} to 1 with the light page (WCAG AA), unlike {quote(text)} with {found:.1f};"
            f" {near} would do"
        )
    return colour


def logo_name(value: object) -> str:
    """Read the name of a file beside the program file: no path."""
    text = text_of(value)
    if not _FILE_NAME.fullmatch(text):
        raise ValidationError(
            f"must be the name of a file beside the program file, like logo.svg, not {quote(text)}"
        )
    return text


@table
class Brand:
    """How mails, pages and letters of a program look."""

    logo: str | None = field(
        logo_name, "MAIL5", about="the logo: an SVG or PNG file beside this one", default=None
    )
    colour: str | None = field(
        brand_colour, "MAIL5", about="the colour of links, buttons and headings", default=None
    )
    footer: Mapping[str, str] | None = field(
        texts(single_line(LONGEST_FOOTER)), "MAIL5", about="a line at the foot, by language", default=None
    )

    @property
    def palette(self) -> Palette:
        """Its colours; those of a program without one if it names none."""
        return palette_of(self.colour) if self.colour else PLAIN

    def footer_in(self, language: str) -> str:
        """Return its line at the foot in a language, else in the first one of the file; empty without one."""
        return in_language(self.footer, language) if self.footer else ""


def _until(colour_at: Callable[[float], str], against: str, least: float) -> str:
    """Return the first colour on a way, from 0 to 1, that has the least contrast; else the last one."""
    for step in range(_STEPS + 1):
        colour = colour_at(step / _STEPS)
        if contrast(colour, against) >= least:
            break
    return colour


def _luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
