"""The search attributes of lifecycles in Temporal: program, state and kind, the one list of them (MEM6).

A lifecycle that is started where the namespace has them carries its kind from the start. Its workflow sets the others
only then: an attribute that the namespace lacks would fail each of its workflow tasks.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

KIND: Final = SearchAttributeKey.for_keyword("ThroughlineKind")
"""The kind of lifecycle: its workflow type."""

PROGRAM: Final = SearchAttributeKey.for_keyword("ThroughlineProgram")
"""The id of its program."""

STATE: Final = SearchAttributeKey.for_keyword("ThroughlineState")
"""Its state as of the last plan."""

NAMES: Final = tuple(key.name for key in (KIND, PROGRAM, STATE))
"""All of them; each is a keyword."""

LOOK_AGAIN: Final = 60.0
"""Seconds after which a process looks again whether a namespace without them has them by now."""

log = structlog.get_logger()


async def missing_attributes(client: Client) -> list[str]:
    """Return the names that the namespace lacks. Raises RPCError, also where the server knows no attributes."""
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    known = answer.custom_attributes
    return [name for name in NAMES if known.get(name) != IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD]


async def register_attributes(client: Client) -> list[str]:
    """Register what the namespace lacks, and return the names. Raises RPCError."""
    missing = await missing_attributes(client)
    if missing:
        kind = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace, search_attributes=dict.fromkeys(missing, kind)
            )
        )
    return missing


class LifecycleAttributes:
    """Whether the namespace of a client has the attributes, and with which of them a lifecycle starts."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._has_them = False
        self._looks_at = 0.0

    async def of_start(self, kind: str) -> TypedSearchAttributes:
        """Return the attributes of a lifecycle that starts now; none where the namespace lacks one."""
        if not self._has_them and time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + LOOK_AGAIN
            try:
                self._has_them = not await missing_attributes(self._client)
            except RPCError as error:
                # A time-skipping server has none, and an account may lack the right to ask.
                log.debug("search_attributes_unknown", status=error.status.name)
        pairs = [SearchAttributePair(KIND, kind)] if self._has_them else []
        return TypedSearchAttributes(pairs)

    def forget(self) -> None:
        """Do without from now on, until the next look: the server refused them."""
        self._has_them, self._looks_at = False, time.monotonic() + LOOK_AGAIN
