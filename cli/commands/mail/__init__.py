"""`throughline mail`: the ledger of messages, orders about them, copies of them, and addresses that get none."""

from cli.commands.mail.commands import app

__all__ = ["app"]
