"""Events, programs, previews of mail, suppressed addresses, migrations: commands that need no Temporal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from database import ledger, mail_bodies, person_keys, suppressions
from database.key_ring import KeyRing
from database.models import AuditRecord, Message
from database.session import Database
from rules.events import EVENT_TYPES
from tests.support.cli import BUNDLED, ROOT, CliFixture
from tests.support.programs.brands import COLOUR, FOOTER, SVG, branded, full_brand
from tests.support.servers.capturing_smtp import CapturingSmtp


@pytest.mark.rule("MAIL3", "MAIL7", "STA3")
async def test_suppressions_are_listed_and_lifted_on_record(cli: CliFixture) -> None:
    async with cli.database.begin() as session:
        await suppressions.suppress(session, "ana@example.org", "hard", "no such mailbox", cli.now)
    listed = (await cli.throughline("mail", "suppressions", "list", "--json")).lines
    assert [(each["address"], each["kind"], each["reason"]) for each in listed] == [
        ("ana@example.org", "hard", "no such mailbox")
    ]
    lift = ("mail", "suppressions", "lift", "ana@example.org", "--actor", "lina", "--reason", "she wrote")
    assert (await cli.throughline(*lift)).status == 0
    assert (await cli.throughline("mail", "suppressions", "list")).out == "No address is suppressed.\n"
    acts = [record for record in await cli.all(AuditRecord) if record.kind == "act"]
    assert [(record.subject, record.actor) for record in acts] == [("member/ana", "lina")]
    assert "ana@example.org" not in json.dumps(acts[0].data)
    again = await cli.throughline(*lift)
    assert (again.status, again.err) == (1, "ana@example.org is not suppressed\n")


REPORT = b"""From: MAILER-DAEMON@mx.example.org
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; boundary=cut

