"""The decision about a message that is not sent, or perhaps not sent, with the staff task that goes with it.

`withhold` decides before the hand-over: policy, suppressed addresses, staleness (T8, MAIL3, MAIL6, MAIL8). The others
decide after a verdict of the mail server (MAIL2, MAIL3).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from database import erasure, ledger, program_trials, suppressions
from database.models import Message, StaffAccount, Task
from database.tasks import OPEN, PROGRAM, close_task, open_task, settle_tasks
from mail.allowlist import RecipientAllowlist
from mail.context import PreparedMail
from mail.reports.provider_lists import is_provider_list, listed_at, provider_in, where_to_lift
from mail.smtp.refusals import Cause
from mail.smtp.verdicts import (
    Ambiguous,
    AuthenticationRefused,
    ChannelRefused,
    DeliveryError,
    RecipientRefused,
)
from rules.messages import MessageClass
from rules.program.policies import MailPolicy


async def withhold(
    session: AsyncSession,
    row: Message,
    mail: PreparedMail,
    allowlist: RecipientAllowlist,
    late: timedelta,
    at: datetime,
) -> bool:
    """Decide a message that must not go out now; return whether it was decided (T8, MAIL3, MAIL6, MAIL8).

    `late` is how long after its due instant the attempt is.
    """
    if reason := await _suppressed_because(session, row, mail, allowlist):
        await ledger.decide(session, row, "suppressed", reason, at)
        return True
    return await _decide_late(session, row, mail.program.mail, late, at)


async def _suppressed_because(
    session: AsyncSession, row: Message, mail: PreparedMail, allowlist: RecipientAllowlist
) -> str | None:
    if not mail.address:
        return erasure.REASON
    if not allowlist.allows(mail.address):
        return "the address is not on this environment's allow-list"
    # Only a deployment in production has programs in trial: in all others the allow-list says who is mailed.
    is_limited = allowlist.production and not row.message.startswith("staff.")
    if is_limited and not await program_trials.mails(session, mail.program, mail.address):
        return program_trials.WITHHELD
    if (account := row.context.get("account")) and not await _is_coordinator(session, account):
        return "the account is closed, or no longer a coordinator's"
    if reason := await suppressions.reason_for(session, mail.address):
        return reason
    if row.message_class == MessageClass.NUDGE and mail.unsubscribed(row.message):
        return "the recipient has unsubscribed from messages of this kind"
    return None


async def _is_coordinator(session: AsyncSession, account: str) -> bool:
    found = await session.get(StaffAccount, account)
    return found is not None and found.closed_at is None and found.role == "coordinator"


async def _decide_late(
    session: AsyncSession, row: Message, policy: MailPolicy, late: timedelta, at: datetime
) -> bool:
    """Decide a late message: failed after `retry_days` of refusals, else by the staleness policy of its class."""
    if late > timedelta(days=policy.retry_days) and row.trouble:
        action = "Find out why the mail server did not accept it, then send it again with mail resend."
        await open_message_task(session, row, "mail_failed", action, at)
        reason = f"not accepted within {policy.retry_days} days; last: {row.trouble}"
        await ledger.decide(session, row, "failed", reason, at)
        return True
    when_stale = when_late(policy, row.message_class, late)
    if when_stale == "send":
        return False
    reason = f"held up for more than {policy.stale_after[row.message_class]} days"
    if when_stale == "ask":
        action = "Decide whether it is still worth sending; if so, use mail resend."
        await open_message_task(session, row, "mail_failed", action, at)
        reason = f"{reason}; staff were asked"
    await ledger.decide(session, row, "skipped", reason, at)
    return True


def when_late(policy: MailPolicy, message_class: str, late: timedelta) -> str:
    """Return what becomes of a message that goes out so late: `send`, `skip` or `ask` (T8)."""
    is_stale = late > timedelta(days=policy.stale_after[message_class])
    return policy.when_stale[message_class] if is_stale else "send"


async def decide_ambiguous(session: AsyncSession, row: Message, cause: str, at: datetime) -> None:
    """Decide a message that the server may have (MAIL2): none is repeated, staff see those that are owed."""
    if row.message_class == MessageClass.NUDGE:
        reason = f"{cause}; a nudge is not repeated"
    else:
        reason = f"{cause}; not repeated, staff were asked"
        action = "Ask whether it arrived; if not, send it with mail resend."
        await open_message_task(session, row, "mail_ambiguous", action, at)
    await ledger.decide(session, row, "ambiguous", reason, at)


async def decide_refused(session: AsyncSession, row: Message, error: DeliveryError, at: datetime) -> None:
    """Decide a message by a verdict after which it is not tried again (MAIL2, MAIL3)."""
    if isinstance(error, Ambiguous):
        await decide_ambiguous(session, row, "the server's answer did not arrive", at)
    elif isinstance(error, RecipientRefused):
        reason = f"the address was refused ({error.code})"
        await suppressions.take_in(session, row, "hard", reason, at)
        await ledger.decide(session, row, "failed", reason, at, response=error.response)
    else:
        refused, action = _refusal_in_words(error)
        await open_message_task(session, row, "mail_failed", action, at)
        reason = f"{refused} ({error.code})"
        await ledger.decide(session, row, "failed", reason, at, response=error.response)


def _refusal_in_words(error: DeliveryError) -> tuple[str, str]:
    """Return what was refused, and what staff do about it."""
    if error.cause is Cause.PROVIDER_LIST:
        provider = provider_in(error.response)
        listed = listed_at(provider) if provider else f"{Cause.PROVIDER_LIST}"
        action = f"Remove the member's address from {where_to_lift(listed)}. Then use mail resend."
        return f"the address is {Cause.PROVIDER_LIST}", action
    if error.cause in (None, Cause.CONTENT, Cause.SIZE, Cause.UNKNOWN):
        refused = "the content was refused"
    else:
        refused = f"the mail server refused it for {error.cause}"
    if error.cause is None:
        return refused, "Find out why the mail server refused this text."
    return refused, f"Find out why: {refused}."


async def decide_unusable_address(session: AsyncSession, row: Message, reason: str, at: datetime) -> None:
    """Decide a message whose recipient's address no mail can be sent to, before any server is asked (MAIL3)."""
    await open_task(
        session,
        "address_suppressed",
        f"member/{row.member_id}",
        f"unusable address for {row.delivery}",
        "Correct the member's address: no mail can be sent to it.",
        at,
    )
    await ledger.decide(session, row, "failed", reason, at)


