"""Requests from processes that do not own an instance to the one that does."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from sqlalchemy import insert, literal, select, update

from saga.errors import UnknownSagaError

from ._append import Answer
from ._database import Database, Write
from ._tables import instances, requests

__all__ = ("Reply", "Request", "Requests")


class Request(NamedTuple):
    """What somebody asks of an instance: its number, the instance's id, what, and its payload."""

    request: int
    id: str
    body: str
    payload: str | None


class Reply(NamedTuple):
    """What became of a request.

    Attributes:
        answer: The answer, or None as long as there is none.
        ended: Whether the instance has ended: without an answer until then, there will never be one.
    """

    answer: Answer | None
    ended: bool


class Requests:
    """A letter box per instance: whoever owns it empties it, and the next owner finds what is left."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, id: str, body: str, payload: str | None = None) -> int:
        """Leave a request for the owner of an instance, now or later.

        Returns:
            Its number, for `reply`.

        Raises:
            UnknownSagaError: if no instance has this id.
            JournalError: if the journal cannot be written.
        """
        columns = ["number", "body", "payload", "created_at"]
        values = (literal(body), literal(payload, requests.c.payload.type), self._database.now)
        found = select(instances.c.number, *values).where(instances.c.id == id)
        query = insert(requests).from_select(columns, found).returning(requests.c.request)
        with self._database.transaction(Write.REQUEST) as connection:
            number: int | None = connection.scalar(query)
        if number is None:
            raise UnknownSagaError(f"the journal at {self._database.address} holds no instance {id}")
        return number

    def take(self, owner: str, in_progress: Container[int] = ()) -> list[Request]:
        """Return the unanswered requests to instances of `owner`, oldest first.

        They stay until they are answered, so whoever takes over finds them again.

        Args:
            owner: Whose.
            in_progress: Numbers of requests that were taken before and are being worked on.
        """
        query = (
            select(requests.c.request, instances.c.id, requests.c.body, requests.c.payload)
            .join(instances, instances.c.number == requests.c.number)
            .where(requests.c.answered_at.is_(None), instances.c.owner == owner)
            .order_by(requests.c.request)
        )
        with self._database.read() as connection:
            found = [Request(*row) for row in connection.execute(query)]
        return [request for request in found if request.request not in in_progress]

    def answer(self, answer: Answer) -> bool:
        """Answer a request from which no fact follows; one that does is answered in the facts' batch.

        Returns:
            Whether it was still open.
        """
        unanswered = (requests.c.request == answer.request, requests.c.answered_at.is_(None))
        values = {"answered_at": self._database.now, "error": answer.error, "answer": answer.text}
        with self._database.transaction(Write.REQUEST) as connection:
            return bool(connection.execute(update(requests).where(*unanswered).values(values)).rowcount)

    def reply(self, request: int) -> Reply:
        """Return what became of a request.

        Raises:
            UnknownSagaError: if its instance was purged.
        """
        query = (
            select(requests, instances.c.ended_at)
            .join(instances, instances.c.number == requests.c.number)
            .where(requests.c.request == request)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise UnknownSagaError(f"request {request} is gone: its instance was purged")
        answered = row.answered_at is not None
        return Reply(Answer(request, row.answer, row.error) if answered else None, ended=row.ended_at is not None)
