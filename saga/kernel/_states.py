"""The two tables that say which fact may follow which state: of an instance, and of a call.

Whatever is not in a table cannot happen; `saga diagram --states` and the documentation draw these tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from saga.errors import JournalOrderError
from saga.kernel._values import CallState, SagaState

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("CALL_TRANSITIONS", "SAGA_TRANSITIONS", "next_call_state", "next_saga_state")

SAGA_TRANSITIONS: Final[Mapping[tuple[SagaState | None, str], SagaState]] = {
    (None, "SagaStarted"): SagaState.RUNNING,
    (SagaState.RUNNING, "SagaCompleted"): SagaState.COMPLETED,
    (SagaState.RUNNING, "RecoveryStarted"): SagaState.COMPENSATING,
    (SagaState.RUNNING, "SagaStuck"): SagaState.STUCK,
    (SagaState.COMPENSATING, "SagaCompensated"): SagaState.COMPENSATED,
    (SagaState.COMPENSATING, "SagaStuck"): SagaState.STUCK,
    (SagaState.STUCK, "RunContinued"): SagaState.RUNNING,
    (SagaState.STUCK, "RecoveryContinued"): SagaState.COMPENSATING,
}
"""State of an instance and fact, to the next state."""

CALL_TRANSITIONS: Final[Mapping[tuple[CallState | None, str], CallState]] = {
    (None, "registered"): CallState.IN_FLIGHT,
    (CallState.IN_FLIGHT, "done"): CallState.DONE,
    (CallState.IN_FLIGHT, "rejected"): CallState.REJECTED,
    (CallState.IN_FLIGHT, "in doubt"): CallState.IN_DOUBT,
    (CallState.IN_FLIGHT, "skipped"): CallState.SKIPPED,  # an operator did by hand what keeps failing
    (CallState.IN_DOUBT, "happened"): CallState.DONE,  # said the probe, or an operator
    (CallState.IN_DOUBT, "did not happen"): CallState.REJECTED,
    (CallState.IN_DOUBT, "retried"): CallState.IN_FLIGHT,
    (CallState.IN_DOUBT, "skipped"): CallState.SKIPPED,
    (CallState.REJECTED, "happened"): CallState.DONE,  # a retriable step that an operator did by hand
    (CallState.REJECTED, "retried"): CallState.IN_FLIGHT,
    (CallState.REJECTED, "skipped"): CallState.SKIPPED,
    (CallState.DONE, "happened"): CallState.DONE,  # an operator knows that nothing acts any more
    (CallState.DONE, "did not happen"): CallState.REJECTED,
}
"""State of a call and event, to the next state."""


def next_saga_state(state: SagaState | None, fact: str) -> SagaState:
    """Return the state of an instance after `fact`.

    Raises:
        JournalOrderError: if the fact cannot happen in this state.
    """
    try:
        return SAGA_TRANSITIONS[state, fact]
    except KeyError:
        msg = f"{fact} cannot happen while the instance is {state or 'not started'}"
        raise JournalOrderError(msg) from None


def next_call_state(call: str, state: CallState | None, event: str) -> CallState:
    """Return the state of a call after `event`.

    Raises:
        JournalOrderError: if the event cannot happen in this state.
    """
    try:
        return CALL_TRANSITIONS[state, event]
    except KeyError:
        msg = f"{call} cannot be {event}: it is {state or 'not registered'}"
        raise JournalOrderError(msg) from None
