"""Credit on odd dates, played through the real workflows: what comes too early, too late, twice, and all at once."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from activities.claims import ClaimActivities, PlanClaim
from database.models import Claim, Event, Letter, Task
from embedded.stack import EmbeddedStack, StackOptions, embedded_stack
from lifecycles.facts import facts_from_row
from lifecycles.timeline import timeline
from rules.credit import ClaimFacts
from tests.embedded.test_credit_rehearsal import CreditPlay, Kept, holds
from tests.support.rehearsals import NEW_YORK, Played, instant, when
from worker.assembly import DOCUMENTS, load_programs

PLAY = CreditPlay("2035-03-01T09:30", "2035-11-16T12:00")
PSP = "Physical Security Assessment"


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The play of this module."""
    return await PLAY.keep(tmp_path_factory.mktemp("mail"))


PLAY.pair("soon", holds("CPP"), holds("PSP"))
PLAY.confirm("2035-05-02T16:21", "soon")
PLAY.write("2035-05-03T16:22", "soon", purpose="To lead a first site survey.", domains=[PSP])
PLAY.at(
    "2035-05-04T16:23",
    "claim.domains_chosen",
    engagement="soon",
    by="mentor-msoon",
    certification="CPP",
    domains=["Crisis Management"],
)


@pytest.mark.rule("CPE5", "CPE6", "CPE7")
@pytest.mark.parametrize(("role", "code"), [("mentor", "CPP"), ("mentee", "PSP")])
def test_letter_signed_before_the_precheck_counts_at_the_gate(kept: Kept, role: str, code: str) -> None:
    claim = f"claim/soon/{role}/{code}"
    assert kept.statuses(claim) == [("2035-08-14T09:00", "precheck"), ("2035-09-14T09:00", "ready")]
    assert kept.played.names(claim) == [f"{role}.credit_precheck", f"{role}.credit_ready"]
    assert not kept.played.refusals("engagement/soon")
    letter = kept.letter_of(claim)
    assert when({"at": letter.signed_at.isoformat()})[:10] in ("2035-05-02", "2035-05-03")
    assert kept.claims[claim].decision["inputs"]["signed_at"] == letter.signed_at.isoformat()
    assert letter.data["retained_until"] == "2040-12-31"


@pytest.mark.rule("CPE7")
def test_domains_chosen_before_the_precheck_are_kept(kept: Kept) -> None:
    (domain,) = kept.claims["claim/soon/mentor/CPP"].domains
    assert kept.claims["claim/soon/mentor/CPP"].decision["domain_names"][domain]["en"] == "Crisis Management"


PLAY.pair("unfit", holds("CPP"), holds("PSP", "PCI"))
PLAY.confirm("2035-05-02T10:01", "unfit", signs="Somebody Else")
PLAY.confirm("2035-05-02T10:02", "unfit", mentee="mentor-munfit")
PLAY.write("2035-05-02T10:03", "unfit", purpose="To learn.", domains=[PSP, "Nonsense"])
PLAY.write("2035-05-02T10:04", "unfit", certification="PSP", purpose="x", domains=["Case Presentation"])
PLAY.write("2035-05-02T10:05", "unfit", certification="CPP", purpose="To learn.", domains=[PSP])


@pytest.mark.rule("CPE5", "CPE6", "CPE8")
def test_early_letter_that_can_never_count_is_refused_at_once(kept: Kept) -> None:
    assert [reason for _, _, reason in kept.played.refusals("engagement/unfit")] == [
        "the name typed is not the name on record; please type your own full name",
        "only the mentee of this engagement can sign this letter",
        "neither PSP nor PCI has a domain Nonsense",
        "PSP has no domain Case Presentation",
        "there is no claim for the mentee's credit that this letter could prove",
    ]
    assert "event_unapplied" in [kind for _, kind in kept.played.tasks("engagement/unfit")]


PLAY.pair("ended", holds("CPP"), {})
PLAY.confirm("2035-05-02T11:01", "ended")
PLAY.at("2035-07-02T11:02", "engagement.ended", engagement="ended", by="mentee-nended", reason="no_time")


