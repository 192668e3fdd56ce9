"""`POST /events`: CloudEvents from other systems, stored before they are answered with 202."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from gateway.access import Access, declared
from gateway.binary_events import (
    DIGEST,
    AttributesRefused,
    attributes_digest,
    binary_event,
    is_binary,
)
from gateway.event_answers import MOST_ITEMS, EventAnswers, Item, answers_of, wants_each
from gateway.event_store import EventStore, Unavailable
from gateway.problems import documented, problem
from gateway.request_body import LARGEST, TooLarge, read_body
from gateway.strict_json import NotJson, parse
from gateway.webhook_signatures import (
    ONE_EVENT,
    SEVERAL_EVENTS,
    SIGNATURE_HEADERS,
    SignatureRefused,
    Signatures,
)
from rules.events import EVENT_TYPES, MOST_IGNORED, Envelope, read_event, refused_at_the_door
from rules.events.description import example

log = structlog.get_logger()

CONTENT_TYPES = (ONE_EVENT, SEVERAL_EVENTS, "application/json")
MOST_ERRORS = 200
RETRY_AFTER = "10"
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`handling=lenient` (RFC 7240): store what has no mistake, and answer each event by itself.",
}


class AcceptedEvents(BaseModel):
    """What became of a request that was accepted."""

    accepted: int = Field(description="Events that were new, and are stored now.", ge=0)
    known: int = Field(description="Events that were stored before, by the same source and id.", ge=0)
    ignored: list[str] | None = Field(
        default=None,
        description=f"Data that nobody knows, which were left out: JSON pointers into the body, up to {MOST_IGNORED} of"
        f" an event and {MOST_ERRORS} of a request. Only where there are any.",
    )


def router(store: EventStore, signatures: Signatures) -> APIRouter:
    """The route `POST /events`."""
    routes = APIRouter(tags=["events"], dependencies=[declared(Access.SIGNED)])

    @routes.post(
        "/events",
        status_code=202,
        response_model=AcceptedEvents | EventAnswers,
        response_description="All events of the request are stored, now or before. None is lost from here on.",
        responses={
            207: {
                "model": EventAnswers,
                "description": "Asked for one by one: some are stored, others refused.",
            },
            **documented(400, 401, 413, 415, 503),
        },
        openapi_extra={
            "parameters": [_PREFER],
            "requestBody": described_body(),
            "security": [{name: [] for name in SIGNATURE_HEADERS}],
        },
    )
    async def receive_events(request: Request) -> Response:
        """CloudEvents 1.0, signed after Standard Webhooks: one or a list in structured JSON, or one in binary mode.

        All of a list are accepted, or none. With `Prefer: handling=lenient` each is answered by itself, and a wrong one
        keeps no other from being stored. An event is known by its source and id, so that a repeat does no harm.
        """
        body = await _signed_body(request, signatures)
        if isinstance(body, Response):
            return body
        try:
            content = parse(body)
            if is_binary(request.headers):
                content = binary_event(request.headers.items(), content)
        except (NotJson, AttributesRefused) as wrong:
            return problem(400, str(wrong))
        try:
            return await (_answer_each if wants_each(request.headers) else _answer_all)(content, store)
        except Unavailable:
            return problem(
                503,
                "the events could not be stored, and none was accepted; send them again later",
                headers={"Retry-After": RETRY_AFTER},
            )

    return routes


async def _answer_all(content: object, store: EventStore) -> Response:
    """Store all events of a body, or none. Raises Unavailable."""
    envelopes, errors, more = _read(content)
    if errors:
        summary = "errors names each wrong field"
        if more:
            summary = f"errors names the first {MOST_ERRORS} wrong fields; there are more"
        return problem(400, f"nothing was stored, because the request has mistakes: {summary}", errors=errors)
    new = await store.put(envelopes)
    ignored = _ignored(content, envelopes)
    accepted = {"accepted": new, "known": len(envelopes) - new}
    return JSONResponse({**accepted, "ignored": ignored} if ignored else accepted, 202)


async def _answer_each(content: object, store: EventStore) -> Response:
    """Store the events of a body that have no mistake, and answer each. Raises Unavailable."""
    if isinstance(content, list) and len(content) > MOST_ITEMS:
        return problem(400, f"a list that is answered one by one may have at most {MOST_ITEMS} events")
    each = list(_each(content))
    items = [_item(event) for _, event in each]
    known = await store.put_each([envelope for envelope, _ in items if envelope is not None])
    answers = answers_of([base for base, _ in each], items, known)
    return JSONResponse(
        answers, 207 if answers["refused"] else 202, {"Preference-Applied": "handling=lenient"}
    )


async def _signed_body(request: Request, signatures: Signatures) -> bytes | Response:
    """Return the body of a request that is readable and signed, or the answer that refuses it."""
    if refusal := _unreadable(request.headers):
        return problem(415, refusal)
    try:
        body = await read_body(request)
    except TooLarge:
        return problem(413, f"a body may have at most {LARGEST} bytes; send the events in several requests")
    try:
        signatures.check(request.headers, body)
        _refuse_uncovered(request.headers)
    except SignatureRefused as refused:
        log.warning("signature_refused", reason=str(refused))
        return problem(401, str(refused), headers={"WWW-Authenticate": "Webhook-Signature"})
    return body


def _refuse_uncovered(headers: Headers) -> None:
    """Raise SignatureRefused unless the signature covers the attributes of an event in binary mode.

    A `webhook-id` of that form is refused elsewhere: the data of such an event must not be read as an event.
    """
    name = headers["webhook-id"]
    if is_binary(headers):
        if name != attributes_digest(headers.items()):
            raise SignatureRefused(
                "the signature does not cover the ce- headers: in binary mode webhook-id must be their digest"
            )
    elif DIGEST.fullmatch(name):
        raise SignatureRefused("this webhook-id covers ce- headers, and the request has none")


def _unreadable(headers: Mapping[str, str]) -> str | None:
    kind, *parameters = headers.get("content-type", "").lower().split(";")
    if kind.strip() not in CONTENT_TYPES:
        return f"the content type must be one of {', '.join(CONTENT_TYPES)}"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
            return "the charset must be utf-8"
    if headers.get("content-encoding", "identity").lower() != "identity":
        return "the body must not be compressed"
    return None


def _read(content: object) -> tuple[list[Envelope], list[tuple[str, str]], bool]:
    """The events in a body, or what is wrong with them, and whether there is more of that."""
    envelopes: list[Envelope] = []
    errors: list[tuple[str, str]] = []
    for base, event in _each(content):
        envelope, wrong = _item(event)
        if envelope is not None:
            envelopes.append(envelope)
        errors += ((f"{base}{error.pointer}", error.reason) for error in wrong)
        if len(errors) > MOST_ERRORS:
            return [], errors[:MOST_ERRORS], True
    return envelopes, errors, False


def _item(event: object) -> Item:
    envelope, wrong = read_event(event)
    if envelope is not None and (refused := refused_at_the_door(envelope.type)):
        return None, [refused]
    return envelope, wrong


def _ignored(content: object, envelopes: Sequence[Envelope]) -> list[str]:
    """Return JSON pointers into the body to data that nobody knows."""
    bases = (base for base, _ in _each(content))
    named = (
        f"{base}{pointer}"
        for base, envelope in zip(bases, envelopes, strict=True)
        for pointer in envelope.ignored
    )
    return list(islice(named, MOST_ERRORS))


def _each(content: object) -> Iterator[tuple[str, object]]:
    if isinstance(content, list):
        for position, event in enumerate(content):
            yield f"/{position}", event
    else:
        yield "", content


def described_body() -> dict[str, Any]:
    """Return how the API describes the body: an event or a list of them, with an example of each type."""
    examples = {
        name: {"summary": (model.__doc__ or "").partition(". ")[0], "value": example(name)}
        for name, model in EVENT_TYPES.items()
        if not model.not_kept
    }
    reference = {"$ref": "#/components/schemas/CloudEvent"}
    several = {"type": "array", "items": reference}
    bodies: dict[str, dict[str, Any]] = {
        ONE_EVENT: {"schema": reference, "examples": examples},
        SEVERAL_EVENTS: {
            "schema": several,
            "example": [example("member.updated"), {**example("profile.created"), "id": "e-2"}],
        },
        "application/json": {"schema": {"anyOf": [reference, several]}},
    }
    return {"required": True, "content": bodies}
