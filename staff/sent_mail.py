"""A mail as it was sent, for staff; each reading is on the recipient's record with its reader (MAIL1, STA3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from database import audit, mail_bodies
from database.models import Message
from lifecycles.participants import Programs
from staff.views.messages import message_views
from staff.views.read_model import MessageView, NotFound


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail with what went out, as far as it is kept."""

    view: MessageView
    body: str
    """`kept`, `removed`, `erased`, `unreadable` or `none`, as `database.mail_bodies.KeptBody` has it."""
    removed_at: datetime | None
    sent_to: str = ""
    """The header To."""
    sent_from: str = ""
    subject: str = ""
    text: str = ""
    """The text part."""
    html: str = ""
    """The HTML part; it is the product's own, but has words of members in it: show it in a sandbox."""
    attachments: tuple[str, ...] = ()
    """The names of the files that went with it."""
    content: bytes | None = None
    """All of it, as a mail program opens it."""


async def read_sent_mail(
    session: AsyncSession, delivery: str, actor: str, at: datetime, programs: Programs
) -> SentMail:
    """Return a mail as it was sent, and record who read it. Raises NotFound.

    `session` writes. Where the body is gone there is nothing to read, and nothing is recorded.
    """
    row = await session.scalar(select(Message).where(Message.delivery == delivery))
    if row is None:
        raise NotFound(f"there is no delivery {delivery}")
    view = (await message_views(session, [row], programs))[0]
    kept = await mail_bodies.read(session, delivery)
    if kept.content is None:
        return SentMail(view, kept.state, kept.removed_at)
    data = {"act": "mail read", "delivery": delivery, "message": row.message}
    subject = f"member/{row.member_id}"
    await audit.append(session, subject, "act", at.replace(microsecond=0), data, actor=actor)
    return _opened(view, kept.content)


def _opened(view: MessageView, content: bytes) -> SentMail:
    mail = message_from_bytes(content, EmailMessage, policy=policy.default)
    plain, html = (_text(mail.get_body((kind,))) for kind in ("plain", "html"))
    names = (part.get_filename() for part in mail.iter_attachments())
    return SentMail(
        view,
        "kept",
        None,
        sent_to=str(mail["To"] or ""),
        sent_from=str(mail["From"] or ""),
        subject=str(mail["Subject"] or ""),
        text=plain,
        html=html,
        attachments=tuple(name for name in names if name),
        content=content,
    )


def _text(part: MIMEPart | None) -> str:
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")