@pytest.mark.rule("CPE1", "STA2")
def test_early_letter_without_a_claim_opens_a_staff_task(kept: Kept) -> None:
    """The engagement ends before its claim opens."""
    assert [reason for _, _, reason in kept.played.refusals("engagement/ended")] == [
        "there is no claim for the mentor's credit that this letter could prove"
    ]
    assert "event_unapplied" in [kind for _, kind in kept.played.tasks("engagement/ended")]


PLAY.pair("held", holds("CPP"), {})
PLAY.confirm("2035-05-02T12:01", "held")
PLAY.staff("2035-07-20T12:02", "pause", "engagement/held")
PLAY.staff("2035-08-29T12:03", "resume", "engagement/held")


@pytest.mark.rule("CPE1", "CPE5", "ENG11")
def test_forty_day_pause_moves_the_gate_and_its_early_letter(kept: Kept) -> None:
    claim = "claim/held/mentor/CPP"
    assert kept.statuses(claim) == [("2035-09-23T09:00", "precheck"), ("2035-10-24T09:00", "ready")]
    assert kept.letter_of(claim).data["credit_date"] == kept.claims[claim].credit_date == "2035-10-24"


PLAY.pair("moved", holds("CPP"), {})
PLAY.confirm("2035-08-20T12:11", "moved")
PLAY.staff("2035-08-27T12:12", "pause", "engagement/moved")
PLAY.staff("2035-09-03T12:13", "resume", "engagement/moved")


@pytest.mark.rule("CPE1", "CPE8", "CPE11", "ENG11")
def test_letter_signed_before_the_gate_moved_keeps_its_statement(kept: Kept) -> None:
    claim, letter = kept.claims["claim/moved/mentor/CPP"], kept.letter_of("claim/moved/mentor/CPP")
    assert kept.statuses(claim.workflow)[-1] == ("2035-09-21T09:00", "ready")
    assert (claim.credit_date, letter.data["credit_date"]) == ("2035-09-21", "2035-09-14")
    assert "Unless it is paused or ends before then, it will on September 14, 2035" in letter.statement
    inputs = claim.decision["inputs"]
    assert (inputs["gate_on"], inputs["paused_days"], len(inputs["pauses"])) == ("2035-09-21", 7, 1)
    assert "had been active" in kept.letter_of("claim/twice/mentor/CPP").statement, "that one came after it"


PLAY.pair("blank", {}, holds("PSP"))
PLAY.write("2035-09-20T09:01", "blank", certification="PSP", purpose="\u200b \u00ad", domains=[PSP])


@pytest.mark.rule("CPE6", "CPE8")
def test_purpose_without_visible_text_is_refused(kept: Kept) -> None:
    assert [reason for _, _, reason in kept.played.refusals("engagement/blank")] == [
        "the letter has to state the purpose of the mentorship"
    ]


PLAY.pair("twice", holds("CPP"), {})
PLAY.confirm("2035-09-20T09:11", "twice")
PLAY.confirm("2035-09-20T09:12", "twice")


@pytest.mark.rule("CPE5", "CPE8")
def test_letter_signed_twice_is_one_letter(kept: Kept) -> None:
    assert kept.letter_of("claim/twice/mentor/CPP").signed_at == instant("2035-09-20T09:11")
    assert [reason for _, _, reason in kept.played.refusals("engagement/twice")] == [
        "this letter has already been signed"
    ]


PLAY.pair("late", holds("CPP"), {})
PLAY.confirm("2035-11-13T17:01", "late")


@pytest.mark.rule("CPE7")
def test_letter_signed_after_the_deadline_is_refused(kept: Kept) -> None:
    ((_, _, reason),) = kept.played.refusals("engagement/late")
    assert reason == "this claim got no letter in time; the program's staff can reopen it"
    assert not [letter for letter in kept.letters if letter.claim == "claim/late/mentor/CPP"]


PLAY.pair("longer", holds("CPP"), {}, months=6)
PLAY.confirm("2035-09-20T09:21", "longer")
PLAY.staff("2035-09-14T10:22", "extend", "engagement/longer", months=12)


