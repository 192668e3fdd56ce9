"""Letters and certificates, as a reader or an auditor sees them."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import qrcode
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from pypdf.generic import ArrayObject, BooleanObject, DictionaryObject, IndirectObject, StreamObject

from evidence.renderer import DocumentError, DocumentRenderer
from rules.credit import fingerprint

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "documents"
DOCUMENTS = DocumentRenderer(TEMPLATES)
KINDS = ("confirmation", "mentor_letter", "certificate")
LETTERS = ("confirmation", "mentor_letter")
LANGUAGES = ("en", "es")
URL = "https://mentoring.example.org/verify/7KQ2-M9TX-4HBC-WD3R"

SCRIPTS = (
    "محمد الفارسي",
    "דוד לוי",
    "अनिता शर्मा",
    "অনিতা",
    "தமிழ்",
    "తెలుగు",
    "สมชาย ใจดี",
    "ສົມໄຊ",
    "សុខា",
    "ကျော်",
    "አበበ",
    "山田太郎",
    "やまだ",
    "王小明",
    "김철수",
)
"""Names in scripts that typst's own typefaces do not have."""

every_document = pytest.mark.parametrize(
    ("kind", "language"), [(kind, language) for kind in KINDS for language in LANGUAGES]
)


def data(kind: str, **changes: Any) -> dict[str, Any]:
    """What a document is made of; a change with None for a value removes the key."""
    signer = "Ana Pérez Castillo" if kind == "confirmation" else "Marcus Oyelaran"
    everything: dict[str, Any] = {
        "program": {
            "name": "Security Leaders Mentoring Program",
            "organisation": "Example Society of Security Leaders",
        },
        "engagement": "r-1041",
        "mentor": {"name": "Marcus Oyelaran", "profile": "p-marcus"},
        "mentee": {"name": "Ana Pérez Castillo", "profile": "p-ana"},
        "certification": {"code": "PSP", "name": "Physical Security Professional"},
        "cycle": {"start": "2027-01-01", "end": "2029-12-31"},
        "domains": ["Physical Security Assessment", "Implementation of Physical Security Measures"],
        "purpose": "To prepare a change from public service to corporate security.\nTo lead a first site survey.",
        "started": "2028-03-14",
        "credit_date": "2028-09-28",
        "ended": "2028-10-02" if kind == "certificate" else None,
        "months": 6,
        "paused_days": 14,
        "pauses": [{"since": "2028-05-01", "until": "2028-05-15"}],
        "extensions": [{"end": "2028-12-14"}],
        "credits": {"amount": 9, "category": "Category 3: Instructor", "cap": 30},
        "policy": "asis-global 2024-11",
        "catalogue": "2024-12",
        "signature": {
            "name": signer,
            "at": "2028-09-29T14:42:07+00:00",
            "zone": "America/Bogota",
            "method": "page",
        },
        "document": {"id": "7KQ2-M9TX-4HBC-WD3R", "url": URL},
        "retained_until": "2033-12-31",
        "role": "mentor",
        "issued": {"at": "2028-10-02T13:00:00+00:00", "zone": "America/New_York"},
        "manager": {"name": "Elena Ruiz", "title": "Mentoring Program Manager"},
    }
    merged = everything | changes
    return {key: value for key, value in merged.items() if key not in changes or value is not None}


def pdf_of(kind: str, language: str, given: dict[str, Any]) -> bytes:
    return DOCUMENTS.render(kind, language, given).content


def read(pdf: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(pdf))


def text_of(pdf: bytes) -> str:
    """The text of all pages as one line."""
    return " ".join(" ".join(page.extract_text() for page in read(pdf).pages).split())


def rendered(kind: str, language: str = "en", **changes: Any) -> str:
    return text_of(pdf_of(kind, language, data(kind, **changes)))


def one_line(text: str) -> str:
    return " ".join(text.split())


def fonts(reader: PdfReader) -> Iterator[Any]:
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():  # type: ignore[index]
            resource = font.get_object()
            yield from (each.get_object() for each in resource.get("/DescendantFonts", [resource]))


