"""Every text of every message, as its reader would see it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.composer import Composer, TemplateFailed
from mail.mime import Composed
from mail.samples import sample_context
from mail.template_environment import first_name, spanish_and
from rules.messages import CATALOGUE, Audience
from tests.support.mail_html import COMPOSER, TEMPLATES, contrast, font_size, parsed, shown_texts

WRITTEN = list(COMPOSER.written())
LANGUAGES = ("en", "es")
WITHOUT_MESSAGES = [path.name for path in (TEMPLATES / "en").iterdir() if path.name != "words.jinja"]

everything_written = pytest.mark.parametrize(("message", "number", "language"), WRITTEN)


def composed(message: str, number: int | None = None, language: str = "en", **changes: Any) -> Composed:
    return COMPOSER.compose(message, number, language, sample(message, number, language, **changes))


def sample(message: str, number: int | None = None, language: str = "en", **changes: Any) -> dict[str, Any]:
    """Sample data; `to={"name": …}` changes a key within."""
    context: dict[str, Any] = sample_context(message, number, language)
    for key, change in changes.items():
        context[key] = {**context[key], **change} if isinstance(change, Mapping) else change
    return context


def folder_with(folder: Path, language: str, name: str, **files: str) -> Path:
    (folder / language).mkdir(parents=True, exist_ok=True)
    for suffix, content in files.items():
        (folder / language / f"{name}.{suffix}").write_text(content, "utf-8")
    return folder


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The templates without any message, for tests that bring their own: fast to compile."""
    folder = tmp_path_factory.mktemp("frame") / "mail"
    shutil.copytree(TEMPLATES, folder, ignore=shutil.ignore_patterns(*WITHOUT_MESSAGES))
    return folder


def links_in_text(text: str) -> set[str]:
    return set(re.findall(r"https?://\S+", text))


@pytest.mark.rule("MAIL5")
class TestTheTemplates:
    def test_every_message_has_templates_and_no_template_is_orphaned(self) -> None:
        assert COMPOSER.missing() == []

    def test_both_languages_have_the_same_files(self) -> None:
        english, spanish = ({path.name for path in (TEMPLATES / one).iterdir()} for one in LANGUAGES)
        assert english == spanish

    def test_both_languages_use_the_same_variables_and_links(self) -> None:
        def used(path: Path) -> list[str]:
            names = r"(?:program|to|other|request|engagement|claim|survey|dates|task|links)\.[a-z_.]+"
            macros = r"(?:words|parts)\.\w+(?:\(program(?:, \"\w+\")+)?"
            return sorted(set(re.findall(f"{names}|{macros}", path.read_text("utf-8"))))

        for path in sorted((TEMPLATES / "en").iterdir()):
            assert used(TEMPLATES / "es" / path.name) == used(path), path.name

    def test_each_check_in_has_its_own_text(self) -> None:
        for language in LANGUAGES:
            mails = [composed("mentee.checkin", number, language) for number in (1, 2, 3, 4, 5)]
            assert len({mail.subject for mail in mails}) == 5
            assert len({mail.text for mail in mails}) == 5

    def test_number_beyond_the_templates_gets_the_generic_text(self) -> None:
        assert composed("mentee.checkin", 9) == composed("mentee.checkin", 5)

    def test_composing_reads_no_file(self, tmp_path: Path) -> None:
        shutil.copytree(TEMPLATES, tmp_path / "mail")
        composer = Composer(tmp_path / "mail")
        shutil.rmtree(tmp_path / "mail")
        assert composer.compose("mentor.welcome", None, "en", sample("mentor.welcome")) == composed(
            "mentor.welcome"
        )


