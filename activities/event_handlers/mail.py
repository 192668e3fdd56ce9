"""Handlers of `mail.*`: what a mail provider reports about our mail."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from activities.event_handlers.base import HandlerContext, RefusedEvent, StoredEvent
from database import ledger, suppressions
from database.models import Message
from lifecycles.workflow_commands import WorkflowCommand
from mail.decisions import is_for_many, open_refusal_task
from mail.reports.bounces import SOURCE
from mail.smtp import channel_stop
from mail.smtp.refusals import Cause, cause_named

log = structlog.get_logger()

_REASONS = {
    "hard": "mail to it came back as undeliverable",
    "soft": "mail to it came back",
    "refused": "mail to it was refused",
    "complaint": "its reader reported our mail as unwanted",
}


async def mail_bounced(context: HandlerContext, event: StoredEvent) -> list[WorkflowCommand]:
    """Record what came back, and count it against the address where it speaks of the mailbox (MAIL7, MAIL10)."""
    session = context.session
    row = await _message_of(session, event)
    if row is None:
        # As for a report that only guesses: it names no mail of ours.
        log.warning("reports_refused", count=1, reason="they name no mail of ours", source=event.source)
        raise RefusedEvent("there is no such delivery")
    kind, at = event.data["kind"], event.occurred_at
    cause = event.data.get("reason")
    reason = f"{_REASONS[kind]}: {cause}" if cause else _REASONS[kind]
    is_new = not await suppressions.is_known(session, row, kind)
    try:
        await suppressions.take_in(session, row, kind, reason, at)
    except ValueError as error:
        raise RefusedEvent(str(error)) from None
    if is_new:
        await ledger.came_back(session, row, kind, cause or _REASONS[kind], at)
        if kind == "refused":
            await open_refusal_task(session, row, at)
            await _stop_channel(session, row, event)
    return []


async def _stop_channel(session: AsyncSession, row: Message, event: StoredEvent) -> None:
    """Stop the channel for a report that our own account is refused (MAIL10).

    A mailed report proves only that its sender has seen one mail of ours, as the reader of that mail has. So it takes
    those of several members. A provider's report and a system's event are signed.
    """
    if cause_named(row.came_back_reason) is not Cause.ACCOUNT:
        return
    since = await channel_stop.proved_at(session)
    if event.source == SOURCE and not await is_for_many(session, row, event.heard_at, since):
        return
    if await channel_stop.stop(session, row, row.came_back_reason or "", event.heard_at):
        log.error("mail_channel_stopped", kind="report")


async def _message_of(session: AsyncSession, event: StoredEvent) -> Message | None:
    """Return the message of a bounce, locked: by its delivery, or by its Message-ID.

    Providers report the Message-ID with or without its angle brackets.
    """
    if delivery := event.data.get("delivery"):
        return await ledger.locked_delivery(session, Message.delivery == delivery)
    message_id = "<" + str(event.data["message_id"]).strip().removeprefix("<").removesuffix(">") + ">"
    return await ledger.locked_delivery(session, Message.message_id == message_id)
