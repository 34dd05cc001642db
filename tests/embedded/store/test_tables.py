"""The tables: made at once or by migrations, by one process or several, and refused where they are not ours."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import URL, Connection, create_engine, inspect, make_url, text

from saga.embedded._append import Appender
from saga.embedded._database import Database
from saga.embedded._migrations import upgrade
from saga.embedded._store import Store
from saga.embedded._tables import JOURNAL_VERSION, instant, metadata, micros, versions
from saga.errors import ForeignJournalError, JournalError, JournalVersionError
from tests.embedded.store.another_process import ROOT, Another
from tests.embedded.store.conftest import Opener
from tests.embedded.store.journals import NOW, TIME_ENOUGH


def shape(connection: Connection) -> dict[str, Any]:
    """Return all that reflection tells of the tables."""
    inspector = inspect(connection)
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table),
            "unique": inspector.get_unique_constraints(table),
            "indexes": [{**each, "dialect_options": _readable(each)} for each in inspector.get_indexes(table)],
            "sql": _sql(connection, table),
        }
        for table in sorted(inspector.get_table_names())
    }


def _readable(index: Any) -> dict[str, str]:
    return {name: str(value) for name, value in index.get("dialect_options", {}).items()}


def _sql(connection: Connection, table: str) -> list[str]:
    # Reflection overlooks AUTOINCREMENT and WITHOUT ROWID.
    if connection.dialect.name != "sqlite":
        return []
    query = text("SELECT sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL ORDER BY name")
    found = connection.scalars(query, {"table": table}).all()
    return [" ".join(sql.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split()) for sql in found]


def test_migrations_lead_to_the_tables_that_are_created_at_once(store: Store, url: str, tmp_path: Path) -> None:
    """A journal that was migrated all the way is the same as a new one."""
    with store._database.read() as connection:
        created = shape(connection)
    engine = create_engine(elsewhere(url, tmp_path))
    with engine.begin() as connection:
        assert shape(connection) == {}
        upgrade(connection)
        migrated = shape(connection)
        version = connection.scalar(text("SELECT version_num FROM saga_journal_version"))
    engine.dispose()
    assert version == JOURNAL_VERSION
    assert set(created) == set(metadata.tables)
    assert normal(migrated) == normal(created)


def elsewhere(url: str, tmp_path: Path) -> URL:
    """Return an empty place: another file, or another schema of the same database."""
    if url.startswith("sqlite"):
        return make_url(f"sqlite:///{tmp_path / 'migrated.db'}")
    change(url, "CREATE SCHEMA migrated")
    return make_url(url).update_query_dict({"options": "-csearch_path=migrated"})


def normal(tables: dict[str, Any]) -> dict[str, Any]:
    """Take out what differs by name alone: the schema before a sequence, and the order of columns in SQL."""
    return {
        name: {**table, "sql": sorted(" ".join(sorted(sql.split())) for sql in table["sql"])}
        for name, table in tables.items()
    }


def test_a_journal_of_an_older_version_is_migrated(url: str, opened: Opener) -> None:
    """One that was stamped before its first migration gets everything that is due."""
    engine = create_engine(url)
    with engine.begin() as connection:
        versions.create(connection)
    engine.dispose()
    store = opened(url)
    with store._database.read() as connection:
        assert set(inspect(connection).get_table_names()) == set(metadata.tables)
        assert connection.scalar(text("SELECT version_num FROM saga_journal_version")) == JOURNAL_VERSION
    assert opened(url).count() == {}


def test_alembic_is_loaded_only_for_a_migration(sqlite_url: str) -> None:
    """A new journal and one that is up to date are opened without it: it costs time at every start."""
    program = (
        "import sys; from saga.embedded._store import Store;"
        f"Store.open({sqlite_url!r}).close(); Store.open({sqlite_url!r}).close();"
        "print(sorted(name for name in ('alembic', 'sqlalchemy.orm', 'psycopg') if name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=TIME_ENOUGH
    )
    assert answer.stdout.strip() == "[]"


def test_a_new_journal_may_be_opened_many_times_at_once(url: str, opened: Opener) -> None:
    """One lays the tables, and the others find them."""
    barrier = Barrier(8)

    def open_(_: int) -> dict[str, int]:
        barrier.wait()
        return opened(url).count()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(open_, range(8))) == [{}] * 8
    assert read(url, "SELECT count(*) FROM saga_journal_version") == 1


def test_several_processes_may_open_a_new_journal_at_once(url: str) -> None:
    """Nor need they know of each other."""
    processes = [Another(url, timedelta(hours=1)) for _ in range(4)]
    try:
        assert [process.answer() for process in processes] == ["ready"] * 4
        assert [process.told("start", "a") for process in processes].count("done") == 1
    finally:
        for process in processes:
            process.end()


def test_a_journal_of_a_newer_version_is_left_alone(url: str, opened: Opener) -> None:
    """The message says which version it is, and what to do."""
    opened(url)
    change(url, "UPDATE saga_journal_version SET version_num = '0002'")
    with pytest.raises(JournalVersionError, match=r"version 0002.*up to 0001.*upgrade"):
        Store.open(url)
    assert read(url, "SELECT version_num FROM saga_journal_version") == "0002"


def test_a_file_with_other_tables_is_refused(sqlite_url: str, opened: Opener) -> None:
    """A database of something else is not written to, unless the caller says so."""
    change(sqlite_url, "CREATE TABLE accounts (id INTEGER)")
    with pytest.raises(ForeignJournalError, match=r"accounts.*allow_shared=True"):
        Store.open(sqlite_url)
    assert read(sqlite_url, "SELECT count(*) FROM sqlite_master") == 1
    assert opened(sqlite_url, allow_shared=True).count() == {}
    assert opened(sqlite_url).count() == {}


def test_a_schema_of_postgresql_is_shared_with_the_application(postgres_url: str, opened: Opener) -> None:
    """There the journal's tables lie beside those of the application."""
    change(postgres_url, "CREATE TABLE accounts (id INTEGER)")
    assert opened(postgres_url).count() == {}


