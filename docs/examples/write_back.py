"""Receive events from Throughline and write states into the member database.

Usage: write_back.py PORT. WRITE_BACK_SECRET is what `throughline webhook add` printed. Run it behind https.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WRITE_BACK_SECRET"].removeprefix("whsec_"))
LARGEST, TOLERANCE = 1_000_000, 300
SCHEMA = """
    CREATE TABLE IF NOT EXISTS mentoring (
        kind     TEXT NOT NULL,     -- onboarding, request or engagement
        id       TEXT NOT NULL,     -- of the profile, the request or the engagement
        sequence TEXT NOT NULL,     -- of the event that was written last
        state    TEXT NOT NULL,
        since    TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    )
"""
# An event that comes twice, or after a later one, changes nothing: its sequence is not higher.
WRITE = """
    INSERT INTO mentoring VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, id) DO UPDATE
        SET sequence = excluded.sequence, state = excluded.state, since = excluded.since
        WHERE excluded.sequence > mentoring.sequence
"""
WHO = {"onboarding": "profile", "request": "request", "engagement": "engagement"}


def is_signed(headers, body):
    """Return whether Throughline sent a body just now: Standard Webhooks, with a header per secret in use."""
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdigit()) or abs(time.time() - int(at)) > TOLERANCE:
        return False
    wanted = (
        "v1," + base64.b64encode(hmac.digest(KEY, f"{name}.{at}.".encode() + body, hashlib.sha256)).decode()
    )
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(each.encode(), wanted.encode()) for each in given)


def write(event):
    """Write the state that an event reports. Other types of events are taken and not used."""
    kind, _, what = event["type"].partition(".")
    if what != "state_changed" or kind not in WHO:
        return
    data = event["data"]
    with sqlite3.connect("members.db", timeout=10) as database:
        database.execute(WRITE, (kind, data[WHO[kind]], event["sequence"], data["state"], data["since"]))


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once the state is committed; anything else has the event sent again."""

    def do_POST(self):
        """Take an event."""
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length <= LARGEST else b""
        if not is_signed(self.headers, body):
            status = 401
        else:
            try:
                write(json.loads(body))
                status = 204
            except sqlite3.Error:
                status = 503
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        """Log nothing."""


with sqlite3.connect("members.db") as members:
    members.execute(SCHEMA)
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
