"""Ten pairs from sign-up to the last mail: all that starts comes to its end, and no mail goes out twice."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.rehearsals import BOGOTA, MADRID, NEW_YORK, Play, Played

PLAY = Play("2035-03-05T10:00", "2035-11-15T10:00")
PAIRS = range(10)

for number in PAIRS:
    home = (NEW_YORK, BOGOTA, MADRID)[number % 3]
    mentor = PLAY.mentor(f"mentor{number}", **home)
    mentee = PLAY.mentee(f"mentee{number}", **home)
    PLAY.ask(f"pair-{number}", mentee, mentor, f"2035-03-{12 + number}T10:00")
    PLAY.at(f"2035-03-{14 + number}T10:00", "request.accepted", request=f"pair-{number}")
    for by in (mentor, mentee):
        answer = {"engagement": f"pair-{number}", "by": by}
        PLAY.at(f"2035-04-{10 + number}T10:00", "engagement.discovery", **answer, answer="good_fit")
        PLAY.at(f"2035-06-{10 + number}T10:00", "engagement.met", **answer, answer="yes")


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The play of this module."""
    return await PLAY.rehearse(tmp_path_factory.mktemp("mail"))


@pytest.mark.rule("ENG1", "ENG9", "ONB1", "ONB3")
def test_every_lifecycle_of_ten_pairs_ends(played: Played) -> None:
    assert played.end["workflows_open"] == 0
    for number in PAIRS:
        assert played.states(f"engagement/pair-{number}")[-1][1] == "completed"
        assert played.states(f"onboarding/mentee-mentee{number}")[-1][1] == "matched"
        assert played.states(f"onboarding/mentor-mentor{number}")[-1][1] == "welcomed"


@pytest.mark.rule("MAIL1", "ENG4", "STA2")
def test_ten_pairs_need_a_bounded_number_of_mails_and_workflows(played: Played) -> None:
    """A pair has at most 5 lifecycles before credit, and some 30 occasions for mail."""
    subjects = {row["subject"] for row in played.rows if row["kind"] == "state"}
    assert len(subjects) <= 10 * len(PAIRS)
    assert len(played.letters) == played.end["mails"] <= 45 * len(PAIRS)
    sent = Counter(
        (row["workflow"], row["message"], row["number"], row["to"])
        for row in played.rows
        if row["kind"] == "mail" and row["decision"] == "sent"
    )
    assert set(sent.values()) == {1}