def test_tables_of_the_same_name_that_are_not_ours_are_refused(url: str) -> None:
    """Somebody else's `saga_instances` is not touched."""
    change(url, "CREATE TABLE saga_instances (whatever INTEGER)")
    with pytest.raises(ForeignJournalError, match="saga_instances"):
        Store.open(url, allow_shared=True)


@pytest.mark.parametrize("damage", ["DROP TABLE saga_facts", "ALTER TABLE saga_facts DROP COLUMN body"])
def test_a_journal_whose_tables_were_tampered_with_is_refused(url: str, opened: Opener, damage: str) -> None:
    """The version alone makes no journal."""
    opened(url).close()
    change(url, damage)
    with pytest.raises(ForeignJournalError, match="saga_facts"):
        Store.open(url)


def test_the_files_are_for_their_owner_only(sqlite_url: str, opened: Opener) -> None:
    """Whatever the umask allows, payloads are for nobody else to read."""
    before = os.umask(0)
    try:
        opened(sqlite_url).ownership().beat()
    finally:
        os.umask(before)
    folder = Path(make_url(sqlite_url).database or "").parent
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True), (0o660, True)])
def test_a_file_that_is_open_to_others_is_warned_of(
    sqlite_url: str, opened: Opener, caplog: pytest.LogCaptureFixture, mode: int, *, warned: bool
) -> None:
    """It was made by something else, so it is used, and said."""
    file = Path(make_url(sqlite_url).database or "")
    file.touch()
    file.chmod(mode)
    with caplog.at_level(logging.WARNING):
        opened(sqlite_url)
    assert ("chmod 600" in caplog.text) == warned


def test_sqlite_flushes_before_it_says_so(sqlite_url: str, opened: Opener) -> None:
    """Every connection writes ahead and waits for the disk."""
    database: Database = opened(sqlite_url)._database
    with database.engine.connect() as one, database.engine.connect() as two:
        for connection in (one, two):
            assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
            assert connection.scalar(text("PRAGMA synchronous")) == 2
            assert connection.scalar(text("PRAGMA busy_timeout")) == 10_000


def test_postgresql_is_left_as_the_server_has_it(postgres_url: str, opened: Opener) -> None:
    """A commit waits for the disk as the server was told; locks and idle transactions are bounded."""
    with opened(postgres_url)._database.read() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
        assert connection.scalar(text("SHOW lock_timeout")) == "10s"
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"


def test_an_append_sees_a_take_over_whatever_the_server_prefers(postgres_url: str, opened: Opener) -> None:
    """Under READ COMMITTED a stale epoch writes no row; stricter, it would break everybody's flush."""
    url = make_url(postgres_url).update_query_dict({"options": "-cdefault_transaction_isolation=serializable"})
    appender = Appender(opened(url.render_as_string(hide_password=False))._database)
    appender._cursor.execute("SHOW transaction_isolation")
    assert appender._cursor.fetchone() == ("read committed",)
    appender.close()


def test_the_database_tells_the_time(store: Store) -> None:
    """Heartbeats are compared by one clock, in microseconds since 1970."""
    with store._database.read() as connection:
        first, second = (connection.scalar(text(f"SELECT {store._database.now}")) for _ in range(2))
    assert isinstance(first, int)
    assert first <= second
    assert instant(first).year >= 2025


def test_instants_lose_nothing() -> None:
    """What comes back is what went in, to the microsecond."""
    assert instant(micros(NOW)) == NOW


def change(url: str, sql: str) -> None:
    """Do something to a database that the journal did not ask for."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(sql))
    engine.dispose()


def read(url: str, sql: str) -> object:
    """Read a value past the journal."""
    engine = create_engine(url)
    with engine.connect() as connection:
        value: object = connection.scalar(text(sql))
    engine.dispose()
    return value


def test_a_python_with_an_old_sqlite_is_told(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal needs RETURNING."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 0))
    with pytest.raises(JournalError, match=r"3\.35"):
        Store.open(sqlite_url)