@pytest.mark.rule("CPE1", "CPE2")
def test_extension_after_the_gate_gives_no_second_credit(kept: Kept) -> None:
    assert [claim for claim in kept.claims if "/longer/" in claim] == ["claim/longer/mentor/CPP"]
    assert kept.credits("claim/longer/mentor/CPP")[-1] == ("2035-09-20T09:21", "ready", 9, 9)


PLAY.pair("renewed", holds("CPP", cycle_start="2032-09-01", cycle_end="2035-08-31"), {})
PLAY.member("mrenewed", "2035-09-03T10:31", **holds("CPP", cycle_start="2035-09-01", cycle_end="2038-08-31"))
PLAY.confirm("2035-09-20T09:31", "renewed")


@pytest.mark.rule("CPE4")
def test_cycle_renewed_between_precheck_and_gate_decides(kept: Kept) -> None:
    claim = kept.claims["claim/renewed/mentor/CPP"]
    assert (claim.state, claim.cycle_start, claim.cycle_end) == ("ready", "2035-09-01", "2038-08-31")


PLAY.pair("renews", holds("CPP", cycle_start="2032-09-21", cycle_end="2035-09-20"), {}, months=6)
PLAY.member("mrenews", "2035-09-21T10:42", **holds("CPP", cycle_start="2035-09-21", cycle_end="2038-09-20"))
PLAY.confirm("2035-09-25T16:26", "renews")
PLAY.pair("resigned", holds("CPP"), {}, months=6)
PLAY.member("mresigned", "2035-09-21T10:43", certifications=[])
PLAY.confirm("2035-09-25T16:27", "resigned")


@pytest.mark.rule("CPE4", "CPE8")
@pytest.mark.parametrize(
    ("name", "cycle"),
    [
        ("renews", {"start": "2032-09-21", "end": "2035-09-20"}),
        ("resigned", {"start": "2034-01-01", "end": "2036-12-31"}),
    ],
)
def test_letter_signed_after_a_record_change_states_the_gates_cycle(
    kept: Kept, name: str, cycle: dict[str, str]
) -> None:
    claim = kept.claims[f"claim/{name}/mentor/CPP"]
    assert (claim.state, claim.credit_date) == ("ready", "2035-09-14")
    assert {"start": claim.cycle_start, "end": claim.cycle_end} == cycle
    assert kept.letter_of(claim.workflow).data["cycle"] == cycle


PLAY.pair("lost", holds("CPP"), {}, months=6)
PLAY.member("mlost", "2035-08-20T10:44", certifications=[])


@pytest.mark.rule("CPE3")
def test_certification_lost_before_the_gate_gives_a_certificate(kept: Kept) -> None:
    """The member gets a certificate of completion instead of credit."""
    assert kept.statuses("claim/lost/mentor/CPP")[-1] == ("2035-09-14T09:00", "not_eligible")
    assert ("2035-09-17T09:00", "mentor.completed") in kept.played.mails("engagement/lost")
    assert "mentor" in [letter.role for letter in kept.letters if letter.engagement_id == "lost"]


PLAY.pair("which", {}, holds("PSP", "CPP"), months=6)
PLAY.write("2035-09-20T16:28", "which", purpose="To lead.", domains=["Crisis Management", PSP])
PLAY.write("2035-09-20T16:29", "which", purpose="To lead.", domains=[PSP])
PLAY.write("2035-09-20T16:30", "which", purpose="To lead.", domains=[PSP, "Nonsense"])
PLAY.pair("whichsoon", {}, holds("PSP", "CPP"), months=6)
PLAY.write("2035-05-03T16:30", "whichsoon", purpose="To lead.", domains=["Crisis Management"])
PLAY.write("2035-05-03T16:31", "whichsoon", purpose="To lead.")


