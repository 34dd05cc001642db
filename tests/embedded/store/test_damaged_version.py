"""A journal that does not say which version its tables are of: it is damaged, and nobody lays tables over it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, make_url, text

from saga.embedded import Journal
from saga.embedded._store import Store
from saga.errors import ForeignJournalError, JournalCorruptError, JournalVersionError
from tests.embedded.store.conftest import Opener

Open = Callable[[str], object]

EVERY_WAY = pytest.mark.parametrize("open_", [Store.open, Journal.open])


def change(url: str, *statements: str) -> None:
    """Change a journal by hand."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def stamped(version: str) -> str:
    """Return what makes a journal say that its tables are of a version."""
    return f"UPDATE saga_journal_version SET version_num = '{version}'"  # noqa: S608 - a text of this file


def everything(url: str) -> list[tuple[object, ...]]:
    """Return what a journal's version table and its instances hold."""
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = ("saga_journal_version", "saga_instances")
        rows = [tuple(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608 - names of ours
    engine.dispose()
    return rows


def place(url: str) -> str:
    """Return how a message names the journal."""
    made = make_url(url)
    return made.database if made.drivername == "sqlite" and made.database else f"/{made.database}"


@EVERY_WAY
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (["DELETE FROM saga_journal_version"], "saga_journal_version is empty"),
        ([stamped("garbage")], "'garbage'"),
        ([stamped("")], "''"),
        ([stamped("1")], "'1'"),
        ([stamped("-001")], "'-001'"),
        ([stamped("٠٠٠١")], "'٠٠٠١'"),  # noqa: RUF001 - digits, but not those
        (["INSERT INTO saga_journal_version VALUES ('0002')"], "'0001', '0002'"),
    ],
    ids=lambda one: one[0].split()[-1].strip("'()") if isinstance(one, list) else "",
)
def test_a_version_that_is_none_is_damage(url: str, opened: Opener, open_: Open, damage: list[str], words: str) -> None:
    """The place is named, and what was found there; nothing is changed."""
    opened(url).close()
    change(url, *damage)
    before = everything(url)
    with pytest.raises(JournalCorruptError, match="is damaged.*restore it from a backup") as caught:
        open_(url)
    assert place(url) in str(caught.value)
    assert words in str(caught.value)
    assert everything(url) == before


def test_a_version_that_no_text_can_hold_is_damage(sqlite_url: str, opened: Opener) -> None:
    """SQLite keeps bytes wherever somebody puts them."""
    opened(sqlite_url).close()
    change(sqlite_url, "UPDATE saga_journal_version SET version_num = x'00ff'")
    with pytest.raises(JournalCorruptError, match="is damaged"):
        Store.open(sqlite_url)


def test_a_long_version_is_not_quoted_at_length(sqlite_url: str, opened: Opener) -> None:
    """Whatever somebody put there."""
    opened(sqlite_url).close()
    change(sqlite_url, stamped("x" * 5000))
    with pytest.raises(JournalCorruptError) as caught:
        Store.open(sqlite_url)
    assert len(str(caught.value)) < 500


@EVERY_WAY
@pytest.mark.parametrize("version", ["0002", "9999", "12345"])
def test_a_newer_version_is_for_a_newer_library(url: str, opened: Opener, open_: Open, version: str) -> None:
    """However many digits it has."""
    opened(url).close()
    change(url, stamped(version))
    with pytest.raises(JournalVersionError, match=rf"version {version}.*up to 0001.*upgrade") as caught:
        open_(url)
    assert place(url) in str(caught.value)


def test_a_version_before_the_first_with_tables_is_damage(url: str, opened: Opener) -> None:
    """No library wrote it, and no migration leads on from there."""
    opened(url).close()
    change(url, stamped("0000"))
    with pytest.raises(JournalCorruptError, match="'0000'"):
        Store.open(url)


@EVERY_WAY
def test_a_version_table_that_is_not_ours_is_refused(url: str, open_: Open) -> None:
    """It has another shape, so it belongs to something else."""
    change(url, "CREATE TABLE saga_journal_version (whatever INTEGER)")
    with pytest.raises(ForeignJournalError, match="saga_journal_version.*choose another"):
        open_(url)


@EVERY_WAY
def test_a_journal_that_lost_its_version_table_is_damaged(url: str, opened: Opener, open_: Open) -> None:
    """All its other tables are there, so it is nobody else's."""
    opened(url).close()
    change(url, "DROP TABLE saga_journal_version")
    with pytest.raises(JournalCorruptError, match="all its tables are there but saga_journal_version") as caught:
        open_(url)
    assert place(url) in str(caught.value)


@EVERY_WAY
def test_some_tables_of_a_journal_s_names_are_not_ours(url: str, open_: Open) -> None:
    """Somebody else's `saga_instances` is neither a journal nor the ruins of one."""
    change(url, "CREATE TABLE saga_instances (whatever INTEGER)")
    with pytest.raises(ForeignJournalError, match="holds saga_instances, but not saga_journal_version") as caught:
        open_(url)
    assert place(url) in str(caught.value)
