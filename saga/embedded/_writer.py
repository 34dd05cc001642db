"""The journal's writer: one thread that commits everything queued and wakes the loop once per commit."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, NamedTuple, TypeAlias

from saga.errors import JournalWriteError, SagaError

from ._append import Appender, Batch, BatchAtFaultError
from ._database import Database
from ._faults import first_line

__all__ = ("MOST_BYTES", "MOST_FACTS", "Done", "Writer")

MOST_FACTS: Final = 1024
"""Facts after which a flush takes no further batch: it bounds how long the last one waits."""

MOST_BYTES: Final = 4 * 1024 * 1024
"""The same for the text of facts and payloads: large ones must not make those wait that share their flush."""

Done: TypeAlias = Callable[[Exception | None], None]
"""Called on the loop: with None once a batch is durable, with the reason if it is not."""


class _Entry(NamedTuple):
    """A batch that waits for its flush."""

    batch: Batch
    done: Done


class _Told(NamedTuple):
    """Says that the loop knows of these failures; what it queues after that is meant so."""

    failures: dict[str, SagaError]


_Item: TypeAlias = _Entry | _Told
_Verdict: TypeAlias = tuple[Done, Exception | None]


class Writer:
    """Commits what is submitted, in order, as few times as it can.

    There is no timer: whatever queues while a commit runs goes into the next one.

    A flush whose outcome is unknown ends it, though a re-read could tell: what was told to nobody is rebuilt from
    the journal by whoever opens it next, and that way is the same for every failure. Only what a server refused for
    the sake of another transaction, or a connection lost, before COMMIT was sent is appended again, because then
    nothing is unknown.

    Attributes:
        failure: Why it refuses all work, or None while it works. A flush that failed, or whose outcome is
            unknown, ends it: open another one, after reading what the journal holds.
        closed: Whether it was told to end.

    Example:
        `writer.submit(batch, done)` queues; `done(None)` follows on the loop after the commit.
    """

    def __init__(self, database: Database, loop: AbstractEventLoop) -> None:
        self.failure: JournalWriteError | None = None
        self.closed = False
        self._database = database
        self._loop = loop
        self._queue: SimpleQueue[_Entry | _Told | None] = SimpleQueue()
        self._appender = Appender(database)
        # Instances of which a batch failed. What was queued behind it must fail too, or there were a gap.
        self._failed: dict[str, SagaError] = {}
        self._thread = Thread(target=self._write, name="saga-journal-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, done: Done) -> None:
        """Queue what one instance appends. To be called on the loop.

        Args:
            batch: Not to be changed from here on.
            done: Called on the loop, never from inside this call: with None after the commit; with
                DuplicateInstanceError if the id of a new instance exists; with OwnershipLostError if the
                epoch has moved on; with JournalWriteError otherwise, and then `failure` tells whether it was
                about this batch alone. What was submitted for that instance meanwhile fails likewise.
        """
        if self.closed:
            closed = JournalWriteError(f"the journal's writer is closed; {batch.id} was not journaled")
            self._loop.call_soon(done, closed)
        else:
            self._queue.put(_Entry(batch, done))

    def close(self) -> None:
        """Commit what is queued, then end. Blocks until it has ended."""
        if not self.closed:
            self.closed = True
            self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        more = True
        while more:
            items, more = self._take()
            if verdicts := self._judge(items):
                self._wake(verdicts)
        if self.failure is None:
            self._appender.close()

    def _take(self) -> tuple[list[_Item], bool]:
        """Wait until something is queued and return all of it, and whether more may come."""
        items: list[_Item] = []
        facts = size = 0
        item = self._queue.get()
        with suppress(Empty):
            while item is not None:
                items.append(item)
                if isinstance(item, _Entry):
                    facts += len(item.batch.facts)
                    size += _size_of(item.batch)
                if facts >= MOST_FACTS or size >= MOST_BYTES:
                    return items, True
                item = self._queue.get_nowait()
            return items, False
        return items, True

    def _judge(self, items: list[_Item]) -> list[_Verdict]:
        """Write what can be written and return what became of each batch."""
        entries = [item for item in items if isinstance(item, _Entry)]
        if self.failure is not None or self._failed:
            return self._judge_each(items)
        if not entries:
            return []
        try:
            self._appender.append([entry.batch for entry in entries])
        except BatchAtFaultError:
            return self._judge_each(items)
        except BaseException as error:  # noqa: BLE001 - whatever it was, nobody may believe that it is durable
            self._fail(error)
            return self._judge_each(items)
        return [(entry.done, None) for entry in entries]

    def _judge_each(self, items: list[_Item]) -> list[_Verdict]:
        """Write each batch in a transaction of its own, so that only those at fault fail."""
        verdicts: list[_Verdict] = []
        for item in items:
            if isinstance(item, _Entry):
                verdicts.append((item.done, self._judge_one(item.batch)))
            else:
                self._forget(item)
        return verdicts

    def _judge_one(self, batch: Batch) -> SagaError | None:
        if self.failure is not None:
            return self._refusal()
        if earlier := self._failed.get(batch.id):
            return type(earlier)(*earlier.args)
        try:
            self._append_alone(batch)
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
            return self._refusal()
        return self._failed.get(batch.id)

    def _append_alone(self, batch: Batch) -> None:
        try:
            self._appender.append([batch])
        except BatchAtFaultError as cause:
            self._failed[batch.id] = self._appender.fault_of(batch, cause)

    def _fail(self, error: BaseException) -> None:
        self._appender.discard()
        self.failure = JournalWriteError(
            f"a flush of the journal at {self._database.address} failed, or its outcome is unknown "
            f"({first_line(error)}); what it held was not acknowledged, and the journal must be opened again"
        )
        self.failure.__cause__ = error

    def _refusal(self) -> JournalWriteError:
        """Return an error of its own for each caller: a traceback is written into it when it is raised."""
        refusal = JournalWriteError(str(self.failure))
        refusal.__cause__ = self.failure.__cause__ if self.failure else None
        return refusal

    def _forget(self, told: _Told) -> None:
        for instance, failure in told.failures.items():
            if self._failed.get(instance) is failure:
                del self._failed[instance]

    def _wake(self, verdicts: list[_Verdict]) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, verdicts, dict(self._failed))

    def _tell(self, verdicts: list[_Verdict], failures: dict[str, SagaError]) -> None:
        if failures:
            self._queue.put(_Told(failures))  # before `done`, which may submit anew
        for done, error in verdicts:
            try:
                done(error)
            except Exception as raised:  # noqa: BLE001 - the others must still be told
                context = {"message": "a callback of the journal's writer failed", "exception": raised}
                self._loop.call_exception_handler(context)


def _size_of(batch: Batch) -> int:
    return sum(len(body) + len(payload or "") for body, payload in batch.facts)
