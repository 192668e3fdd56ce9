"""A program file that extends another: what it takes over, what it says itself, and how mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.program import Program, load_program, parse_program
from rules.program.extension import MOST_FILES, _lines
from rules.program.toml_schema import ProgramError, canonical, content_of
from worker.assembly import load_programs

PROGRAMS = Path(__file__).resolve().parents[3] / "programs"
BASE = (PROGRAMS / "asis-global.toml").read_text(encoding="utf-8")

pytestmark = pytest.mark.rule("COH5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "asis-global.toml").write_text(BASE, encoding="utf-8")
    return tmp_path


def written(folder: Path, text: str, name: str = "own") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(path: Path) -> set[tuple[str, str, str]]:
    """The file's name, the key and the reason of each mistake."""
    with pytest.raises(ProgramError) as refused:
        load_program(path)
    return {(Path(each.file).name, each.key, each.reason) for each in refused.value.mistakes}


def test_tables_are_merged_and_lists_are_replaced(folder: Path) -> None:
    path = written(
        folder,
        """
        extends = "asis-global"
        id = "own"
        languages = ["es", "en"]
        credit = { mentee = 0, caps = { Instructor = 12 }, reminder_days = [3] }
        """,
    )
    base, own = load_program(folder / "asis-global.toml"), load_program(path)
    assert (own.id, own.name) == ("own", base.name)
    assert own.languages == ("es", "en")
    assert (own.credit.mentor, own.credit.mentee) == (9, 0)
    assert own.credit.reminder_days == (3,)
    assert (own.credit.cap, base.credit.cap) == (12, 30)
    assert own.survey == base.survey


@pytest.mark.parametrize("name", ["asis-global", "asis-laac", "mentors4u-colombia"])
def test_stored_source_of_a_program_needs_no_other_file(name: str) -> None:
    """The database keeps the source by its fingerprint; lifecycles go on by it without the folder (CPE12)."""
    program = load_program(PROGRAMS / f"{name}.toml")
    kept = parse_program(program.source, "kept")
    assert kept == program


def test_fingerprint_follows_the_extended_file_too(folder: Path) -> None:
    path = written(folder, 'extends = "asis-global"\nid = "own"\n')
    before = load_program(path)
    written(folder, BASE.replace("default_months = 6", "default_months = 7"), "asis-global")
    after = load_program(path)
    assert before.fingerprint != after.fingerprint
    assert (before.engagement.default_months, after.engagement.default_months) == (6, 7)


def test_program_may_extend_one_that_extends_another(folder: Path) -> None:
    written(folder, 'extends = "asis-global"\nid = "middle"\n[credit]\nmentor = 4\nmentee = 3\n', "middle")
    own = load_program(written(folder, 'extends = "middle"\nid = "own"\n[credit]\nmentee = 0\n'))
    assert (own.credit.mentor, own.credit.mentee, own.credit.gate_months) == (4, 0, 6)


def test_mistake_names_the_file_that_it_stands_in(folder: Path) -> None:
    written(folder, BASE.replace("gate_months = 6", "gate_months = 0"), "asis-global")
    path = written(folder, 'extends = "asis-global"\nid = "own"\n[credit]\nmentor = "nine"\nmente = 0\n')
    found = {(file, key) for file, key, _ in mistakes(path)}
    assert found == {
        ("asis-global.toml", "credit.gate_months"),
        ("own.toml", "credit.mentor"),
        ("own.toml", "credit.mente"),
    }


@pytest.mark.parametrize(
    ("text", "key", "part_of_reason"),
    [
        ('extends = "own"\nid = "own"\n', "extends", "must name no file that extends this one"),
        ('extends = "asis-globl"\nid = "own"\n', "extends", "there is no asis-globl.toml"),
        ('extends = "../asis-global"\nid = "own"\n', "extends", "must be an id"),
        ('extends = ["asis-global"]\nid = "own"\n', "extends", "must be text"),
        ('extends = "asis-global"\n', "id", "is missing: each program has its own"),
        ('extends = "asis-global"\nid = "own"\n[extends2]\n', "extends2", "is no key of this table"),
    ],
)
def test_wrong_extension_is_refused_with_its_key(
    folder: Path, text: str, key: str, part_of_reason: str
) -> None:
    ((file, found, reason),) = mistakes(written(folder, text))
    assert (file, found) == ("own.toml", key)
    assert part_of_reason in reason


