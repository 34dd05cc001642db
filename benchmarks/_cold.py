"""Cold start, in a fresh interpreter: from the first import to the first saga's result."""

import time

BEGAN = time.perf_counter()  # before anything is imported: imports are what is measured

import os  # noqa: E402
import sys  # noqa: E402


def done() -> None:
    """Say how long it took, and leave: what either does on its way out is not its start."""
    print(time.perf_counter() - BEGAN, flush=True)
    os._exit(0)


def dbos(url: str) -> None:
    """Import DBOS and run its first workflow, with the settings it ships with."""
    from ._payload import payload  # noqa: PLC0415 - the import is measured
    from ._peer import launch, workflow_in_thread  # noqa: PLC0415 - the import is measured

    peer = launch(url)
    workflow = workflow_in_thread(peer)
    peer.launch()
    workflow(payload(256))
    done()


def ours(url: str) -> None:
    """Import the engine and run its first saga, with the settings it ships with."""
    import asyncio  # noqa: PLC0415 - the import is measured

    from ._sagas import first_saga  # noqa: PLC0415 - the import is measured

    asyncio.run(first_saga(url, done))


if __name__ == "__main__":
    {"dbos": dbos, "ours": ours}[sys.argv[1]](sys.argv[2])
