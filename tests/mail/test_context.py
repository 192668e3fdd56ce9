"""The data of mails: one function for each kind of lifecycle."""

from __future__ import annotations

from mail.lifecycle_context import CONTEXTS
from rules.kinds import KINDS


def test_mail_of_each_kind_of_lifecycle_has_its_context() -> None:
    missing = sorted(set(KINDS) - set(CONTEXTS))
    assert not missing, f"add a function to CONTEXTS of mail/lifecycle_context.py for {', '.join(missing)}"
    assert list(CONTEXTS) == list(KINDS)
