"""A process whose saga never lets go of the loop, until a test kills it: `python -m tests.embedded._blocking URL`."""

from __future__ import annotations

import asyncio
import sys

from saga import EmbeddedEngine, Retriable, Saga, SagaStuckError


def say(what: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def send(number: int) -> int:
    """Answer at once, but never at the first start."""
    if "start" in sys.argv:
        say("sending")
        await asyncio.Event().wait()
    return number


class Blocking(Saga):
    """Does nothing wrong until its code is changed."""

    send = Retriable(send)

    async def run(self, number: int) -> int:
        if "block" in sys.argv:
            say("blocking")
            while True:
                pass
        return await self.send(number)


async def main(url: str) -> None:
    """Run one instance."""
    async with EmbeddedEngine(url, sagas=[Blocking]) as engine:
        say("open")
        try:
            say(f"returned {await engine.run(Blocking, 7, id='b-1')}")
        except SagaStuckError as error:
            say(f"stuck {error}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
