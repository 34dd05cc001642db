"""Opens whichever engine a spec names."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from ._cells import Engine, Spec
from ._load import RunOne


def opened(spec: Spec) -> AbstractAsyncContextManager[RunOne]:
    """Return the asynchronous engine of the spec, still closed.

    Only that engine is imported: none is measured in the company of another.
    """
    if spec.cell.engine is Engine.OURS:
        from ._ours import ours  # noqa: PLC0415 - see above

        return ours(spec)
    if spec.cell.engine is Engine.BARE:
        from ._bare import bare  # noqa: PLC0415 - see above

        return bare(spec)
    from ._dbos import dbos_async  # noqa: PLC0415 - see above

    return dbos_async(spec)
