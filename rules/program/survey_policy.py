"""The surveys of a program file: questions, choices, reminders (SUR1–SUR3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rules.program.policies import ROLES
from rules.program.toml_schema import field, in_language, table, table_validator, texts, tuple_of
from rules.program.values import QUESTION_ID, ascending, reminders_end_before
from rules.validation import Issue, boolean, choice, integer, multi_line, single_line


@table
class Choice:
    """One answer of a choice."""

    id: str = field(QUESTION_ID, "SUR1", about="what is stored as the answer")
    text: Mapping[str, str] = field(
        texts(single_line()), "SUR1", "MAIL5", about="the answer in each language"
    )

    def text_in(self, language: str) -> str:
        """Return the answer in a language, else in the program's first."""
        return in_language(self.text, language)


@table
class Question:
    """A question of a survey (SUR1): `yes_no`, one `choice` of several, a `rating`, or free `text`."""

    id: str = field(QUESTION_ID, "SUR1", about="the id under which the answer is stored")
    kind: str = field(choice("yes_no", "choice", "rating", "text"), "SUR1", about="what is asked for")
    required: bool = field(boolean, "SUR1", about="whether it has to be answered", default=False)
    text: Mapping[str, str] = field(
        texts(multi_line(500, blank=False)), "SUR1", "MAIL5", about="the question in each language"
    )
    choices: tuple[Choice, ...] = field(
        tuple_of(table_validator(Choice), most=20), "SUR1", about="the answers of a choice", default=()
    )

    def text_in(self, language: str) -> str:
        """Return the question in a language, else in the program's first."""
        return in_language(self.text, language)

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for choices on a non-choice question, missing choices, and duplicate ids."""
        if self.kind == "choice" and len(self.choices) < 2:
            yield Issue(("choices",), "must have at least 2 entries for a question of the kind choice")
        if self.kind != "choice" and self.choices:
            yield Issue(("choices",), f"has no place in a question of the kind {self.kind}")
        yield from _ids_twice(("choices",), self.choices)


def _ids_twice(path: tuple[str, ...], entries: Sequence[Choice | Question]) -> Iterator[Issue]:
    seen: set[str] = set()
    for position, entry in enumerate(entries):
        if entry.id in seen:
            yield Issue((*path, position, "id"), f"{entry.id} is there twice")
        seen.add(entry.id)


def _questions_shown(questions: tuple[Question, ...]) -> str:
    return ", ".join(f"{question.id} ({question.kind})" for question in questions)


@table
class SurveyPolicy:
    """What mentors and mentees are asked at the end, and how long it stays open (SUR1, SUR2)."""

    reminder_days: tuple[int, ...] = field(
        ascending(1, 365), "SUR2", about="days from sending to each reminder"
    )
    closes_after_days: int = field(integer(1, 730), "SUR2", about="days from sending until it closes")
    rating_most: int = field(integer(2, 10), "SUR1", about="the best rating; the worst is 1")
    mentor: tuple[Question, ...] = field(
        tuple_of(table_validator(Question), least=1),
        "SUR1",
        about="what mentors are asked",
        show=_questions_shown,
    )
    mentee: tuple[Question, ...] = field(
        tuple_of(table_validator(Question), least=1),
        "SUR1",
        about="what mentees are asked",
        show=_questions_shown,
    )

    def questions(self, role: str) -> tuple[Question, ...]:
        """Return the questions to a role, `mentor` or `mentee`, in order (SUR1)."""
        return {"mentor": self.mentor, "mentee": self.mentee}[role]

    def conflicts(self) -> Iterator[Issue]:
        """Yield an issue for reminders after the close, and for duplicate ids."""
        yield from reminders_end_before(self.reminder_days, self.closes_after_days, "closes_after_days")
        for role in ROLES:
            yield from _ids_twice((role,), self.questions(role))
