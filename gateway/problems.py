"""Answers that say what is wrong, for programs: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

PROBLEM = "application/problem+json"


class WrongField(BaseModel):
    """One wrong field of the request's body."""

    pointer: str = Field(description="Where, as a JSON pointer (RFC 6901) into the body.")
    reason: str = Field(description="What is wrong there.")


class Problem(BaseModel):
    """What is wrong with a request, or with us."""

    type: str = Field(description="Always `about:blank`: the status says which kind of problem it is.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    errors: list[WrongField] | None = Field(default=None, description="Every wrong field; up to 200 of them.")


def problem(
    status: int,
    detail: str,
    *,
    errors: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer for a problem; `errors` are JSON pointers with reasons."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if named := [{"pointer": pointer, "reason": reason} for pointer, reason in errors]:
        content["errors"] = named
    return Response(json.dumps(content), status, headers, media_type=PROBLEM)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return these problems as the API's description documents them."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {PROBLEM: {"schema": schema}},
            **({"headers": {"Retry-After": _RETRY_AFTER}} if status == 503 else {}),
        }
        for status in statuses
    }


_RETRY_AFTER = {"description": "Seconds to wait before trying again.", "schema": {"type": "string"}}
_MEANINGS = {
    400: "Wrong; `errors` names each wrong field. Nothing of the request was stored.",
    401: "Not signed, or the signature is wrong or old.",
    413: "Larger than 1 MiB.",
    415: "Neither JSON nor CloudEvents in JSON.",
    503: "Nothing was accepted, because it could not be stored. The same request can be sent again.",
}
