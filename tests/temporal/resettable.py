"""Sagas that are reset while their attempts act; importable, as the sandbox needs."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

from saga import Compensatable, Effect, Retry, Saga, StepRejected

ATTEMPTS: list[str] = []
"""Which attempts began, and what compensated."""
ACTING = threading.Semaphore(0)
"""Released whenever an attempt hangs."""


async def hang(text: str) -> str:
    """Hang in the first attempt, and answer in the second."""
    ATTEMPTS.append(text)
    if ATTEMPTS.count(text) == 1:
        ACTING.release()
        await asyncio.sleep(60)
    return text


async def answer(text: str) -> str:
    """Answer at once."""
    return text


async def give_back(effect: Effect[str, str]) -> None:
    """Note it."""
    ATTEMPTS.append(f"compensated {effect.input}")


async def refuse(text: str) -> str:
    """Say no."""
    raise StepRejected(text)


async def leave(effect: Effect[str, str]) -> None:
    """Nothing to do."""


class Hanging(Saga):
    """Its only effect has nothing that keeps an attempt of an earlier run from acting late."""

    hang = Compensatable(hang).compensated_by(give_back)
    refuse = Compensatable(refuse, safe_to_overtake=True).compensated_by(leave)

    async def run(self, text: str) -> None:
        """Hang, then fail."""
        await self.hang(text)
        await self.refuse(text)


class Settling(Saga):
    """As before, but how long an attempt may act late is known."""

    hang = Compensatable(hang, settle_time=timedelta(milliseconds=100)).compensated_by(give_back)
    refuse = Compensatable(refuse, safe_to_overtake=True).compensated_by(leave)

    async def run(self, text: str) -> None:
        """Hang, then fail."""
        await self.hang(text)
        await self.refuse(text)


class Answered(Saga):
    """What is done before the point that it is reset to stays certain."""

    answer = Compensatable(answer).compensated_by(give_back)
    hang = Compensatable(hang, safe_to_overtake=True).compensated_by(give_back)
    refuse = Compensatable(refuse, safe_to_overtake=True).compensated_by(leave)

    async def run(self, text: str) -> None:
        """Answer, hang, then fail."""
        await self.answer(text)
        await self.hang(text)
        await self.refuse(text)


LET_GO = threading.Event()


def stubborn(text: str) -> str:
    """Act in a thread that nobody can stop, however its worker ends."""
    ACTING.release()
    LET_GO.wait(30)
    return text


class Stubborn(Saga):
    """One attempt, and nothing that keeps it from acting late."""

    stubborn = Compensatable(stubborn, retry=Retry(attempts=1)).compensated_by(give_back)

    async def run(self, text: str) -> str:
        """Do it."""
        return await self.stubborn(text)
