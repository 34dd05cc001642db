"""A child process: reads what to do from its first line of stdin, and answers in JSON lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Final, cast

from ._cells import decode_spec
from ._channel import Channel
from ._counted import counted
from ._memory import memory
from ._recovery import recovery
from ._timed import timed

JOBS: Final[dict[str, Callable[..., None]]] = {
    "timed": timed,
    "counted": counted,
    "memory": memory,
    "recovery": recovery,
}


def main() -> int:
    """Do one job; an error is an answer too."""
    channel = Channel.over_stdout()
    spec = decode_spec(sys.stdin.readline())
    try:
        JOBS[spec.kind](spec, channel)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the parent reports it
        channel.say(error=reason(error))
        return 1
    return 0


def reason(error: BaseException) -> str:
    """Return the error in one line; of a group, its first leaf."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
