"""The check of a badge by what its issuer publishes: its keys, and its list of revoked badges (CPE14).

Both may be files that somebody kept, or be read from the addresses in the badge. A badge is foreign bytes, and so are
they: whatever they hold, the answer is a verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from evidence.badges import compact_jws, status_list
from evidence.badges.compact_jws import JwsError, SignedObject
from evidence.badges.credential import identity_hash

CLOCK_SKEW: Final = timedelta(minutes=5)

_ENVELOPE: Final = "data:application/vc+jwt,"
_ACHIEVEMENTS: Final = {"OpenBadgeCredential", "AchievementCredential"}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class BadgeInvalid(Exception):
    """A badge that does not hold; the text says why, in one line."""


class NotReadable(Exception):
    """Something that the issuer publishes and that could not be read; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Published:
    """What is known of the issuer. What is None is read with `fetch`; without that, the check is offline."""

    profile: bytes | None = None
    """Its profile, DID document or key set."""
    status: bytes | None = None
    """The status list that the badge names."""
    fetch: Callable[[str], bytes] | None = None
    """Reads an address. Raises NotReadable."""


@dataclass(frozen=True, slots=True)
class CheckedBadge:
    """A badge that holds."""

    id: str
    name: str
    issuer: str
    """The DID of the issuer."""
    issuer_name: str
    since: datetime
    status: str
    """`valid`, or `unchecked` where no status list was at hand."""


def check(text: bytes, published: Published, at: datetime, email: str | None = None) -> CheckedBadge:
    """Check a badge at an instant; with `email`, also whose it is. Raises BadgeInvalid, NotReadable."""
    token = _read(text, "this")
    claims = token.payload
    _check_claims(claims)
    keys = _keys(claims["iss"], published)
    _check_signature(token, claims["iss"], keys, "the badge")
    since = _check_time(claims, at, "the badge")
    if email is not None:
        _check_holder(claims, email)
    return CheckedBadge(
        id=claims["id"],
        name=_text(claims.get("name")) or _text(_object(_subject(claims).get("achievement")).get("name")),
        issuer=claims["iss"],
        issuer_name=_text(_object(claims["issuer"]).get("name")),
        since=since,
        status=_status(claims, published, keys, at),
    )


def did_address(did: str) -> str:
    """Return the address of the document that a DID of the method `web` names. Raises BadgeInvalid.

    The method wants HTTPS. This machine's own addresses are read without.
    """
    host, *path = (unquote(part) for part in did.removeprefix("did:web:").split(":"))
    named = all(part and part.isprintable() and not set(part) & set("/\\?#@ ") for part in (host, *path))
    if not did.startswith("did:web:") or not named or any(part in (".", "..") for part in path):
        raise BadgeInvalid(f"its issuer {did} is no DID of the method web")
    scheme = "http" if _is_this_machine(f"https://{host}") else "https"
    return f"{scheme}://{host}/{'/'.join(path or ['.well-known'])}/did.json"


