"""Instances as their journals tell them, whoever drives them: reading, waiting, and sending requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from saga import errors
from saga.errors import ActRefusedError, SagaError, UnknownSagaError
from saga.kernel import Instance

from ._drive import rests
from ._patience import patiently
from ._resuming import facts_of
from ._starts import hash_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import TypeVar

    from saga.kernel import Codec, Fact, Request

    from ._append import Answer
    from ._drive import Drive
    from ._listing import StoredInstance
    from ._requests import Reply
    from ._store import Store, StoredFact

    T = TypeVar("T")

__all__ = ("EmbeddedJournals", "check_reply", "refusal")

_LOOK_AGAIN = 0.1  # seconds between two looks at an instance that another process drives


class _Stage(Protocol):
    """What is needed of the engine's stage."""

    store: Store

    @property
    def drives(self) -> Mapping[str, Drive]: ...
    def check_open(self) -> None: ...
    def check_driven(self, id: str) -> None: ...
    async def in_callback(self, function: Callable[[], T]) -> T: ...


class EmbeddedJournals:
    """The journals of one engine, as handles need them."""

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage

    # -- reading -------------------------------------------------------------------------

    async def journal(self, id: str) -> list[Fact]:
        """Return the durable facts of an instance, in order."""
        return facts_of(await asyncio.to_thread(self._load, id))

    async def compared(self, id: str, codec: Codec, payload: str) -> tuple[str, bool]:
        """Return the saga of an instance that exists, and whether its request is the same as another (S14)."""
        stored = await patiently(self._stage.store.get, id)
        if stored is None:
            raise self._unknown(id)
        if stored.request_hash == hash_of(payload):
            return stored.saga, True
        # Another text may still mean the same: a field with its default value, or in another order.
        [first] = facts_of(await patiently(self._stage.store.load, id, limit=1))
        return stored.saga, codec.same(first.payload or "null", payload)

    async def follow(self, id: str) -> AsyncIterator[Fact]:
        """Yield every fact, from the first to the instance's end, as they become durable."""
        seen, instance = 0, Instance()
        while not instance.ended:
            drive = self._stage.drives.get(id)
            change = None if drive is None else drive.change()
            rows = await patiently(self._stage.store.load, id, after=seen)
            for fact in facts_of(rows):
                instance.fold(fact)
                yield fact
            seen = rows[-1][0] if rows else seen
            if not rows:
                self._stage.check_driven(id)
                if change is None and not seen:
                    raise self._unknown(id)
                await (asyncio.sleep(_LOOK_AGAIN) if change is None else change)

    def _load(self, id: str) -> list[StoredFact]:
        rows = self._stage.store.load(id)
        if not rows:
            raise self._unknown(id)
        return rows

    def _unknown(self, id: str) -> UnknownSagaError:
        return UnknownSagaError(f"the journal at {self._stage.store.place} holds no instance {id!r}")

    # -- waiting -------------------------------------------------------------------------

    async def ended(self, id: str, *, or_stuck: bool) -> Instance:
        """Return an instance once it has ended, durably, whoever drives it.

        Args:
            id: Id of the instance.
            or_stuck: Whether being STUCK is enough.
        """
        while True:
            drive = self._stage.drives.get(id)
            look = self._watched(id, or_stuck=or_stuck) if drive is None else self._followed(drive, or_stuck=or_stuck)
            instance = await look
            if instance is not None and (instance.ended or or_stuck):
                return instance

    async def _followed(self, drive: Drive, *, or_stuck: bool) -> Instance | None:
        """Wait for a drive of this process; None if it ended before its instance did."""
        await (drive.rest() if or_stuck or not drive.at_rest else drive.change())
        if drive.at_rest:
            return drive.instance
        self._stage.check_open()
        return None

    async def _watched(self, id: str, *, or_stuck: bool) -> Instance | None:
        """Look at an instance that another process drives, or nobody."""
        self._stage.check_driven(id)
        instance = await patiently(self.read, id)
        if instance.ended or (or_stuck and rests(instance)):
            return instance
        await asyncio.sleep(_LOOK_AGAIN)
        return None

    def read(self, id: str) -> Instance:
        """Return an instance as the journal holds it. Blocks.

        Raises:
            UnknownSagaError: if there is none.
        """
        return Instance().fold_all(facts_of(self._load(id)))

    async def at_rest(self, id: str) -> Instance:
        """Return an instance once it has ended or is STUCK, durably."""
        return await self.ended(id, or_stuck=True)

    # -- requests ------------------------------------------------------------------------

    async def send(self, id: str, request: Request) -> None:
        """Bring a request to whoever drives the instance; return once its fact is durable.

        Raises:
            ActRefusedError: if it makes no sense in the state that the instance is in.
            UnknownSagaError: if there is no such instance.
        """
        self._stage.check_open()
        if not await self.hand_over(id, request):
            await self._post(id, request)

    async def hand_over(self, id: str, request: Request, answers: Sequence[Answer] = ()) -> bool:
        """Bring a request to the drive of this process; return once its fact is durable, and `answers` with it.

        Returns:
            False if there is no such drive, or it did not take the request.
        """
        drive = self._stage.drives.get(id)
        if drive is None:
            return False
        taken = await self._stage.in_callback(lambda: drive.request(request, answers))
        await asyncio.wait([taken])
        return not taken.cancelled()

    async def _post(self, id: str, request: Request) -> None:
        """Leave a request for whoever drives the instance, now or later, and wait for the answer."""
        requests = self._stage.store.requests
        self._stage.check_driven(id)
        check_open_instance(await patiently(self._stage.store.get, id), request)
        number = await asyncio.to_thread(requests.put, id, request.model_dump_json())
        while True:
            reply = await patiently(requests.reply, number)
            if reply.answer is not None or reply.ended:
                return check_reply(id, request, reply)
            self._stage.check_driven(id)
            await asyncio.sleep(_LOOK_AGAIN)


def check_open_instance(stored: StoredInstance | None, request: Request) -> None:
    """Raise if an instance has ended; one that does not exist is for the journal to refuse."""
    if stored is not None and stored.ended_at is not None:
        msg = f"{stored.saga} {stored.id} is {stored.state}: {request.request} is refused, nothing can change any more"
        raise ActRefusedError(msg)


def check_reply(id: str, request: Request, reply: Reply) -> None:
    """Raise unless a request was accepted; its instance has ended, or it was answered."""
    if reply.answer is None:
        msg = f"{id} has ended: {request.request} is refused, nothing can change any more"
        raise ActRefusedError(msg)
    if reply.answer.error is not None:
        raise refusal(reply.answer.error, reply.answer.text)


def refusal(name: str, text: str) -> SagaError:
    """Return the error that another process answered with."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, SagaError):
        error = SagaError.__new__(kind)
        SagaError.__init__(error, text)
        return error
    return ActRefusedError(text)