async def open_message_task(
    session: AsyncSession, row: Message, kind: str, action: str, at: datetime
) -> bool:
    """Open a staff task about one message, once per kind (STA2); return whether it is new."""
    return await open_task(session, kind, row.workflow, f"{kind} {row.key}", action, at)


REFUSALS_OF_CHANNEL = 3
"""Recipients whose mail comes back refused for one cause, that make it a matter of the channel."""

REFUSALS_WITHIN = timedelta(days=1)
"""How far back those are counted."""

CHANNEL = "channel/smtp"
"""The subject of tasks about the channel to the mail server."""


async def open_channel_task(session: AsyncSession, refusal: ChannelRefused, at: datetime) -> bool:
    """Open a task about a refusal of us, one a day for all messages (MAIL3, MAIL10); return whether it is new."""
    if isinstance(refusal, AuthenticationRefused):
        cause, action = "authentication refused", "Correct the user name or password of the mail server."
    else:
        cause, action = (
            "our account refused",
            "Ask the mail provider why it refuses this account, sender or quota.",
        )
    return await open_task(
        session,
        "mail_channel",
        CHANNEL,
        f"{cause} on {at.date().isoformat()}",
        f"{action} Waiting messages then go out without further action.",
        at,
    )


async def open_refusal_task(session: AsyncSession, row: Message, at: datetime) -> bool:
    """Open a task about a message that came back refused; one for the channel where many have one cause (MAIL10).

    A refusal of our own account is the channel's at once.
    """
    if is_provider_list(row.came_back_reason):
        return await _open_list_task(session, row, at)
    cause = _cause_of(row)
    recipients = await session.scalars(
        select(Message.recipient)
        .where(
            Message.came_back == "refused",
            Message.came_back_at > at - REFUSALS_WITHIN,
            Message.came_back_reason.startswith(cause, autoescape=True),
        )
        .distinct()
        .limit(REFUSALS_OF_CHANNEL)
    )
    if cause != Cause.ACCOUNT and len(recipients.all()) < REFUSALS_OF_CHANNEL:
        action = (
            f"Find out why the recipient's server refused it ({row.came_back_reason}); then use mail resend."
        )
        return await open_message_task(session, row, "mail_failed", action, at)
    return await open_task(
        session,
        "mail_channel",
        CHANNEL,
        f"mail comes back: {cause} on {at.date().isoformat()}",
        "Ask the mail provider why several servers refuse our mail. Then use mail resend for what came back.",
        at,
    )


