"""What somebody outside asks of a running instance, and which requests make sense in which state (S6, S10, S19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from saga.errors import ActRefusedError, InvalidRequestError
from saga.kernel import _facts as f
from saga.kernel._endings import CODE_FAULTS
from saga.kernel._names import LONGEST_NAME, LONGEST_REASON, call_name, role_name, split_call, step_of
from saga.kernel._values import CallState, Kind, Reason, Role, SagaState

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel._decider import Decider
    from saga.kernel._instance import Instance
    from saga.kernel._records import CallRecord

__all__ = (
    "PARENT_STOPS",
    "Abort",
    "Cancel",
    "Decide",
    "Request",
    "Resolve",
    "Retry",
    "Skip",
    "admit",
    "decode_request",
    "stopped_by_parent",
)

PARENT_STOPS = "the parent is compensating"
"""Why a parent asks its child to stop."""

_HAND = (Role.COMPENSATION, Role.CONFIRMATION, Role.FORGET)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field(max_length=LONGEST_NAME)
    why: str = Field(default="", max_length=LONGEST_REASON)


class Cancel(_Request):
    """Stop and compensate, if the pivot has not registered."""

    request: Literal["cancel"] = "cancel"


def stopped_by_parent(parent: str) -> Cancel:
    """Return what a parent asks of its child once it compensates itself (S16)."""
    return Cancel(by=parent[:LONGEST_NAME], why=PARENT_STOPS)


class Decide(_Request):
    """Answer a decision. Payload: the answer."""

    request: Literal["decide"] = "decide"
    by: str = Field(min_length=1, max_length=LONGEST_NAME)
    call: str
    payload: str


class _Act(_Request):
    """What an operator does: never without a name and a reason (S10), if possible with how many facts they saw."""

    by: str = Field(min_length=1, max_length=LONGEST_NAME)
    why: str = Field(min_length=1, max_length=LONGEST_REASON)
    seen: int | None = Field(default=None, ge=1)


class Retry(_Act):
    """Let everything that is blocked be tried again."""

    request: Literal["retry"] = "retry"


class Resolve(_Act):
    """Say what became of a call. Payload: its output, if it happened."""

    request: Literal["resolve"] = "resolve"
    call: str
    finding: Literal["happened", "did_not_happen"]
    payload: str | None = None


class Skip(_Act):
    """Say that a compensation, confirmation or forgetting was done by hand."""

    request: Literal["skip"] = "skip"
    call: str


class Abort(_Act):
    """Give the instance up before its pivot and compensate."""

    request: Literal["abort"] = "abort"


Request: TypeAlias = Cancel | Decide | Retry | Resolve | Skip | Abort

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[Request, Field(discriminator="request")])


def decode_request(text: str) -> Request:
    """Return the request that `model_dump_json` wrote.

    Raises:
        InvalidRequestError: if it is none.
    """
    try:
        request: Request = _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its beginning"
        msg = f"this is no request that this version of the library knows: {first['msg']} at {place}"
        raise InvalidRequestError(msg) from None
    return request


def admit(decider: Decider, request: Request, at: datetime) -> f.Fact:
    """Return the fact that a request comes to in the state the instance is in.

    Raises:
        ActRefusedError: if it makes no sense there; the message says what does.
    """
    instance = decider.instance
    if instance.ended and not isinstance(request, Decide):
        raise _refused(instance, request.request, "nothing can change any more")
    if isinstance(request, Cancel):
        return f.CancelRequested(at=at, by=request.by, why=request.why)
    if isinstance(request, Decide):
        return _decide(decider, request, at)
    decided = _decided_on(instance, request)
    if isinstance(request, Retry):
        _check_retry(decider)
        return f.Retried(at=at, **decided)
    if isinstance(request, Abort):
        _check_abort(instance)
        return f.SagaAbortOrdered(at=at, **decided)
    if isinstance(request, Skip):
        record = _skippable(instance, request.call)
        return f.CallSkipped(at=at, **decided, call=record.name, call_state=record.state)
    record = _resolvable(decider, request)
    return f.CallResolved(
        at=at,
        **decided,
        call=record.name,
        call_state=record.state,
        finding=request.finding,
        payload=request.payload,
    )


def _decided_on(instance: Instance, request: _Act) -> dict[str, Any]:  # the fields of an Act
    """Return who acts, why, in which state, and on what they had seen."""
    if request.seen is not None and request.seen > instance.count:
        text = f"fact {request.seen} cannot have been seen, there are {instance.count}"
        raise _refused(instance, str(getattr(request, "request", "")), text)
    return {
        "by": request.by,
        "why": request.why,
        "state": instance.state or SagaState.RUNNING,
        "seen": request.seen,
    }


def _refused(instance: Instance, act: str, text: str) -> ActRefusedError:
    saga, id, state = instance.saga, instance.id, str(instance.state)
    return ActRefusedError(f"{saga} {id} is {state}: {act} is refused, {text}", saga=saga, id=id, state=state, act=act)


def _decide(decider: Decider, request: Decide, at: datetime) -> f.Fact:
    instance = decider.instance
    record = instance.decisions.get(request.call)
    if instance.ended:
        raise _refused(instance, "decide", f"nobody waits for {request.call} any more")
    name, number = split_call(request.call)
    declared = decider.definition.decisions.get(name)
    if declared is None or number < 1 or call_name(name, number) != request.call:
        names = ", ".join(call_name(each, 1) for each in decider.definition.decisions)
        raise _refused(instance, f"decide {request.call}", f"no such decision; it has {names or 'none'}")
    decider.edge.check(declared.answer, request.payload, request.call)
    known = record is not None and (record.answer is not None or record.timed_out)
    kind = f.DecisionIgnored if known or instance.recovering else f.DecisionAnswered
    return kind(at=at, call=request.call, by=request.by, why=request.why, payload=request.payload)


def _check_retry(decider: Decider) -> None:
    instance = decider.instance
    blocked = list(decider.blocked())
    by_code = any(one.reason in CODE_FAULTS for one in instance.stuck)
    if blocked and not by_code and all(one.reason is Reason.UNSETTLED for one in blocked):
        calls = ", ".join(str(one.call) for one in blocked)
        raise _refused(instance, "retry", f"{calls} may still be acting; say what became of it with resolve")
    if instance.state is SagaState.STUCK or blocked:
        return
    raise _refused(instance, "retry", "nothing is blocked; what failed is being retried by its policy")


def _check_abort(instance: Instance) -> None:
    if instance.committed or instance.committing:
        pivot = instance.commit.call if instance.commit else "the end of run"
        text = f"{pivot} has registered, so the saga only goes forward"
        if instance.committing:
            text += f"; say what became of it with resolve {pivot}"
        raise _refused(instance, "abort", text)
    if instance.recovering:
        raise _refused(instance, "abort", "it is compensating already")


def _skippable(instance: Instance, call: str) -> CallRecord:
    """Return what is done by hand: the compensation, confirmation or forgetting of `call` that is not done."""
    known = [instance.calls.get(role_name(call, role)) for role in _HAND]
    for record in known:
        if record is not None and (record.failed or record.state is CallState.IN_FLIGHT):
            return record
    names = [one.call for one in instance.calls.values() if one.role in _HAND and one.state is not CallState.DONE]
    hint = f"skip works for {', '.join(names)}" if names else "no compensation is waiting"
    raise _refused(instance, f"skip {call}", hint)


def _resolvable(decider: Decider, request: Resolve) -> CallRecord:
    """Return the action that an operator may resolve: in doubt, unsettled, or failed after the pivot."""
    instance = decider.instance
    act = f"resolve {request.call}"
    record = instance.calls.get(request.call)
    if record is None or record.role is not Role.ACTION:
        calls = ", ".join(one.call for one in instance.calls.values() if one.role is Role.ACTION)
        raise _refused(instance, act, f"it has no such call; it has {calls or 'none'}")
    unsettled = record.state is CallState.DONE and decider.waits_to_settle(record)
    if not (record.state is CallState.IN_DOUBT or unsettled or (record.failed and record.after_commit)):
        raise _refused(instance, act, f"it is {record.state}, so there is no doubt")
    if f"{record.call}/{Role.COMPENSATION.value}" in instance.calls:
        raise _refused(instance, act, "its compensation has begun; use skip if that was done by hand")
    if record.after_commit and record.kind is not Kind.PIVOT and request.finding == "did_not_happen":
        raise _refused(instance, act, "it comes after the pivot, so it has to happen: retry it, or do it by hand")
    codec = decider.definition.step(step_of(record.call)).action.returns
    if request.finding == "happened" and codec is not None:
        decider.edge.check(codec, request.payload or "null", request.call)
    return record
