"""What the settings say by themselves: secrets, the public address, programs, recipients, DKIM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.delivery import bundled
from worker.configuration.findings import SettingFinding, Verdict
from worker.configuration.own_settings import (
    check_base_url,
    check_programs,
    check_recipients,
    check_secrets,
    check_signing,
)
from worker.settings import Settings

STRONG = "q3JtV0yZ8nKfX2sLw7RbC5uHgE1dPaMo"
EVENTS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def settings(**given: Any) -> Settings:
    usual = {"secret": STRONG, "webhook_secret": EVENTS, "base_url": "https://mentoring.example.org"}
    return Settings(**{**usual, **given})


def verdicts(found: Iterable[SettingFinding]) -> list[str]:
    return [f"{each.about}: {each.verdict.value}" for each in found]


@pytest.mark.parametrize(
    ("given", "keys", "events"),
    [
        ({}, "ok", "ok"),
        ({"keys": f"{STRONG},{STRONG[::-1]}", "secret": ""}, "ok", "ok"),
        ({"secret": ""}, "wrong", "ok"),
        ({"secret": "short"}, "wrong", "ok"),
        ({"secret": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, "wrong", "ok"),
        ({"secret": "changeme-q3JtV0yZ8nKfX2sLw7RbC5uHgE1dPaMo"}, "wrong", "ok"),
        ({"keys": f"{STRONG},0123456789abcdef"}, "wrong", "ok"),
        ({"webhook_secret": ""}, "ok", "wrong"),
        ({"webhook_secret": "whsec_***"}, "ok", "wrong"),
        ({"webhook_secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "ok", "wrong"),
        ({"webhook_secret": f"{EVENTS},whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUE="}, "ok", "wrong"),
        ({"secret": EVENTS.removeprefix("whsec_")}, "ok", "wrong"),
    ],
)
def test_weak_missing_and_shared_secrets_are_wrong(given: dict[str, Any], keys: str, events: str) -> None:
    found = list(check_secrets(settings(**given)))
    assert verdicts(found) == [f"keys: {keys}", f"webhook secret: {events}"]
    assert not any(SecretStr(STRONG).get_secret_value() in each.words for each in found), "no secret is shown"


@pytest.mark.parametrize(
    ("url", "production", "verdict"),
    [
        ("https://mentoring.example.org", True, "ok"),
        ("http://mentoring.example.org", True, "wrong"),
        ("https://localhost", True, "wrong"),
        ("https://10.0.0.7", True, "wrong"),
        ("https://gateway", True, "wrong"),
        ("http://127.0.0.1:8080", False, "warning"),
        ("https://user@mentoring.example.org", False, "wrong"),
        ("https://mentoring.example.org/?a=1", False, "wrong"),
        ("mentoring.example.org", False, "wrong"),
    ],
)
def test_public_address_is_one_that_members_can_open(url: str, production: bool, verdict: str) -> None:
    found = check_base_url(settings(base_url=url, production=production))
    assert verdicts(found) == [f"base URL: {verdict}"]


def test_every_mistake_of_a_program_file_is_a_line(tmp_path: Path) -> None:
    _, found = check_programs(settings(programs=tmp_path))
    assert verdicts(found) == ["programs: wrong"]
    (tmp_path / "one.toml").write_text('id = "one"\nunknown = 1\n')
    _, found = check_programs(settings(programs=tmp_path))
    assert len(found) > 1
    assert set(verdicts(found)) == {"programs: wrong"}
    programs, found = check_programs(settings())
    assert "asis-global" in programs
    assert set(verdicts(found)) == {"programs: ok"}


@pytest.mark.rule("MAIL8")
def test_recipients_outside_production_are_a_warning() -> None:
    assert verdicts(check_recipients(settings(production=True)))[0] == "recipients: ok"
    nobody = next(iter(check_recipients(settings(allow=()))))
    assert (nobody.verdict, "nobody is mailed" in nobody.words) == (Verdict.WARNING, True)
    assert verdicts(check_recipients(settings(webhook_allow=("10.0.0.0/99",))))[1] == "endpoints: wrong"


def test_key_that_cannot_sign_is_wrong(tmp_path: Path) -> None:
    programs = {"asis-global": bundled()}
    assert verdicts(check_signing(settings(), programs)) == ["DKIM: off"]
    assert verdicts(check_signing(settings(dkim_domain="x.example"), programs)) == ["DKIM: wrong"]
    file = tmp_path / "dkim.pem"
    file.write_text("no key")
    half = {"dkim_domain": "x.example", "dkim_selector": "s", "dkim_key_file": file}
    assert verdicts(check_signing(settings(**half), programs)) == ["DKIM: wrong"]
