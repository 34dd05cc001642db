"""A consumer's transactions: open one, do our part, call the application's function, commit."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from saga.errors import InboxError, MessageError
from saga.participant import _inbox_rows as rows
from saga.participant._connection import open_connection
from saga.participant._database import Database
from saga.participant._headers import handling
from saga.participant._reception import Admitted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from saga.participant._lanes import Delivery
    from saga.participant._message import Message
    from saga.participant._reception import Reception

__all__ = ("ANY", "Transactions")

ANY = "*"


class Transactions:
    """Runs an application's functions inside transactions of its database."""

    def __init__(self, database: Database, reception: Reception, functions: Mapping[str, Any]) -> None:
        self._database = database
        self._reception = reception
        self._functions = dict(functions)
        for type_, function in self._functions.items():
            if function is not None and inspect.iscoroutinefunction(function) is not database.asynchronous:
                wanted = "async def" if database.asynchronous else "def"
                msg = f"the function for {type_!r} must be made with {wanted}, as its transactions are"
                raise TypeError(msg)

    def passes_by(self, message: Message) -> bool:
        """Whether the application said that messages of this type are not for it."""
        try:
            return self._functions.get(message.type, self._functions.get(ANY, False)) is None
        except MessageError:
            return False

    def _function(self, message: Message) -> Any:
        function = self._functions.get(message.type, self._functions.get(ANY))
        if function is None:
            raise MessageError(
                f"the message at {message.place} is of type {message.type!r}, for which there is no function; "
                f"add one, or None to pass by what is of that type"
            )
        return function

    async def handle(self, batch: Sequence[Delivery]) -> Admitted:
        """Handle messages in one transaction; return which."""
        return await self._within(lambda connection: self._reception.admit(connection, batch))

    async def drain(self, key: str) -> bool:
        """Handle the first stored message of a key that drains; False if there was nothing to do."""

        def take(connection: Connection) -> Admitted:
            found = rows.next_held(connection, self._reception.consumer, key)
            if found is None:
                return Admitted([])
            rows.remove_held(connection, found[0])
            return Admitted([found[1]])

        return (await self._within(take)).handled > 0

    async def _within(self, admit: Callable[[Connection], Admitted]) -> Admitted:
        def ours(transaction: Any) -> Admitted:
            return admit(open_connection(transaction, "the inbox", InboxError))

        if self._database.asynchronous:
            return await self._awaited(ours)
        return await self._database.in_thread(lambda: self._blocking(ours))

    def _blocking(self, admit: Callable[[Any], Admitted]) -> Admitted:
        with self._database.source.begin() as transaction:
            admitted = admit(transaction)
            for message in admitted.messages:
                with handling(message.headers):
                    self._function(message)(transaction, message)
        return admitted

    async def _awaited(self, admit: Callable[[Any], Admitted]) -> Admitted:
        async with self._database.source.begin() as transaction:
            admitted: Admitted = await transaction.run_sync(admit)
            for message in admitted.messages:
                with handling(message.headers):
                    await self._function(message)(transaction, message)
        return admitted
