"""The barrier: an activity runs once behind its key, however often and in whatever order it is delivered.

    class Bank:
        def debit(self, debit: Debit) -> Posting:
            with Session(self.engine) as session, session.begin():
                return barrier.once(session, self._debit, debit, rejects=[InsufficientFunds])

        def _debit(self, session: Session, debit: Debit) -> Posting:
            account = session.get_one(Account, debit.account)
            account.withdraw(debit.amount)              # raises InsufficientFunds
            return Posting(account=debit.account, amount=-debit.amount)

        def refund(self, effect: Effect[Debit, Posting]) -> None:
            with Session(self.engine) as session, session.begin():
                barrier.once(session, self._refund, effect)

        def find_debit(self, debit: Debit) -> Finding[Posting]:
            with Session(self.engine) as session:
                return barrier.probe(session, Posting)

The barrier's row and the business change are in one transaction, which the caller commits. So each of them is
there exactly if the other is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from saga.kernel import Role
from saga.participant import _table as table
from saga.participant._body import check_kind, codec_of_body, codec_of_type
from saga.participant._errors import BarrierError
from saga.participant._keys import use_of
from saga.participant._roles import ask, guard_of
from saga.participant._scope import connection_of, is_asynchronous

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from datetime import timedelta

    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    from saga.kernel import Verdict
    from saga.participant._guard import Guard

__all__ = ("once", "probe", "purge")

Input = TypeVar("Input")
Output = TypeVar("Output")
Transaction = TypeVar("Transaction", bound="Connection | Session")
AsyncTransaction = TypeVar("AsyncTransaction", bound="AsyncConnection | AsyncSession")


@overload
def once(
    transaction: Transaction,
    body: Callable[[Transaction, Input], Output],
    input: Input,
    *,
    rejects: Iterable[type[Exception]] = (),
    key: str | None = None,
    part: str = "",
) -> Output: ...
@overload
def once(
    transaction: AsyncTransaction,
    body: Callable[[AsyncTransaction, Input], Awaitable[Output]],
    input: Input,
    *,
    rejects: Iterable[type[Exception]] = (),
    key: str | None = None,
    part: str = "",
) -> Coroutine[Any, Any, Output]: ...
def once(
    transaction: Any,  # as the overloads say
    body: Callable[..., Any],  # as above
    input: Any,  # as above
    *,
    rejects: Iterable[type[Exception]] = (),
    key: str | None = None,
    part: str = "",
) -> Any:  # as above
    """Run `body(transaction, input)` once behind its key, or return what it returned then.

    What it does depends on the role of the activity that calls it:

    - **Action:** the first delivery runs the body and records its output and a SHA-256 of the input. A repeat
      returns the recorded output. After a compensation or a probe that found nothing, it is refused.
    - **Compensation:** the body runs if the action is recorded as done, and receives the effect without
      doubt: with the recorded output. If the action never ran, its key is suspended; then, or if it was
      rejected or is compensated already, there is nothing to do and None is returned. So the action must use
      the barrier too, in the same database; where the effect shows that it did not, this is rejected.
    - **Confirmation:** the body runs if the action is recorded as done, once; None is returned afterwards. It
      is rejected if the action is not done.
    - **Forget:** once, under its own key.

    When the body raises a rejection, what it changed is rolled back to a savepoint, the rejection is recorded
    **and committed with everything else in the transaction**, and raised with a mark (see `is_recorded`). So
    the body holds all the work. An action's rejection stays: a repeat raises it again, as `StepRejected` of
    the same type name. For a `Retriable`, a compensation or a confirmation it does not stay, for an operator
    may retry those. Within a savepoint of the caller, or after another use in the same transaction, a
    rejection is raised without being recorded or committed.

    After any other exception nothing is recorded: roll back.

    Two deliveries at the same time: the database lets one wait for the other (PostgreSQL: unless a
    `lock_timeout` ends it; under REPEATABLE READ and SERIALIZABLE it fails with a serialization error;
    SQLite: until its busy timeout). A failure of that kind is no answer, and the next attempt finds one.

    Args:
        transaction: The transaction of this delivery; the caller commits it.
        body: A function made with `def`, or a method, with an annotated result that pydantic can put into
            JSON; with `async def` for an asynchronous transaction. It neither commits nor rolls back. For a
            compensation or a confirmation its result admits None.
        input: What the activity received.
        rejects: Exception types by which the body refuses, beside `StepRejected`.
        key: The idempotency key, where no saga step is running. Its last segment names the role, as in
            `transfer-42/debit.1/compensation`.
        part: Tells apart several uses in one call, such as `"fee"`; the compensation names the same.

    Returns:
        What the body returned, now or the first time. For an asynchronous transaction: to be awaited.

    Raises:
        StepRejected: if the body refused an earlier delivery.
        SuspendedError: if the action arrives after its compensation.
        KeyReusedError: if the key was used with another input, or twice in this transaction.
        OutsideSagaError: if no step is running and no key was given.
        InvalidIdError: if the key is incomplete.
        PayloadTooLargeError: if the output has more than 2 MiB of JSON.
        BarrierError: if the transaction, the database or the body does not allow it.
        TypeError: if the body has no usable types, or is not of the transaction's kind.
    """
    use = use_of(key, part)
    if use.role is Role.PROBE:
        raise BarrierError(f"{use} is a probe: it asks with barrier.probe, and runs no body")
    guard = guard_of(use, codec_of_body(body, use), tuple(rejects), input)
    if is_asynchronous(transaction):
        check_kind(body, use, asynchronous=True)
        return _once_async(transaction, body, guard)
    check_kind(body, use, asynchronous=False)
    return _once(transaction, body, guard)


def _once(transaction: Any, body: Callable[..., Any], guard: Guard) -> Any:  # as `once`
    answer = guard.enter(transaction)
    if answer is not None:
        return answer.output
    try:
        output = body(transaction, guard.input)
        guard.done(output)
    except BaseException as error:
        guard.failed(error)
        raise
    return output


async def _once_async(
    transaction: AsyncConnection | AsyncSession, body: Callable[..., Any], guard: Guard
) -> Any:  # as `once`
    answer = await transaction.run_sync(guard.enter)
    if answer is not None:
        return answer.output
    try:
        output = await body(transaction, guard.input)
        await transaction.run_sync(lambda _: guard.done(output))
    except BaseException as raised:
        error = raised
        await transaction.run_sync(lambda _: guard.failed(error))
        raise
    return output


@overload
def probe(
    transaction: Connection | Session, output: type[Output], *, key: str | None = None, part: str = ""
) -> Verdict[Output]: ...
@overload
def probe(
    transaction: AsyncConnection | AsyncSession,
    output: type[Output],
    *,
    key: str | None = None,
    part: str = "",
) -> Coroutine[Any, Any, Verdict[Output]]: ...
def probe(
    transaction: Any,  # as the overloads say
    output: type[Any],
    *,
    key: str | None = None,
    part: str = "",
) -> Any:  # as above
    """Tell whether the action behind the key happened, and if not, that it never will.

    If nothing is recorded, the key is suspended **and the transaction committed** before the answer: an
    action that arrives afterwards is refused. So use a transaction that holds nothing else. An action in
    flight is waited for, as in `once`; if that wait fails, the error is no answer and the saga asks again.

    Args:
        transaction: A transaction of this probe alone.
        output: Type of the action's output.
        key: The action's idempotency key, where no saga step is running.
        part: As in `once`.

    Returns:
        `Happened(output)` if the action is recorded as done, `DidNotHappen` if it is rejected, compensated or
        suspended. For an asynchronous transaction: to be awaited.

    Raises:
        OutsideSagaError: if no step is running and no key was given.
        BarrierError: if the calling activity is no probe, or the transaction does not allow it.
    """
    use = use_of(key, part)
    if use.role is not Role.PROBE and not (use.given and use.role is Role.ACTION):
        raise BarrierError(f"{use} is no probe: barrier.probe would suspend its own step. Use barrier.once.")
    codec = codec_of_type(output)
    if is_asynchronous(transaction):
        return transaction.run_sync(ask, use, codec)
    return ask(transaction, use, codec)


@overload
def purge(transaction: Connection | Session, *, older_than: timedelta, limit: int = 10_000) -> int: ...
@overload
def purge(
    transaction: AsyncConnection | AsyncSession, *, older_than: timedelta, limit: int = 10_000
) -> Coroutine[Any, Any, int]: ...
def purge(
    transaction: Any,  # as the overloads say
    *,
    older_than: timedelta,
    limit: int = 10_000,
) -> int | Coroutine[Any, Any, int]:
    """Delete old rows; the caller commits.

    What is deleted is forgotten: a delivery that comes after that runs as if it were the first. So
    `older_than` must be longer than any saga lives, its retries and an operator's holidays included.

    Args:
        transaction: A transaction of the participant's database.
        older_than: Age of the youngest row that is deleted; more than nothing.
        limit: How many rows at most, the oldest first, so that no lock is held for long.

    Returns:
        How many rows were deleted; call again while that is `limit`. For an asynchronous transaction: to be
        awaited.

    Raises:
        ValueError: if `older_than` or `limit` is not above zero.
    """
    if older_than.total_seconds() <= 0 or limit < 1:
        msg = f"purge needs an age and a limit above zero, not older_than={older_than} and limit={limit}"
        raise ValueError(msg)
    before = datetime.now(UTC) - older_than
    if is_asynchronous(transaction):
        return transaction.run_sync(lambda inner: table.purge(connection_of(inner), before, limit))
    return table.purge(connection_of(transaction), before, limit)