@pytest.mark.rule("MAIL5")
class TestTheHtml:
    @everything_written
    def test_html_is_accessible_in_light_and_dark(
        self, message: str, number: int | None, language: str
    ) -> None:
        html = composed(message, number, language).html
        document = parsed(html)
        [root] = document.all("html")
        assert root.attributes["lang"] == language
        assert len(document.all("h1")) == 1
        assert len(document.all("title")) == 1
        assert all('role="presentation"' in tag for tag in re.findall(r"<table[^>]*>", html))
        assert [image for image in document.all("img") if "alt" not in image.attributes] == []
        schemes = [m for m in document.all("meta") if m.attributes.get("name") == "color-scheme"]
        assert [meta.attributes["content"] for meta in schemes] == ["light dark"]
        assert "color-scheme: light dark" in html
        for text, element in shown_texts(document):
            assert font_size(element) >= 16, text
            for dark in (False, True):
                assert contrast(element, html, dark) >= 4.5, (text, "dark" if dark else "light")

    @everything_written
    def test_html_has_one_button_and_descriptive_links(
        self, message: str, number: int | None, language: str
    ) -> None:
        document = parsed(composed(message, number, language).html)
        main = [one for one in document.walk() if one.tag == "td" and one.classes == {"button"}]
        assert len(main) <= 1
        for link in document.all("a"):
            assert link.text().strip()
            assert link.attributes["href"].startswith(("https://", "mailto:"))

    @everything_written
    def test_html_is_small_enough_not_to_be_clipped(
        self, message: str, number: int | None, language: str
    ) -> None:
        assert len(composed(message, number, language).html.encode()) < 50_000

    def test_html_has_the_first_sentence_as_preheader(self) -> None:
        html = composed("mentee.checkin", 3).html
        [hidden] = [one for one in parsed(html).walk() if one.style.get("display") == "none"]
        assert hidden.text().startswith("By now you may be in one of three places.")


@pytest.mark.rule("MAIL5")
class TestTheText:
    @everything_written
    def test_text_part_reads_well_on_its_own(self, message: str, number: int | None, language: str) -> None:
        mail = composed(message, number, language)
        assert not re.search(r"[{}]|</?\w+>|&\w+;|\bNone\b|\n\n\n", mail.text)
        assert [line for line in mail.text.splitlines() if len(line) > 76 and " " in line.strip()] == []
        assert mail.text.startswith("Hello " if language == "en" else "Hola, ")
        assert mail.text.endswith("\n")
        assert "\n" not in mail.subject
        assert 10 <= len(mail.subject) <= 78

    @everything_written
    def test_subject_about_two_people_names_the_other(
        self, message: str, number: int | None, language: str
    ) -> None:
        about_one = ("staff.", "mentor.welcome", "mentee.checkin", "member.")
        if not message.startswith(about_one):
            other: Any = sample_context(message, number, language)["other"]
            assert other["first_name"] in composed(message, number, language).subject

    @everything_written
    def test_text_part_has_the_links_of_the_html(
        self, message: str, number: int | None, language: str
    ) -> None:
        mail = composed(message, number, language)
        in_html = {link.attributes["href"] for link in parsed(mail.html).all("a")}
        assert links_in_text(mail.text) == {link for link in in_html if not link.startswith("mailto:")}

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.parametrize("answer", ["yes", "no", "maybe"])
    @pytest.mark.parametrize("message", ["member.meetup_changed", "member.meetup_reminder"])
    def test_each_answer_to_a_meetup_is_a_paragraph(self, message: str, answer: str, language: str) -> None:
        text = composed(message, None, language, meetup={"answer": answer}).text
        for name in ("yes", "maybe", "no"):
            assert re.search(rf"\n\n[^\n]+:\nhttps://\S+/meetup_{name}/", text)

    def test_text_part_separates_lists_links_and_quotations(self, frame: Path, tmp_path: Path) -> None:
        source = (
            "A paragraph that goes on and on until it has to be broken somewhere, because no line is wide enough.\n"
            "- an item that is long enough to be continued on a second line, below its own first word\n"
            "- a link:\n  https://example.org/a\n"
            "https://example.org/b\n"
            "  kept as it is\n"
            "{{ parts.quote(request.message) }}\n"
        )
        folder = folder_with(
            tmp_path, "en", "mentor.welcome", subject="x", text=source, mjml="<mj-text><h1>x</h1></mj-text>"
        )
        mail = Composer(frame, [folder]).compose(
            "mentor.welcome",
            None,
            "en",
            sample("mentor.welcome", request={"message": "One.\n\n" + "two " * 30}),
        )
        assert mail.text.partition("\n\nWarm")[0].splitlines() == [
            "A paragraph that goes on and on until it has to be broken somewhere, because",
            "no line is wide enough.",
            "- an item that is long enough to be continued on a second line, below its",
            "  own first word",
            "- a link:",
            "  https://example.org/a",
            "https://example.org/b",
            "  kept as it is",
            "> One.",
            ">",
            "> " + " ".join(["two"] * 18),
            "> " + " ".join(["two"] * 12),
        ]


