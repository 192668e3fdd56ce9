"""JSON as RFC 8259 has it, without what parsers merely tolerate: two readers of a text never disagree about it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


class NotJson(Exception):
    """A body that is not JSON, or not unambiguously; the text says why and repeats nothing of its values."""


def parse(body: bytes) -> Any:
    """The value of a JSON text. Raises NotJson for anything else.

    Refused are other encodings than UTF-8, a key that an object has twice, NaN and the infinities, and what is
    nested or written too deeply or too long to be meant.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: byte {error.start} is wrong") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise NotJson(
            f"the body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise NotJson("the body is nested too deeply") from None
    except ValueError:
        raise NotJson("the body has a number with too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise NotJson(f"an object has the key {json.dumps(twice[:80])} twice")
    return found


def _constant(name: str) -> Any:
    raise NotJson(f"{name} is no JSON number")