_LISTED = "provider_list: "


def _about_list(row: Message) -> Select[Task]:
    """Return the query for the open tasks about a provider's list that has the recipient's address."""
    return select(Task).where(
        Task.subject == (f"member/{row.member_id}" if row.member_id else row.workflow),
        Task.kind == "mail_failed",
        Task.state.in_(OPEN),
        Task.cause.startswith(_LISTED),
    )


async def _open_list_task(session: AsyncSession, row: Message, at: datetime) -> bool:
    """Open a task that says where to lift an address from a provider's list: one for all mail to a member."""
    if await session.scalar(_about_list(row).limit(1)):
        return False
    return await open_task(
        session,
        "mail_failed",
        f"member/{row.member_id}" if row.member_id else row.workflow,
        f"{_LISTED}{row.delivery}",
        f"Remove the member's address from {where_to_lift(row.came_back_reason or '')}. Then use mail resend.",
        at,
    )


async def settle_list_tasks(session: AsyncSession, row: Message, at: datetime) -> None:
    """Close the tasks about a provider's list after a delivery to the member: the list is lifted (STA2)."""
    for task in await session.scalars(_about_list(row)):
        await close_task(session, task, "done", PROGRAM, "mail to the member is delivered again", at)


def _cause_of(row: Message) -> str:
    """Return the cause of a refusal without its codes, which differ from server to server."""
    return (row.came_back_reason or "").partition(" (")[0]


async def is_for_many(session: AsyncSession, row: Message, at: datetime, since: datetime | None) -> bool:
    """Whether mail to several members came back for the cause of a message: who reads one mail cannot report others.

    Only mail that was sent after `since` counts.
    """
    members = select(Message.member_id).where(
        Message.came_back == "refused",
        Message.came_back_at > at - REFUSALS_WITHIN,
        Message.came_back_reason.startswith(_cause_of(row), autoescape=True),
        Message.member_id.is_not(None),
    )
    if since is not None:
        members = members.where(Message.decided_at >= since)
    found = await session.scalars(members.distinct().limit(REFUSALS_OF_CHANNEL))
    return len(found.all()) >= REFUSALS_OF_CHANNEL


async def settle_channel_tasks(session: AsyncSession, at: datetime) -> None:
    """Close the tasks about a refusal of us: the mail server takes messages again (STA2).

    Those about mail that comes back stay: the relay takes messages all the while.
    """
    of_reports = select(Task.cause).where(
        Task.subject == CHANNEL, Task.kind == "mail_channel", Task.cause.startswith("mail comes back: ")
    )
    kept = (await session.scalars(of_reports)).all()
    await settle_tasks(session, CHANNEL, "mail_channel", kept, "the mail server takes messages again", at)