class TestWhoWritesToWhom:
    @pytest.mark.rule("ONB7", "SUR4")
    @everything_written
    def test_mail_comes_from_the_manager_who_reads_replies(
        self, message: str, number: int | None, language: str
    ) -> None:
        mail = composed(message, number, language)
        feedback = "https://mentoring.example.org/l/feedback/4fJ2"
        for_staff = CATALOGUE[message].audience is Audience.STAFF
        assert (feedback in links_in_text(mail.text)) is not for_staff
        assert (feedback in mail.html) is not for_staff
        if for_staff:
            return
        for part in (mail.text, parsed(mail.html).text()):
            assert "Elena Ruiz" in part
            assert "mentoring@example.org" in part
            assert "12 Example Street" in part

    @pytest.mark.rule("MAIL6")
    @everything_written
    def test_only_optional_mail_has_an_unsubscribe_link(
        self, message: str, number: int | None, language: str
    ) -> None:
        mail = composed(message, number, language)
        preferences = "https://mentoring.example.org/l/preferences/4fJ2"
        stoppable = CATALOGUE[message].message_class.stoppable
        assert (preferences in mail.text) is stoppable
        assert (preferences in mail.html) is stoppable

    @pytest.mark.rule("MEM6")
    def test_misconduct_mail_names_nobody_and_quotes_nothing(self) -> None:
        for language in LANGUAGES:
            mail = composed("staff.misconduct", None, language)
            for secret in ("Ana", "Marcus", "We spoke twice", "Hablamos dos veces"):
                assert secret not in mail.subject + mail.text + mail.html

    @pytest.mark.rule("ONB7")
    @pytest.mark.parametrize(
        ("name", "greeted"),
        [
            ("Ana Pérez Castillo", "Ana"),
            ("Pérez, Ana", "Ana"),
            ("Dr. Ana Pérez", "Ana"),
            ("Ing. Sra. Ana Pérez", "Ana"),
            ("J. R. Pérez", "J. R. Pérez"),
            ("Sukarno", "Sukarno"),
            ("王小明", "王小明"),
            ("Dr.", "Dr."),
            ("  ", ""),
        ],
    )
    def test_greeting_name_comes_from_the_full_name(self, name: str, greeted: str) -> None:
        assert first_name(name) == greeted

    def test_greeting_prefers_first_name_then_name_then_none(self) -> None:
        def greeting(**to: str) -> str:
            return composed("mentor.welcome", to=to).text.splitlines()[0]

        assert greeting(first_name="Anita", name="Ana Pérez") == "Hello Anita,"
        assert greeting(first_name="", name="Ana Pérez") == "Hello Ana,"
        assert greeting(first_name=" ", name="") == "Hello,"

    def test_language_without_templates_falls_back_to_the_programs(self) -> None:
        assert COMPOSER.languages == LANGUAGES
        assert COMPOSER.language("es-CO") == "es"
        assert COMPOSER.language("pt_BR", "es") == "es"
        assert COMPOSER.language("pt", "") == "en"
        in_spanish = sample("mentor.welcome", language="es")
        assert COMPOSER.compose("mentor.welcome", None, "fr", in_spanish).text.startswith("Hola, Marcus:")


