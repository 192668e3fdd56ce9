"""Credit and surveys played through the real workflows: the gate, the letters, the cap, and what becomes of them."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import select
from temporalio.client import WorkflowUpdateFailedError

from database.models import Badge, Claim, Feedback, Letter, Survey
from embedded.stack import StackOptions, embedded_stack
from evidence.dossier import export
from evidence.verifier import verify
from lifecycles.timeline import timeline
from tests.support.rehearsals import (
    BOGOTA,
    NEW_YORK,
    PROGRAM,
    ZONE,
    Play,
    Played,
    instant,
    read_letters,
    when,
)
from worker.assembly import load_programs

CYCLE = {"cycle_start": "2034-01-01", "cycle_end": "2036-12-31"}


def holds(*codes: str, **cycle: str) -> dict[str, Any]:
    """A member's certifications, all of one cycle."""
    return {"certifications": [{"code": code, **CYCLE, **cycle} for code in codes]}


@dataclass
class Kept:
    """What a play left in the database, beside its timeline."""

    played: Played
    claims: dict[str, Claim] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    badges: dict[str, Badge] = field(default_factory=dict)
    surveys: dict[str, Survey] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)
    dossiers: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def credits(self, claim: str) -> list[tuple[str, str, int, int]]:
        """The course of a claim: local time, status, credits earned and countable."""
        return [
            (when(row), row["status"], row["earned"], row["countable"])
            for row in self.played.rows
            if row["kind"] == "credit" and row["claim"] == claim
        ]

    def statuses(self, claim: str) -> list[tuple[str, str]]:
        """The course of a claim without its numbers."""
        return [(at, status) for at, status, _, _ in self.credits(claim)]

    def letter_of(self, claim: str) -> Letter:
        """The one letter of a claim."""
        (letter,) = [letter for letter in self.letters if letter.claim == claim]
        return letter


class CreditPlay(Play):
    """A play in which staff also act on claims, by update."""

    def __init__(self, start: str, until: str) -> None:
        super().__init__(start, until)
        self.acts: list[tuple[datetime, str, str, dict[str, Any]]] = []

    def pair(self, name: str, mentor: dict[str, Any], mentee: dict[str, Any], **asked: Any) -> None:
        """An engagement from 14 March, of people who are in no other."""
        teacher = self.mentor(f"m{name}", **{**NEW_YORK, **mentor})
        learner = self.mentee(f"n{name}", **{**NEW_YORK, **mentee})
        self.match(name, learner, teacher, "2035-03-14T11:07", **asked)

    def match(self, name: str, mentee: str, mentor: str, when: str, **asked: Any) -> None:
        """A request, accepted on the same day."""
        self.ask(name, mentee, mentor, f"{when[:10]}T10:03", **{"months": 9, **asked})
        self.at(when, "request.accepted", request=name)

    def confirm(self, when: str, name: str, mentee: str = "", signs: str = "", **more: Any) -> None:
        """The mentee signs the mentor's confirmation."""
        learner = mentee or f"mentee-n{name}"
        typed = signs or f"{learner.partition('-')[2].capitalize()} Vega"
        self.at(
            when,
            "letter.signed",
            **{"engagement": name, "by": learner, "for": "mentor", "name": typed},
            **more,
        )

    def write(self, when: str, name: str, **changes: Any) -> None:
        """The mentor writes and signs the mentee's letter."""
        letter = {"engagement": name, "by": f"mentor-m{name}", "for": "mentee", "name": f"M{name} Vega"}
        self.at(when, "letter.signed", **{**letter, **changes})

    def act(self, when: str, workflow: str, name: str, **argument: Any) -> None:
        """An update by staff."""
        self.acts.append((instant(when), workflow, name, {"actor": "lina", **argument}))

    async def keep(self, folder: Path, dossiers: Sequence[str] = ()) -> Kept:
        """Play it, and keep what is in the database at its end, with the dossiers of some engagements."""
        programs = load_programs(Path("programs"))
        until = instant(self.until)
        refused: dict[str, str] = {}
        async with embedded_stack(
            programs, Path("templates/mail"), Path("programs"), StackOptions(mail_dir=folder)
        ) as ready:
            await ready.advance(instant(self.start))
            for mark in sorted({event.at for event in self.events} | {act[0] for act in self.acts}):
                await ready.advance(mark)
                events = [
                    (event.type, {"program": PROGRAM, **event.data})
                    if event.type == "profile.created"
                    else (event.type, event.data)
                    for event in self.events
                    if event.at == mark
                ]
                if events:
                    await ready.send_events(mark, events)
                for _, workflow, name, argument in [act for act in self.acts if act[0] == mark]:
                    try:
                        handle = ready.clock.client.get_workflow_handle(workflow)
                        await handle.execute_update(name, argument)
                    except WorkflowUpdateFailedError as failed:
                        refused[f"{name} {workflow}"] = str(failed.cause)
            await ready.advance(until)
            await ready.wait_idle()
            rows = [row async for row in timeline(ready.database, ZONE, until)]
            async with ready.database.reading() as session:
                kept = Kept(Played(rows, read_letters(folder), self.people), refused=refused)
                kept.claims = {row.workflow: row for row in await session.scalars(select(Claim))}
                kept.letters = list(await session.scalars(select(Letter)))
                kept.badges = {row.letter_id: row for row in await session.scalars(select(Badge))}
                kept.surveys = {row.workflow: row for row in await session.scalars(select(Survey))}
                kept.feedback = list(await session.scalars(select(Feedback)))
                for name in dossiers:
                    kept.dossiers[name] = await export(session, name)
        return kept


