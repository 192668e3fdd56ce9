"""Bodies of requests, read up to a limit whatever their sender says about their length."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

LARGEST = 1024 * 1024
"""The most bytes that a body may have."""


class TooLarge(Exception):
    """A body of more bytes than allowed."""


async def read_body(request: Request, most: int = LARGEST) -> bytes:
    """The bytes of the body as they came. Raises TooLarge as soon as there are too many, without keeping them."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 12 or int(length) > most):
        raise TooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge
    return bytes(body)


async def read_form(request: Request, most: int = LARGEST, files: int = 0) -> FormData:
    """The fields of a form, urlencoded or multipart; none if the body is neither, or broken, or has more files.

    Raises TooLarge.
    """
    body = await read_body(request, most)

    async def replayed() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        return await Request(request.scope, replayed).form(max_files=files, max_fields=300)
    except HTTPException:
        return FormData()
