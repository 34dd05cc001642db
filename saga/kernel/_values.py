"""Values that activities, sagas and operators exchange: effects, findings, failures, states."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

__all__ = (
    "AskAgain",
    "CallState",
    "DidNotHappen",
    "Effect",
    "Failure",
    "Finding",
    "Happened",
    "Kind",
    "Reason",
    "Role",
    "SagaState",
    "Verdict",
)

Input = TypeVar("Input")
Output = TypeVar("Output")


class SagaState(StrEnum):
    """States of a saga instance. COMPLETED and COMPENSATED are the ends; STUCK waits for an operator."""

    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    COMPLETED = "COMPLETED"
    COMPENSATED = "COMPENSATED"
    STUCK = "STUCK"

    @property
    def ended(self) -> bool:
        """Whether nothing will ever change again."""
        return self in {SagaState.COMPLETED, SagaState.COMPENSATED}


class CallState(StrEnum):
    """States of one call. SKIPPED means that an operator did it by hand."""

    IN_FLIGHT = "in flight"
    DONE = "done"
    REJECTED = "rejected"
    IN_DOUBT = "in doubt"
    SKIPPED = "skipped"


class Kind(StrEnum):
    """Kinds of steps."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"
    READ_ONLY = "read-only"
    NESTED = "nested"


class Role(StrEnum):
    """What an activity does in a step."""

    ACTION = "action"
    PROBE = "probe"
    CONFIRMATION = "confirmation"
    COMPENSATION = "compensation"
    FORGET = "forget"


class Reason(StrEnum):
    """What starts backward recovery, or makes an instance STUCK."""

    REJECTED = "rejected"
    IN_DOUBT = "in doubt"
    ABORTED = "aborted"
    DECISION_TIMED_OUT = "decision timed out"
    TIMED_OUT = "timed out"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    UNDECODABLE = "undecodable request"
    UNSETTLED = "unsettled"
    BUG = "bug"
    MISMATCH = "code does not fit the journal"
    POISON = "no progress after several resumes"


class Failure(BaseModel):
    """What is kept of an exception: names, text and data, never the object.

    Attributes:
        type: Name of the exception's type.
        message: Its text, cut to 2,000 characters.
        details: Data that a rejection carried, any JSON value of up to 16 KiB.
        traceback: Where it was raised, kept for bugs in an author's saga class only; its last 8,000 characters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    message: str
    details: Any = None
    traceback: str | None = None

    @classmethod
    def of(cls, error: BaseException, *, traceback: str | None = None) -> Failure:
        """Keep what can be kept of `error`."""
        name = getattr(error, "type", None)
        text = getattr(error, "message", None)
        return cls(
            type=_unicode(name if isinstance(name, str) and name else type(error).__name__),
            message=_unicode(text if isinstance(text, str) else _text_of(error))[:2000],
            details=_plain(getattr(error, "details", None)),
            traceback=None if traceback is None else _unicode(traceback)[-_TRACEBACK:],
        )

    def __str__(self) -> str:
        return ": ".join(part for part in (self.type, self.message) if part)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot even be shown is still an error
        return ""


def _unicode(text: str) -> str:
    # File names bring surrogates into messages, which JSON text in UTF-8 cannot hold.
    return text.encode(errors="backslashreplace").decode()


def _plain(details: object) -> Any:  # any JSON value
    """Return `details` as JSON values, or None: drivers attach live objects to their errors."""
    try:
        text = to_json(details)
    except ValueError:
        return None
    if len(text) > _DETAILS:
        return f"{len(text)} bytes of details were left out; a fact holds {_DETAILS} at most"
    return from_json(text)


_DETAILS = 16_384
_TRACEBACK = 8_000


NOT_STARTED = Failure(type="NotStarted", message="backward recovery began first")
"""Of an action that backward recovery came before: it did not happen."""


class Effect(BaseModel, Generic[Input, Output]):
    """What an action did or may have done; a compensation receives it.

    Attributes:
        input: What the action was called with.
        output: What it returned; None while it is in doubt, or when the action returns None.
        in_doubt: Whether nobody knows if the action happened.

    Example:
        >>> Effect[str, int](input="nl-1", output=7, in_doubt=False).output
        7
    """

    model_config = ConfigDict(frozen=True)

    input: Input
    output: Output | None = None
    in_doubt: bool = False


class Happened(BaseModel, Generic[Output]):
    """The action happened, and this is what it returned.

    Example:
        >>> Happened(7).finding
        'happened'
    """

    model_config = ConfigDict(frozen=True)

    finding: Literal["happened"] = "happened"
    output: Output

    def __init__(self, output: Output, *, finding: Literal["happened"] = "happened") -> None:
        super().__init__(output=output, finding=finding)


class DidNotHappen(BaseModel):
    """The action did not happen, and whoever says so promises that it never will."""

    model_config = ConfigDict(frozen=True)

    finding: Literal["did_not_happen"] = "did_not_happen"


class AskAgain(BaseModel):
    """The probe cannot tell yet; it is asked again after the step's `every`."""

    model_config = ConfigDict(frozen=True)

    finding: Literal["ask_again"] = "ask_again"


if TYPE_CHECKING:
    Finding: TypeAlias = Happened[Output] | DidNotHappen | AskAgain
    Verdict: TypeAlias = Happened[Output] | DidNotHappen
else:
    # Pydantic's generic classes hide their variables from `typing`, so an alias could not be given its type.

    class Finding:
        """What a probe says: `Happened(output)`, `DidNotHappen()` or `AskAgain()`."""

        def __class_getitem__(cls, output: object) -> object:
            return Annotated[Happened[output] | DidNotHappen | AskAgain, Field(discriminator="finding")]

    class Verdict:
        """What an operator resolves with: `Happened(output)` or `DidNotHappen()`."""

        def __class_getitem__(cls, output: object) -> object:
            return Annotated[Happened[output] | DidNotHappen, Field(discriminator="finding")]
