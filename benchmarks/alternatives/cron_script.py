"""A script that cron starts again and again: select what is due, send it, mark it as sent.

`python -m benchmarks.alternatives.cron_script DATABASE SMTP_PORT ORDER`, where ORDER is `send-first` or `mark-first`.
A lock on a row of its own keeps two runs apart. Each message has a transaction, so that one that fails stops no other.
"""

from __future__ import annotations

import smtplib
import sys
from email.message import EmailMessage
from types import TracebackType

import psycopg

TABLE = """
CREATE TABLE mails (
    id serial PRIMARY KEY, address text NOT NULL, subject text NOT NULL,
    due_at timestamptz NOT NULL, sent_at timestamptz
);
CREATE INDEX ON mails (due_at) WHERE sent_at IS NULL
"""
"""The table that the script works on."""

DUE = "SELECT id, address, subject FROM mails WHERE sent_at IS NULL AND due_at <= now() ORDER BY due_at, id"
MARK = "UPDATE mails SET sent_at = now() WHERE id = %s"
UNMARK = "UPDATE mails SET sent_at = NULL WHERE id = %s"


class Mailer:
    """A connection to the mail server that is kept while it works."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Mailer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._smtp:
            self._smtp.close()

    def send(self, address: str, subject: str) -> None:
        """Send a message. Raises SMTPException or OSError; then the next message has a new connection."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "mail@example.org", address, subject
        mail.set_content("Hello.\n")
        try:
            self._smtp = self._smtp or smtplib.SMTP("127.0.0.1", self._port, timeout=30)
            self._smtp.send_message(mail)
        except (smtplib.SMTPException, OSError):
            if self._smtp:
                self._smtp.close()
            self._smtp = None
            raise


def send_due(database: psycopg.Connection, mailer: Mailer, order: str) -> None:
    """Send what is due."""
    for number, address, subject in database.execute(DUE).fetchall():
        if order == "mark-first":
            database.execute(MARK, (number,))
        try:
            mailer.send(address, subject)
        except (smtplib.SMTPException, OSError):
            if order == "mark-first":
                database.execute(UNMARK, (number,))
            continue
        if order == "send-first":
            database.execute(MARK, (number,))


def main() -> None:
    """Send what is due, unless another run does."""
    address, port, order = sys.argv[1:]
    with psycopg.connect(address, autocommit=True) as database, Mailer(int(port)) as mailer:
        free = database.execute("SELECT pg_try_advisory_lock(1)").fetchone()
        if free and free[0]:
            send_due(database, mailer, order)


if __name__ == "__main__":
    main()
