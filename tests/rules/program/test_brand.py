"""A program's brand: what is refused, and colours that everybody can read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.program import load_program
from rules.program.brand import (
    CLEAR,
    DARK_CARD,
    LIGHT_CARD,
    LIGHT_PAGE,
    PLAIN,
    READABLE,
    brand_colour,
    contrast,
    palette_of,
)
from rules.program.logo import LARGEST_LOGO, read_logo
from rules.program.toml_schema import ProgramError
from rules.validation import ValidationError
from tests.support.programs.brands import COLOUR, FOOTER, PROGRAM, SVG, branded, full_brand, png

pytestmark = pytest.mark.rule("COH5", "MAIL5")

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'
TEXTS = "footer = { en = 'a', es = 'b' }"


def refused(file: Path) -> tuple[str, str, str]:
    with pytest.raises(ProgramError) as error:
        load_program(file)
    (mistake,) = error.value.mistakes
    return mistake


def test_brand_holds_its_logo_colour_and_footer(tmp_path: Path) -> None:
    program = load_program(branded(tmp_path, full_brand()))
    assert program.brand.colour == COLOUR
    assert dict(program.brand.footer or {}) == FOOTER
    assert program.brand.footer_in("fr") == FOOTER["en"]
    assert program.logo is not None
    assert (program.logo.kind, program.logo.width, program.logo.height) == ("svg", 150, 50)


def test_program_without_a_brand_has_the_plain_look(tmp_path: Path) -> None:
    program = load_program(branded(tmp_path, ""))
    assert program.brand.palette == PLAIN
    assert (program.logo, program.brand.footer_in("en")) == (None, "")


def test_bundled_program_has_a_brand_without_a_logo() -> None:
    program = load_program(PROGRAM)
    assert program.logo is None
    assert program.brand.colour
    assert program.brand.footer_in("es") != program.brand.footer_in("en") != ""


@pytest.mark.parametrize(
    ("brand", "key", "reason"),
    [
        ('logo = "../../etc/passwd"', "brand.logo", "the name of a file beside the program file"),
        ('logo = "/etc/passwd"', "brand.logo", "the name of a file beside the program file"),
        ('logo = ".."', "brand.logo", "the name of a file beside the program file"),
        ('logo = "a\\\\b.svg"', "brand.logo", "the name of a file beside the program file"),
        ('logo = "absent.svg"', "brand.logo", "is no file beside the program file"),
        ('colour = "teal"', "brand.colour", "must be a colour like #0b5f5c, not 'teal'"),
        ('colour = "#0b5f5"', "brand.colour", "must be a colour like"),
        ('colour = "#0b5f5c;}*{}"', "brand.colour", "must be a colour like"),
        (
            'colour = "#ffcc00"',
            "brand.colour",
            "4.5 to 1 with the light page (WCAG AA), unlike '#ffcc00' with 1.3",
        ),
        ('footer.en = "one"', "brand.footer.es", "every text is needed in every language"),
        ('footer = { en = "a\\u0007b", es = "b" }', "brand.footer.en", "control characters"),
        ('footer = { en = "a\\nb", es = "b" }', "brand.footer.en", "on one line"),
        (f'footer = {{ en = "{"x" * 301}", es = "b" }}', "brand.footer.en", "at most 300 characters"),
        ('color = "#0b5f5c"', "brand.color", "did you mean colour?"),
    ],
)
def test_wrong_brand_is_refused_with_file_key_and_reason(
    tmp_path: Path, brand: str, key: str, reason: str
) -> None:
    file = branded(tmp_path, brand)
    found = refused(file)
    assert (found[0], found[1]) == (str(file), key)
    assert reason in found[2]


HOSTILE = {
    "script": f"{HEAD}<script>alert(1)</script></svg>",
    "handler": f'{HEAD}<path onload="alert(1)" d="M0 0"/></svg>',
    "link outside": f'{HEAD}<linearGradient id="a" xlink:href="https://x.example/a.svg#b"/></svg>',
    "image": f'{HEAD}<image href="https://x.example/a.png"/></svg>',
    "use": f'{HEAD}<use href="#a"/></svg>',
    "foreign": f"{HEAD}<foreignObject/></svg>",
    "style": f"{HEAD}<style>@import 'https://x.example';</style></svg>",
    "url": f'{HEAD}<path fill="url(https://x.example/a)" d="M0 0"/></svg>',
    "hidden url": f'{HEAD}<path style="fill:u\\72l(//x.example)" d="M0 0"/></svg>',
    "entities": f'<!DOCTYPE svg [<!ENTITY a "b">]>{HEAD}<title>&a;</title></svg>',
    "stylesheet": f'<?xml-stylesheet href="https://x.example/a.css"?>{HEAD}</svg>',
    "too deep": f"{HEAD}{'<g>' * 40}{'</g>' * 40}</svg>",
    "too many": f"{HEAD}{'<g/>' * 2_100}</svg>",
    "too wide": HEAD.replace("0 0 9 9", "0 0 5000 9") + "</svg>",
    "no size": HEAD.replace("0 0 9 9", "") + "</svg>",
    "endless": HEAD.replace("0 0 9 9", "0 0 inf nan") + "</svg>",
    "not XML": "<svg",
    "another XML": "<html/>",
    "a page": "<html><script>alert(1)</script>",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_svg_that_runs_loads_or_is_too_large_is_refused(tmp_path: Path, kind: str) -> None:
    file = branded(tmp_path, 'logo = "logo.svg"', HOSTILE[kind])
    found = refused(file)
    assert (found[0], found[1]) == (str(file), "brand.logo")
    assert found[2].startswith("logo.svg ")


@pytest.mark.parametrize(
    "data",
    [
        png(5000, 10),
        png(10, 5000),
        png(10, 10)[:-20],
        png(10, 10)[:60] + b"x" + png(10, 10)[61:],
        png(10, 10, pixels=b"no pixels"),
        png(2000, 2000, pixels=b""),
        b"\x89PNG\r\n\x1a\n",
        b"",
        b"GIF89a",
        b"\xff\xd8\xff\xe0 a JPEG",
        SVG.encode("utf-16"),
        b"x" * (LARGEST_LOGO + 1),
    ],
)
def test_logo_is_judged_by_its_content_not_by_its_name(tmp_path: Path, data: bytes) -> None:
    file = branded(tmp_path, 'logo = "logo.png"', data, "logo.png")
    assert refused(file)[1] == "brand.logo"


def test_png_under_the_name_of_an_svg_is_a_png(tmp_path: Path) -> None:
    program = load_program(branded(tmp_path, 'logo = "logo.svg"', png(200, 80)))
    assert program.logo is not None
    assert (program.logo.kind, program.logo.width) == ("png", 200)


def test_png_keeps_only_what_shows() -> None:
    logo = read_logo(png(20, 10, (b"tEXt", b"Author\0Somebody"), (b"iCCP", b"profile")))
    assert logo.content == png(20, 10)


@given(st.binary(max_size=400).map(lambda tail: b"\x89PNG\r\n\x1a\n" + tail) | st.binary(max_size=400))
def test_no_bytes_fail_with_anything_but_a_refusal(data: bytes) -> None:
    with pytest.raises(ValidationError):
        read_logo(data)


@given(st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_accepted_colour_is_readable_in_light_and_dark(colour: str) -> None:
    try:
        brand_colour(colour)
    except ValidationError:
        assert contrast(colour, LIGHT_PAGE) < READABLE
        return
    palette = palette_of(colour)
    for ground in (LIGHT_PAGE, LIGHT_CARD, palette.soft, palette.on_accent):
        assert contrast(palette.accent, ground) >= READABLE
    assert contrast(palette.dark_accent, DARK_CARD) >= CLEAR
    assert contrast(palette.dark_on_accent, palette.dark_accent) >= READABLE
    assert contrast(palette.dark_accent, palette.dark_soft) >= READABLE
    assert contrast(palette.dark_on_soft, palette.dark_soft) >= READABLE


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