@pytest.mark.rule("CPE6")
def test_letter_without_a_certification_serves_each_matching_claim(kept: Kept) -> None:
    """The domains of the letter name the certifications."""
    assert kept.statuses("claim/which/mentee/PSP")[-1] == ("2035-09-20T16:28", "ready")
    assert kept.statuses("claim/which/mentee/CPP")[-1] == ("2035-09-20T16:28", "ready")
    letters = [each for each in kept.letters if (each.engagement_id, each.role) == ("which", "mentee")]
    assert [each.data["domains"] for each in letters] == [["Crisis Management"], [PSP]]
    assert kept.statuses("claim/whichsoon/mentee/CPP")[-1] == ("2035-09-14T09:00", "ready")
    assert kept.statuses("claim/whichsoon/mentee/PSP")[-1] == ("2035-11-13T17:00", "evidence_missing")
    assert kept.played.refusals("engagement/which") == [
        ("2035-09-20T16:29", "letter.signed", "this letter has already been signed"),
        ("2035-09-20T16:30", "letter.signed", "neither CPP nor PSP has a domain Nonsense"),
    ]
    assert kept.played.refusals("engagement/whichsoon") == [
        ("2035-05-03T16:31", "letter.signed", "the letter has to name a domain of PSP or CPP")
    ]


PLAY.pair("both", holds("PSP", "CPP"), {})
PLAY.confirm("2035-09-25T16:40", "both")
PLAY.pair("rest", holds("PSP", "CPP"), {})
PLAY.confirm("2035-09-18T16:41", "rest", certification="CPP")


@pytest.mark.rule("CPE7", "MAIL1")
def test_claims_of_one_person_and_engagement_share_their_mails(kept: Kept) -> None:
    played, first, second = kept.played, "claim/both/mentor/CPP", "claim/both/mentor/PSP"
    assert played.mails(first) == [
        ("2035-08-14T09:00", "mentor.credit_precheck"),
        ("2035-09-14T09:00", "mentee.sign_confirmation 1"),
        ("2035-09-21T09:00", "mentee.sign_confirmation 2"),
        ("2035-09-25T16:40", "mentor.credit_ready"),
    ]
    assert played.mails(second) == []
    assert f"in one mail with {first}" in played.reasons(second)
    for message in ("mentor.credit_precheck", "mentee.sign_confirmation"):
        number = 1 if message.startswith("mentee") else None
        assert "PSP" in played.letter(first, message, number).text
    ready = played.letter(first, "mentor.credit_ready")
    attached = [part.get_filename() for part in ready.message.walk() if part.get_filename()]
    assert attached == ["letter-CPP.pdf", "letter-PSP.pdf"]
    for claim in (first, second):
        assert kept.statuses(claim)[-1] == ("2035-09-25T16:40", "ready")


@pytest.mark.rule("CPE7")
def test_letter_for_one_certification_leaves_the_rest_asked_for(kept: Kept) -> None:
    assert kept.statuses("claim/rest/mentor/CPP")[-1] == ("2035-09-18T16:41", "ready")
    assert kept.played.mails("claim/rest/mentor/PSP") == [
        (f"2035-{day}T09:00", f"mentee.sign_confirmation {number}")
        for number, day in ((2, "09-21"), (3, "09-28"), (4, "10-05"))
    ]
    assert kept.statuses("claim/rest/mentor/PSP")[-1] == ("2035-11-13T17:00", "evidence_missing")


@pytest.mark.rule("CPE7")
def test_letter_for_two_certifications_makes_one_mail(kept: Kept) -> None:
    names = kept.played.names("claim/which/mentee/CPP")
    assert names == ["mentee.credit_precheck", "mentee.credit_ready", "mentor.write_letter 1"]
    assert kept.played.names("claim/which/mentee/PSP") == []


PLAY.pair("reported", holds("CPP"), {}, months=6)
for minute, who in (("32", "mentee-nreported"), ("33", "mentor-mreported")):
    PLAY.at(
        f"2035-09-20T16:{minute}",
        "engagement.misconduct_reported",
        engagement="reported",
        by=who,
        text="Not what was agreed",
    )


