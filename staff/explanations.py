"""Why a message has its day: the rule, the arithmetic and the holiday, from the facts of its lifecycle (MAIL1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from database.models import Lifecycle, Message
from database.staff_orders import is_sent_early
from lifecycles.facts import UnreadableFacts, facts_from_row
from lifecycles.participants import NotOnRecord, Participant, Programs, participants
from lifecycles.registry import find_lifecycles, lifecycle_of
from lifecycles.situation import pinned_program
from rules.due_day import DERIVATIONS, Case, derive, postponed, sentence
from rules.due_day.counting import CalendarOwner
from rules.messages import CATALOGUE
from rules.program import Program, program_calendar


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a message follows from."""

    rule: str
    """The id of its rule; empty for a message that this version does not have."""
    words: str
    """The sentence with the rule and the arithmetic; only the rule where its lifecycle is not on record."""


async def explain(
    session: AsyncSession, rows: Sequence[Message], programs: Programs
) -> Mapping[str, Explanation]:
    """Return the explanations of rows of the ledger, by the ids of their deliveries."""
    facts: dict[str, Any] = {}
    rules: dict[str, Program] = {}
    versions: dict[tuple[str, str | None], Program] = {}
    for workflow, lifecycle in (await find_lifecycles(session, (row.workflow for row in rows))).items():
        try:
            facts[workflow] = facts_from_row(lifecycle_of(workflow).facts, lifecycle.facts)
        except UnreadableFacts:
            # Without facts, the rule of a message is all that can be said of its day.
            continue
        if lifecycle.program in programs:
            version = (lifecycle.program, lifecycle.program_version)
            if version not in versions:
                versions[version] = await _version(session, programs, lifecycle)
            rules[workflow] = versions[version]
    mentors = {getattr(each, "mentor", "") for each in facts.values()}
    people = await participants(session, {row.to_profile for row in rows} | mentors)
    return {
        row.delivery: _explanation(
            row, facts.get(row.workflow), people, rules.get(row.workflow, programs.get(row.program))
        )
        for row in rows
    }


async def _version(session: AsyncSession, programs: Programs, lifecycle: Lifecycle) -> Program:
    """Return the program of a lifecycle; by the newest version where its own is not in the database."""
    try:
        return await pinned_program(session, programs, lifecycle)
    except NotOnRecord:
        return programs[lifecycle.program]


def _explanation(
    row: Message, facts: Any, people: Mapping[str, Participant], program: Program | None
) -> Explanation:
    if program is None:
        return _rule_of(row)
    recipient = _reader(row.to_profile, people, program)
    found = _derived(row, facts, people, program)
    if row.postponed_from and row.due_at and not is_sent_early(row):
        words = postponed(found.words, recipient, row.due_at, program.mail.nudges_per_day)
        return Explanation(found.rule, words)
    return found


def _rule_of(row: Message) -> Explanation:
    rule = CATALOGUE[row.message].rules[0] if row.message in CATALOGUE else ""
    return Explanation(rule, rule)


def _derived(row: Message, facts: Any, people: Mapping[str, Participant], program: Program) -> Explanation:
    if facts is None or row.message not in DERIVATIONS:
        return _rule_of(row)
    recipient = _reader(row.to_profile, people, program)
    mentor = getattr(facts, "mentor", "")
    case = Case(
        message=row.message,
        facts=facts,
        program=program,
        counting=program_calendar(program),
        recipient=recipient,
        acting=_reader(mentor, people, program) if mentor in people else recipient,
        due=row.postponed_from or row.due_at,
        number=row.number,
    )
    derived = derive(case)
    return Explanation(derived.rule, sentence(case, derived))


def _reader(profile: str, people: Mapping[str, Participant], program: Program) -> CalendarOwner:
    who = people.get(profile)
    if who is None:
        return CalendarOwner(profile, program_calendar(program))
    return CalendarOwner(who.member.name, who.calendar(program))
