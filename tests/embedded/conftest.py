"""What tests of the engine may ask for: a journal on each database, and engines that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from saga import EmbeddedEngine
from tests.embedded._scripted import Scripted, script
from tests.embedded._shop import Journey, Purchase, Shop
from tests.embedded._steps import Slow, counted_steps

MakeEngine = Callable[..., EmbeddedEngine]


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a journal that only this test sees, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    url: str = request.getfixturevalue("postgres_schema_url")
    return url


@pytest.fixture
def postgres_schema_url(postgres_server: str) -> Generator[str]:
    """The URL of a schema that only this test sees: it is made a hundred times faster than a database."""
    import psycopg  # noqa: PLC0415 - not needed where no test asks for a server
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - as above
    from sqlalchemy import make_url  # noqa: PLC0415 - as above

    name = f"test_{uuid4().hex}"
    server = make_url(postgres_server)
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(name)))
        yield server.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
        connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(name)))


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


@pytest.fixture
def scripted() -> Generator[Scripted]:
    """What activities of the module `_scripted` do in this test, and what they noted."""
    with script() as one:
        yield one


@pytest.fixture
def alike(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Every run takes the same steps, and no exception ends in the loop's handler."""
    with counted_steps():
        yield
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture(params=[Purchase, Journey])
def saga(request: pytest.FixtureRequest) -> Any:
    """A saga whose payment is refused, so that it is compensated; one of them by way of a child."""
    return request.param


@pytest.fixture
def slow() -> Slow:
    """A participant whose activities take some steps of the loop."""
    return Slow()