def test_circle_of_files_is_refused(folder: Path) -> None:
    written(folder, 'extends = "b"\nid = "a"\n', "a")
    ((file, key, reason),) = mistakes(written(folder, 'extends = "a"\nid = "b"\n', "b"))
    assert (file, key) == ("a.toml", "extends")
    assert "unlike b.toml" in reason


def test_program_of_too_many_files_is_refused(folder: Path) -> None:
    below = "asis-global"
    for number in range(MOST_FILES):
        path = written(folder, f'extends = "{below}"\nid = "p{number}"\n', f"p{number}")
        below = f"p{number}"
    ((file, key, reason),) = mistakes(path)
    assert (file, key) == ("p0.toml", "extends")
    assert f"at most {MOST_FILES} files" in reason


def test_text_without_a_folder_extends_nothing() -> None:
    with pytest.raises(ProgramError, match="extends: is no key of this table"):
        parse_program(f'extends = "asis-global"\n{BASE}', "kept")


def test_deep_tables_are_refused_in_words(folder: Path) -> None:
    deep = ".".join("a" * 1_500)
    path = written(folder, f'extends = "middle"\nid = "own"\n{deep} = 1\n')
    written(folder, f'extends = "asis-global"\nid = "middle"\n{deep} = 2\n', "middle")
    assert {(key, reason) for _, key, reason in mistakes(path)} == {
        ("the file", "holds tables too deep to be read")
    }


def test_two_files_of_one_id_are_refused(folder: Path) -> None:
    written(folder, BASE, "copy")
    with pytest.raises(ProgramError, match=r"copy\.toml: id: must differ .* unlike asis-global"):
        load_programs(folder)


def test_bundled_programs_are_all_served() -> None:
    programs = load_programs(PROGRAMS)
    assert list(programs) == ["asis-global", "asis-laac", "mentors4u-colombia"]
    assert [name for name, program in programs.items() if program.cohort] == [
        "asis-laac",
        "mentors4u-colombia",
    ]


@pytest.mark.rule("COH1", "COH3", "MAIL5")
def test_latin_american_program_differs_where_it_says_so() -> None:
    program, base = (load_program(PROGRAMS / f"{name}.toml") for name in ("asis-laac", "asis-global"))
    assert program.languages == ("es", "en")
    assert (program.hours.zone, program.hours.country) == ("America/Mexico_City", "MX")
    assert program.cohort
    assert (program.cohort.opens, program.cohort.closes) == ("04-21", "05-06")
    assert (program.cohort.kick_off, program.cohort.months) == ("05-23", 6)
    assert (program.credit.mentor, program.credit.mentee) == (base.credit.mentor, 0)
    assert not shared_links(program, base) - {"membership", "recertification_guide"}


@pytest.mark.rule("COH3", "COH4", "CPE3")
def test_colombian_program_gives_certificates_and_no_credit() -> None:
    program, base = (
        load_program(PROGRAMS / f"{name}.toml") for name in ("mentors4u-colombia", "asis-global")
    )
    assert program.languages[0] == "es"
    assert (program.hours.zone, program.hours.country) == ("America/Bogota", "CO")
    assert program.cohort
    assert not program.cohort.is_yearly
    assert (program.credit.mentor, program.credit.mentee, program.credit.certifications) == (0, 0, ())
    assert not shared_links(program, base)


def shared_links(one: Program, other: Program) -> set[str]:
    """The names of resources that two programs have at the same address."""
    return {name for name, link in one.resources.items() if other.resources.get(name) == link}


KEYS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.one_of(
        st.text(st.characters(blacklist_categories=["Cs"])),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False),
        st.dates(),
        st.times(),
        st.datetimes(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(content=st.dictionaries(KEYS, VALUES, max_size=4))
def test_merged_content_is_written_as_it_is(content: dict[str, object]) -> None:
    assert canonical(content_of("".join(_lines(content)), "written")) == canonical(content)
