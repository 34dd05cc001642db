"""Threads for activities that are not `async`: one that hangs does not keep the process from ending."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Threads",)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Work(NamedTuple):
    future: Future[Any]
    function: Callable[[], object]


class Threads(Executor):
    """Runs functions in up to `most` threads, which are made when they are needed.

    The standard library's executor makes the interpreter wait, when it ends, for every thread that it ever made.
    """

    def __init__(self, most: int, *, name: str) -> None:
        self._most = most
        self._name = name
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = Semaphore(0)
        self._made = 0
        self._closed = False

    def submit(
        self, fn: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        """Run `fn` as soon as a thread is free. To be called from one thread.

        Raises:
            RuntimeError: if it was shut down.
        """
        if self._closed:
            msg = "the threads were shut down"
            raise RuntimeError(msg)
        future: Future[Result] = Future()
        self._queue.put(_Work(future, lambda: fn(*args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._made < self._most:
            self._made += 1
            Thread(target=self._run, name=f"{self._name}-{self._made}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - the base's
        """Start nothing more, and leave what runs alone, whatever the arguments say."""
        self._closed = True
        while True:
            try:
                work = self._queue.get_nowait()
            except Empty:
                break
            if work is not None:
                work.future.cancel()
        for _ in range(self._made):
            self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            _do(work)
            del work
            self._idle.release()


def _do(work: _Work) -> None:
    if not work.future.set_running_or_notify_cancel():
        return
    try:
        result = work.function()
    except BaseException as error:  # noqa: BLE001 - belongs to whoever waits
        work.future.set_exception(error)
    else:
        work.future.set_result(result)