def everything(reader: PdfReader) -> Iterator[Any]:
    """Every object of a file that its trailer leads to, each once."""
    waiting, seen = [reader.trailer], set()
    while waiting:
        found: Any = waiting.pop()
        if isinstance(found, IndirectObject):
            if found.idnum in seen:
                continue
            seen.add(found.idnum)
            found = found.get_object()
        yield found
        if isinstance(found, DictionaryObject):
            waiting += dict.values(found)
        elif isinstance(found, ArrayObject):
            waiting += list.__iter__(found)


def drawn_code(pdf: bytes) -> list[list[bool]]:
    """The QR code of the last page, as its bars of dark modules are drawn, with the white around it."""
    contents: Any = read(pdf).pages[-1].get_contents()
    drawing = contents.get_data().decode("latin-1").partition("/Alt")[2]
    bars = [
        tuple(map(int, bar)) for bar in re.findall(r"(\d+) (\d+) m (\d+) \2 l \3 \d+ l \1 \d+ l\s", drawing)
    ]
    size = max(row for _, row, _ in bars) + 5
    return [
        [any(left <= column < right for left, at, right in bars if at == row) for column in range(size)]
        for row in range(size)
    ]


@pytest.mark.rule("CPE8")
class TestTheFile:
    @every_document
    def test_document_is_pdf_a_2b_and_accessible(self, kind: str, language: str) -> None:
        reader = read(pdf_of(kind, language, data(kind)))
        assert reader.xmp_metadata is not None
        metadata = reader.xmp_metadata.stream.get_data().decode()
        for marker in (
            "<pdfaid:part>2</pdfaid:part>",
            "<pdfaid:conformance>B</pdfaid:conformance>",
            "<pdfuaid:part>1</pdfuaid:part>",
        ):
            assert marker in metadata
        assert not reader.is_encrypted
        root: Any = reader.trailer["/Root"]
        assert root["/OutputIntents"]
        assert root["/Lang"] == language
        assert root["/MarkInfo"]["/Marked"]
        assert "/JavaScript" not in str(root)
        assert reader.metadata is not None
        assert "Marcus Oyelaran" in (reader.metadata.title or "") or "Ana Pérez" in (
            reader.metadata.title or ""
        )

    @every_document
    def test_document_contains_nothing_that_pdf_a_forbids(self, kind: str, language: str) -> None:
        """What ISO 19005-2 asks of a file's structure, as far as a reader of structures can tell.

        A full validator looks further into the fonts' glyphs and widths, the color profile and each operator.
        """
        pdf = pdf_of(kind, language, data(kind))
        header, comment = pdf.splitlines()[:2]
        assert header == b"%PDF-1.7"
        assert comment.startswith(b"%")
        assert min(comment[1:5]) > 127
        assert pdf.rstrip().endswith(b"%%EOF")
        reader = read(pdf)
        assert len(reader.trailer["/ID"]) == 2  # type: ignore[arg-type]
        root: Any = reader.trailer["/Root"]
        assert not {"/AA", "/AcroForm", "/AF", "/Names", "/OCProperties", "/OpenAction"} & root.keys()
        (intent,) = (one.get_object() for one in root["/OutputIntents"])
        assert (intent["/S"], intent["/DestOutputProfile"].get_object()["/N"]) == ("/GTS_PDFA1", 3)
        for found in everything(reader):
            if not isinstance(found, DictionaryObject):
                continue
            assert not {"/JS", "/OPI", "/TR", "/HTP", "/Alternates", "/EF", "/AA"} & found.keys()
            assert found.get("/Type") not in ("/Filespec", "/EmbeddedFile")
            assert found.get("/S") not in {
                "/JavaScript",
                "/Launch",
                "/SubmitForm",
                "/ImportData",
                "/Sound",
                "/Movie",
            }
            assert found.get("/Filter") not in ("/LZWDecode", "/Crypt")
            assert found.get("/Interpolate", False) in (False, BooleanObject(False))
            assert found.get("/SMask", "/None") == "/None"
            assert found.get("/BM", "/Normal") == "/Normal"
            assert [float(str(found[name])) for name in ("/CA", "/ca") if name in found] in (
                [],
                [1.0],
                [1.0, 1.0],
            )
            if isinstance(found, StreamObject):
                assert not {"/F", "/FFilter", "/FDecodeParms"} & found.keys()
            if found.get("/Subtype") == "/Link":
                flags = int(str(found["/F"]))
                assert (flags & 4, flags & (1 | 2 | 32)) == (4, 0)

    @every_document
    def test_document_has_a_tag_tree_one_title_and_alt_text(self, kind: str, language: str) -> None:
        tags = [
            found
            for found in everything(read(pdf_of(kind, language, data(kind))))
            if isinstance(found, DictionaryObject) and found.get("/Type") == "/StructElem"
        ]
        names = [str(tag["/S"]) for tag in tags]
        assert names.count("/H1") == 1
        assert "/P" in names
        assert "/Link" in names
        pictures = [str(tag["/Alt"]) for tag in tags if str(tag["/S"]) == "/Figure"]
        assert pictures
        assert all("QR" in words for words in pictures)

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_longest_content_takes_two_pages(self, language: str) -> None:
        name = "María de los Ángeles Fernández-Guerrero y Villavicencio de la Torre"
        domains = [
            "Assessment",
            "Application, Design, and Integration of Physical Security Systems",
            "Measures",
        ]
        changes: dict[str, Any] = {
            "mentee": {"name": name, "profile": "p-maria"},
            "domains": domains,
            "purpose": "\n\n".join(
                ["We read risk assessments of real sites and planned a first survey. " * 3] * 9
            ),
        }
        pdf = pdf_of("mentor_letter", language, data("mentor_letter", **changes))
        pages = [one_line(page.extract_text()) for page in read(pdf).pages]
        assert len(pages) == 2
        listed = " ".join(f"• {domain}" for domain in domains)
        assert any(listed in page for page in pages), "the list of domains is in one piece"
        statement = DOCUMENTS.statement("mentor_letter", language, data("mentor_letter", **changes))
        body = re.sub(r"\S+ \S+ \S+(?: \S+)? · 7KQ2-M9TX-4HBC-WD3R \S+ 1 \S+ 2", "", text_of(pdf))
        assert one_line(statement) in one_line(body)
        assert len(read(pdf_of("certificate", language, data("certificate", **changes))).pages) == 1

    @every_document
    def test_document_embeds_every_font(self, kind: str, language: str) -> None:
        used = list(fonts(read(pdf_of(kind, language, data(kind)))))
        assert used
        for font in used:
            descriptor = font["/FontDescriptor"].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & descriptor.keys()

    @every_document
    def test_usual_document_fits_on_one_page(self, kind: str, language: str) -> None:
        assert len(read(pdf_of(kind, language, data(kind))).pages) == 1

    @every_document
    def test_same_data_gives_the_same_bytes(self, kind: str, language: str) -> None:
        first = pdf_of(kind, language, data(kind))
        assert (
            DocumentRenderer(TEMPLATES).render(kind, language, json.loads(json.dumps(data(kind)))).content
            == first
        )
        reader = read(first)
        assert reader.metadata is not None
        assert str(reader.metadata.creation_date)[:10] == (
            "2028-10-02" if kind == "certificate" else "2028-09-29"
        )

    def test_same_bytes_in_another_process_and_folder(self, tmp_path: Path) -> None:
        (tmp_path / "data.json").write_text(json.dumps(data("mentor_letter")), "utf-8")
        program = (
            "import json, sys; from pathlib import Path; from evidence.renderer import DocumentRenderer; "
            f"given = json.loads(Path({str(tmp_path / 'data.json')!r}).read_text('utf-8')); "
            f"made = DocumentRenderer(Path({str(TEMPLATES)!r})).render('mentor_letter', 'es', given); "
            "sys.stdout.buffer.write(made.content)"
        )
        elsewhere = subprocess.run(
            [sys.executable, "-c", program],
            cwd=TEMPLATES.parents[1],
            env={"TZ": "Asia/Tokyo", "LANG": "C", "HOME": str(tmp_path), "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        )
        assert elsewhere.stdout == pdf_of("mentor_letter", "es", data("mentor_letter"))


@pytest.mark.rule("CPE5", "CPE6", "CPE8")
class TestTheStatement:
    @every_document
    def test_statement_is_printed_verbatim_with_its_fingerprint(self, kind: str, language: str) -> None:
        statement = DOCUMENTS.statement(kind, language, data(kind))
        printed = rendered(kind, language)
        assert one_line(statement) in printed
        assert fingerprint(statement) in printed.replace(" ", "")

    def test_confirmation_states_what_the_mentee_confirms(self) -> None:
        assert DOCUMENTS.statement("confirmation", "en", data("confirmation")) == (
            "I, Ana Pérez Castillo, confirm that Marcus Oyelaran has been my mentor "
            "(Security Leaders Mentoring Program, Example Society of Security Leaders).\n\n"
            "Our mentoring relationship began on March 14, 2028. On September 28, 2028 it had been active for "
            "6 months, not counting 14 days on which it was paused.\n\n"
            "Marcus Oyelaran may use this letter as evidence of continuing professional education for the "
            "certification Physical Security Professional (PSP).\n\n"
            "To the best of my knowledge, all of this is true. I sign it of my own free will."
        )

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_mentors_letter_lists_purpose_and_domains(self, language: str) -> None:
        given = data("mentor_letter")
        lines = DOCUMENTS.statement("mentor_letter", language, given).splitlines()
        for line in (*given["purpose"].splitlines(), *(f"• {domain}" for domain in given["domains"])):
            assert line in lines

    @pytest.mark.parametrize("role", ["mentor", "mentee"])
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_certificate_names_its_holder_on_its_own_line(self, role: str, language: str) -> None:
        statement = DOCUMENTS.statement("certificate", language, data("certificate", role=role))
        holder = "Marcus Oyelaran" if role == "mentor" else "Ana Pérez Castillo"
        assert statement.split("\n\n")[1] == holder
        assert "2028" in statement

    @pytest.mark.parametrize("kind", LETTERS)
    def test_statement_needs_no_signature_and_keeps_its_input(self, kind: str) -> None:
        unsigned = data(kind, signature=None, document=None, retained_until=None)
        before = repr(unsigned)
        assert DOCUMENTS.statement(kind, "es", unsigned) == DOCUMENTS.statement(kind, "es", data(kind))
        assert repr(unsigned) == before

    @pytest.mark.rule("CPE11")
    def test_signed_statement_survives_later_text_and_name_changes(self) -> None:
        signed = "I, Ana P., confirm it.\n\nAs it was worded then."
        printed = rendered("confirmation", statement=signed)
        assert one_line(signed) in printed
        assert fingerprint(signed) in printed.replace(" ", "")
        assert "has been my mentor" not in printed

    def test_statement_does_not_depend_on_line_endings(self) -> None:
        texts = {
            DOCUMENTS.statement("mentor_letter", "en", data("mentor_letter", purpose=f"One.{end}Two.\t{end}"))
            for end in ("\n", "\r\n", "\r")
        }
        assert len(texts) == 1

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_line_breaks_add_no_hyphen(self, language: str) -> None:
        purpose = " ".join(["x" * length + " plan socio-económico p-ana" for length in range(1, 25)])
        given = data("mentor_letter", purpose=purpose)
        printed = text_of(pdf_of("mentor_letter", language, given))
        assert one_line(DOCUMENTS.statement("mentor_letter", language, given)) in printed

    @pytest.mark.parametrize("kind", LETTERS)
    def test_statement_mentions_pauses_only_if_there_were_any(self, kind: str) -> None:
        assert "paus" not in DOCUMENTS.statement(kind, "en", data(kind, paused_days=0, pauses=[]))
        assert "1 day on which" in DOCUMENTS.statement(kind, "en", data(kind, paused_days=1))
        assert "pausa" not in DOCUMENTS.statement(kind, "es", data(kind, paused_days=None))

    @pytest.mark.rule("CPE1", "CPE7")
    @pytest.mark.parametrize("kind", LETTERS)
    def test_statement_before_the_gate_states_an_expectation(self, kind: str) -> None:
        """It stays true if the gate moves."""
        early = DOCUMENTS.statement(kind, "en", data(kind, gate_met=False))
        assert (
            "Unless it is paused or ends before then, it will on September 28, 2028 have been active for "
            "6 months" in early
        )
        assert "had been active" not in early
        assert "Unless" not in DOCUMENTS.statement(kind, "en", data(kind, gate_met=True))
        spanish = DOCUMENTS.statement(kind, "es", data(kind, gate_met=False))
        assert "el 28 de septiembre de 2028 cumplirá 6 meses de actividad" in spanish
        printed = rendered(kind, gate_met=False)
        assert "September 28, 2028 (expected when signed)" in printed
        assert "(on record when signed)" in printed
        assert "expected" not in rendered(kind)


@pytest.mark.rule("CPE9", "CPE11", "CPE12")
class TestTheRecord:
    @pytest.mark.parametrize("kind", LETTERS)
    def test_letter_contains_everything_an_auditor_asks_for(self, kind: str) -> None:
        printed = rendered(kind)
        for fact in (
            "Marcus Oyelaran (p-marcus)",
            "Ana Pérez Castillo (p-ana)",
            "Security Leaders Mentoring Program, Example Society of Security Leaders",
            "r-1041",
            "Physical Security Professional (PSP)",
            "January 1, 2027 to December 31, 2029",
            "Physical Security Assessment; Implementation of Physical Security Measures",
            "Started March 14, 2028",
            "Ended still active when signed",
            "Credit date September 28, 2028",
            "May 1, 2028 to May 15, 2028",
            "Extensions to December 14, 2028",
            "Category 3: Instructor",
            "Credits 9, with a cap of 30 per cycle",
            "asis-global 2024-11; catalogue 2024-12",
            "September 29, 2028, 09:42:07",
            "America/Bogota (UTC-05:00)",
            "name typed, with consent",
            "does not say that the certifying body has accepted",
            "until December 31, 2033",
            "7KQ2-M9TX-4HBC-WD3R",
        ):
            assert fact in printed, fact

    @pytest.mark.parametrize("kind", LETTERS)
    def test_letter_in_spanish_has_the_same_facts(self, kind: str) -> None:
        printed = rendered(kind, "es")
        for fact in (
            "Marcus Oyelaran (p-marcus)",
            "del 1 de enero de 2027 al 31 de diciembre de 2029",
            "Fecha 28 de septiembre de 2028",
            "del 1 de mayo de 2028 al 15 de mayo de 2028",
            "hasta el 14 de diciembre de 2028",
            "9, con un límite de 30 por ciclo",
            "29 de septiembre de 2028, 09:42:07",
            "America/Bogota (UTC-05:00)",
            "No dice que el organismo certificador haya aceptado",
            "hasta el 31 de diciembre de 2033",
        ):
            assert fact in printed, fact

    def test_letter_names_the_claimant_and_the_signer(self) -> None:
        confirmation, letter = rendered("confirmation"), rendered("mentor_letter")
        assert "For Marcus Oyelaran, mentor" in confirmation
        assert "Signed by Ana Pérez Castillo, mentee" in confirmation
        assert "For Ana Pérez Castillo, mentee" in letter
        assert "Signed by Marcus Oyelaran, mentor" in letter

    def test_absent_values_are_stated_or_omitted(self) -> None:
        printed = rendered(
            "confirmation",
            pauses=[],
            extensions=[],
            domains=[],
            ended="2028-11-30",
            credits={"amount": 9, "category": "Category 3: Instructor"},
        )
        assert "Pauses none Extensions none" in printed
        assert "Domains" not in printed
        assert "Ended November 30, 2028" in printed
        assert "limit" not in printed
        assert "None" not in printed

    def test_letter_from_another_system_states_how_it_was_signed(self) -> None:
        signature = {**data("confirmation")["signature"], "method": "event"}
        assert "recorded by the system" in rendered("confirmation", signature=signature)

    @every_document
    def test_verification_url_is_printed_linked_and_in_the_qr_code(self, kind: str, language: str) -> None:
        pdf = pdf_of(kind, language, data(kind))
        assert URL in text_of(pdf)
        notes: list[Any] = [note.get_object() for page in read(pdf).pages for note in page.get("/Annots", [])]
        assert URL in {note["/A"]["/URI"] for note in notes if "/A" in note}
        code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M)
        code.add_data(URL)
        assert drawn_code(pdf) == code.get_matrix()

    def test_certificate_promises_no_credit_and_names_its_issuer(self) -> None:
        printed = rendered("certificate")
        assert "carries no credit" in printed
        assert "CPE" not in printed
        assert "PSP" not in printed
        for fact in (
            "Elena Ruiz",
            "Mentoring Program Manager",
            "October 2, 2028, 09:00:00",
            "America/New_York (UTC-04:00)",
        ):
            assert fact in printed


@pytest.mark.rule("MAIL5")
def test_both_languages_have_the_same_keys_and_data() -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        if isinstance(value, list):
            return [shape(item) for item in value]
        names = (
            r"\b(?:program|mentor|mentee|claimant|certification|cycle|credits|signature|pause|extension)\.\w+"
        )
        return sorted(set(re.findall(names, value)))

    english, spanish = (tomllib.loads((TEMPLATES / f"{one}.toml").read_text("utf-8")) for one in LANGUAGES)
    assert shape(english) == shape(spanish)
    assert DOCUMENTS.languages == LANGUAGES


@pytest.mark.rule("MAIL5")
def test_regional_locale_uses_its_language() -> None:
    given = data("confirmation")
    assert pdf_of("confirmation", "es-CO", given) == pdf_of("confirmation", "es", given)


HOSTILE = (
    "#set page(width: 1pt) *bold* _em_ $x^2$ ] } \\ <label> @ref = h - i",
    '#sys.inputs #read("/etc/passwd") #import "frame.typ"',
    "{{ 7 * 7 }} {% if %} {# #} `raw` ~ -- --- ... \"q\" 'q' // c /* c */ https://example.net",
)


HOSTILE_PURPOSES = (
    '#let x = panic() #eval("1") #[*a*] #{ } #context',
    "$ sum_(i=0)^n $ and $5 or 6$ \\n \\u{41} \\# \\\\ C:\\new",
    "@nobody <label> <script>alert(1)</script> &amp; %s {0} ${HOME} `id` '; DROP TABLE letters; --",
    "\"double\" 'single' “curly” «angled» …",
    "= Heading\n- list\n+ list\n/ term: x\n```\nraw\n```\n// comment /* comment */",
    "word " * 1999 + "last.",
    "x" * 10_000,
    "one\r\ntwo\rthree\tfour\x0bfive\x0csix\x85seven\u2028eight",
    "nul\x00 escape\x1b[31m bell\x07 delete\x7f bom\ufeff soft\xadhyphen zero\u200bwidth",
    "e\u0301 combined, ﬁ ligature, ½ ² № ™ € ℃ 𝒜 Å",
)


def _plain(text: str) -> str:
    """A text without spaces and breaks, its characters as one would compare them by eye."""
    return "".join(unicodedata.normalize("NFKC", "".join(text.split())).split())


@pytest.mark.rule("CPE8")
class TestHostileData:
    @pytest.mark.parametrize("words", HOSTILE)
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_markup_in_names_and_purposes_is_escaped(self, words: str, language: str) -> None:
        changes: dict[str, Any] = {
            "mentor": {"name": words, "profile": "p-1"},
            "purpose": f"{words}\n{words}",
            "domains": [words],
            "signature": {**data("mentor_letter")["signature"], "name": words},
        }
        pdf = pdf_of("mentor_letter", language, data("mentor_letter", **changes))
        printed = text_of(pdf).replace(" ", "")
        assert printed.count(words.replace(" ", "")) >= 5
        statement = DOCUMENTS.statement("mentor_letter", language, data("mentor_letter", **changes))
        assert "".join(statement.split()) in printed
        assert [page.mediabox.width for page in read(pdf).pages] == [612.0] * len(read(pdf).pages)

    @pytest.mark.parametrize("purpose", HOSTILE_PURPOSES)
    def test_purpose_is_printed_exactly_as_signed(self, purpose: str) -> None:
        given = data("mentor_letter", purpose=purpose)
        statement = DOCUMENTS.statement("mentor_letter", "en", given)
        printed = text_of(pdf_of("mentor_letter", "en", {**given, "statement": statement}))
        body = re.sub(r"Letter from the mentor · 7KQ2-M9TX-4HBC-WD3R Page \d+ of \d+", "", printed)
        assert _plain(statement) in _plain(body)
        assert fingerprint(statement) in printed.replace(" ", "")

    @given(st.text(min_size=1, max_size=60), st.text(max_size=300))
    @settings(max_examples=40, deadline=None)
    def test_any_name_and_purpose_render(self, name: str, purpose: str) -> None:
        changes = {"mentee": {"name": name, "profile": "p-2"}, "purpose": f"To learn. {purpose}"}
        pdf = pdf_of("mentor_letter", "en", data("mentor_letter", **changes))
        assert "This letter is its signer's own statement." in text_of(pdf)

    def test_missing_glyphs_are_shown_by_code_point_with_a_note(self) -> None:
        changes: dict[str, Any] = {"mentor": {"name": "ༀ Marcus", "profile": "p-1"}}
        statement = DOCUMENTS.statement("confirmation", "en", data("confirmation", **changes))
        printed = rendered("confirmation", **changes)
        assert "ༀ Marcus" in statement
        assert "[U+0F00] Marcus" in printed
        assert "shown as Unicode numbers" in printed
        assert fingerprint(statement) in printed.replace(" ", "")
        assert "Unicode numbers" not in rendered("confirmation")

    @pytest.mark.parametrize("name", ["Nguyễn Thị Minh", "Žofie Łukasiewicz", "Αλέξης", "Ирина", *SCRIPTS])
    def test_names_in_many_scripts_are_printed_unchanged(self, name: str) -> None:
        changes = {"mentor": {"name": name, "profile": "p-1"}}
        made = DOCUMENTS.render("confirmation", "en", data("confirmation", **changes))
        assert made.lacking == ""
        assert "[U+" not in text_of(made.content)

    def test_long_content_stays_inside_the_page(self) -> None:
        word = "W" * 200
        changes: dict[str, Any] = {
            "mentor": {"name": word, "profile": "p" * 64},
            "purpose": f"{'many words ' * 600}\n\n{word * 5}",
            "domains": [word] * 4,
            "document": {"id": "i" * 64, "url": f"https://example.org/{'k' * 160}"},
        }
        pdf = pdf_of("mentor_letter", "en", data("mentor_letter", **changes))
        assert 2 <= len(read(pdf).pages) <= 12
        statement = DOCUMENTS.statement("mentor_letter", "en", data("mentor_letter", **changes))
        body = re.sub(r"Letter from the mentor · i+ Page \d+ of \d+", "", text_of(pdf))
        assert "".join(statement.split()) in body.replace(" ", "")

    def test_invisible_characters_are_removed(self) -> None:
        printed = rendered("confirmation", mentor={"name": "Ma\x00rc\u202eus\n\tOyelaran", "profile": "p-1"})
        assert "that Marcus Oyelaran has been" in printed


@pytest.mark.rule("T8", "MEM6")
class TestWhatGoesWrong:
    def failing(self, kind: str = "mentor_letter", language: str = "en", **changes: Any) -> str:
        with pytest.raises(DocumentError) as failure:
            pdf_of(kind, language, data(kind, **changes))
        assert "Marcus" not in str(failure.value)
        return str(failure.value)

    def test_unknown_document_or_language_is_refused(self) -> None:
        assert "no such document" in self.failing("diploma")
        assert "no documents in fr" in self.failing(language="fr")

    def test_every_missing_piece_is_named(self) -> None:
        for key in (
            "mentee",
            "started",
            "credit_date",
            "cycle",
            "document",
            "signature",
            "policy",
            "credits",
        ):
            without: dict[str, Any] = {key: None}
            assert key in self.failing(**without)
        assert "'name'" in self.failing(mentee={"profile": "p-2"})

    def test_missing_date_is_an_error_and_never_today(self) -> None:
        for wrong in ("", "2028-02-30", "soon", "2028-09-14T10:00:00+00:00"):
            assert "a date cannot be read" in self.failing(credit_date=wrong)
        assert "a date cannot be read" in self.failing("certificate", ended="")

    def test_signature_needs_its_instant_and_zone(self) -> None:
        for wrong in (
            {"name": "M", "at": "2028-09-14T10:00:00", "zone": "UTC"},
            {"name": "M", "at": "", "zone": "UTC"},
            {"name": "M", "at": "2028-09-14T10:00:00+00:00", "zone": "America"},
            {"name": "M", "at": "2028-09-14T10:00:00+00:00"},
        ):
            assert "of the signature" in self.failing(signature=wrong)

    @pytest.mark.rule("CPE6")
    def test_mentors_letter_needs_purpose_and_domain(self) -> None:
        empty: list[dict[str, Any]] = [{"purpose": " \n"}, {"purpose": None}, {"domains": []}]
        for changes in empty:
            assert "needs a purpose and at least one domain" in self.failing(**changes)

    def test_certificate_needs_a_holder(self) -> None:
        assert "role" in self.failing("certificate", role="staff")