class TestDates:
    def shown(
        self, frame: Path, tmp_path: Path, expression: str, language: str = "en", **changes: Any
    ) -> str:
        folder = folder_with(
            tmp_path,
            language,
            "mentor.welcome",
            subject="x",
            text=f"{{{{ {expression} }}}}",
            mjml=f"<mj-text><h1>{{{{ {expression} }}}}</h1></mj-text>",
        )
        context = sample("mentor.welcome", None, language, **changes)
        mail = Composer(frame, [folder]).compose("mentor.welcome", None, language, context)
        assert parsed(mail.html).all("h1")[0].text() == mail.text.splitlines()[0]
        return mail.text.splitlines()[0]

    @pytest.mark.rule("MAIL5", "T5")
    def test_dates_follow_the_readers_language_and_zone(self, frame: Path, tmp_path: Path) -> None:
        due = {"due": datetime(2028, 3, 15, 2, 30, tzinfo=UTC), "gate": date(2028, 9, 14)}
        bogota, tokyo, utc = ({"zone": zone} for zone in ("America/Bogota", "Asia/Tokyo", "UTC"))
        for expression, language, to, expected in [
            ("dates.due | day", "en", bogota, "Tuesday, March 14"),
            ("dates.due | day", "en", tokyo, "Wednesday, March 15"),
            ("dates.due | day", "es", bogota, "martes 14 de marzo"),
            ("dates.gate | full_day", "en", tokyo, "September 14, 2028"),
            ("dates.gate | full_day", "es", tokyo, "14 de septiembre de 2028"),
            ("dates.due | moment", "en", tokyo, "Wednesday, March 15, 11:30 AM (Tokyo time)"),
            ("dates.due | moment", "es", bogota, "martes 14 de marzo, 21:30 (hora de Bogotá)"),
            ("dates.due | moment", "en", utc, "Wednesday, March 15, 2:30 AM (UTC time)"),
        ]:
            assert self.shown(frame, tmp_path, expression, language, dates=due, to=to) == expected

    @pytest.mark.rule("T5")
    def test_dates_take_the_offset_of_their_own_day(self, frame: Path, tmp_path: Path) -> None:
        new_york = {"zone": "America/New_York"}
        winter = {"due": datetime(2028, 3, 10, 22, tzinfo=UTC)}
        summer = {"due": datetime(2028, 3, 13, 21, tzinfo=UTC)}
        assert "5:00 PM" in self.shown(frame, tmp_path, "dates.due | moment", dates=winter, to=new_york)
        assert "5:00 PM" in self.shown(frame, tmp_path, "dates.due | moment", dates=summer, to=new_york)

    @pytest.mark.rule("T8")
    @pytest.mark.parametrize("missing", [None, "", "2028-03-14", datetime(2028, 3, 14)])  # noqa: DTZ001 - that is the fault
    def test_missing_or_unclear_date_is_an_error_and_never_today(
        self, frame: Path, tmp_path: Path, missing: object
    ) -> None:
        with pytest.raises(TemplateFailed):
            self.shown(frame, tmp_path, "dates.due | moment", dates={"due": missing})

    @pytest.mark.rule("T8")
    def test_date_without_a_time_has_no_instant(self, frame: Path, tmp_path: Path) -> None:
        with pytest.raises(TemplateFailed, match="no time of day"):
            self.shown(frame, tmp_path, "dates.gate | moment")


