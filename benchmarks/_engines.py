"""Opens whichever engine a spec names."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from ._bare import bare
from ._cells import Engine, Spec
from ._dbos import dbos_async
from ._load import RunOne
from ._ours import ours


def opened(spec: Spec) -> AbstractAsyncContextManager[RunOne]:
    """Return the asynchronous engine of the spec, still closed."""
    if spec.cell.engine is Engine.OURS:
        return ours(spec)
    return bare(spec) if spec.cell.engine is Engine.BARE else dbos_async(spec)
