"""Pages: written once, said in two languages, without scripts, readable by everybody."""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
from datetime import date
from string import Formatter
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from httpx import ASGITransport, AsyncClient

from gateway.pages import TEMPLATES, PageHeaders, Pages, PageTexts, Text
from rules.kinds import KINDS
from rules.messages import CATALOGUE

pytestmark = pytest.mark.rule("MAIL5")

FOLDER = TEMPLATES / "pages"
LANGUAGES = ("en", "es")


def catalogue(language: str) -> PageTexts:
    """A language's sentences."""
    return PageTexts(language, tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")))


def names_in(text: str | tuple[str, ...]) -> set[str]:
    """The names that stand in braces."""
    parts = [text] if isinstance(text, str) else text
    return {name for part in parts for _, name, _, _ in Formatter().parse(part) if name is not None}


def test_both_languages_have_the_same_texts_and_variables() -> None:
    english, spanish = (catalogue(language).texts for language in LANGUAGES)
    assert list(english) == list(spanish)
    assert {key for key in english if type(english[key]) is not type(spanish[key])} == set()
    assert {key for key in english if names_in(english[key]) != names_in(spanish[key])} == set()
    assert [key for texts in (english, spanish) for key, text in texts.items() if not text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_key_of_a_template_exists(language: str) -> None:
    named = {
        key
        for template in FOLDER.glob("*.html")
        for key in re.findall(r'(?:say|paragraphs)\("([a-z_.]+[a-z_])"', template.read_text("utf-8"))
    }
    assert len(named) > 50
    assert sorted(key for key in named if not catalogue(language).has(key)) == []


@pytest.mark.rule("MAIL6")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_optional_message_has_a_preference_label(language: str) -> None:
    stoppable = [entry.name for entry in CATALOGUE.values() if entry.message_class.stoppable]
    assert [name for name in stoppable if not catalogue(language).has(f"kinds.{name}")] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_closed_state_has_a_text(language: str) -> None:
    keys = [
        f"over.request.{state}.{role}"
        for state in KINDS["request"].closed_states
        for role in ("mentor", "mentee")
    ]
    keys += [f"over.engagement.{state}" for state in KINDS["engagement"].closed_states]
    assert [key for key in keys if not catalogue(language).has(f"{key}.title")] == []


def test_values_are_escaped_and_never_used_as_text_keys() -> None:
    hostile = "<script>alert(1)</script> {program} {0} %s"
    said = PageTexts("en", {"hello": "Hello, {other} & co."}).say("hello", other=hostile)
    assert said == "Hello, &lt;script&gt;alert(1)&lt;/script&gt; {program} {0} %s &amp; co."


def test_missing_variable_is_an_error() -> None:
    with pytest.raises(KeyError):
        PageTexts("en", {"hello": "Hello, {other}"}).say("hello")
    with pytest.raises(KeyError):
        PageTexts("en", {}).say("hello")
    with pytest.raises(KeyError):
        PageTexts("en", {"hello": ["Hello"]}).say("hello")


def test_dates_and_texts_follow_the_page_language() -> None:
    page = Pages().respond(
        "message.html",
        "es",
        {
            "key": "extend.done",
            "names": {"end": date(2028, 12, 1), "other": Text("site.name")},
            "action": None,
        },
    )
    text = bytes(page.body).decode()
    assert "1 de diciembre de 2028" in text
    assert "En cuanto Programa de mentoría elija" in text
    assert '<html lang="es"' in text


def test_unknown_language_falls_back_to_english() -> None:
    assert Pages().texts("tlh").language == "en"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("es-CO,es;q=0.9,en;q=0.8", "es"),
        ("fr, en;q=0.5, es;q=0.7", "es"),
        ("de,fr", "en"),
        ("es;q=wrong, en;q=0.1", "en"),
        ("*", "en"),
        ("ES", "es"),
        ("," * 10_000 + "es", "en"),
    ],
)
def test_unknown_reader_gets_the_browser_language(accepted: str, language: str) -> None:
    assert Pages().language(accepted) == language


def test_content_security_policy_allows_one_style_and_no_script() -> None:
    pages = Pages()
    page = bytes(
        pages.respond("message.html", "en", {"key": "refused.quiet", "names": _NOBODY, "action": None}).body
    )
    (style,) = re.findall(rb"<style>(.*?)</style>", page, re.DOTALL)
    policy = pages.headers["Content-Security-Policy"]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_templates_have_no_script_inline_style_or_external_asset() -> None:
    for template in FOLDER.glob("*.html"):
        source = template.read_text("utf-8")
        assert not re.search(r"<script|\son[a-z]+=|javascript:|\sstyle=|https?://|\|\s*safe", source), (
            template.name
        )
    assert not re.search(r"url\(|@import", (FOLDER / "style.css").read_text("utf-8"))


async def test_html_responses_get_the_security_headers() -> None:
    app = FastAPI()
    app.add_middleware(PageHeaders, headers=Pages().headers)
    app.add_api_route("/page", lambda: HTMLResponse("<p>"), response_model=None)
    app.add_api_route(
        "/public", lambda: HTMLResponse("<p>", headers={"Cache-Control": "public"}), response_model=None
    )
    app.add_api_route("/json", lambda: JSONResponse({}), response_model=None)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://gateway") as client:
        page, public, plain = [await client.get(path) for path in ("/page", "/public", "/json")]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert public.headers["cache-control"] == "public"
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in plain.headers


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast(scheme: int) -> None:
    style = (FOLDER / "style.css").read_text("utf-8")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", style.split("@media")[scheme]))
    pairs = [
        *[("text", ground) for ground in ("card", "page", "soft", "wrong-soft")],
        *[("quiet", ground) for ground in ("card", "page", "soft")],
        *[("accent", ground) for ground in ("card", "page", "soft")],
        *[("wrong", ground) for ground in ("card", "wrong-soft")],
        ("on-accent", "accent"),
    ]
    faint = {pair: _contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 4.5} == {}
    assert _contrast(colours["edge"], colours["card"]) >= 3


_NOBODY: dict[str, Any] = {"manager": "Lina", "mailbox": "mentoring@example.org"}
