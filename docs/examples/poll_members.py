"""Ask a member API what changed since the last time, and send it. Run it every minute, by cron or a systemd timer.

The API answers GET /members?changed_since=… with {"members": [{"number", "name", "email", "active", "changed_at"}],
"next": an address or null}. A member who was deleted comes once more, with "deleted": true.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime, timedelta

API = os.environ["MEMBER_API"]
GATEWAY = os.environ["THROUGHLINE_GATEWAY_URL"]
KEY = base64.b64decode(os.environ["THROUGHLINE_WEBHOOK_SECRET"].removeprefix("whsec_"))
CURSOR = "cursor.txt"
# A transaction of the API may commit minutes after the instant that it wrote down. What is read again is known.
OVERLAP = timedelta(minutes=10)
MOST = 200


def changed_since(since: datetime):
    """Yield what changed, page by page."""
    address = f"{API}/members?" + urllib.parse.urlencode({"changed_since": since.isoformat()})
    while address:
        with urllib.request.urlopen(address, timeout=30) as answer:
            page = json.load(answer)
        yield from page["members"]
        address = page.get("next") and urllib.parse.urljoin(API, page["next"])


def event_of(member):
    """Return the event of a change. The same change has the same id, however often it is read."""
    name = hashlib.sha256(json.dumps(member, sort_keys=True).encode()).hexdigest()
    good = member.get("active") and not member.get("deleted")
    return {
        "specversion": "1.0",
        "id": f"poll-{name[:40]}",
        "source": "/members",
        "type": "member.updated",
        "time": member["changed_at"],
        "data": {
            "member": member["number"],
            "name": member["name"],
            "email": member["email"],
            "standing": "good" if good else "lapsed",
        },
    }


def send(events):
    """Send events, and name those that are refused. Raises for everything else: nothing counts as sent then."""
    body = json.dumps(events).encode()
    name, now = f"msg_{hashlib.sha256(body).hexdigest()[:40]}", str(int(time.time()))
    signature = base64.b64encode(hmac.digest(KEY, f"{name}.{now}.".encode() + body, hashlib.sha256)).decode()
    request = urllib.request.Request(
        f"{GATEWAY}/events",
        body,
        {
            "content-type": "application/cloudevents-batch+json",
            "prefer": "handling=lenient",
            "webhook-id": name,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{signature}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.load(answer)
    for event, each in zip(events, said["events"], strict=True):
        if each["outcome"] == "refused":
            print(f"member {event['data']['member']} refused: {each['errors']}", file=sys.stderr)
    return said


def main():
    """Send what changed; move the cursor once all of it is accepted."""
    try:
        cursor = datetime.fromisoformat(open(CURSOR).read().strip())
    except FileNotFoundError:
        cursor = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    members = list(changed_since(cursor - OVERLAP if cursor.year > 2000 else cursor))
    members.sort(key=lambda member: datetime.fromisoformat(member["changed_at"]))
    counts = {"accepted": 0, "known": 0, "refused": 0}
    for start in range(0, len(members), MOST):
        said = send([event_of(member) for member in members[start : start + MOST]])
        counts = {name: count + said[name] for name, count in counts.items()}
    if members:
        # The API's own clock, never this machine's: the two may differ by minutes.
        cursor = max(cursor, datetime.fromisoformat(members[-1]["changed_at"]))
        with open(f"{CURSOR}.new", "w") as file:
            file.write(cursor.isoformat())
        os.replace(f"{CURSOR}.new", CURSOR)
    print(", ".join(f"{count} {name}" for name, count in counts.items()))


main()
