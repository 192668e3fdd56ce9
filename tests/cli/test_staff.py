"""Acts of staff before they are done, tasks, and what the commands tell about people."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from database import audit, ledger
from database.models import AuditRecord, Member, Message, Task
from database.tasks import open_task
from rules import onboarding
from rules.calendar import add_months
from tests.support.cli import CliFixture


@pytest.mark.rule("STA1", "ONB5")
async def test_cancel_preview_names_each_message_and_changes_nothing(cli: CliFixture) -> None:
    said = await cli.throughline("staff", "cancel", "onboarding/p-ana", "--preview", "--json")
    assert (said.status, said.err) == (0, "")
    assert said.json["state"] == "canceled"
    assert [(each["change"], each["message"], each["number"]) for each in said.json["changes"]] == [
        ("not_sent", "mentee.checkin", number) for number in (1, 2, 3, 4)
    ]
    assert all(each["was"].endswith(":00:00-05:00") for each in said.json["changes"])
    assert {message.state for message in await cli.all(Message)} == {"planned"}
    assert not [record for record in await cli.all(AuditRecord) if record.kind == "act"]


@pytest.mark.rule("STA1", "ONB5")
async def test_extend_preview_shows_added_messages_and_dates(cli: CliFixture) -> None:
    arguments = ("staff", "extend", "onboarding/p-ana", "--check-ins", "2", "--preview")
    said = await cli.throughline(*arguments, "--json")
    added = said.json["changes"]
    assert [(each["change"], each["number"]) for each in added] == [("added", 5), ("added", 6)]
    first, second = (datetime.fromisoformat(each["due"]) for each in added)
    assert (first.hour, second.hour) == (9, 9)
    assert second - first >= timedelta(days=13)
    people = await cli.throughline(*arguments)
    assert "onboarding/p-ana would be waiting." in people.out
    assert "mentee.checkin 6" in people.out
    assert "Ana (p-ana)" in people.out


@pytest.mark.rule("STA1", "ONB5")
async def test_pause_preview_shows_held_messages_and_resume_new_dates(
    cli: CliFixture,
) -> None:
    said = await cli.throughline("staff", "pause", "onboarding/p-ana", "--preview", "--json")
    assert said.json["state"] == "paused"
    assert [(each["change"], each["due"]) for each in said.json["changes"]] == [("moved", None)] * 4
    facts = onboarding.OnboardingFacts("p-ana", "mentee", cli.now - timedelta(days=1))
    await cli.plan(onboarding.pause(facts, "staff", cli.now - timedelta(hours=1)))
    said = await cli.throughline("staff", "resume", "onboarding/p-ana", "--preview", "--json")
    assert said.json["state"] == "waiting"
    assert len(said.json["changes"]) == 4
    assert all(each["was"] is None and each["due"] for each in said.json["changes"])


@pytest.mark.rule("REQ9", "STA1")
async def test_extend_preview_of_a_request_shows_moved_deadlines(cli: CliFixture) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    said = await cli.throughline(
        "staff", "extend", "request/r-1", "--business-days", "3", "--preview", "--json"
    )
    moved = [each for each in said.json["changes"] if each["change"] == "moved"]
    assert "mentor.request_reminder" in {each["message"] for each in moved}
    assert all(datetime.fromisoformat(each["due"]) > datetime.fromisoformat(each["was"]) for each in moved)


@pytest.mark.rule("ENG6", "STA1")
async def test_end_and_extend_previews_of_an_engagement_show_changes(cli: CliFixture) -> None:
    await cli.engage("r-1", "p-ana", "p-bob")
    said = await cli.throughline("staff", "extend", "engagement/r-1", "--months", "2", "--preview", "--json")
    assert {"mentor.extended", "mentee.extended"} <= {
        each["message"] for each in said.json["changes"] if each["change"] == "added"
    }
    assert {"mentor.wrap_up", "mentee.wrap_up"} <= {
        each["message"] for each in said.json["changes"] if each["change"] == "moved"
    }
    said = await cli.throughline(
        "staff", "end", "engagement/r-1", "--reason", "goals_met", "--preview", "--json"
    )
    assert said.json["state"] == "completed"


@pytest.mark.rule("SUR2", "CPE7", "STA1")
async def test_cancel_preview_of_a_survey_and_a_claim_shows_changes(cli: CliFixture) -> None:
    await cli.engage("r-1", "p-ana", "p-bob")
    await cli.survey("r-1", "p-ana", "mentee")
    await cli.claim("r-1", "p-bob", "p-ana", "mentor", "CPP")
    for target in ("survey/r-1/mentee", "claim/r-1/mentor/CPP"):
        said = await cli.throughline("staff", "cancel", target, "--preview", "--json")
        assert (said.status, said.err) == (0, "")
        assert said.json["state"] == "canceled"
        assert {each["change"] for each in said.json["changes"]} == {"not_sent"}
        shown = await cli.throughline("show", target, "--json")
        assert shown.json["ahead"]
        assert shown.json["state"] != "canceled"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("resume", "onboarding/p-ana", "--preview"), 1, "onboarding/p-ana: it is not paused by staff"),
        (("extend", "onboarding/p-bob", "--check-ins", "1", "--preview"), 1, "only a mentee's onboarding"),
        (("cancel", "onboarding/p-none", "--preview"), 1, "there is no onboarding/p-none"),
        (("extend", "onboarding/p-ana"), 2, "--check-ins"),
        (("extend", "request/r-1", "--months", "2"), 2, "--business-days"),
        (("extend", "engagement/r-1", "--months", "2", "--end", "2030-01-01"), 2, "--months or --end"),
        (("pause", "request/r-1"), 2, "onboarding/… or engagement/…"),
        (("end", "onboarding/p-ana", "--reason", "other"), 2, "engagement/…"),
        (("end", "engagement/r-1", "--reason", "bored"), 2, "goals_met"),
        (("revoke", "survey/r-1/mentor"), 2, "claim/…"),
    ],
)
async def test_refused_staff_act_is_one_clear_line(
    cli: CliFixture, arguments: tuple[str, ...], status: int, words: str
) -> None:
    said = await cli.throughline("staff", *arguments)
    assert said.status == status
    assert words in said.err
    assert said.out == ""
    assert status == 2 or len(said.err.splitlines()) == 1


@pytest.mark.rule("STA2", "STA3")
async def test_tasks_are_listed_snoozed_done_and_dismissed_on_record(
    cli: CliFixture,
) -> None:
    async with cli.database.begin() as session:
        for number in (1, 2, 3):
            await open_task(
                session, "inactive", "engagement/r-1", f"cause {number}", "Write to both.", cli.now
            )
    listed = (await cli.throughline("task", "list", "--json")).lines
    tasks = [each["id"] for each in listed if each["task"] == "inactive"]
    assert len(tasks) == 3
    assert {each["action"] for each in listed if each["id"] in tasks} == {"Write to both."}

    act = ("--actor", "lina", "--note", "called them")
    assert (await cli.throughline("task", "done", str(tasks[0]), *act)).status == 0
    assert (await cli.throughline("task", "dismiss", str(tasks[1]), *act)).status == 0
    until = (cli.now + timedelta(days=9)).date()
    assert (await cli.throughline("task", "snooze", str(tasks[2]), "--until", str(until), *act)).status == 0
    left = (await cli.throughline("task", "list", "--json")).lines
    assert not {each["id"] for each in left} & set(tasks)
    everything = {
        each["id"]: each for each in (await cli.throughline("task", "list", "--all", "--json")).lines
    }
    assert [everything[task]["state"] for task in tasks] == ["done", "dismissed", "snoozed"]
    assert everything[tasks[0]]["closed_by"] == "lina"
    assert everything[tasks[2]]["due"].startswith(f"{until}T00:00:00")
    acts = [record for record in await cli.all(AuditRecord) if record.kind == "act"]
    assert [(record.data["act"], record.actor, record.veiled) for record in acts] == [
        ("task done", "lina", {"reason": "called them"}),
        ("task dismissed", "lina", {"reason": "called them"}),
        ("task snoozed", "lina", {"reason": "called them"}),
    ]


@pytest.mark.rule("STA2")
async def test_task_closes_once_and_snoozes_only_to_a_later_day(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        await open_task(session, "inactive", "engagement/r-1", "cause", "Write to both.", cli.now)
    task = next(each.id for each in await cli.all(Task) if each.kind == "inactive")
    past = await cli.throughline("task", "snooze", str(task), "--until", "2020-01-01")
    assert (past.status, past.err) == (1, "a task is put off to a later day\n")
    await cli.throughline("task", "done", str(task))
    again = await cli.throughline("task", "done", str(task))
    assert (again.status, again.err) == (1, f"task {task} is done already\n")
    none = await cli.throughline("task", "done", "999")
    assert (none.status, none.err) == (1, "there is no task 999\n")


async def test_show_prints_state_schedule_and_history_in_recipient_time(cli: CliFixture) -> None:
    said = await cli.throughline("show", "onboarding/p-ana", "--json")
    assert said.status == 0, said.err
    assert said.json["state"] == "waiting"
    assert said.json["people"] == {"profile": "Ana (p-ana)"}
    assert [
        (each["name"] if "name" in each else each["message"], each["number"]) for each in said.json["ahead"]
    ] == [("mentee.checkin", number) for number in (1, 2, 3, 4)]
    assert all("T09:00:00-05:00" in each["due"] for each in said.json["ahead"])
    assert [(each["what"], each["why"]) for each in said.json["happened"]] == [
        ("onboarding is waiting", "the profile was created")
    ]
    people = await cli.throughline("show", "onboarding/p-ana")
    assert "09:00 -05" in people.out
    assert "mentee.checkin 4" in people.out


@pytest.mark.rule("STA3", "MAIL1")
async def test_untrusted_text_is_escaped_for_the_terminal(cli: CliFixture) -> None:
    wicked = "\x1b]0;mine\x07\x1b[2J\u202eevil\x9b31m\x85"
    await cli.add_member("eve")
    await cli.sign_up("p-eve", "eve")
    async with cli.database.begin() as session:
        (await session.get_one(Member, "eve")).name = f"Eve {wicked}"
        done, why = {"act": "pause"}, {"reason": wicked}
        await audit.append(session, "onboarding/p-eve", "act", cli.now, done, actor=wicked, veiled=why)
        for row in await session.scalars(select(Message).where(Message.workflow == "onboarding/p-eve")):
            row.trouble = row.reason = row.subject = wicked
    for command in (
        ("show", "onboarding/p-eve"),
        ("show", "member/eve"),
        ("why", "eve"),
        ("mail", "log", "--member", "eve"),
    ):
        for arguments in (command, (*command, "--json")):
            said = await cli.throughline(*arguments)
            assert said.status == 0, said.err
            assert "mine" in said.out
            assert not set(said.out) & set("\x1b\x07\u202e\x9b\x85"), arguments
    shown = (await cli.throughline("show", "onboarding/p-eve", "--json")).json
    assert shown["people"]["profile"] == f"Eve {wicked} (p-eve)"
    refused = await cli.throughline("show", f"request/{wicked}")
    assert not set(refused.err) & set("\x1b\x07\u202e\x9b\x85")


@pytest.mark.rule("REQ3", "REQ4", "REQ8")
async def test_show_of_a_request_uses_the_clocks_of_both_parties(cli: CliFixture) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    said = await cli.throughline("show", "request/r-1", "--json")
    assert [(each["kind"], each["what"], each["of"]) for each in said.json["coming"]] == [
        ("state", "past_due", "request/r-1"),
        ("task", "request_unanswered", "request/r-1"),
        ("state", "expired", "request/r-1"),
    ]
    past_due = said.json["coming"][0]
    assert past_due["why"] == "the mentor did not answer in time"
    clocks = {role: datetime.fromisoformat(at) for role, at in past_due["local"].items()}
    assert clocks["mentee"] == clocks["mentor"] == datetime.fromisoformat(past_due["due"])
    assert (clocks["mentor"].hour, clocks["mentee"].utcoffset()) == (17, timedelta(hours=-5))
    assert {tuple(each["local"]) for each in said.json["ahead"]} == {("mentee", "mentor")}
    people = await cli.throughline("show", "request/r-1")
    assert "Bob (p-bob), on the clock of Europe/Madrid" in people.out
    heading = next(line for line in people.out.splitlines() if line.startswith("mentee, Bogota"))
    assert "mentor, Madrid" in heading
    rows = [line for line in people.out.splitlines() if "past_due" in line]
    assert [row.count("17:00 CE") for row in rows] == [1, 1]


@pytest.mark.rule("ENG9", "CPE1", "CPE7", "SUR2")
async def test_show_prints_gate_deadline_and_end_of_claim_and_survey(cli: CliFixture) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    await cli.engage("r-1", "p-ana", "p-bob")
    await cli.claim("r-1", "p-bob", "p-ana", "mentor", "CPP")
    await cli.survey("r-1", "p-bob", "mentor")
    engagement = (await cli.throughline("show", "engagement/r-1", "--json")).json
    today = cli.now.astimezone(ZoneInfo("America/New_York")).date()
    assert engagement["started"] == today.isoformat()
    assert engagement["planned_end"] == engagement["credit_gate"] == add_months(today, 6).isoformat()
    assert [each["what"] for each in engagement["coming"]][-1] == "completed"
    claim = (await cli.throughline("show", "claim/r-1/mentor/CPP", "--json")).json
    assert claim["people"] == {"claimant": "Bob (p-bob)", "signer": "Ana (p-ana)"}
    assert [each["what"] for each in claim["coming"]] == [
        "awaiting_evidence",
        "evidence_missing",
        "evidence_missing",
    ]
    assert [each["kind"] for each in claim["coming"]] == ["state", "task", "state"]
    survey = (await cli.throughline("show", "survey/r-1/mentor", "--json")).json
    assert [(each["kind"], each["what"]) for each in survey["coming"]] == [("state", "closed")]
    member = (await cli.throughline("show", "member/bob", "--json")).json
    assert {each["of"] for each in member["coming"]} == {
        "request/r-1",
        "engagement/r-1",
        "claim/r-1/mentor/CPP",
        "survey/r-1/mentor",
    }


@pytest.mark.parametrize(
    "target",
    [
        "member/ana",
        "profile/p-ana",
        "request/r-1",
        "engagement/r-1",
        "onboarding/p-bob",
        "claim/r-1/mentor/CPP",
        "survey/r-1/mentor",
    ],
)
async def test_show_works_for_every_kind_of_target(cli: CliFixture, target: str) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    await cli.engage("r-1", "p-ana", "p-bob")
    await cli.claim("r-1", "p-bob", "p-ana", "mentor", "CPP")
    await cli.survey("r-1", "p-bob", "mentor")
    said = await cli.throughline("show", target, "--json")
    assert said.status == 0, said.err
    assert said.json["target"] == target
    assert said.json["ahead"]
    people = await cli.throughline("show", target)
    assert people.status == 0, people.err
    assert target in people.out


@pytest.mark.parametrize(
    ("target", "status"), [("onboarding/p-none", 1), ("member/none", 1), ("none", 1), ("x/y", 2), ("", 2)]
)
async def test_show_of_an_unknown_target_fails(cli: CliFixture, target: str, status: int) -> None:
    said = await cli.throughline("show", target)
    assert (said.status, said.out) == (status, "")
    assert status == 2 or said.err == f"there is no {target.replace('member/', 'member ')}\n"


async def test_a_bare_name_is_found_where_nothing_else_has_it(cli: CliFixture) -> None:
    await cli.request("r-1", "p-ana", "p-bob")
    for name, target in (("ana", "member/ana"), ("p-ana", "profile/p-ana"), ("r-1", "request/r-1")):
        said = await cli.throughline("show", name, "--json")
        assert said.json["target"] == target
    await cli.engage("r-1", "p-ana", "p-bob")
    several = await cli.throughline("show", "r-1")
    assert (several.status, several.err) == (1, "r-1 is request/r-1 or engagement/r-1: name one of them\n")
    await cli.add_member("m-7")
    async with cli.database.begin() as session:
        (await session.get_one(Member, "m-7")).name = "Zoe Quiroga"
    assert (await cli.throughline("show", "zoe quiroga", "--json")).json["target"] == "member/m-7"
    for name in ("ana", "member/ana", "p-ana", "profile/p-ana", "Ana"):
        said = await cli.throughline("why", name, "--json")
        assert {each["to"] for each in said.lines} == {"p-ana"}, name


async def test_a_member_is_shown_on_one_clock(cli: CliFixture) -> None:
    """Times without a zone beside them would be read on the clock that the heading names."""
    await cli.add_member("kim", time_zone="America/Chicago", country="US")
    await cli.sign_up("p-kim", "kim")
    said = await cli.throughline("show", "member/kim")
    assert "on the clock of America/Chicago" in said.out
    since = (cli.now - timedelta(days=1)).astimezone(ZoneInfo("America/Chicago"))
    row = next(line for line in said.out.splitlines() if line.startswith("onboarding/p-kim"))
    assert f"{since:%Y-%m-%d %H:%M %Z}" in row


async def test_next_change_is_the_next_mail_where_that_comes_first(cli: CliFixture) -> None:
    member = (await cli.throughline("show", "member/ana", "--json")).json
    onboarding = (await cli.throughline("show", "onboarding/p-ana", "--json")).json
    first = member["ahead"][0]["due"]
    assert datetime.fromisoformat(onboarding["next"]) == datetime.fromisoformat(first)
    assert onboarding["next"] == member["lifecycles"][0]["next"]


async def test_no_id_is_cut_in_a_narrow_terminal(cli: CliFixture) -> None:
    """The next command needs it whole."""
    name = "request-of-a-sender-with-long-ids-0123456789"
    await cli.request(name, "p-ana", "p-bob")
    await cli.engage(name, "p-ana", "p-bob")
    await cli.claim(name, "p-bob", "p-ana", "mentor", "CPP")
    for command in (("show", "member/bob"), ("why", "bob")):
        said = await cli.throughline(*command, COLUMNS="80")
        assert f"claim/{name}/mentor/CPP" in said.out.split(), command


@pytest.mark.rule("MAIL1")
async def test_why_explains_every_message_of_a_member(cli: CliFixture) -> None:
    facts = onboarding.OnboardingFacts("p-ana", "mentee", cli.now - timedelta(days=1))
    await cli.plan(onboarding.end(facts, "canceled", cli.now, "cancelled by staff: moved away", "lina"))
    said = await cli.throughline("why", "ana", "--json")
    assert [(each["message"], each["state"], each["reason"]) for each in said.lines] == [
        ("mentee.checkin", "cancelled", "cancelled by staff: moved away")
    ] * 4
    assert "moved away" in (await cli.throughline("why", "ana", "checkin")).out
    other = await cli.throughline("why", "ana", "mentee.match")
    assert "No mentee.match was ever planned for ana." in other.out
    assert "canceled" in other.out


@pytest.mark.rule("MAIL1", "ONB2")
async def test_why_and_show_name_the_rule_and_the_arithmetic(cli: CliFixture) -> None:
    anchor = (cli.now - timedelta(days=1)).astimezone(ZoneInfo("America/Bogota")).date() + timedelta(days=7)
    second = anchor + timedelta(days=14)
    words = f"ONB2: 14 days after {anchor.day} {anchor:%B} is {second:%a} {second.day} {second:%B}"
    planned = (await cli.throughline("why", "ana", "--json")).lines
    assert [each["rule"] for each in planned] == ["ONB2"] * 4
    assert planned[1]["day"].startswith(words)
    assert planned[1]["why"] == planned[1]["day"]
    shown = await cli.throughline("show", "onboarding/p-ana", "--json")
    assert shown.json["ahead"][1]["why"].startswith(words)
    assert words in " ".join((await cli.throughline("why", "ana")).out.split())
    assert "planned: planned" not in (await cli.throughline("show", "onboarding/p-ana")).out


async def test_why_refuses_unknown_members_and_messages(cli: CliFixture) -> None:
    nobody = await cli.throughline("why", "nobody")
    assert (nobody.status, nobody.err) == (1, "there is no member nobody\n")
    nothing = await cli.throughline("why", "ana", "mentee.chekin")
    assert nothing.status == 2
    assert "did you mean mentee.checkin?" in nothing.err


@pytest.mark.rule("MAIL1")
async def test_mail_log_filters_by_member_message_state_and_day(cli: CliFixture) -> None:
    async def keys(*filters: str) -> list[tuple[str, int | None]]:
        said = await cli.throughline("mail", "log", "--json", *filters)
        assert said.status == 0, said.err
        return [(each["message"], each["number"]) for each in said.lines]

    assert len(await keys()) == 5
    assert await keys("--member", "bob") == [("mentor.welcome", None)]
    assert len(await keys("--message", "mentee.checkin")) == 4
    assert await keys("--state", "sent") == []
    after = (cli.now.astimezone(ZoneInfo("America/Bogota")) + timedelta(days=40)).date()
    assert await keys("--since", str(after)) == [("mentee.checkin", 4)]
    assert (await cli.throughline("mail", "log", "--state", "lost")).status == 2


@pytest.mark.rule("MAIL2", "MAIL3", "STA3")
async def test_resend_plans_one_copy_that_no_agenda_changes(cli: CliFixture) -> None:
    rows = await cli.all(Message)
    first = next(row for row in rows if row.number == 1)
    async with cli.database.begin() as session:
        row = await ledger.locked(session, "onboarding/p-ana", "check-in/1")
        assert row is not None
        await ledger.decide(session, row, "failed", "the content was refused (554)", cli.now)
        await audit.append(session, "onboarding/p-ana", "note", cli.now, {})
    async with cli.database.begin() as session:
        copy = await ledger.copy(session, first.delivery, "lina", "corrected", cli.now)
    async with cli.database.begin() as session:
        again = await ledger.copy(session, first.delivery, "lina", "corrected", cli.now)
    assert again.id == copy.id
    assert (copy.step, copy.occurrence, copy.due_at, copy.delivery != first.delivery) == (
        "check-in",
        ledger.FIRST_RESEND_OCCURRENCE,
        cli.now,
        True,
    )
    facts = onboarding.OnboardingFacts("p-ana", "mentee", cli.now - timedelta(days=1))
    await cli.plan(replace(onboarding.end(facts, "matched", cli.now, "matched"), first_decided_at=cli.now))
    states = {(row.step, row.occurrence): row.state for row in await cli.all(Message)}
    assert states["check-in", ledger.FIRST_RESEND_OCCURRENCE] == "planned"
    assert states["check-in", 2] == "cancelled"
    async with cli.database.begin() as session:
        with pytest.raises(ValueError, match="only what is ambiguous, failed, skipped is sent again"):
            await ledger.copy(session, copy.delivery, "lina", "", cli.now)