--cut
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; ana@example.org
Action: %s
Status: %s
Diagnostic-Code: smtp; %s
--cut--
"""


@pytest.mark.rule("MAIL7", "MAIL10")
async def test_classify_prints_what_each_file_is_read_as(cli: CliFixture, tmp_path: Path) -> None:
    contents = {
        "unknown.eml": REPORT % (b"failed", b"5.1.1", b"550 5.1.1 user unknown"),
        "full.eml": REPORT % (b"failed", b"5.2.2", b"552 5.2.2 mailbox full"),
        "policy.eml": REPORT % (b"failed (a comment)", b"5.7.1", b"550 5.7.1 blocked by policy"),
        "later.eml": REPORT % (b"delayed", b"4.4.1", b"no answer from host"),
        "letter.eml": b"From: ana@example.org\nSubject: hello\n\n550 5.1.1 user unknown\n",
    }
    files = [tmp_path / name for name in contents]
    for file in files:
        file.write_bytes(contents[file.name])
    said = await cli.throughline("mail", "classify", *files, "--json")
    assert [(line["file"], line["class"]) for line in said.lines] == [
        (str(file), wanted)
        for file, wanted in zip(files, ("hard", "soft", "refused", "delayed", "none"), strict=True)
    ]
    assert said.lines[0]["reason"] == "no such mailbox (550 5.1.1)"
    assert "mailbox full" in (await cli.throughline("mail", "classify", files[1])).out
    missing = await cli.throughline("mail", "classify", tmp_path / "nothing.eml")
    assert (missing.status, missing.err.count("\n")) == (1, 1)


@pytest.mark.rule("MAIL5")
async def test_preview_renders_each_language_with_an_index_page(cli: CliFixture, tmp_path: Path) -> None:
    out = tmp_path / "preview"
    said = await cli.throughline("mail", "preview", "mentee.checkin", "--out", out, "--json")
    assert said.status == 0, said.err
    assert {(each["number"], each["locale"]) for each in said.lines} >= {
        (number, language) for number in (1, 2, 3, 4) for language in ("en", "es")
    }
    first = said.lines[0]
    assert "<h1" in Path(first["html"]).read_text(encoding="utf-8")
    assert "<" not in Path(first["text"]).read_text(encoding="utf-8").splitlines()[0]
    gallery = (out / "index.html").read_text(encoding="utf-8")
    assert gallery.count("<iframe") == len(said.lines)
    assert Path(first["html"]).name in gallery
    spanish = await cli.throughline("mail", "preview", "mentor.welcome", "--locale", "es", "--out", out)
    assert "mentor.welcome.es.html" in spanish.out
    assert "mentor.welcome.en.html" not in spanish.out


@pytest.mark.rule("MAIL5", "COH5")
async def test_preview_shows_the_brand_of_a_program(cli: CliFixture, tmp_path: Path) -> None:
    folder = branded(tmp_path / "programs", full_brand()).parent
    settings = {"THROUGHLINE_PROGRAMS": str(folder)}
    said = await cli.throughline("mail", "preview", "mentor.match", "--out", tmp_path / "out", **settings)
    assert said.status == 0
    page = (tmp_path / "out" / "mentor.match.es.html").read_text("utf-8")
    assert "data:image/png;base64," in page
    assert "cid:" not in page
    assert COLOUR in page
    assert FOOTER["es"] in page


@pytest.mark.rule("COH5")
async def test_program_check_refuses_a_hostile_logo_in_one_line(cli: CliFixture, tmp_path: Path) -> None:
    file = branded(tmp_path, 'logo = "logo.svg"', SVG.replace("<path", "<script/><path"))
    said = await cli.throughline("program", "check", file)
    assert said.status == 1
    reason = "logo.svg must have no 'script' in it: shapes and gradients only"
    assert f"{file}: brand.logo: {reason}" in said.err.replace("\n", " ").replace("  ", " ")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [(("no.such",), 2, "no message no.such"), (("--locale", "xx"), 1, "there are no templates in xx")],
)
async def test_preview_refuses_an_unknown_message_or_language_by_name(
    cli: CliFixture, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    said = await cli.throughline("mail", "preview", *arguments, "--out", tmp_path / "preview")
    assert said.status == status
    assert words in said.err


@pytest.mark.rule("MAIL8")
async def test_sample_mail_goes_only_to_allowed_addresses(cli: CliFixture, smtp_sink: CapturingSmtp) -> None:
    host, port = smtp_sink.address
    settings = {"THROUGHLINE_SMTP_HOST": host, "THROUGHLINE_SMTP_PORT": str(port)}
    send = ("mail", "test", "--to", "lina@example.org", "--message", "mentor.welcome")
    refused = await cli.throughline(*send, **settings)
    assert refused.status == 1
    assert "is not on this environment's allow-list" in refused.err
    said = await cli.throughline(*send, **settings, THROUGHLINE_ALLOW='["*@example.org"]')
    assert said.status == 0, said.err
    assert "took mentor.welcome for lina@example.org: 250" in said.out
    received = await smtp_sink.wait_for(1)
    assert received[0].recipients == ("lina@example.org",)
    assert received[0].message["To"] == "lina@example.org"


async def test_unreachable_mail_server_is_one_clear_line(cli: CliFixture) -> None:
    said = await cli.throughline(
        "mail",
        "test",
        "--to",
        "lina@example.org",
        THROUGHLINE_SMTP_PORT="1",
        THROUGHLINE_ALLOW='["*"]',
    )
    assert said.status == 1
    said_last = [line for line in said.err.splitlines() if not line.endswith(" …")]
    assert len(said_last) == 1
    assert said_last[0].startswith("127.0.0.1:1 did not take it: ")


@pytest.mark.parametrize("direct", [True, False])
async def test_wrong_events_are_refused_by_field_before_any_is_sent(
    cli: CliFixture, tmp_path: Path, direct: bool
) -> None:
    file = tmp_path / "events.jsonl"
    good = {"type": "profile.withdrawn", "data": {"profile": "p-1"}}
    bad = {"type": "profile.withdrawn", "data": {"profile": "no blanks"}}
    unknown = {"type": "profile.gone", "data": {}}
    file.write_text("\n".join(map(json.dumps, (good, bad, unknown))), encoding="utf-8")
    said = await cli.throughline("event", "send", file, *(["--direct"] if direct else []))
    assert said.status == 1
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{file}: line 2: data.profile: ")
    assert lines[1].startswith(f"{file}: line 3: type: ")


@pytest.mark.parametrize("direct", [True, False])
async def test_misspelt_key_is_refused_with_the_known_one(
    cli: CliFixture, tmp_path: Path, direct: bool
) -> None:
    file = tmp_path / "event.json"
    data = {"profile": "p-1", "member": "ana", "role": "mentee", "area": "Career"}
    file.write_text(json.dumps({"type": "profile.created", "data": data}), encoding="utf-8")
    said = await cli.throughline("event", "send", file, *(["--direct"] if direct else []))
    assert said.err == f"{file}: data.area: is no field of profile.created; did you mean areas?\n"


async def test_event_types_are_listed_with_schema_and_example(cli: CliFixture) -> None:
    table = await cli.throughline("event", "types")
    assert "profile.created" in table.out
    rows = {row["type"]: row for row in (await cli.throughline("event", "types", "--json")).lines}
    assert set(rows) == set(EVENT_TYPES)
    assert rows["profile.created"]["schema"]["required"] == ["profile", "member", "role"]
    assert rows["profile.created"]["example"]["data"]["role"] == "mentee"
    page = await cli.throughline("event", "types", "--markdown")
    assert page.out == (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["{", "", "[1]", '{"a": 1}\n{"b"\n', '{"type": 1, "type": 2}'])
async def test_input_that_is_no_event_is_refused_with_a_reason(cli: CliFixture, content: str) -> None:
    said = await cli.throughline("event", "send", "-", given=content)
    assert (said.status, said.out) == (1, "")
    assert said.err
    assert "should not happen" not in said.err


@pytest.mark.rule("COH5")
async def test_program_show_prints_values_and_rules(cli: CliFixture) -> None:
    said = await cli.throughline("program", "show", "asis-global", "--json")
    settings = {(each["section"], each["key"]): each for each in said.lines}
    assert settings["request", "answer_business_days"]["value"] == "2"
    assert settings["request", "answer_business_days"]["rules"] == ["REQ2"]
    by_file = await cli.throughline("program", "show", BUNDLED)
    assert "answer_business_days" in by_file.out
    unknown = await cli.throughline("program", "show", "asis-mars")
    assert unknown.status == 1
    assert "asis-global" in unknown.err


async def test_outdated_database_names_the_upgrade_command(tmp_path: Path) -> None:
    fresh = CliFixture(tmp_path)
    before = await fresh.throughline("task", "list")
    assert before.status == 1
    assert before.err.endswith("has no tables yet: throughline db upgrade\n")
    assert (await fresh.throughline("db", "upgrade")).status == 0
    assert (await fresh.throughline("task", "list")).out == "There is no open task.\n"
    await fresh.database.close()


async def test_read_commands_create_no_database(cli: CliFixture, tmp_path: Path) -> None:
    nowhere = tmp_path / "folder"
    said = await cli.throughline("task", "list", THROUGHLINE_DATABASE=f"sqlite:///{nowhere}/t.db")
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert said.err.endswith("has no tables yet: throughline db upgrade\n")
    assert not nowhere.exists()


async def test_unreachable_database_error_hides_the_password(cli: CliFixture) -> None:
    said = await cli.throughline(
        "task", "list", THROUGHLINE_DATABASE="postgresql://throughline:hunter2@127.0.0.1:1/throughline"
    )
    assert (said.status, len(said.err.splitlines())) == (1, 1)
    assert "cannot be reached" in said.err
    assert "hunter2" not in said.err


async def test_wrong_settings_are_named_in_the_error(cli: CliFixture) -> None:
    said = await cli.throughline("task", "list", THROUGHLINE_SMTP_PORT="none", THROUGHLINE_PORT="-1")
    assert said.status == 1
    assert [line.split(":")[0] for line in said.err.splitlines()] == [
        "THROUGHLINE_PORT",
        "THROUGHLINE_SMTP_PORT",
    ]
    said = await cli.throughline("task", "list", THROUGHLINE_ALLOW="ana@example.org")
    assert (said.status, said.err) == (
        1,
        'THROUGHLINE_ALLOW: must be a JSON list, like ["*@example.org"]\n',
    )


async def test_unreadable_settings_file_is_named(
    cli: CliFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"THROUGHLINE_PORT=\xff\xfe")
    said = await cli.throughline("task", "list")
    assert (said.status, said.err) == (1, ".env: is not UTF-8 text\n")


@pytest.mark.rule("MAIL1", "STA3")
async def test_one_message_is_skipped_held_and_released_by_command(cli: CliFixture) -> None:
    planned = (await cli.throughline("mail", "log", "--message", "mentee.checkin", "--json")).lines[0]
    delivery, given = planned["delivery"], ("--actor", "lina", "--reason", "she is away")
    seen = await cli.throughline("mail", "skip", delivery, *given, "--preview", "--json")
    assert (seen.status, seen.json["outcome"], seen.json["preview"]) == (0, "skipped", True)
    assert not [record for record in await cli.all(AuditRecord) if record.kind == "act"]
    done = await cli.throughline("mail", "skip", delivery, *given)
    assert (done.status, done.out.splitlines()[0]) == (
        0,
        f"mentee.checkin {planned['number']} to p-ana is skipped when it is due.",
    )
    assert (await cli.throughline("mail", "hold", delivery, *given)).status == 0
    ahead = (await cli.throughline("show", "onboarding/p-ana", "--json")).json["ahead"]
    (held,) = (each for each in ahead if each["delivery"] == delivery)
    assert (held["state"], held["order"], held["ordered_by"]) == ("held", "hold", "lina")
    assert held["why"].startswith("held by order of lina: she is away")
    out = await cli.throughline("mail", "release", delivery, *given, "--preview")
    assert "would be: it goes out when it is due." in out.out
    none = await cli.throughline("mail", "skip", "none", *given)
    assert (none.status, none.err) == (1, "there is no delivery none\n")
    assert (await cli.throughline("mail", "skip", delivery)).status == 2


@pytest.mark.rule("MAIL1", "STA3")
async def test_sent_mail_is_shown_by_command_until_it_is_removed(cli: CliFixture) -> None:
    """A command without the key ring reads nothing, and says why."""
    keys = {"THROUGHLINE_KEYS": "a secret for tests only"}
    with_keys = Database(cli.url, keys=KeyRing((keys["THROUGHLINE_KEYS"],)))
    (planned, *_) = (await cli.throughline("mail", "log", "--message", "mentee.checkin", "--json")).lines
    delivery = planned["delivery"]
    assert "never went out" in (await cli.throughline("mail", "show", delivery)).out
    async with with_keys.begin() as session:
        await person_keys.ensure(session, "ana", cli.now)
        row = await ledger.locked_delivery(session, Message.delivery == delivery)
        assert row is not None
        row.content, row.subject = b"Subject: A word\r\nTo: ana@example.org\r\n\r\nHello Ana,\r\n", "A word"
        await ledger.decide(session, row, "sent", None, cli.now)
    shown = await cli.throughline("mail", "show", delivery, "--actor", "lina", "--json", **keys)
    assert (shown.json["body"], shown.json["sent_to"], shown.json["text"]) == (
        "kept",
        "ana@example.org",
        "Hello Ana,\n",
    )
    file = cli.folder / "one.eml"
    whole = await cli.throughline("mail", "show", delivery, "--out", file, **keys)
    assert "Hello Ana," in whole.out
    assert file.read_bytes().endswith(b"Hello Ana,\r\n")
    assert "key ring no longer has" in (await cli.throughline("mail", "show", delivery)).out
    async with with_keys.begin() as session:
        await mail_bodies.remove_expired(session, {}, 0, cli.now)
    gone = await cli.throughline("mail", "show", delivery, "--out", file, **keys)
    assert (gone.status, "was removed on" in gone.err) == (1, True)
    read = [act.subject for act in await cli.all(AuditRecord) if act.data.get("act") == "mail read"]
    assert read == ["member/ana", "member/ana"]
    await with_keys.close()
