"""The envelope of inbound events: CloudEvents 1.0 in structured JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.events import Envelope, check_envelope

MEMBER = {"member": "ana", "name": "Ana Pérez", "email": "ana@example.org", "standing": "good"}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "https://members.example.org/feed",
    "type": "member.updated",
    "time": "2028-03-06T10:00:00.5-05:00",
    "datacontenttype": "application/json",
    "data": MEMBER,
}


def test_envelope_time_is_read_in_utc() -> None:
    envelope, problems = check_envelope(
        ENVELOPE | {"traceparent": "00-1", "subject": "ana", "dataschema": None}
    )
    assert problems == []
    assert envelope == Envelope(
        id="e-1",
        source="https://members.example.org/feed",
        type="member.updated",
        time=datetime(2028, 3, 6, 15, 0, 0, 500_000, tzinfo=UTC),
        data=MEMBER,
    )


def test_envelope_needs_no_time_and_no_content_type() -> None:
    envelope, problems = check_envelope(
        {key: ENVELOPE[key] for key in ("specversion", "id", "source", "type", "data")}
    )
    assert problems == []
    assert envelope is not None
    assert envelope.time is None


WRONG_ATTRIBUTES: dict[str, list[object]] = {
    "specversion": [None, "0.3", 1.0, ""],
    "id": [None, "", " ", "a\n", "a" * 201, 7],
    "source": [None, "", "a b", "a" * 201, "/ä", 7],
    "type": [None, "", 7, "a" * 201],
    "time": [
        "2028-03-06",
        "2028-03-06T10:00:00",
        "now",
        "2028-02-30T10:00:00Z",
        1_835_949_600,
        "2028-03-06T23:59:60Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
    ],
    "datacontenttype": ["text/xml", "application/jsonx", 7],
    "data": [None, [], "{}", 7],
    "data_base64": ["e30=", None],
}
"""Values that an attribute of an envelope does not take."""


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG_ATTRIBUTES.items() for value in values]
)
def test_wrong_attribute_is_refused_by_its_name(field: str, value: object) -> None:
    envelope, problems = check_envelope(ENVELOPE | {field: value})
    assert envelope is None
    assert [problem.pointer for problem in problems] == [f"/{field}"]


@pytest.mark.parametrize(
    "type", ["application/json; charset=utf-8", "application/vnd.members+json", "APPLICATION/JSON"]
)
def test_other_json_content_types_are_accepted(type: str) -> None:
    assert check_envelope(ENVELOPE | {"datacontenttype": type})[1] == []


@pytest.mark.parametrize("envelope", [None, [], [ENVELOPE], "{}", 7, True])
def test_envelope_must_be_an_object(envelope: object) -> None:
    assert check_envelope(envelope)[0] is None
    assert check_envelope(envelope)[1][0].pointer == ""


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=30),
        st.sampled_from(
            ["mentor", "2028-03-06", "onboarding/p-1", "PSP", "https://example.org", "a@example.org"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(changes=st.dictionaries(st.sampled_from([*ENVELOPE, "subject", "odd"]), JSON, max_size=4), alone=JSON)
def test_no_json_value_crashes_the_envelope(changes: dict[str, object], alone: object) -> None:
    for candidate in (ENVELOPE | changes, alone):
        envelope, problems = check_envelope(candidate)
        assert (envelope is None) == bool(problems)
        if envelope and envelope.time:
            assert envelope.time.utcoffset() is not None
