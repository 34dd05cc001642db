"""What tests of the engine may ask for: a journal on each database, and engines that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine

from tests.embedded._shop import Journey, Purchase, Shop

MakeEngine = Callable[..., EmbeddedEngine]


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a journal that only this test sees, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def shop() -> Shop:
    """A participant that counts."""
    return Shop()


@pytest.fixture
def make_engine(journal_url: str, shop: Shop) -> MakeEngine:
    """Returns an engine on the test's journal; keywords change what it is made with."""

    def make(**changed: Any) -> EmbeddedEngine:  # keywords of an engine
        settings: dict[str, Any] = {
            "sagas": [Purchase, Journey],
            "participants": {"shop": shop},
            "grace": timedelta(seconds=1),
        }
        return EmbeddedEngine(journal_url, **(settings | changed))

    return make
