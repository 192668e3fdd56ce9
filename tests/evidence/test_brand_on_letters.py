"""A program's logo, colour and line at the foot on its letters, which stay PDF/A (CPE8)."""

from __future__ import annotations

from typing import Any

import pytest
from pypdf.generic import DictionaryObject

from evidence.renderer import DocumentBrand
from rules.program.logo import read_logo
from tests.evidence.test_renderer import DOCUMENTS, data, every_document, everything, read, text_of
from tests.support.programs.brands import COLOUR, SVG, png

pytestmark = pytest.mark.rule("CPE8", "MAIL5")

FOOTER = "Run by <b>members</b> & #friends *of* $security$"
SEE_THROUGH = SVG.replace("<path", '<path opacity="0.5"')
LOGOS = {"svg": SVG.encode(), "see-through": SEE_THROUGH.encode(), "png": png(300, 100), "tall": png(40, 400)}


def branded(kind: str, language: str, logo: str) -> bytes:
    brand = DocumentBrand(COLOUR, read_logo(LOGOS[logo]), FOOTER)
    return DOCUMENTS.render(kind, language, data(kind), brand).content


@pytest.mark.parametrize("logo", LOGOS)
@every_document
def test_branded_document_is_pdf_a_on_one_page(kind: str, language: str, logo: str) -> None:
    pdf = branded(kind, language, logo)
    reader = read(pdf)
    assert reader.xmp_metadata is not None
    metadata = reader.xmp_metadata.stream.get_data().decode()
    assert "<pdfaid:part>2</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>B</pdfaid:conformance>" in metadata
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    assert len(reader.pages) == 1
    found: list[Any] = [each for each in everything(reader) if isinstance(each, DictionaryObject)]
    assert not any({"/JS", "/Alternates", "/EF", "/AA"} & each.keys() for each in found)
    assert all(each.get("/Filter") not in ("/LZWDecode", "/Crypt") for each in found)
    pictures = [str(each["/Alt"]) for each in found if each.get("/S") == "/Figure"]
    assert "Example Society of Security Leaders" in pictures
    assert FOOTER in text_of(pdf)
    assert pdf == branded(kind, language, logo)


@every_document
def test_document_without_a_brand_has_no_further_picture(kind: str, language: str) -> None:
    plain = DOCUMENTS.render(kind, language, data(kind)).content
    assert plain == DOCUMENTS.render(kind, language, data(kind), DocumentBrand()).content
    pictures = [
        each
        for each in everything(read(plain))
        if isinstance(each, DictionaryObject) and each.get("/S") == "/Figure"
    ]
    assert len(pictures) == 1
