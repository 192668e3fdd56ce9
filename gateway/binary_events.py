"""CloudEvents in binary mode: the attributes in `ce-` headers, the data as the body.

HTTP Protocol Binding for CloudEvents 1.0.2, section 3.1. A Standard Webhooks signature covers `webhook-id`,
`webhook-timestamp` and the body, and no other header. Without more, anyone who saw a request could send its data again
as another type. So the `webhook-id` of such a request must be a digest of its attributes: then the signature covers
them, and any library for Standard Webhooks can make it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

PREFIX: Final = "ce-"
DIGEST: Final = re.compile(r"ce_[0-9a-f]{64}")
"""A `webhook-id` that covers attributes."""

_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[a-z0-9]{1,40}")
_IN_THE_BODY = ("data", "data_base64", "datacontenttype")
"""Names that have no header: what they say is the body, and its content type."""

_BOOLEANS: Final = {"true": True, "false": False}


class AttributesRefused(Exception):
    """Headers from which no event can be read. The text names the header and repeats no value."""


def is_binary(headers: Mapping[str, str]) -> bool:
    """Return whether a request is in binary mode: it has attributes, and its body is no CloudEvent by its type."""
    if headers.get("content-type", "").lower().startswith("application/cloudevents"):
        return False
    return any(name.lower().startswith(PREFIX) for name in headers)


def attributes_digest(headers: Iterable[tuple[str, str]]) -> str:
    """Return the `webhook-id` that covers the attributes of a request.

    It is `ce_` and the hexadecimal SHA-256 of a line `name:value` for each `ce-` header, names in lower case, values as
    they are sent, in the order of the names, joined by line feeds.
    """
    lines = sorted((name.lower(), value.strip(" \t")) for name, value in headers if _is_attribute(name))
    text = "\n".join(f"{name}:{value}" for name, value in lines)
    return f"ce_{hashlib.sha256(text.encode('latin-1')).hexdigest()}"


def binary_event(headers: Iterable[tuple[str, str]], data: object) -> dict[str, Any]:
    """Return the event of a request in binary mode, as structured mode would have it. Raises AttributesRefused."""
    event: dict[str, Any] = {}
    for name, value in headers:
        if not _is_attribute(name):
            continue
        attribute = name.lower().removeprefix(PREFIX)
        if attribute in _IN_THE_BODY:
            raise AttributesRefused(
                f"the header {name} is not used: the body is the data, of its content type"
            )
        if not _NAME.fullmatch(attribute):
            raise AttributesRefused("a header ce- has a name that is not of letters and digits")
        if attribute in event:
            raise AttributesRefused(f"the header {name} comes twice")
        event[attribute] = _decoded(name, value)
    if event.get("history") in _BOOLEANS:
        # CloudEvents 1.0.2, section 3.4: a boolean in a header is one of these two words.
        event["history"] = _BOOLEANS[event["history"]]
    return {**event, "data": data}


def _is_attribute(name: str) -> bool:
    return name.lower().startswith(PREFIX)


def _decoded(name: str, value: str) -> str:
    """Return the value of a header, after section 3.1.3.2. Raises AttributesRefused."""
    value = value.strip(" \t")
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if not value.isascii() or not value.isprintable():
        raise AttributesRefused(f"the header {name} has characters that must be percent-encoded as UTF-8")
    if _BROKEN_PERCENT.search(value):
        raise AttributesRefused(f"the header {name} has a % without two hexadecimal digits behind it")
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise AttributesRefused(f"the header {name} is percent-encoded, but not as UTF-8") from None