@pytest.mark.rule("MAIL5")
class TestWhatGoesWrong:
    def failing(self, frame: Path, tmp_path: Path, text: str, **changes: Any) -> str:
        folder = folder_with(
            tmp_path, "en", "mentor.welcome", subject="x", text=text, mjml="<mj-text><h1>x</h1></mj-text>"
        )
        with pytest.raises(TemplateFailed) as failure:
            Composer(frame, [folder]).compose(
                "mentor.welcome", None, "en", sample("mentor.welcome", **changes)
            )
        return str(failure.value)

    def test_missing_variable_fails_by_name(self, frame: Path, tmp_path: Path) -> None:
        assert "nickname is missing" in self.failing(frame, tmp_path, "{{ to.nickname }}")
        assert "'nobody' is undefined" in self.failing(frame, tmp_path, "{{ nobody.name }}")

    @pytest.mark.rule("MEM6")
    def test_error_names_variables_never_people(self, frame: Path, tmp_path: Path) -> None:
        for text in ("{{ to.nickname }}", "{{ to }}", "{{ to | day }}", "{{ to.name | moment }}"):
            assert "Marcus" not in self.failing(frame, tmp_path, text)

    def test_none_and_whole_structures_are_refused(self, frame: Path, tmp_path: Path) -> None:
        for text in ("{{ other.email }}", "{{ to }}", "{{ request.areas }}", "{{ dates.due }}", "{{ true }}"):
            assert "cannot be shown" in self.failing(frame, tmp_path, text, other={"email": None})

    def test_templates_reach_data_only(self, frame: Path, tmp_path: Path) -> None:
        for text in (
            "{{ to.__class__ }}",
            "{{ to.items }}",
            "{{ words.__init__ }}",
            "{{ ''.__class__.__mro__ }}",
        ):
            assert self.failing(frame, tmp_path, text)

    def test_value_that_is_no_link_is_refused(self) -> None:
        for wrong in ("javascript:alert(1)", 'https://example.org/" onclick="x', "", None, "https://a b"):
            with pytest.raises(TemplateFailed, match=r"links\.feedback is not a web or mail address"):
                composed("mentor.welcome", links={"feedback": wrong})

    def test_unknown_message_or_one_without_a_text_fails(self) -> None:
        with pytest.raises(TemplateFailed, match="no such message"):
            COMPOSER.compose("mentor.birthday", None, "en", {})

    def test_check_lists_every_fault_of_a_programs_own_texts(self, tmp_path: Path) -> None:
        title = "<mj-text><h1>x</h1></mj-text>"
        folder_with(tmp_path, "en", "mentor.wellcome", subject="x", text="x", mjml=title)
        folder_with(tmp_path, "en", "mentor.welcome.2", subject="x", text="x", mjml=title)
        folder_with(tmp_path, "en", "mentor.match", subject="x", mjml=title)
        folder_with(tmp_path, "en", "mentee.match", subject="x", text="{{ to.nickname }}", mjml=title)
        folder_with(tmp_path, "en", "mentor.pulse", subject="x", text="{% if %}", mjml=title)
        folder_with(tmp_path, "en", "mentee.pulse", subject="x", text="x", mjml="<mj-text>x")
        folder_with(tmp_path, "en", "mentor.survey.9", subject="x", text="x", mjml=title)
        folder_with(tmp_path, "en", "mentee.ended", subject="x", text="x", mjml="<mj-text>no title</mj-text>")
        folder_with(tmp_path, "fr", "mentor.match", subject="x", text="x", mjml=title)
        folder_with(tmp_path, "es", "mentor.ended", subject="{{ nobody }}", text="x", mjml=title)
        folder_with(tmp_path, "es", "mentee.ended", subject="x", text="{{ 1 // 0 }}", mjml=title)
        folder_with(tmp_path, "es", "mentor.match", subject="x", text="x", mjml=title + "{{ range(9 ** 9) }}")
        folder_with(tmp_path, "es", "mentee.match", subject="  ", text="x", mjml=title)
        folder_with(tmp_path, "es", "mentor.pulse", subject="x", text="x", mjml=title)
        (tmp_path / "es" / "mentor.pulse.text").write_bytes(b"\xff\x00")
        (tmp_path / "en" / "words.jinja").write_text("x")
        problems = "\n".join(Composer(TEMPLATES, [tmp_path, tmp_path / "absent"]).missing())
        for expected in (
            "en/mentor.wellcome.mjml: no such message",
            "en/mentor.welcome.2.text: this message has no numbers",
            "en/mentor.match: lacks .text",
            f"mentee.match in en: nickname is missing from the data ({tmp_path}/en/mentee.match.text)",
            "en/mentor.pulse.text: Expected an expression",
            "en/mentee.pulse.mjml: ",
            f"mentor.ended in es: 'nobody' is undefined ({tmp_path}/es/mentor.ended.subject)",
            f"mentee.ended in es: integer division or modulo by zero ({tmp_path}/es/mentee.ended.text)",
            f"({tmp_path}/es/mentor.match.mjml)",
            "mentee.match in es: needs a subject",
            "es/mentor.pulse.text: is not UTF-8 text",
            "en/mentor.survey.9.text: this message is not sent with this number",
            "mentee.ended in en: needs exactly one <h1>",
            "fr: not a language of the templates (en, es)",
            "en/words.jinja: not a file of a message",
            "absent: no such folder",
        ):
            assert expected in problems

    def test_program_is_checked_with_its_own_data(self) -> None:
        program: dict[str, Any] = dict(sample("mentor.welcome")["program"])
        program["resources"] = {"video": "https://example.org/video"}
        file = TEMPLATES / "en" / "mentor.welcome.text"
        wanted = f"mentor.welcome in en: profile is missing from the data ({file})"
        assert wanted in COMPOSER.missing(program)


