"""What facts have in common, and the version of the rules that write them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ("KERNEL_VERSION", "BaseFact", "Consequence", "FactKind", "Input", "Note")

KERNEL_VERSION = 1
"""Version of the rules that wrote a journal; a newer library keeps replaying older versions."""


class FactKind(StrEnum):
    """Whether a fact comes from outside, follows from others, or only informs."""

    INPUT = "input"
    CONSEQUENCE = "consequence"
    NOTE = "note"


class BaseFact(BaseModel):
    """What every fact has: its time, and a payload beside it.

    Attributes:
        role_in_replay: What a replay does with it.
        at: When it was journaled, UTC.
        payload: JSON text that is stored beside the fact, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role_in_replay: ClassVar[FactKind]

    at: datetime
    payload: str | None = Field(default=None, exclude=True, repr=False)


class Input(BaseFact):
    """A fact that comes from outside."""

    role_in_replay: ClassVar[FactKind] = FactKind.INPUT


class Consequence(BaseFact):
    """A fact that follows from others."""

    role_in_replay: ClassVar[FactKind] = FactKind.CONSEQUENCE


class Note(BaseFact):
    """A fact that only informs."""

    role_in_replay: ClassVar[FactKind] = FactKind.NOTE
