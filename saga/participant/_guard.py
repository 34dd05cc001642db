"""What the barrier does around a body: claim the key before it, record what became of it after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saga.errors import KeyReusedError, PayloadTooLargeError, SagaError, StepRejected
from saga.kernel import PAYLOAD_LIMIT, Failure
from saga.participant import _table as table
from saga.participant._errors import BarrierError, recorded
from saga.participant._scope import Scope
from saga.participant._table import Row, State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

    from saga.kernel import Codec
    from saga.participant._keys import Place, Use

__all__ = ("Answer", "Guard", "recorded_row")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a repeat returns instead of running the body."""

    output: Any  # of the body's type


class Guard(ABC):
    """Guards one use: `enter`, then the body unless it answers, then `done` or `failed`.

    Attributes:
        input: What the body is called with.
    """

    def __init__(self, use: Use, codec: Codec, rejects: tuple[type[Exception], ...], value: object) -> None:
        self._use = use
        self._codec = codec
        self._rejects = rejects
        self._hash = self._hash_of(value)
        self._scope: Scope | None = None
        self.input: Any = value

    # -- what differs between roles ----------------------------------------------------

    @abstractmethod
    def _hash_of(self, value: Any) -> str | None:  # value: whatever the body takes
        """Hash the input of the action, where it is known."""

    @abstractmethod
    def _claim(self, scope: Scope) -> Answer | None:
        """Take the key for this transaction; return an answer if the body must not run."""

    @abstractmethod
    def _record(self, scope: Scope, output: str) -> bool:
        """Record that the body is done; False if the row is not there as it was left."""

    @abstractmethod
    def _record_rejection(self, scope: Scope, rejection: str) -> bool:
        """Record that the body refused; False as above."""

    # -- before the body ---------------------------------------------------------------

    def enter(self, transaction: Connection | Session) -> Answer | None:
        """Claim the key; return the answer of a repeat, or None if the body has to run."""
        scope = self._scope = Scope(transaction, self._use)
        try:
            answer = self._claim(scope)
            if answer is None:
                scope.open_savepoint()
        except BaseException:
            scope.release()
            raise
        return answer

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
        if size > PAYLOAD_LIMIT:
            raise PayloadTooLargeError(
                f"{self._use}: the output has {size:,} bytes of JSON; the barrier records at most "
                f"{PAYLOAD_LIMIT:,}. Store the data elsewhere and return a reference to it."
            )
        if not scope.intact:
            raise self._ended()
        if not self._record(scope, payload):
            raise self._went_away()
        scope.keep()

    def failed(self, error: BaseException) -> None:
        """Commit a rejection without what the body changed; forget any other failure with it."""
        scope = self._begun
        if not scope.intact:
            if isinstance(error, BarrierError):
                return
            raise self._ended() from error
        if self._is_rejection(error) and scope.alone:
            self._reject(scope, error)
        else:
            self._withdraw(scope)

    def _is_rejection(self, error: BaseException) -> bool:
        if isinstance(error, SagaError):  # the barrier's own errors are none, whatever `rejects` says
            return isinstance(error, StepRejected)
        return isinstance(error, self._rejects)

    def _reject(self, scope: Scope, error: BaseException) -> None:
        scope.go_back()
        if not self._record_rejection(scope, _to_json(error)):
            raise self._went_away() from error
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

    def _went_away(self) -> BarrierError:
        return BarrierError(
            f"the record of {self._use} went away while its body ran: the database rolled back, or the body "
            "deleted it. Roll back; the next attempt begins anew."
        )

    @property
    def _begun(self) -> Scope:
        if self._scope is None:
            msg = "enter comes before done and failed"
            raise RuntimeError(msg)
        return self._scope


def recorded_row(scope: Scope, place: Place) -> Row:
    """Read and lock a row that an insert has met.

    Raises:
        BarrierError: if it says nothing.
    """
    row = table.find(scope.connection, place)
    if row is None:
        raise BarrierError(f"the record of {place} was deleted just now; try again")
    if row.state is State.OPEN:
        raise BarrierError(
            f"{place} was committed before its body was done: the body committed by itself. "
            "Leave that to the caller. Look at what it did, then delete its row from saga_barrier."
        )
    return row


def _to_json(error: BaseException) -> str:
    failure = Failure.of(error)
    text = failure.model_dump_json()
    if len(text.encode()) <= PAYLOAD_LIMIT:
        return text
    # The rejection counts more than its details.
    return failure.model_copy(update={"details": None}).model_dump_json()