@pytest.mark.rule("ENG8", "STA2")
def test_misconduct_reported_after_completion_reaches_staff(kept: Kept) -> None:
    mails = [mail for mail in kept.played.mails("engagement/reported") if mail[1] == "staff.misconduct"]
    tasks = [task for task in kept.played.tasks("engagement/reported") if task[1] == "misconduct"]
    assert [at for at, _ in mails] == [at for at, _ in tasks] == ["2035-09-20T16:32", "2035-09-20T16:33"]


PLAY.pair("tells", {}, {}, months=6)
PLAY.at(
    "2035-06-02T16:34", "survey.answered", engagement="tells", by="mentee-ntells", answers={"comment": "Good"}
)
PLAY.at("2035-09-14T16:30", "survey.answered", engagement="tells", by="mentor-mtells", answers={"rating": 4})


@pytest.mark.rule("SUR2", "SUR4")
def test_early_survey_answer_waits_or_becomes_feedback(kept: Kept) -> None:
    assert kept.played.refusals("engagement/tells") == []
    assert [(each.profile_id, each.text, each.given_at) for each in kept.feedback] == [
        ("mentee-ntells", "comment: Good", instant("2035-06-02T16:34"))
    ]
    assert kept.surveys["survey/tells/mentor"].answers == {"rating": 4}
    assert kept.played.mails("survey/tells/mentor") == []
    assert len(kept.played.mails("survey/tells/mentee")) == 4


PLAY.pair("elsewhere", {}, {}, months=6)
PLAY.act("2035-09-18T16:35", "survey/elsewhere/mentee", "answered")


@pytest.mark.rule("SUR2", "SUR3")
def test_plain_client_can_signal_a_survey_answered_elsewhere(kept: Kept) -> None:
    survey = kept.surveys["survey/elsewhere/mentee"]
    assert survey.answers == {}
    assert survey.answered_at
    assert [state for _, state in kept.played.states(survey.workflow)] == ["open", "answered"]
    assert kept.played.mails(survey.workflow) == [("2035-09-18T09:00", "mentee.survey 1")]


PLAY.pair("nonsense", {}, {}, months=6)
PLAY.at(
    "2035-09-18T10:01",
    "survey.answered",
    engagement="nonsense",
    by="mentee-nnonsense",
    answers={"rating": 9, "nps": 10},
)
PLAY.at(
    "2035-09-18T10:02",
    "survey.answered",
    engagement="nonsense",
    by="mentor-mnonsense",
    answers={"rating": 9, "goals_met": "partly"},
)


@pytest.mark.rule("SUR2")
def test_answer_in_which_nothing_is_valid_is_refused(kept: Kept) -> None:
    """What is valid in another answer is kept, and the rest of it is not."""
    ((at, event, reason),) = kept.played.refusals("engagement/nonsense")
    assert (at, event) == ("2035-09-18T10:01", "survey.answered")
    assert "rating: must be a whole number from 1 to 5, not 9" in reason
    assert len(kept.played.mails("survey/nonsense/mentee")) == 4
    assert kept.surveys["survey/nonsense/mentor"].answers == {"goals_met": "partly"}


PLAY.pair("after", {}, {})
PLAY.member("mafter", "2035-09-15T10:41", **holds("CPP"))


@pytest.mark.rule("CPE3")
def test_certification_obtained_after_the_gate_opens_no_claim(kept: Kept) -> None:
    assert not [claim for claim in kept.claims if "/after/" in claim]


BOTH = PLAY.mentor("both", **NEW_YORK, **holds("CPP", cycle_end="2036-02-29"))
LEARNER = PLAY.mentee("both")
PLAY.match("teaches", PLAY.mentee("bothlearner", **NEW_YORK), BOTH, "2035-03-14T11:17")
PLAY.match("learns", LEARNER, PLAY.mentor("bothteacher", **NEW_YORK), "2035-03-15T11:18")
PLAY.confirm("2035-09-20T09:41", "teaches", mentee="mentee-bothlearner")
PLAY.at(
    "2035-09-20T09:42",
    "letter.signed",
    engagement="learns",
    by="mentor-bothteacher",
    name="Bothteacher Vega",
    purpose="To learn.",
    domains=["Crisis Management"],
    **{"for": "mentee"},
)


