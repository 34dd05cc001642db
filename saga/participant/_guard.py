"""What the barrier does around a body: claim the key before it, record what became of it after it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from saga.errors import KeyReusedError, PayloadTooLargeError, StepRejected, SuspendedError
from saga.kernel._activity import Codec
from saga.kernel._values import DidNotHappen, Effect, Failure, Happened, Role
from saga.participant import _table as table
from saga.participant._errors import BarrierError, recorded
from saga.participant._keys import Use, input_sha256
from saga.participant._scope import Scope
from saga.participant._table import Row, State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

    from saga.kernel._values import Verdict

__all__ = ("OUTPUT_LIMIT", "Answer", "Guard", "ask")

OUTPUT_LIMIT: Final = 2 * 1024 * 1024
"""Largest output that the barrier records, in bytes of JSON; the journal's own limit."""

_SETTLED_AS: Final = {Role.COMPENSATION: State.COMPENSATED, Role.CONFIRMATION: State.CONFIRMED}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a repeat returns instead of running the body."""

    output: Any  # of the body's type


class Guard:
    """Guards one use: `enter`, then the body unless it answers, then `done` or `failed`."""

    __slots__ = ("_codec", "_hash", "_rejects", "_scope", "_use", "input")

    def __init__(self, use: Use, codec: Codec, rejects: tuple[type[Exception], ...], value: object) -> None:
        self._use = use
        self._codec = codec
        self._rejects: tuple[type[Exception], ...] = (StepRejected, *rejects)
        self._hash = self._hash_of(value)
        self._scope: Scope | None = None
        self.input: Any = value

    def _hash_of(self, value: Any) -> str | None:  # value: whatever the body takes
        if not self._settles:
            return input_sha256(value)
        # An effect that was decoded without its types holds bare JSON, which says nothing about defaults.
        known = _is_effect(value) and isinstance(value.input, BaseModel)
        return input_sha256(value.input) if known else None

    def enter(self, transaction: Connection | Session) -> Answer | None:
        """Claim the key; return the answer of a repeat, or None if the body has to run."""
        scope = self._scope = Scope(transaction, self._use.place)
        try:
            if self._use.role in _SETTLED_AS:
                return self._settle(scope, _SETTLED_AS[self._use.role])
            return self._act(scope)
        except BaseException:
            scope.release()
            raise

    # -- an action, or what stands for itself ------------------------------------------

    def _act(self, scope: Scope) -> Answer | None:
        place = self._use.place
        if not table.insert(scope.connection, place, State.OPEN, input_sha256=self._hash):
            answer = self._repeat(self._found(scope))
            if answer is not None:
                return answer
            table.move(scope.connection, place, State.REJECTED, State.OPEN)
        scope.open_savepoint()
        return None

    def _repeat(self, row: Row) -> Answer | None:
        if row.state in {State.SUSPENDED, State.COMPENSATED}:
            raise recorded(SuspendedError(f"{self._use} arrived after its compensation; nothing was done"))
        self._same_input(row)
        if row.state is State.REJECTED:
            if self._use.final:
                raise _rejection(row)
            return None
        return Answer(self._codec.decode(row.output or "null"))

    # -- a compensation or a confirmation ----------------------------------------------

    def _settle(self, scope: Scope, state: State) -> Answer | None:
        if table.insert(scope.connection, self._use.action, State.SUSPENDED, input_sha256=self._hash):
            return self._nothing_there(scope, state)
        row = self._found(scope)
        if row.state is state:
            return Answer(None)
        if row.state is not State.DONE:
            return self._not_done(row, state)
        self._same_input(row)
        self._complete(row)
        scope.open_savepoint()
        table.move(scope.connection, self._use.action, State.DONE, state)
        return None

    def _nothing_there(self, scope: Scope, state: State) -> Answer:
        known_done = _is_effect(self.input) and not self.input.in_doubt
        if state is State.COMPENSATED and not known_done:
            return Answer(None)
        table.remove(scope.connection, self._use.action, State.SUSPENDED)
        raise recorded(
            StepRejected(
                f"{self._use.action} is done, says the saga, but this database does not know of it. Either "
                "its action does not use the barrier in this database, or its record was purged too early.",
                type="ActionNotRecorded",
            )
        )

    def _not_done(self, row: Row, state: State) -> Answer:
        if state is State.COMPENSATED and row.state is not State.CONFIRMED:
            return Answer(None)
        refusal = StepRejected if row.state in {State.CONFIRMED, State.REJECTED} else SuspendedError
        raise recorded(refusal(f"{self._use} came too late: {self._use.action} is {row.state.value}"))

    def _complete(self, row: Row) -> None:
        # The saga may be in doubt about the action; its record is not.
        effect = self.input
        if _is_effect(effect) and effect.in_doubt:
            output = Codec(type(effect).model_fields["output"].annotation).decode(row.output or "null")
            self.input = effect.model_copy(update={"output": output, "in_doubt": False})

    # -- common to both ----------------------------------------------------------------

    def _found(self, scope: Scope) -> Row:
        row = table.find(scope.connection, self._use.action if self._settles else self._use.place)
        if row is None:
            raise BarrierError(f"the record of {self._use} went away meanwhile; try again")
        if row.state is State.OPEN:
            raise BarrierError(
                f"{self._use} was committed before its body was done: the body committed by itself. "
                "Leave that to the caller. Look at what it did, then delete its row from saga_barrier."
            )
        return row

    @property
    def _settles(self) -> bool:
        return self._use.role in _SETTLED_AS

    def _same_input(self, row: Row) -> None:
        if self._hash and row.input_sha256 and self._hash != row.input_sha256:
            raise KeyReusedError(
                f"{self._use} was used before with another input; nothing was done. "
                "A key stands for one request: give a new request a new key."
            )

    # -- after the body ----------------------------------------------------------------

    def done(self, output: object) -> None:
        """Record what the body returned."""
        scope = self._begun
        payload = self._codec.encode(output)
        size = len(payload.encode())
        if size > OUTPUT_LIMIT:
            raise PayloadTooLargeError(
                f"{self._use}: the output has {size:,} bytes of JSON; the barrier records at most "
                f"{OUTPUT_LIMIT:,}. Store the data elsewhere and return a reference to it."
            )
        if not scope.intact:
            raise self._ended()
        if not self._settles:
            values = {"output": payload, "rejection": None}
            table.move(scope.connection, self._use.place, State.OPEN, State.DONE, **values)
        scope.keep()

    def failed(self, error: BaseException) -> None:
        """Commit a rejection without what the body changed; forget any other failure with it."""
        scope = self._begun
        if not scope.intact:
            if isinstance(error, BarrierError):
                return
            raise self._ended() from error
        if isinstance(error, self._rejects) and scope.alone:
            self._reject(scope, error)
        else:
            self._withdraw(scope)

    def _reject(self, scope: Scope, error: BaseException) -> None:
        scope.go_back()
        rejection = _to_json(error)
        place = self._use.place
        if self._settles:
            table.note(scope.connection, place, rejection)
        elif not table.move(scope.connection, place, State.OPEN, State.REJECTED, rejection=rejection):
            raise BarrierError(f"the record of {self._use} went away while its body ran") from error
        if scope.commit():
            recorded(error)

    def _withdraw(self, scope: Scope) -> None:
        # The caller rolls back. This is for one who commits all the same; what fails here fails there too.
        with suppress(Exception):
            scope.go_back()
        with suppress(Exception):
            table.remove(scope.connection, self._use.place, State.OPEN)
        scope.release()

    def _ended(self) -> BarrierError:
        return BarrierError(
            f"the body of {self._use} committed or rolled back the transaction that its barrier stands in. "
            "Leave both to the caller."
        )

    @property
    def _begun(self) -> Scope:
        if self._scope is None:
            msg = "enter comes before done and failed"
            raise RuntimeError(msg)
        return self._scope


def ask(transaction: Connection | Session, use: Use, codec: Codec) -> Verdict[Any]:  # of the codec's type
    """Answer a probe; where nothing is recorded, suspend the key and commit that first."""
    scope = Scope(transaction, use.action)
    try:
        if table.insert(scope.connection, use.action, State.SUSPENDED, input_sha256=None):
            scope.commit()
            return DidNotHappen()
        return _verdict(use, table.find(scope.connection, use.action), codec)
    finally:
        scope.release()


def _verdict(use: Use, row: Row | None, codec: Codec) -> Verdict[Any]:  # of the codec's type
    if row is None or row.state is State.OPEN:
        raise BarrierError(f"the record of {use.action} changes just now; ask again")
    if row.state in {State.DONE, State.CONFIRMED}:
        return Happened(output=codec.decode(row.output or "null"))
    return DidNotHappen()


def _is_effect(value: object) -> TypeGuard[Effect[Any, Any]]:  # of any action
    return isinstance(value, Effect)


def _rejection(row: Row) -> StepRejected:
    failure = Failure.model_validate_json(row.rejection or "{}")
    return recorded(StepRejected(failure.message, details=failure.details, type=failure.type))


def _to_json(error: BaseException) -> str:
    failure = Failure.of(error)
    with suppress(PydanticSerializationError):
        text = failure.model_dump_json()
        if len(text.encode()) <= OUTPUT_LIMIT:
            return text
    # The rejection counts more than its details.
    return failure.model_copy(update={"details": None}).model_dump_json()
