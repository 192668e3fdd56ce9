"""The catalogue of messages: its names, what each may be stopped by, and whose thread it joins."""

from __future__ import annotations

import re

import pytest

from rules.messages import CATALOGUE, Audience, MessageClass

OWED, NUDGE, COMPLIANCE = MessageClass.OWED, MessageClass.NUDGE, MessageClass.COMPLIANCE


@pytest.mark.rule("MAIL1")
def test_each_message_has_a_reader_and_its_rules() -> None:
    for name, message in CATALOGUE.items():
        assert message.name == name
        assert name.startswith(f"{message.audience}.")
        assert message.rules
        assert all(re.fullmatch(r"[A-Z]+\d+", rule) for rule in message.rules)


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize(
    ("name", "message_class"),
    [
        ("mentee.checkin", NUDGE),
        ("mentor.request_reminder", NUDGE),
        ("mentor.request_past_due", NUDGE),
        ("mentor.pulse", NUDGE),
        ("mentee.survey", NUDGE),
        ("mentor.credit_precheck", NUDGE),
        ("mentor.request_received", OWED),
        ("mentee.request_declined", OWED),
        ("mentee.match", OWED),
        ("mentor.canceled", OWED),
        ("staff.misconduct", OWED),
        ("member.standing_lapsed", COMPLIANCE),
        ("mentee.sign_confirmation", COMPLIANCE),
        ("mentor.write_letter", COMPLIANCE),
        ("mentor.credit_ready", COMPLIANCE),
        ("mentee.credit_outside_cycle", COMPLIANCE),
    ],
)
def test_only_nudges_can_be_unsubscribed(name: str, message_class: MessageClass) -> None:
    assert CATALOGUE[name].message_class is message_class
    assert message_class.stoppable is (message_class is NUDGE)


@pytest.mark.rule("MAIL2")
def test_ambiguous_nudges_are_dropped_and_others_open_a_task() -> None:
    assert {one for one in MessageClass if one.ambiguity_opens_task} == {OWED, COMPLIANCE}


@pytest.mark.rule("MAIL6")
def test_staff_messages_cannot_be_unsubscribed() -> None:
    for message in CATALOGUE.values():
        if message.audience is Audience.STAFF:
            assert not message.message_class.stoppable


@pytest.mark.rule("MAIL1")
def test_thread_starts_with_a_message_to_the_same_reader() -> None:
    for message in CATALOGUE.values():
        if message.thread is not None:
            begun = CATALOGUE[message.thread]
            assert begun.audience is message.audience
            assert begun.thread in (None, begun.name)
            assert message.thread != message.name or len(message.numbers) > 1


@pytest.mark.rule("ONB2", "ONB5")
def test_numbered_messages_name_their_occurrences() -> None:
    assert CATALOGUE["mentee.checkin"].occurrences == (1, 2, 3, 4, 5)
    assert CATALOGUE["mentor.survey"].occurrences == (1, 2, 3, 4)
    assert CATALOGUE["mentor.write_letter"].occurrences == (1, 2, 3, 4)
    assert CATALOGUE["mentor.match"].occurrences == (None,)