@pytest.mark.rule("MEM5", "CPE9")
def test_mentor_and_mentee_credit_of_one_person_share_a_cycle(kept: Kept) -> None:
    assert kept.credits("claim/teaches/mentor/CPP")[-1][1:] == ("ready", 9, 9)
    assert kept.credits("claim/learns/mentee/CPP")[-1][1:] == ("ready", 5, 5)


PLAY.pair("lapse", holds("CPP"), {})
PLAY.member("mlapse", "2035-09-12T10:51", standing="lapsed")
PLAY.member("mlapse", "2035-10-05T10:52", standing="good")
PLAY.confirm("2035-09-20T10:53", "lapse")


@pytest.mark.rule("MEM2", "CPE7")
def test_standing_lapsed_at_the_gate_holds_the_credit(
    kept: Kept,
) -> None:
    """The standing returns three weeks later, and the credit follows."""
    claim = "claim/lapse/mentor/CPP"
    assert kept.statuses(claim) == [
        ("2035-08-14T09:00", "precheck"),
        ("2035-09-14T09:00", "awaiting_evidence"),
        ("2035-10-05T10:52", "ready"),
    ]
    assert kept.claims[claim].credit_date == "2035-09-14"
    assert kept.played.tasks(claim) == [("2035-09-14T09:00", "member_lapsed")]


START = CreditPlay("2035-08-20T09:30", "2036-08-31T12:00")
for name, day in (("august", "2035-08-31"), ("leap", "2036-02-29")):
    teacher = START.mentor(f"m{name}", **NEW_YORK, **holds("CPP"))
    START.match(name, START.mentee(f"n{name}", **NEW_YORK), teacher, f"{day}T23:07")


