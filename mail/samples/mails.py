"""Messages with sample data: to look at, and to send to one address as a test (MAIL5, MAIL8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from mail.addresses import AddressRefused
from mail.allowlist import RecipientAllowlist
from mail.branding import logo_image
from mail.composer import Composer, TemplateFailed
from mail.context import inline_images, program_context
from mail.mime import Composed, MailEnvelope, build_mail
from mail.samples.contexts import sample_context
from mail.smtp.channel import SmtpChannel
from mail.smtp.verdicts import Acceptance, DeliveryError
from rules.program import Program


class SampleRefused(Exception):
    """A sample that was not sent; the text gives the reason."""


class SampleUndelivered(SampleRefused):
    """A sample that the mail server did not take; the text is its answer."""


@dataclass(frozen=True, slots=True)
class SampleText:
    """A message that a program has a text for."""

    message: str
    number: int | None
    language: str
    subject: str
    file: str
    """The file without its suffix, below the folder of its templates, as `es/mentee.welcome`."""
    is_own: bool
    """Whether it is the program's own text, not the bundled one."""


@dataclass(frozen=True, slots=True)
class SampleOrder:
    """A text that is to be sent as a test."""

    program: Program
    message: str
    number: int | None
    language: str
    to: str


@dataclass(frozen=True, slots=True)
class SampleMails:
    """The texts of programs with sample data, and the way that a test of one goes out."""

    composers: Callable[[Program], Composer]
    templates: Path
    """The folder of the bundled templates."""
    channel: SmtpChannel | None
    """None where the settings of the mail server cannot be used."""
    allowlist: RecipientAllowlist

    def texts(self, program: Program, language: str) -> Iterator[SampleText]:
        """Yield the texts of a program in a language, in the order of the catalogue. Raises TemplateFailed.

        It takes a second until the templates are compiled: run it off the event loop.
        """
        composer = self.composers(program)
        for message, number, written in composer.written():
            source = composer.source(message, number, language)
            if written == language and source is not None:
                subject = sample_of(composer, program, message, number, language).subject
                own = source.parent.parent != self.templates
                yield SampleText(message, number, language, subject, f"{language}/{source.name}", own)

    def compose(self, program: Program, message: str, number: int | None, language: str) -> Composed:
        """Return a message with sample data. Raises TemplateFailed."""
        return sample_of(self.composers(program), program, message, number, language)

    async def send(self, sample: SampleOrder, at: datetime) -> Acceptance:
        """Send a sample, dated `at`. Raises SampleRefused, or SampleUndelivered."""
        program, to = sample.program, sample.to
        if not self.allowlist.allows(to):
            raise SampleRefused(f"{to} is not on this environment's allow-list (THROUGHLINE_ALLOW)")
        if self.channel is None:
            raise SampleRefused("the settings of the mail server cannot be used here: the log says why")
        try:
            composed = await asyncio.to_thread(
                self.compose, program, sample.message, sample.number, sample.language
            )
            content = await self.channel.sign(build_mail(composed, _envelope(sample, at)))
            return await self.channel.deliver(
                program.sender, to, content, before_last_byte=_nothing_to_record
            )
        except (AddressRefused, TemplateFailed, ValueError) as error:
            raise SampleRefused(f"{to}: {error}") from None
        except DeliveryError as error:
            raise SampleUndelivered(str(error.response or error)) from None


def sample_of(
    composer: Composer, program: Program, message: str, number: int | None, language: str
) -> Composed:
    """Return a message with sample data and a program's own names and links. Raises TemplateFailed."""
    context = {**sample_context(message, number, language), "program": program_context(program)}
    return composer.compose(message, number, language, context)


def for_browser(page: str, program: Program) -> str:
    """Return a mail's HTML for a browser, which has no parts of a mail to look in."""
    if program.logo is None:
        return page
    image = logo_image(program.logo)
    return page.replace(f"cid:{image.content_id}", image.data_url)


def _envelope(sample: SampleOrder, at: datetime) -> MailEnvelope:
    program, delivery = sample.program, uuid4().hex
    return MailEnvelope(
        message_id=f"<test-{delivery}@{program.sender.rpartition('@')[2]}>",
        date=at,
        from_name=program.manager.name,
        from_address=program.sender,
        reply_to=program.mailbox,
        to_name="",
        to_address=sample.to,
        delivery=delivery,
        language=sample.language,
        images=inline_images(program),
    )


async def _nothing_to_record() -> None:
    """Samples have no row in the ledger."""
