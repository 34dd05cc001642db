"""One attempt of one activity: the wrapper around user code that is the same on every engine (S2).

It decodes the input, lets the activity know its step, and says what the attempt came to: done, rejected (only if
the activity says so by an exception type of `rejects`, `StepRejected`, or a barrier), or failed without an answer;
and whether another attempt follows.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saga.errors import InvalidRequestError, PayloadTooLargeError, StepRejected
from saga.kernel._context import StepContext, running_step
from saga.kernel._payloads import size_of
from saga.kernel._values import AskAgain, CallState, Failure, Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from saga.kernel._policy import Retry
    from saga.kernel._runtime import Call

__all__ = ("RECORDED", "Attempt", "attempt", "retry_after")

RECORDED = "__saga_recorded__"
"""Attribute by which a barrier marks a rejection that it durably recorded under the key."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to.

    Attributes:
        state: DONE or REJECTED, or IN_DOUBT when it ended without an answer.
        output: What the activity returned, JSON text.
        failure: What it raised.
        recorded: Whether a barrier durably recorded the rejection.
        final: Whether another attempt cannot help.
    """

    state: CallState
    output: str | None = None
    failure: Failure | None = None
    recorded: bool = False
    final: bool = False


async def attempt(
    call: Call,
    function: Callable[[Any], object],
    *,
    number: int,
    in_thread: Callable[[Callable[[Any], object], Any], Awaitable[object]],
    payload_limit: int,
) -> Attempt:
    """Run an activity once. Cancellation and time limits are the caller's; they pass through.

    Args:
        call: What to perform.
        function: The real activity: a plain function, or a participant's bound method.
        number: Number of this attempt, from 1.
        in_thread: Runs a function that is not `async` outside of the event loop.
        payload_limit: Largest output, in bytes of JSON.
    """
    role = call.activity
    try:
        value = role.takes.decode(call.input)
    except InvalidRequestError as error:
        return _in_doubt(call, Failure.of(error), final=True)
    context = StepContext(call.saga, call.id, call.call, call.step.kind, call.role, call.action_key, call.key, number)
    token = running_step.set(context)
    try:
        if inspect.iscoroutinefunction(function):
            result = await function(value)
        else:
            result = await in_thread(function, value)
            if inspect.isawaitable(result):
                result = await result
    except Exception as error:  # noqa: BLE001 - what the activity raised is what the attempt came to
        return _judge(call, error)
    finally:
        running_step.reset(token)
    return _keep(call, result, payload_limit)


def retry_after(retry: Retry, last: Attempt, *, made: int, before: int) -> timedelta | None:
    """Return how long to wait, before jitter, until another attempt; None if the last one stands.

    Args:
        retry: The policy of the activity.
        last: What the last attempt came to.
        made: How many attempts this owner has made, 1 or more.
        before: How many were made by owners before it, as the journal says.
    """
    if last.state is not CallState.IN_DOUBT or last.final:
        return None
    # At least one attempt is made by each owner: what was not recorded is repeated (S20).
    if retry.attempts is not None and made >= max(1, retry.attempts - before):
        return None
    return retry.wait(before + made)


def _judge(call: Call, error: Exception) -> Attempt:
    failure = Failure.of(error)
    recorded = bool(getattr(error, RECORDED, False))
    says_no = recorded or isinstance(error, (StepRejected, *call.step.rejects))
    if says_no and call.role is not Role.PROBE:
        return Attempt(CallState.REJECTED, failure=failure, recorded=recorded, final=True)
    return _in_doubt(call, failure, final=isinstance(error, call.activity.policy.retry.never))


def _in_doubt(call: Call, failure: Failure, *, final: bool) -> Attempt:
    # Whatever goes wrong with a probe means that it is asked again (S7).
    return Attempt(CallState.IN_DOUBT, failure=failure, final=final and call.role is not Role.PROBE)


def _keep(call: Call, result: object, payload_limit: int) -> Attempt:
    """Turn what the activity returned into a payload; if that fails it happened, but nobody knows what."""
    codec = call.activity.returns
    if codec is None:
        return Attempt(CallState.DONE)
    try:
        output = codec.encode(result)
    except InvalidRequestError as error:
        failure = Failure(type="InvalidOutput", message=f"{call.name} returned something else: {error}")
        return _in_doubt(call, failure, final=True)
    if (size := size_of(output)) > payload_limit:
        too_large = PayloadTooLargeError(
            f"{call.saga} {call.id} {call.name} returned {size} bytes of JSON, the limit is {payload_limit}; "
            "return a reference instead"
        )
        return _in_doubt(call, Failure.of(too_large), final=True)
    if call.role is Role.PROBE and isinstance(codec.decode(output), AskAgain):
        return _in_doubt(call, Failure(type="AskAgain", message="the probe cannot tell yet"), final=False)
    return Attempt(CallState.DONE, output)