@pytest.fixture(scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The play of engagements that began at the ends of months."""
    return await START.keep(tmp_path_factory.mktemp("mail"))


@pytest.mark.rule("T3", "CPE1", "CPE7")
@pytest.mark.parametrize(
    ("name", "precheck", "gate"),
    [("august", "2036-01-31", "2036-02-29"), ("leap", "2036-07-29", "2036-08-29")],
)
def test_start_on_the_last_of_a_month_has_a_valid_gate_day(
    started: Kept, name: str, precheck: str, gate: str
) -> None:
    assert started.statuses(f"claim/{name}/mentor/CPP")[:2] == [
        (f"{precheck}T09:00", "precheck"),
        (f"{gate}T09:00", "awaiting_evidence"),
    ]


AWAY = CreditPlay("2035-03-01T09:30", "2035-09-13T12:00")
AWAY.pair("silent", holds("CPP"), {})


@pytest.mark.rule("CPE7", "CPE11")
async def test_statuses_due_while_the_worker_was_down_are_all_recorded() -> None:
    """The first plan after an outage of ten weeks finds two turns at once."""
    programs, late, claim = load_programs(Path("programs")), "2035-11-20T10:00", "claim/silent/mentor/CPP"
    async with embedded_stack(programs, Path("templates/mail"), Path("programs")) as ready:
        await play(AWAY, ready, AWAY.until)
        async with ready.database.reading() as session:
            facts = facts_from_row(ClaimFacts, (await session.get_one(Claim, claim)).facts)
        plans = ClaimActivities(ready.database, programs, ready.parts.letters)
        await plans.plan_claim(PlanClaim(claim, facts, instant(late)))
        rows = [row async for row in timeline(ready.database, "America/New_York", instant(late))]
    kept = Kept(Played(rows, [], AWAY.people))
    assert kept.statuses(claim) == [
        ("2035-08-14T09:00", "precheck"),
        (late, "awaiting_evidence"),
        (late, "evidence_missing"),
    ]
    assert kept.played.states(claim) == kept.statuses(claim)


BROKEN = CreditPlay("2035-03-01T09:30", "2035-09-18T12:00")
BROKEN.pair("signed", holds("CPP"), holds("PSP"))
BROKEN.confirm("2035-09-14T18:11", "signed")
BROKEN.confirm("2035-09-14T18:31", "signed")
BROKEN.pair("plain", {}, {}, months=6)
BROKEN.pair("early", {}, {}, months=9)
BROKEN.at("2035-09-14T13:00", "engagement.ended", engagement="early", by="mentor-mearly", reason="goals_met")


@pytest.mark.rule("CPE8", "STA2")
async def test_letter_that_fails_to_render_opens_one_task_and_is_retried(
    tmp_path: Path,
) -> None:
    """Nothing else waits for it: not the other claims, the survey, nor what comes in."""
    documents, mail = tmp_path / "documents", tmp_path / "mail"
    shutil.copytree(DOCUMENTS, documents)
    layouts = {file: file.read_text("utf-8") for file in documents.glob("*.typ")}
    mail.mkdir()
    async with embedded_stack(
        load_programs(Path("programs")),
        Path("templates/mail"),
        Path("programs"),
        StackOptions(mail_dir=mail, documents=documents),
    ) as ready:
        await play(BROKEN, ready, "2035-09-14T12:00")
        for file in layouts:
            file.write_text("#panic()", "utf-8")
        await play(BROKEN, ready, "2035-09-14T21:00")
        async with ready.database.reading() as session:
            tasks = [(task.kind, task.subject) for task in await session.scalars(select(Task))]
            claim = await session.get_one(Claim, "claim/signed/mentor/CPP")
            assert claim.state == "awaiting_evidence"
            (waiting,) = await session.scalars(select(Letter).where(Letter.claim == claim.workflow))
            assert waiting.document is None
            assert "confirm that" in waiting.statement
            reasons = [event.reason for event in await session.scalars(select(Event)) if event.reason]
        assert tasks.count(("letter_failed", "claim/signed/mentor/CPP")) == 1
        assert tasks.count(("letter_failed", "engagement/plain")) == 2, "two certificates"
        assert reasons == ["this letter has already been signed"]
        for file, layout in layouts.items():
            file.write_text(layout, "utf-8")
        await play(BROKEN, ready, BROKEN.until)
        rows = [row async for row in timeline(ready.database, "America/New_York", instant(BROKEN.until))]
        async with ready.database.reading() as session:
            made = {letter.kind: letter for letter in await session.scalars(select(Letter))}
    kept = Kept(Played(rows, [], BROKEN.people))
    assert made["confirmation"].signed_at == instant("2035-09-14T18:11")
    assert all(letter.document for letter in made.values())
    (at, ready_at) = kept.statuses("claim/signed/mentor/CPP")[-1]
    assert ready_at == "ready"
    assert "2035-09-14T21:00" <= at <= "2035-09-14T22:12"
    assert "mentor.credit_ready" in kept.played.names("claim/signed/mentor/CPP")
    sent = kept.played.names("engagement/plain")
    assert {"mentor.completed", "mentee.completed"} <= set(sent)
    assert not [name for name in sent if name.endswith(".certificate")]
    early = kept.played.mails("engagement/early")
    assert [(at, name) for at, name in early if at >= "2035-09-14T13"] == [
        ("2035-09-14T13:00", "mentee.completed"),
        ("2035-09-14T13:00", "mentor.completed"),
        ("2035-09-17T09:00", "mentee.certificate"),
        ("2035-09-17T09:00", "mentor.certificate"),
    ]
    assert kept.played.mails("survey/plain/mentor")[0] == ("2035-09-18T09:00", "mentor.survey 1")


async def play(what: CreditPlay, ready: EmbeddedStack, until: str) -> None:
    """Play on until a local time."""
    now = await ready.clock.now()
    for mark in sorted({event.at for event in what.events}):
        if now < mark <= instant(until):
            await ready.advance(mark)
            events = [
                (
                    event.type,
                    {"program": "asis-global", **event.data} if "profile.c" in event.type else event.data,
                )
                for event in what.events
                if event.at == mark
            ]
            await ready.send_events(mark, events)
    await ready.advance(instant(until))
    await ready.wait_idle()
    assert timedelta(0) <= await ready.clock.now() - instant(until) < timedelta(minutes=5)
