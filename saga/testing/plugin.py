"""The pytest plugin: a fixture that makes engines for tests. It loads with every pytest run, so it imports little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from saga.embedded import EmbeddedEngine

__all__ = ("MakeEngine", "saga_engine")


class MakeEngine(Protocol):
    """Makes an embedded engine on the journal of one test."""

    def __call__(
        self,
        *sagas: type,
        participants: Mapping[str, object] | None = None,
        **options: Any,  # those of EmbeddedEngine
    ) -> EmbeddedEngine:
        """Return an engine to be entered with `async with`; engines of one test share one journal."""
        ...


@pytest.fixture
def saga_engine(tmp_path: Path) -> MakeEngine:
    """Return what makes embedded engines on a journal of this test's own, to be entered with `async with`."""

    def make(
        *sagas: type,
        participants: Mapping[str, object] | None = None,
        **options: Any,  # those of EmbeddedEngine
    ) -> EmbeddedEngine:
        from saga.embedded import EmbeddedEngine  # noqa: PLC0415 - most runs of pytest need no engine

        return EmbeddedEngine(f"sqlite:///{tmp_path / 'journal.db'}", sagas=sagas, participants=participants, **options)

    return make
