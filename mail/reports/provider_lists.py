"""The suppression lists of mail providers: how a report names one, and where staff lift an address (MAIL10).

A provider that mailed an address in vain does not try again, for anybody or for this account. Its list says nothing
about the mailbox: the entry may be years old.
"""

from __future__ import annotations

import re
from typing import Final

from mail.smtp.refusals import Cause

LISTS: Final = {
    "ses": (
        "Amazon SES",
        "its console, Configuration, Suppression list; by API: DeleteSuppressedDestination",
    ),
    "sendgrid": (
        "SendGrid",
        "its page Suppressions (Bounces, Invalid, Spam Reports or Global Unsubscribes); by API: "
        "DELETE /v3/suppression/bounces/ADDRESS, or invalid_emails, spam_reports, /v3/asm/suppressions/global",
    ),
    "postmark": (
        "Postmark",
        "its page Suppressions of the message stream, Reactivate; by API: "
        "POST /message-streams/STREAM/suppressions/delete",
    ),
    "mailgun": (
        "Mailgun",
        "its page Suppressions of the domain; by API: DELETE /v3/DOMAIN/bounces/ADDRESS, or complaints, unsubscribes",
    ),
}
"""For each provider its name, and where its list is."""

_NAMED = re.compile(r"\((?P<provider>" + "|".join(LISTS) + r")\b")
_WORDS = {"amazon ses": "ses", "amazonses": "ses", **{name: name for name in LISTS if name != "ses"}}


def listed_at(provider: str) -> str:
    """Return the cause of a mail that a provider's own list stopped."""
    return f"{Cause.PROVIDER_LIST} ({provider})"


def is_provider_list(reason: str | None) -> bool:
    """Whether the reason of what came back is the list of a provider."""
    return (reason or "").startswith(Cause.PROVIDER_LIST)


def provider_in(text: str) -> str | None:
    """Return the provider that a server's words name, if they name one."""
    lowered = text.lower()
    return next((provider for words, provider in _WORDS.items() if words in lowered), None)


def where_to_lift(reason: str) -> str:
    """Return where the list is that a reason names; in general words for a provider that is not known."""
    found = _NAMED.search(reason)
    if found is None:
        return "the suppression list of your mail provider"
    name, where = LISTS[found["provider"]]
    return f"the suppression list of {name}: {where}"
