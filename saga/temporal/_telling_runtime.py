"""The runtime of one instance, as far as it tells the server what the server cannot see by itself."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from temporalio import workflow

from saga.errors import PayloadTooLargeError, SagaError
from saga.kernel import CODE_FAULTS, SagaState
from saga.kernel import facts as f

from ._payloads import to_raw
from ._runtime import TemporalRuntime
from ._telling import Telling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ("BrokenCodeError", "TellingRuntime")

_LAST_EVENT: Final = 45_000
_LAST_BYTE: Final = 45 * 1024 * 1024
"""Events and bytes of one history; the server ends a workflow, without a word to it, at 51,200 and 50 MB."""


class BrokenCodeError(SagaError):
    """The code of a saga raised what no saga may raise; the workflow task fails until fixed code is deployed (S3)."""


class TellingRuntime(TemporalRuntime):
    """Watches what is recorded for what the server should know, and lets what it asks for tell the rest."""

    def __init__(self, queues: Mapping[str, str], budget: int) -> None:
        super().__init__(queues, budget)
        self.telling = Telling()
        self._waits: dict[datetime, asyncio.Task[None]] = {}
        self._stays = False

    def record(self, facts: Sequence[f.Fact]) -> None:
        super().record(facts)
        self.telling.take(facts)
        for fact in facts:
            if isinstance(fact, f.SagaStuck):
                self._stuck(fact)
            elif isinstance(fact, (f.RunContinued, f.RecoveryContinued)):
                workflow.upsert_memo({"saga_state": None})

    def _stuck(self, fact: f.SagaStuck) -> None:
        for one in fact.reasons:
            if one.reason in CODE_FAULTS and one.failure is not None:
                raise BrokenCodeError(one.failure.traceback or str(one.failure))
        workflow.upsert_memo({"saga_state": self.telling.tell(to_raw(json.dumps(SagaState.STUCK)))})

    def stay(self) -> None:
        """Go on in this run, however long it grows: no payload holds the journal that the next would need."""
        self._stays, self.full = True, asyncio.get_running_loop().create_future()

    def _is_full(self) -> bool:
        if not self._stays:
            return super()._is_full()
        info = workflow.info()
        if info.get_current_history_length() >= _LAST_EVENT or info.get_current_history_size() >= _LAST_BYTE:
            name = f"{info.workflow_type} {info.workflow_id}"
            text = "its journal is too large for the start of a new run, and the history of this one may not grow on"
            raise PayloadTooLargeError(f"{name}: {text}. Compensate it with: saga recover")
        return False

    def wake_at(self, due: datetime | None) -> None:
        """Set a timer under the name of what it is for, and cancel those that nobody waits for any more."""
        for other in [one for one in self._waits if one not in {due, self._kept}]:
            self._waits.pop(other).cancel()
        if due is not None and due not in self._waits:
            self._waits[due] = asyncio.ensure_future(self._wait(due))

    async def _wait(self, due: datetime) -> None:
        conductor = self.conductor
        first = None if conductor is None else conductor.decider.next_due()
        summary: Any = self.telling.tell(to_raw(json.dumps(first[0] if first else "timer")))  # a payload, as any text
        await workflow.sleep(max((due - workflow.now()).total_seconds(), 0.0), summary=summary)
        self._waits.pop(due, None)
        if self.conductor is not None:
            self.conductor.tick()