PLAY = CreditPlay("2035-03-01T09:30", "2036-01-15T12:00")


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The play of this module."""
    return await PLAY.keep(tmp_path_factory.mktemp("mail"), ["met", "cap-1"])


PLAY.pair("met", holds("CPP"), {**BOGOTA, **holds("PSP")}, months=6)
PLAY.at(
    "2035-08-20T11:41",
    "claim.domains_chosen",
    engagement="met",
    by="mentor-mmet",
    certification="CPP",
    domains=["Crisis Management"],
)
PLAY.confirm("2035-09-17T14:11", "met", signs="vega, nmet")
PLAY.write(
    "2035-09-18T14:12",
    "met",
    certification="PSP",
    purpose="To lead a first site survey.",
    domains=["Physical Security Assessment"],
)
PLAY.at("2035-09-24T10:41", "claim.submitted", engagement="met", by="mentor-mmet", certification="CPP")
PLAY.act("2035-10-01T10:42", "claim/met/mentor/CPP", "accept", reason="on their list")


@pytest.mark.rule("CPE1", "CPE2", "CPE5", "CPE7", "CPE10", "CPE13")
def test_gate_requests_both_letters_and_each_completes_a_claim(kept: Kept) -> None:
    assert kept.credits("claim/met/mentor/CPP") == [
        ("2035-08-14T09:00", "precheck", 0, 0),
        ("2035-09-14T09:00", "awaiting_evidence", 0, 0),
        ("2035-09-17T14:11", "ready", 9, 9),
        ("2035-09-24T10:41", "submitted", 9, 9),
        ("2035-10-01T10:42", "accepted", 9, 9),
    ]
    assert kept.played.mails("claim/met/mentor/CPP") == [
        ("2035-08-14T09:00", "mentor.credit_precheck"),
        ("2035-09-14T10:00", "mentee.sign_confirmation 1"),
        ("2035-09-17T14:11", "mentor.credit_ready"),
        ("2035-10-01T10:42", "mentor.credit_accepted"),
    ]
    assert kept.credits("claim/met/mentee/PSP")[-1] == ("2035-09-18T14:12", "ready", 5, 5)
    assert kept.played.mails("claim/met/mentee/PSP") == [
        ("2035-08-14T10:00", "mentee.credit_precheck"),
        ("2035-09-14T09:00", "mentor.write_letter 1"),
        ("2035-09-18T14:12", "mentee.credit_ready"),
    ]


@pytest.mark.rule("CPE6", "CPE8", "CPE10", "CPE11", "CPE12")
def test_letter_is_a_pdf_in_the_signers_language(kept: Kept) -> None:
    """Its fingerprint is on record."""
    letter = kept.letter_of("claim/met/mentor/CPP")
    assert (letter.kind, letter.locale, letter.signer_name) == ("confirmation", "es", "vega, nmet")
    assert letter.document is not None
    assert letter.sha256 == hashlib.sha256(letter.document).hexdigest()
    assert re.fullmatch(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){3}", letter.id)  # 80 bits that can be typed from paper
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(letter.document)).pages)
    assert f"/verify/{letter.id}" in text.replace("\n", "")
    written = kept.letter_of("claim/met/mentee/PSP")
    assert "To lead a first site survey." in written.statement
    assert "Physical Security Assessment" in written.statement
    claim = kept.claims["claim/met/mentor/CPP"]
    assert claim.domains
    assert claim.decision["inputs"]["catalogue_fingerprint"]
    assert claim.decision["inputs"]["policy_version"] == claim.policy_version


@pytest.mark.rule("CPE14")
def test_letters_and_certificates_have_badges_and_mail_leads_there(kept: Kept) -> None:
    """A letter whose credit was not earned has none; that of a revoked letter stays."""
    unearned = {
        claim for claim in kept.claims if not {"ready"} & {status for _, status in kept.statuses(claim)}
    }
    assert kept.badges.keys() == {letter.id for letter in kept.letters if letter.claim not in unearned}
    texts = [letter.text for letter in kept.played.letters]
    for letter in (kept.letter_of("claim/met/mentor/CPP"), kept.letter_of("claim/met/mentee/PSP")):
        assert sum(f"/badges/{kept.badges[letter.id].id}" in text for text in texts) == 1
    for letter in (letter for letter in kept.letters if letter.engagement_id == "plain"):
        assert sum(f"/badges/{kept.badges[letter.id].id}" in text for text in texts) == 1
    places = [(badge.status_list, badge.status_index) for badge in kept.badges.values()]
    assert len(set(places)) == len(places)
    assert len({badge.kid for badge in kept.badges.values()}) == 1


@pytest.mark.rule("CPE11", "CPE12")
@pytest.mark.parametrize("name", ["met", "cap-1"])
def test_dossier_of_an_engagement_verifies(kept: Kept, tmp_path: Path, name: str) -> None:
    file = tmp_path / "dossier.zip"
    file.write_bytes(kept.dossiers[name])
    assert verify(file) == []


PLAY.pair("before", holds("CPP"), holds("PSP"))
PLAY.at("2035-09-13T23:59", "engagement.ended", engagement="before", by="mentee-nbefore", reason="goals_met")
PLAY.pair("just", holds("CPP"), {})
PLAY.at("2035-09-14T00:01", "engagement.ended", engagement="just", by="mentee-njust", reason="no_time")
PLAY.pair("late", holds("CPP"), {})
PLAY.at("2035-09-14T23:59", "engagement.ended", engagement="late", by="mentee-nlate", reason="goals_met")


@pytest.mark.rule("CPE1")
def test_engagement_ended_a_day_before_the_gate_earns_no_credit(kept: Kept) -> None:
    for claim in ("claim/before/mentor/CPP", "claim/before/mentee/PSP"):
        assert kept.statuses(claim) == [
            ("2035-08-14T09:00", "precheck"),
            ("2035-09-13T23:59", "not_eligible"),
        ]
        assert len(kept.played.mails(claim)) == 1


@pytest.mark.rule("CPE1")
@pytest.mark.parametrize("name", ["just", "late"])
def test_engagement_ended_on_the_gate_day_earns_credit(kept: Kept, name: str) -> None:
    assert kept.statuses(f"claim/{name}/mentor/CPP")[1] == ("2035-09-14T09:00", "awaiting_evidence")


PLAY.pair(
    "three",
    {
        "certifications": [
            {"code": "CPP", "cycle_start": "2032-10-01", "cycle_end": "2035-09-14"},
            {"code": "PSP", "cycle_start": "2032-10-01", "cycle_end": "2035-09-13"},
            {"code": "PCI", "cycle_start": "2035-09-14", "cycle_end": "2038-09-30"},
            {"code": "XYZ", **CYCLE},
        ]
    },
    {},
)
PLAY.confirm("2035-09-20T14:31", "three")


@pytest.mark.rule("CPE3", "CPE4")
def test_each_certification_has_a_claim_checked_by_its_own_cycle(kept: Kept) -> None:
    claims = sorted(claim for claim in kept.claims if claim.startswith("claim/three/"))
    assert claims == ["claim/three/mentor/CPP", "claim/three/mentor/PCI", "claim/three/mentor/PSP"]
    assert kept.claims["claim/three/mentor/CPP"].state == "ready"
    assert kept.claims["claim/three/mentor/PCI"].state == "ready"
    assert kept.credits("claim/three/mentor/PSP")[-1] == ("2035-09-14T09:00", "outside_cycle", 0, 0)
    assert kept.played.names("claim/three/mentor/PSP") == ["mentor.credit_outside_cycle"]
    assert "in one mail with claim/three/mentor/CPP" in kept.played.reasons("claim/three/mentor/PSP")
    assert kept.played.tasks("claim/three/mentor/PSP") == [("2035-09-14T09:00", "outside_cycle")]


PLAY.pair("early", holds("CPP"), {})
PLAY.confirm("2035-08-30T16:21", "early")


@pytest.mark.rule("CPE5", "CPE7")
def test_letter_signed_before_the_gate_is_not_requested_again(kept: Kept) -> None:
    claim = "claim/early/mentor/CPP"
    assert kept.statuses(claim) == [("2035-08-14T09:00", "precheck"), ("2035-09-14T09:00", "ready")]
    assert kept.played.names(claim) == ["mentor.credit_precheck", "mentor.credit_ready"]


PLAY.pair("silent", holds("CPP"), {})
PLAY.act("2035-11-20T11:11", "claim/silent/mentor/CPP", "reopen", reason="the mentee was ill")
PLAY.confirm("2035-11-22T11:31", "silent")
PLAY.pair("lost", holds("CPP"), {})
PLAY.confirm("2035-11-22T11:32", "lost")


@pytest.mark.rule("CPE7")
def test_missing_letter_gets_three_reminders_then_evidence_missing(
    kept: Kept,
) -> None:
    """A staff task opens before the claim ends as `evidence_missing`."""
    claim = "claim/silent/mentor/CPP"
    assert kept.played.mails(claim)[1:5] == [
        ("2035-09-14T09:00", "mentee.sign_confirmation 1"),
        ("2035-09-21T09:00", "mentee.sign_confirmation 2"),
        ("2035-09-28T09:00", "mentee.sign_confirmation 3"),
        ("2035-10-05T09:00", "mentee.sign_confirmation 4"),
    ]
    assert kept.played.tasks(claim)[0] == ("2035-10-12T09:00", "evidence_missing")
    assert ("2035-11-13T17:00", "evidence_missing") in kept.statuses(claim)
    assert kept.claims["claim/lost/mentor/CPP"].state == "evidence_missing"


@pytest.mark.rule("CPE7")
def test_reopened_claim_requests_the_letter_again(kept: Kept) -> None:
    claim = "claim/silent/mentor/CPP"
    assert ("2035-11-20T11:11", "awaiting_evidence") in kept.statuses(claim)
    assert kept.credits(claim)[-1] == ("2035-11-22T11:31", "ready", 9, 9)
    assert [name for _, name in kept.played.mails(claim)[5:]] == [
        "mentor.credit_reopened",
        "mentee.sign_confirmation 1",
        "mentor.credit_ready",
    ]


CAPPED = PLAY.mentor("capped", **NEW_YORK, **holds("CPP"))
FOUR = {"cap-1": "2035-03-14", "cap-2": "2035-03-20", "cap-3": "2035-03-21", "cap-4": "2035-03-22"}
for number, (name, day) in enumerate(FOUR.items(), start=1):
    PLAY.match(name, PLAY.mentee(f"capped{number}", **NEW_YORK), CAPPED, f"{day}T11:0{number}")
    PLAY.confirm(f"2035-10-0{number}T15:1{number}", name, mentee=f"mentee-capped{number}")
PLAY.act("2035-10-10T15:44", "claim/cap-1/mentor/CPP", "revoke")
PLAY.act("2035-10-11T15:45", "claim/cap-1/mentor/CPP", "revoke", reason="signed by somebody else")


@pytest.mark.rule("CPE2", "CPE9")
def test_fourth_mentorship_in_a_cycle_earns_nine_and_counts_three(kept: Kept) -> None:
    for number in (1, 2, 3):
        assert (f"2035-10-0{number}T15:1{number}", "ready", 9, 9) in kept.credits(
            f"claim/cap-{number}/mentor/CPP"
        )
    assert ("2035-10-04T15:14", "ready", 9, 3) in kept.credits("claim/cap-4/mentor/CPP")


@pytest.mark.rule("CPE9", "CPE11")
def test_revoked_claim_frees_its_share_and_marks_its_letter(kept: Kept) -> None:
    assert "a reason is needed" in kept.refused["revoke claim/cap-1/mentor/CPP"]
    assert kept.credits("claim/cap-1/mentor/CPP")[-1] == ("2035-10-11T15:45", "revoked", 0, 0)
    assert kept.credits("claim/cap-4/mentor/CPP")[-1] == ("2035-10-11T15:45", "ready", 9, 9)
    letter = kept.letter_of("claim/cap-1/mentor/CPP")
    assert letter.revoked_because == "signed by somebody else"
    assert letter.document


PLAY.pair("lapsed", holds("CPP"), {})
PLAY.member("mlapsed", "2035-09-03T10:51", standing="lapsed")
PLAY.member("mlapsed", "2035-10-02T10:52", standing="good")
PLAY.confirm("2035-10-04T10:53", "lapsed")


@pytest.mark.rule("MEM2", "CPE7")
def test_claim_waits_for_good_standing(kept: Kept) -> None:
    claim = "claim/lapsed/mentor/CPP"
    assert ("2035-09-14T09:00", "member_lapsed") in kept.played.tasks(claim)
    assert kept.played.mails(claim)[1:3] == [
        ("2035-09-14T09:00", "member.standing_lapsed"),
        ("2035-10-03T09:00", "mentee.sign_confirmation 1"),
    ]
    assert kept.credits(claim)[-1] == ("2035-10-04T10:53", "ready", 9, 9)


PLAY.pair("wrong", holds("CPP"), holds("PSP"))
PLAY.confirm("2035-09-20T09:31", "wrong", signs="Somebody Else")
PLAY.write("2035-09-20T09:32", "wrong", certification="PSP", purpose="To learn.", domains=["Investigations"])
PLAY.write("2035-09-20T09:33", "wrong", certification="PSP", domains=["Physical Security Assessment"])


@pytest.mark.rule("CPE6", "CPE8")
def test_letter_with_wrong_name_domain_or_no_purpose_is_refused(kept: Kept) -> None:
    reasons = [reason for _, event, reason in kept.played.refusals("engagement/wrong") if "letter" in event]
    assert reasons == [
        "the name typed is not the name on record; please type your own full name",
        "PSP has no domain Investigations",
        "the letter has to state the purpose of the mentorship",
    ]
    assert not [letter for letter in kept.letters if letter.engagement_id == "wrong"]


PLAY.pair("plain", {}, {}, months=6)


@pytest.mark.rule("CPE3", "CPE8")
def test_member_without_certification_gets_a_certificate(kept: Kept) -> None:
    assert not [claim for claim in kept.claims if claim.startswith("claim/plain/")]
    certificates = [letter for letter in kept.letters if letter.engagement_id == "plain"]
    assert sorted(letter.role for letter in certificates) == ["mentee", "mentor"]
    assert not [
        letter for letter in kept.letters if (letter.engagement_id, letter.kind) == ("met", "certificate")
    ]


PLAY.pair("fresh", {}, {})
PLAY.member("mfresh", "2035-08-30T10:17", **holds("PCI"))


@pytest.mark.rule("CPE3", "CPE7")
def test_certification_obtained_before_the_gate_opens_a_claim(kept: Kept) -> None:
    assert kept.statuses("claim/fresh/mentor/PCI") == [
        ("2035-08-30T10:17", "precheck"),
        ("2035-09-14T09:00", "awaiting_evidence"),
        ("2035-11-13T17:00", "evidence_missing"),
    ]


PLAY.pair("gone", holds("CPP"), {})
PLAY.staff("2035-09-05T10:27", "cancel", "engagement/gone")


@pytest.mark.rule("ENG6", "CPE1")
def test_cancelled_engagement_cancels_its_claims_without_mail(kept: Kept) -> None:
    assert kept.statuses("claim/gone/mentor/CPP")[-1] == ("2035-09-05T10:27", "canceled")
    assert not [survey for survey in kept.surveys if survey.startswith("survey/gone/")]


PLAY.pair("paused", holds("CPP"), {})
PLAY.staff("2035-08-20T10:37", "pause", "engagement/paused")
PLAY.staff("2035-08-30T10:38", "resume", "engagement/paused")


@pytest.mark.rule("ENG11", "CPE1")
def test_pause_moves_the_gate_by_its_days(kept: Kept) -> None:
    assert kept.statuses("claim/paused/mentor/CPP")[1] == ("2035-09-24T09:00", "awaiting_evidence")


PLAY.at(
    "2035-09-25T10:33",
    "survey.answered",
    engagement="met",
    by="mentee-nmet",
    answers={"goals_met": "yes", "mentor_helped": True, "expectations_met": True, "rating": 4},
)
PLAY.at(
    "2035-09-27T10:34",
    "survey.answered",
    engagement="met",
    by="mentee-nmet",
    answers={"goals_met": "yes", "mentor_helped": True, "expectations_met": True, "rating": 5},
)
PLAY.at("2035-11-05T10:35", "survey.answered", engagement="met", by="mentor-mmet", answers={"rating": 3})


@pytest.mark.rule("SUR1", "SUR2", "SUR3")
def test_survey_answer_stops_reminders_and_can_be_replaced(kept: Kept) -> None:
    survey = "survey/met/mentee"
    assert kept.played.mails(survey) == [
        ("2035-09-18T10:00", "mentee.survey 1"),
        ("2035-09-21T10:00", "mentee.survey 2"),
    ]
    assert [state for _, state in kept.played.states(survey)] == ["open", "answered"]
    assert kept.surveys[survey].answers["rating"] == 5
    assert kept.surveys[survey].closed_at == instant("2035-10-14T17:00")


@pytest.mark.rule("SUR2")
def test_unanswered_survey_gets_three_reminders_and_closes(kept: Kept) -> None:
    survey = "survey/met/mentor"
    assert [name for _, name in kept.played.mails(survey)] == [
        f"mentor.survey {number}" for number in (1, 2, 3, 4)
    ]
    assert kept.played.states(survey)[-1] == ("2035-10-14T17:00", "closed")
    assert kept.surveys[survey].answers == {}
    assert any(event == "survey.answered" for _, event, _ in kept.played.refusals("engagement/met"))


@pytest.mark.rule("SUR2", "ENG7")
def test_engagement_ended_by_one_party_surveys_both(kept: Kept) -> None:
    assert kept.played.mails("survey/just/mentor")[0] == ("2035-09-17T09:00", "mentor.survey 1")
    assert kept.played.mails("survey/just/mentee")[0] == ("2035-09-17T09:00", "mentee.survey 1")
