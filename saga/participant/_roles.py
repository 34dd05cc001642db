"""What each role makes of the barrier: actions, compensations, confirmations, probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

from pydantic import BaseModel

from saga.errors import StepRejected, SuspendedError
from saga.kernel import Codec, DidNotHappen, Effect, Failure, Happened, Role
from saga.participant import _table as table
from saga.participant._errors import recorded
from saga.participant._guard import Answer, Guard, recorded_row
from saga.participant._keys import input_sha256
from saga.participant._scope import Scope
from saga.participant._table import Row, State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

    from saga.kernel import Verdict
    from saga.participant._keys import Use

__all__ = ("ask", "guard_of")


class _Acting(Guard):
    """An action, or a forgetting: it stands for itself, under its own key."""

    def _hash_of(self, value: Any) -> str | None:  # as in Guard
        return input_sha256(value)

    def _claim(self, scope: Scope) -> Answer | None:
        place = self._use.place
        if table.insert(scope.connection, place, State.OPEN, input_sha256=self._hash):
            return None
        answer = self._repeat(recorded_row(scope, place))
        if answer is None:
            table.move(scope.connection, place, State.REJECTED, State.OPEN)
        return answer

    def _repeat(self, row: Row) -> Answer | None:
        if row.state in {State.SUSPENDED, State.COMPENSATED}:
            raise recorded(SuspendedError(f"{self._use} arrived after its compensation; nothing was done"))
        self._same_input(row)
        if row.state is not State.REJECTED:
            return Answer(self._codec.decode(row.output or "null"))
        if self._use.final:
            raise _rejection(row)
        return None

    def _record(self, scope: Scope, output: str) -> bool:
        values = {"output": output, "rejection": None}
        return table.move(scope.connection, self._use.place, State.OPEN, State.DONE, **values)

    def _record_rejection(self, scope: Scope, rejection: str) -> bool:
        return table.move(scope.connection, self._use.place, State.OPEN, State.REJECTED, rejection=rejection)


class _Settling(Guard):
    """A compensation or a confirmation: it settles what its action left."""

    settles_as: State

    def _hash_of(self, value: Any) -> str | None:  # as in Guard
        # An effect that was decoded without its types holds bare JSON, which says nothing about defaults.
        known = _is_effect(value) and (isinstance(value.input, BaseModel) or _is_typed(value))
        return input_sha256(value.input) if known else None

    def _claim(self, scope: Scope) -> Answer | None:
        if table.insert(scope.connection, self._use.action, State.SUSPENDED, input_sha256=self._hash):
            return self._never_ran(scope)
        row = recorded_row(scope, self._use.action)
        if row.state is self.settles_as:
            return Answer(None)
        if row.state is not State.DONE:
            return self._not_done(row)
        self._same_input(row)
        self._complete(row)
        return None

    def _never_ran(self, scope: Scope) -> Answer:
        return self._unknown(scope)

    def _unknown(self, scope: Scope) -> Answer:
        table.remove(scope.connection, self._use.action, State.SUSPENDED)
        raise recorded(
            StepRejected(
                f"{self._use.action} is done, says the saga, but this database does not know of it. Either "
                "its action does not use the barrier in this database, or its record was purged too early.",
                type="ActionNotRecorded",
            )
        )

    def _not_done(self, row: Row) -> Answer:
        refusal = StepRejected if row.state in {State.CONFIRMED, State.REJECTED} else SuspendedError
        raise recorded(refusal(f"{self._use} came too late: {self._use.action} is {row.state.value}"))

    def _complete(self, row: Row) -> None:
        # The saga may be in doubt about the action; its record is not.
        effect = self.input
        if _is_effect(effect) and effect.in_doubt:
            output = Codec(type(effect).model_fields["output"].annotation).decode(row.output or "null")
            self.input = effect.model_copy(update={"output": output, "in_doubt": False})

    def _record(self, scope: Scope, output: str) -> bool:  # noqa: ARG002 - a repeat returns None
        return table.move(scope.connection, self._use.action, State.DONE, self.settles_as)

    def _record_rejection(self, scope: Scope, rejection: str) -> bool:
        table.note(scope.connection, self._use.place, rejection)
        return True


class _Confirming(_Settling):
    settles_as = State.CONFIRMED


class _Compensating(_Settling):
    settles_as = State.COMPENSATED

    def _never_ran(self, scope: Scope) -> Answer:
        if _is_effect(self.input) and not self.input.in_doubt:
            return self._unknown(scope)
        return Answer(None)

    def _not_done(self, row: Row) -> Answer:
        return super()._not_done(row) if row.state is State.CONFIRMED else Answer(None)


_GUARDS: Final[dict[Role, type[Guard]]] = {
    Role.ACTION: _Acting,
    Role.FORGET: _Acting,
    Role.CONFIRMATION: _Confirming,
    Role.COMPENSATION: _Compensating,
}


def guard_of(use: Use, codec: Codec, rejects: tuple[type[Exception], ...], value: object) -> Guard:
    """Return the guard that the role of a use asks for; a probe has none."""
    return _GUARDS[use.role](use, codec, rejects, value)


def ask(transaction: Connection | Session, use: Use, codec: Codec) -> Verdict[Any]:  # of the codec's type
    """Answer a probe; where nothing is recorded, suspend the key and commit that first."""
    scope = Scope(transaction, use)
    try:
        if table.insert(scope.connection, use.action, State.SUSPENDED, input_sha256=None):
            scope.commit()
            return DidNotHappen()
        row = recorded_row(scope, use.action)
    finally:
        scope.release()
    if row.state in {State.DONE, State.CONFIRMED}:
        return Happened(output=codec.decode(row.output or "null"))
    return DidNotHappen()


def _is_effect(value: object) -> TypeGuard[Effect[Any, Any]]:  # of any action
    return isinstance(value, Effect)


def _is_typed(effect: Effect[Any, Any]) -> bool:
    annotation: object = type(effect).model_fields["input"].annotation
    return annotation is not Any and not isinstance(annotation, TypeVar)


def _rejection(row: Row) -> StepRejected:
    failure = Failure.model_validate_json(row.rejection or "{}")
    return recorded(StepRejected(failure.message, details=failure.details, type=failure.type))
