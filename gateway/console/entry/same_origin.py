"""Refuses what a page of another site sends in the name of somebody who is signed in (CSRF).

The browser says where a request comes from, in headers that no page can set: `Sec-Fetch-Site` and `Origin`.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

SAFE = ("GET", "HEAD", "OPTIONS")


def is_foreign(request: Request, base_url: str) -> bool:
    """Return whether a request that changes something cannot be shown to come from a page of ours."""
    if request.method in SAFE:
        return False
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return True
    if site is not None and site != "same-origin":
        return True
    return origin is not None and _authority(origin) not in (
        _authority(base_url),
        _authority(f"{request.url.scheme}://{request.headers.get('host', '')}"),
    )


def comes_from_elsewhere(request: Request) -> bool:
    """Return whether a page of another site, or a mail, led here: then a strict cookie is not sent along."""
    return request.method == "GET" and request.headers.get("sec-fetch-site") in ("cross-site", "same-site")


def _authority(url: str) -> tuple[str, str] | None:
    """Return scheme and host of an address; None for what is no address, such as the origin `null`."""
    try:
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc.lower()) if parts.scheme and parts.netloc else None
    except ValueError:
        return None
