"""What an engine is made with, beside its journal, its sagas and their participants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from saga.errors import SagaError
from saga.kernel import time_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Settings",)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an engine.

    Attributes:
        threads: Threads for activities that are not `async`.
        payload_limit: Largest request, input, output or result, in bytes of JSON.
        grace: How long leaving waits for activities that run.
        lease: After how long without a sign of life another machine's engine is taken over.
        retention: How long ended instances are kept; None keeps them until somebody purges them.
        allow_shared: Whether a SQLite file may hold tables of others beside the journal's.

    Raises:
        SagaError: if one of them makes no sense; all of those are named.
    """

    threads: int
    payload_limit: int
    grace: timedelta
    lease: timedelta
    retention: timedelta | None
    allow_shared: bool

    def __post_init__(self) -> None:
        """Check them."""
        faults = [
            *_count_faults("threads", self.threads),
            *_count_faults("payload_limit", self.payload_limit),
            *time_faults("grace", self.grace),
            *time_faults("lease", self.lease, positive=True),
            *([] if self.retention is None else time_faults("retention", self.retention)),
        ]
        if faults:
            raise SagaError("\n".join(["this engine cannot be made:", *(f"  {one}" for one in faults)]))


def _count_faults(name: str, value: object) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield f"{name} is {value!r}; give 1 or more"
