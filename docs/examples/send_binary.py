"""Send an event in binary mode: attributes in `ce-` headers, which the signature covers by their digest."""

import base64
import hashlib
import hmac
import json
import time
import urllib.request
import uuid
from urllib.parse import quote

settings = json.load(open("var/connection.json"))
key = base64.b64decode(settings["THROUGHLINE_WEBHOOK_SECRET"].removeprefix("whsec_"))

attributes = {
    "ce-specversion": "1.0",
    "ce-id": str(uuid.uuid4()),
    "ce-source": "/members",
    "ce-type": "member.updated",
    "ce-subject": quote("Inés", safe="/:"),  # not printable ASCII: percent-encoded as UTF-8
}
body = json.dumps(
    {"member": "ines", "name": "Inés Duarte", "email": "ines@example.org", "standing": "good"}
).encode()

lines = "\n".join(sorted(f"{name}:{value}" for name, value in attributes.items()))
name = "ce_" + hashlib.sha256(lines.encode()).hexdigest()
now = str(int(time.time()))
signature = base64.b64encode(hmac.digest(key, f"{name}.{now}.".encode() + body, hashlib.sha256)).decode()
request = urllib.request.Request(
    settings["THROUGHLINE_GATEWAY_URL"] + "/events",
    body,
    {
        **attributes,
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{signature}",
    },
)
with urllib.request.urlopen(request) as answer:
    print(answer.status, answer.read().decode())
