"""A saga whose payloads are large; importable, as the sandbox needs."""

from __future__ import annotations

import random
import string

from saga import Compensatable, Effect, Saga, SagaAborted


def letters(count: int) -> str:
    """Return so many letters, which hardly compress."""
    return "".join(random.Random(count).choices(string.ascii_letters + string.digits, k=count))  # noqa: S311


def forget(effect: Effect[int, str]) -> None:
    """Nothing to do."""


def take(text: str) -> str:
    """Return what it got."""
    return text


def drop(effect: Effect[str, str]) -> None:
    """Nothing to do."""


class Heavy(Saga):
    """Asks for many letters, many times."""

    ask = Compensatable(letters).compensated_by(forget)

    async def run(self, rounds: int) -> int:
        """Ask for a megabyte each time."""
        return sum([len(await self.ask(1_000_000 + number)) for number in range(rounds)])


class Echo(Saga):
    """Sends a request through a step."""

    take = Compensatable(take).compensated_by(drop)

    async def run(self, text: str) -> int:
        """Take it."""
        return len(await self.take(text))


def refuse(effect: Effect[int, str]) -> None:
    """Fail, for ever."""
    raise ConnectionError("the bank is down")


class Unforgiving(Saga):
    """Cannot be compensated."""

    letters = Compensatable(letters).compensated_by(refuse)

    async def run(self, count: int) -> int:
        """One step, and give up."""
        await self.letters(count)
        raise SagaAborted("no")
