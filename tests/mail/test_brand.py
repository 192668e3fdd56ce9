"""A program's logo, colours and line at the foot in its mails."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser

from embedded.mailbox import Mail
from mail.branding import MOST_HEIGHT, MOST_WIDTH, logo_image
from mail.composer import Composer
from mail.context import inline_images, program_context
from mail.mime import Composed, MailAttachment, MailEnvelope, build_mail
from mail.samples import sample_context
from rules.program import Program, load_program
from rules.program.logo import read_logo
from tests.mail.test_mail_in_a_browser import FAULTS
from tests.support.mail_html import COMPOSER, TEMPLATES
from tests.support.programs.brands import COLOUR, FOOTER, SVG, branded, full_brand, png

pytestmark = pytest.mark.rule("MAIL5")

MESSAGES = (
    ("mentor.match", None),
    ("mentor.discovery", 1),
    ("mentee.pulse", 2),
    ("mentor.request_received", None),
)
READERS: list[Literal["light", "dark"]] = ["light", "dark"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return load_program(branded(tmp_path_factory.mktemp("brand"), full_brand()))


@pytest.fixture(scope="module")
def composer(program: Program) -> Composer:
    return Composer(TEMPLATES, (), program.brand.palette)


def composed(
    composer: Composer, program: Program, message: str, number: int | None, language: str
) -> Composed:
    context = {**sample_context(message, number, language), "program": program_context(program)}
    return composer.compose(message, number, language, context)


def built(mail: Composed, program: Program, *attachments: MailAttachment) -> EmailMessage:
    content = build_mail(
        mail,
        MailEnvelope(
            message_id="<1@example.org>",
            date=datetime(2028, 3, 6, 9, tzinfo=UTC),
            from_name="Lina",
            from_address="lina@example.org",
            reply_to="lina@example.org",
            to_name="Ana",
            to_address="ana@example.org",
            delivery="1",
            language="en",
            attachments=attachments,
            images=inline_images(program),
        ),
    )
    return email.message_from_bytes(content, policy=email.policy.default)


def test_mail_shows_the_logo_the_colour_and_the_footer(composer: Composer, program: Program) -> None:
    mail = composed(composer, program, "mentor.match", None, "en")
    (image,) = inline_images(program)
    assert f'<img src="cid:{image.content_id}" width="144" height="48" alt="ASIS International"' in mail.html
    assert COLOUR in mail.html
    assert "#0b5f5c" not in mail.html
    assert "Run by &lt;b&gt;members&lt;/b&gt; &amp; friends {{ 7 * 7 }}" in mail.html
    assert mail.text.rstrip().endswith(FOOTER["en"])


def test_footer_is_in_the_language_of_the_mail(composer: Composer, program: Program) -> None:
    mail = composed(composer, program, "mentor.match", None, "es")
    assert FOOTER["es"] in mail.html
    assert FOOTER["es"] in mail.text


def test_logo_is_a_nameless_png_beside_the_html(composer: Composer, program: Program) -> None:
    mail = composed(composer, program, "mentor.match", None, "en")
    letter = MailAttachment("letter.pdf", "application/pdf", b"%PDF")
    message = built(mail, program, letter)
    (image,) = [part for part in message.walk() if part.get_content_maintype() == "image"]
    assert image.get_content_type() == "image/png"
    assert image["Content-ID"].strip("<>") in mail.html
    assert (image.get_content_disposition(), image.get_filename()) == ("inline", None)
    assert [part.get_filename() for part in message.iter_attachments()] == ["letter.pdf"]
    related = message.get_body(("related",))
    assert related is not None
    assert related["Content-Type"].params["type"] == "text/html"
    assert built(mail, program, letter).as_bytes() == message.as_bytes()


def test_mail_page_of_the_demo_shows_the_logo(composer: Composer, program: Program) -> None:
    message = built(composed(composer, program, "mentor.match", None, "en"), program)
    page = Mail(1, message.as_bytes()).html_with_images
    assert "cid:" not in page
    assert "data:image/png;base64," in page


@pytest.mark.parametrize(
    ("content", "width", "height"),
    [
        (SVG.encode(), 144, 48),
        (SVG.replace("150 50", "15 5").encode(), 144, 48),
        (SVG.replace("150 50", "1500 50").encode(), 240, 8),
        (png(40, 20), 40, 20),
        (png(200, 200), 48, 48),
        (png(1, 2000), 1, 48),
    ],
)
def test_logo_is_shown_within_bounds(content: bytes, width: int, height: int) -> None:
    image = logo_image(read_logo(content))
    assert (image.width, image.height) == (width, height)
    assert image.width <= MOST_WIDTH
    assert image.height <= MOST_HEIGHT
    drawn = read_logo(image.png)
    assert drawn.kind == "png"
    assert drawn.width >= width


def test_mail_without_a_brand_has_no_logo_and_the_plain_colours(tmp_path: Path) -> None:
    plain = load_program(branded(tmp_path, ""))
    mail = composed(COMPOSER, plain, "mentor.match", None, "en")
    assert mail == COMPOSER.compose(
        "mentor.match",
        None,
        "en",
        {
            **sample_context("mentor.match", None, "en"),
            "program": {key: value for key, value in program_context(plain).items() if key != "brand"},
        },
    )
    for colour in ("#0b5f5c", "#e3efee", "#85d3cb", "#2a4344", "#c9efeb", "#0d2322"):
        assert colour in mail.html
    assert "<img" not in mail.html
    assert "image/png" not in built(mail, plain).as_string()


async def test_branded_mail_is_readable_in_light_and_dark(
    chromium: Browser, composer: Composer, program: Program
) -> None:
    faults: dict[str, list[str]] = {}
    context = await chromium.new_context(offline=True, viewport={"width": 390, "height": 800})
    page = await context.new_page()
    for message, number in MESSAGES:
        for language in ("en", "es"):
            await page.set_content(composed(composer, program, message, number, language).html)
            for scheme in READERS:
                await page.emulate_media(color_scheme=scheme)
                if found := await page.evaluate(FAULTS):
                    faults[f"{message} {language} {scheme}"] = found
    await context.close()
    assert faults == {}
