"""An export as CSV: what spreadsheets and databases write, and what goes wrong in their files."""

from __future__ import annotations

import pytest

from staff.event_import.csv_export import CsvExport, ExportRefused, read_csv

HEAD = "member,name,email,standing\n"
ANA = "ana,Ana,ana@example.org,good\n"


def rows(text: str | bytes, **columns: str) -> CsvExport:
    """The rows of a file."""
    return read_csv(text if isinstance(text, bytes) else text.encode(), columns)


def test_row_is_an_event_with_values_of_their_types() -> None:
    found = rows(
        "\ufeffNo;Name;email;standing;languages;birth_year;certifications;country;Phone\r\n"
        'ana;"Pérez; Ana";ana@example.org;good;"es; en";1984;PSP 2027-01-01 2029-12-31;;555\r\n'
        "\r\n;;;;;;;;\r\n",
        member="No",
    )
    ((where, event),) = found.events
    assert where == "line 2: "
    assert event["type"] == "member.updated"
    assert event["data"] == {
        "member": "ana",
        "name": "Pérez; Ana",
        "email": "ana@example.org",
        "standing": "good",
        "languages": ["es", "en"],
        "birth_year": 1984,
        "certifications": [{"code": "PSP", "cycle_start": "2027-01-01", "cycle_end": "2029-12-31"}],
        "country": None,
    }
    assert (found.mistakes, found.unused) == ((), ("Phone",))


def test_file_with_profiles_is_read_as_profiles() -> None:
    ((_, event),) = rows("profile\tmember\trole\ttime\np-1\tana\tmentee\t2028-03-06T10:00:00Z\n").events
    assert (event["type"], event["time"]) == ("profile.created", "2028-03-06T10:00:00Z")
    ((_, event),) = rows("type,profile\nprofile.withdrawn,p-1\n").events
    assert event["type"] == "profile.withdrawn"


def test_wrong_rows_are_named_and_all_others_are_read() -> None:
    found = rows(
        HEAD.encode()
        + ANA.encode()
        + b"jose,Jos\xe9,jose@example.org,good\n"
        + b"short,Short\n"
        + b'=HYPERLINK("http://example.org"),Eva,eva@example.org,good\n'
        + b"#N/A,Eva,eva@example.org,good\n"
        + "leo,#¿NOMBRE?,leo@example.org,good\n".encode()
        + b'bob,"Bob,bob@example.org,good\n'
        + b"max,Max,max@example.org,good\n" * 20
        + b'max,"Ma"x,max@example.org,good\n'
        + b"huge,"
        + b"x" * 200_000
        + b",huge@example.org,good\n"
        + b'two,"Two\nLines",two@example.org,good\n'
        + ANA.encode() * 30
    )
    assert [event["data"]["member"] for _, event in found.events] == ["ana"] + ["max"] * 20 + ["two"] + [
        "ana"
    ] * 30
    assert found.events[21][0] == "line 31: "
    assert found.events[-1][0] == "line 62: "
    assert [mistake.partition(": ")[::2] for mistake in found.mistakes] == [
        ("line 3", "is not UTF-8: save the file as CSV UTF-8"),
        ("line 4", "has 2 cells, and line 1 has 4"),
        ("line 5", "member: is a formula, or the error of one: '=HYPERLINK(\"http://example.org\")'"),
        ("line 6", "member: is a formula, or the error of one: '#N/A'"),
        ("line 7", "name: is a formula, or the error of one: '#¿NOMBRE?'"),
        ("line 8", "a quote is opened and not closed"),
        ("line 29", "is no CSV: ',' expected after '\"'"),
        ("line 30", "is no CSV: field larger than field limit (131072)"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        ("member,name".encode("utf-16"), "is UTF-16: save it as CSV UTF-8"),
        (b"member,name,Name ,name\n", "the column 'name' is there twice"),
        (b"member,name,Name\n", "two columns are name"),
        (b"member,nmae,email\n", "the column 'nmae' is no field; did you mean name?"),
        (b"Number,name\n", "neither a column member nor a column profile"),
        (b'"member,name\n', "a quote is opened and not closed"),
        (b"memb\xe9r,name\n", "is not UTF-8"),
    ],
)
def test_file_of_which_no_row_can_be_read_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(ExportRefused) as refused:
        rows(text)
    assert words in str(refused.value)


def test_columns_that_are_named_wrongly_are_refused() -> None:
    with pytest.raises(ExportRefused, match="there is no column"):
        rows(HEAD, member="Number")
    with pytest.raises(ExportRefused, match="there is no field"):
        rows("Number,name\n", number="Number")