@pytest.mark.rule("COH5")
def test_programs_own_text_overrides_the_default(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        "es",
        "mentee.checkin.2",
        subject="Guía {{ number }}",
        text="{{ words.greeting(to) }}\n\nNuestra guía.",
        mjml="<mj-text><h1>Guía</h1></mj-text>",
    )
    composer = Composer(TEMPLATES, [folder])
    for number, language, ours in [(2, "es", False), (1, "es", True), (2, "en", True)]:
        mail = composer.compose(
            "mentee.checkin", number, language, sample("mentee.checkin", number, language)
        )
        assert (mail == composed("mentee.checkin", number, language)) is ours
    assert composer.compose("mentee.checkin", 2, "es", sample("mentee.checkin", 2, "es")).subject == "Guía 2"


@pytest.mark.rule("MAIL5")
class TestHostileData:
    @given(st.text(max_size=300))
    def test_names_and_messages_are_escaped(self, nasty: str) -> None:
        mail = composed("staff.alarm", to={"name": nasty, "first_name": nasty}, task={"cause": nasty})
        calm = composed("staff.alarm")
        tags = [element.tag for element in parsed(mail.html).walk()]
        assert "script" not in tags
        assert set(tags) <= {element.tag for element in parsed(calm.html).walk()}
        assert "\n" not in mail.subject
        assert len(mail.subject) <= 200

    def test_markup_is_escaped_and_template_syntax_ignored(self) -> None:
        mail = composed("mentor.welcome", to={"first_name": "<script>{{ 7 * 7 }}{% raw %}&"})
        assert "&lt;script&gt;{{ 7 * 7 }}{% raw %}&amp;" in mail.html
        assert mail.text.startswith("Hello <script>{{ 7 * 7 }}{% raw %}&,\n")

    def test_very_long_names_are_truncated_and_break_no_line(self) -> None:
        mail = composed("mentor.welcome", to={"name": "W" * 10_000, "first_name": "W" * 10_000})
        assert "W" * 119 + "…" in mail.html
        assert "W" * 120 not in mail.html
        assert max(map(len, mail.text.splitlines())) < 140

    def test_line_breaks_and_invisible_characters_are_removed(self) -> None:
        mail = composed(
            "staff.alarm",
            task={"cause": "down\r\nBcc: all@example.org\x00\x1b[31m \u202egnp.exe\u2066 \ud800"},
        )
        assert mail.subject == "Action needed: down Bcc: all@example.org[31m gnp.exe"
        for part in (mail.text, mail.html):
            assert not re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", part)

    def test_input_data_is_not_modified(self) -> None:
        context = sample("mentor.welcome", to={"first_name": ""})
        before = repr(context)
        COMPOSER.compose("mentor.welcome", None, "en", context)
        assert repr(context) == before


@pytest.mark.rule("MAIL5")
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Marta", "y Marta"),
        ("Ingrid", "e Ingrid"),
        ("Íñigo Ruiz", "e Íñigo Ruiz"),
        ("Hilda", "e Hilda"),
        ("Yvonne", "e Yvonne"),
        ("Iara", "y Iara"),
        ("Yolanda", "y Yolanda"),
        ("Hierro", "y Hierro"),
        ("", "y "),
    ],
)
def test_spanish_and_changes_before_the_sound_of_an_i(name: str, written: str) -> None:
    assert spanish_and(name) == written
