"""A program in sentences: for each number of its rules the key of a sentence, with its rule ids (COH5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rules.program import Program
from rules.program.toml_schema import Setting

SECTIONS: Final = (
    *("onboarding", "cohort", "pairing", "request", "engagement", "credit"),
    *("survey", "hours", "mail", "events"),
)
"""The sections of rules, in the order in which people live through them."""

WITHOUT_WORDS: Final = "without_words"
"""The sentence for a setting that has none of its own: what it is about, and its value."""

_UNSET: Final = ("-", "none", "of each country")
"""How settings are shown that have no value."""

_QUESTIONS: Final = (("survey", "mentor"), ("survey", "mentee"))
"""The settings that are questions, which have their own words."""


@dataclass(frozen=True, slots=True)
class RuleSentence:
    """A number of the rules in words."""

    key: str
    """Of the sentence, below `policy`."""
    values: Mapping[str, str]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProgramWords:
    """A program as people read it."""

    sentences: Mapping[str, Sequence[RuleSentence]]
    """By section."""
    questions: Mapping[str, Sequence[str]]
    """The questions of the survey, by role."""
    others: Sequence[Setting]
    """The settings that are no rules: names, addresses, links."""


def program_words(program: Program, language: str, has: Callable[[str], bool]) -> ProgramWords:
    """Return a program in words; `has` says whether there is a sentence with a key."""
    settings = program.describe()
    found = {
        section: [
            sentence for each in settings if each.section == section if (sentence := sentence_of(each, has))
        ]
        for section in SECTIONS
    }
    survey = {"mentor": program.survey.mentor, "mentee": program.survey.mentee}
    return ProgramWords(
        found,
        {role: [question.text_in(language) for question in asked] for role, asked in survey.items()},
        [each for each in settings if each.section not in SECTIONS],
    )


def sentence_of(setting: Setting, has: Callable[[str], bool]) -> RuleSentence | None:
    """Return the sentence for a setting; None for one without a value, or for questions.

    A sentence may have variants: `_one` for the value 1, `_none` without a value, and one by each value that is a word.
    """
    if (setting.section, setting.key) in _QUESTIONS:
        return None
    key, _, name = setting.key.partition(".")
    key = f"{setting.section}.{setting.key if has(f'policy.{setting.section}.{setting.key}') else key}"
    values = {"value": setting.value, "name": name}
    if setting.value in _UNSET:
        key += "_none"
        return RuleSentence(key, values, setting.rules) if has(f"policy.{key}") else None
    for variant in (f"{key}_one" if setting.value == "1" else "", f"{key}_{setting.value}"):
        if variant and has(f"policy.{variant}"):
            return RuleSentence(variant, values, setting.rules)
    if not has(f"policy.{key}"):
        return RuleSentence(WITHOUT_WORDS, {"value": setting.value, "name": setting.about}, setting.rules)
    return RuleSentence(key, values, setting.rules)
