"""Events about mail that came back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rules.events.fields import line
from rules.events.schema import EventData, OneOf
from rules.validation import Issue, ValidationError


class MailBounced(EventData):
    """A mail came back, or its reader complained. It names the delivery or the message."""

    event_type = "mail.bounced"
    about = "mail/{delivery}"
    example: ClassVar[dict[str, Any]] = {"message_id": "<a1b2@example.org>", "kind": "hard"}

    delivery: Annotated[str, line(64)] | None = Field(None, description="The delivery's id.")
    message_id: Annotated[str, line(190)] | None = Field(None, description="The Message-ID of the mail.")
    kind: Annotated[Literal["hard", "soft", "refused", "complaint"], OneOf()] = Field(
        description="How it came back."
    )
    reason: Annotated[str, line(200)] | None = Field(None, description="What the refusal speaks of.")

    @model_validator(mode="after")
    def _names_a_mail(self) -> Self:
        if self.delivery is None and self.message_id is None:
            reason = "is missing: an event of this type has delivery or message_id"
            raise ValidationError(faults=[Issue(("delivery",), reason)])
        return self

    @classmethod
    def subject_of(cls, data: Mapping[str, Any]) -> str:
        """Return `mail/` and the delivery, or the message where that is all that is known."""
        return f"mail/{data.get('delivery') or data['message_id']}"
