"""Events about the curriculum of a program."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from rules.events.data.engagements import EngagementEvent
from rules.events.fields import By, line


class CurriculumDone(EngagementEvent):
    """A party did a step of the curriculum: read a guide, took part in a workshop, or finished a task."""

    event_type = "curriculum.done"
    example: ClassVar[dict[str, Any]] = {"engagement": "r-1", "by": "p-ana", "step": "good_time_journal"}

    by: By
    step: Annotated[str, line(40)] = Field(description="The step's id in the program file.")
