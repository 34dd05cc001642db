"""A child process: reads what to do from its first line of stdin, and answers in JSON lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from importlib import import_module
from typing import cast

from ._cells import Spec, decode_spec
from ._channel import Channel


def main() -> int:
    """Do one job; an error is an answer too."""
    channel = Channel.over_stdout()
    spec = decode_spec(sys.stdin.readline())
    try:
        _job(spec.kind)(spec, channel)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the parent reports it
        channel.say(error=reason(error))
        return 1
    return 0


def _job(kind: str) -> Callable[[Spec, Channel], None]:
    job: Callable[[Spec, Channel], None] = getattr(import_module(f"._{kind}", __package__), kind)
    return job


def reason(error: BaseException) -> str:
    """Return the error in one line; of a group, its first leaf."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