def may_be_read(address: str) -> bool:
    """Return whether an address may be read: HTTPS, or one of this machine's own."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or _is_this_machine(address))


def _is_this_machine(address: str) -> bool:
    try:
        return urlsplit(address).hostname in _LOOPBACK
    except ValueError:
        return False


def _read(text: bytes, what: str) -> SignedObject:
    """Return a signed object, also out of an envelope (W3C, Verifiable Credentials 2.0, section 4.13)."""
    try:
        words = text.decode("utf-8").strip()
        if words.startswith("{"):
            value = json.loads(words)
            id = value.get("id") if isinstance(value, dict) else None
            if not isinstance(id, str) or not id.startswith(_ENVELOPE):
                raise BadgeInvalid(f"{what} is JSON without a signature: take the file that ends in .jwt")
            words = id.removeprefix(_ENVELOPE)
        return compact_jws.read(words)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, JwsError) else "it is no signed JSON object"
        raise BadgeInvalid(f"{what} is no Open Badge 3.0 that can be checked: {why}") from None


def _check_claims(claims: Mapping[str, Any]) -> None:
    """Check that the claims are those of a badge, and say one thing. Raises BadgeInvalid."""
    types = claims.get("type")
    named = {each for each in types if isinstance(each, str)} if isinstance(types, list) else set()
    if not named & _ACHIEVEMENTS or "VerifiableCredential" not in named:
        raise BadgeInvalid("this is no Open Badge 3.0: its type is another")
    subject, issuer = _subject(claims), claims.get("issuer")
    issuer_id = _object(issuer).get("id") if isinstance(issuer, dict) else issuer
    pairs = {"iss": issuer_id, "jti": claims.get("id"), "sub": subject.get("id")}
    for claim, value in pairs.items():
        if not isinstance(value, str) or claims.get(claim) != value:
            raise BadgeInvalid(
                f"this is no valid Open Badge 3.0: its claim {claim} is missing, or says otherwise"
            )


def _keys(issuer: str, published: Published) -> dict[str, Mapping[str, Any]]:
    """Return the public keys of an issuer by their names. Raises BadgeInvalid, NotReadable."""
    content = published.profile
    if content is None:
        if published.fetch is None:
            raise NotReadable("the issuer's profile is needed to check a badge offline")
        content = published.fetch(did_address(issuer))
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise NotReadable("the issuer's profile is no JSON") from None
    if not isinstance(document, dict):
        raise NotReadable("the issuer's profile is no JSON object")
    if isinstance(document.get("keys"), list):
        return {f"{issuer}#{key['kid']}": key for key in document["keys"] if _is_key(key, "kid")}
    if document.get("id") != issuer:
        raise BadgeInvalid(f"it names another issuer, {issuer}, than the profile")
    methods = document.get("verificationMethod")
    return {
        method["id"]: method["publicKeyJwk"]
        for method in (methods if isinstance(methods, list) else [])
        if _is_key(method, "id") and isinstance(method.get("publicKeyJwk"), dict)
    }


def _is_key(value: object, name: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(name), str)


def _check_signature(
    token: SignedObject, issuer: str, keys: Mapping[str, Mapping[str, Any]], what: str
) -> None:
    kid = token.header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if key is None or not str(kid).startswith(f"{issuer}#"):
        raise BadgeInvalid(f"{what} is signed with a key that its issuer does not publish")
    try:
        token.check(key)
    except JwsError:
        raise BadgeInvalid(f"{what} was altered, or another key signed it") from None


def _check_time(claims: Mapping[str, Any], at: datetime, what: str) -> datetime:
    """Return from when claims hold. Raises BadgeInvalid where that is not now."""
    since, until = _instant(claims.get("validFrom")), claims.get("validUntil")
    if since is None or (until is not None and _instant(until) is None):
        raise BadgeInvalid(f"{what} has no readable time from which it holds")
    if since > at + CLOCK_SKEW:
        raise BadgeInvalid(f"{what} holds only from {since:%Y-%m-%d %H:%M} UTC")
    end = _instant(until)
    if end is not None and end < at - CLOCK_SKEW:
        raise BadgeInvalid(f"{what} holds no longer than until {end:%Y-%m-%d %H:%M} UTC")
    return since


def _check_holder(claims: Mapping[str, Any], email: str) -> None:
    """Check that a badge is of the person with an address. Raises BadgeInvalid."""
    known = _subject(claims).get("identifier")
    for each in known if isinstance(known, list) else []:
        found = _object(each)
        hashed = identity_hash(email.strip(), _text(found.get("salt")))
        if found.get("identityType") == "emailAddress" and found.get("identityHash") == hashed:
            return
    raise BadgeInvalid(f"it was not issued to {email.strip()}")


def _status(
    claims: Mapping[str, Any], published: Published, keys: Mapping[str, Mapping[str, Any]], at: datetime
) -> str:
    """Return `valid`, or `unchecked` without a status list. Raises BadgeInvalid, NotReadable."""
    entry = _object(claims.get("credentialStatus"))
    address, index = entry.get("statusListCredential"), entry.get("statusListIndex")
    if entry.get("statusPurpose") != status_list.PURPOSE or not isinstance(address, str):
        raise BadgeInvalid("it does not say where its revocation would be published")
    content = published.status
    if content is None:
        if published.fetch is None:
            return "unchecked"
        content = published.fetch(address)
    token = _read(content, "the status list")
    listed = token.payload
    if listed.get("id") != address or listed.get("iss") != claims["iss"]:
        raise BadgeInvalid("the status list is not the one that the badge names")
    _check_signature(token, claims["iss"], keys, "the status list")
    _check_time(listed, at, "the status list")
    subject = _subject(listed)
    try:
        if subject.get("statusPurpose") != status_list.PURPOSE or not str(index).isdecimal():
            raise ValueError("it has another purpose")
        revoked = status_list.is_set(_text(subject.get("encodedList")), int(str(index)[:9]))
    except ValueError:
        raise BadgeInvalid("the status list cannot be read") from None
    if revoked:
        raise BadgeInvalid("it was revoked or withdrawn")
    return "valid"


def _subject(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    return _object(claims.get("credentialSubject"))


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _instant(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(_text(value))
        # The first and the last day cannot be moved to another zone.
        return at.astimezone(UTC) if at.tzinfo and 1 < at.year < 9999 else None
    except (ValueError, OverflowError):
        return None
