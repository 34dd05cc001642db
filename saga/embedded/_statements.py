"""The statements that flushes execute: constant SQL, compiled once from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Integer, Text, bindparam, column, insert, literal_column, select, update, values
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement, ColumnElement, Insert
from sqlalchemy.sql.expression import ColumnClause

from ._tables import facts, instances, requests

__all__ = ("Statements",)


SIZES: Final = (64, 16, 4, 2, 1)
"""How many rows one statement takes. A driver that is given rows one by one lets go of the interpreter for each of
them, and waits until it gets it back: with a busy loop that takes longer than all the rest of a flush."""

Sizes: TypeAlias = Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL for one dialect; parameters go by position.

    Attributes:
        start: Inserts instances, each: id, saga, state, started at, changed at, parent, owner, epoch, request
            hash, fingerprint, version of the kernel. By how many at once, the most first.
        start_child: Does it, if the parent is open and its epoch still holds: the same, and then the parent's
            id and epoch.
        append: Inserts facts, each if its epoch still holds: id, epoch, seq, body, payload. As `start`.
        change: Updates a state, if the epoch still holds: state, changed at, id, epoch.
        end: Does it for the last time: state, changed at, ended at, id, epoch.
        answer: Answers a request, if nobody did: error, answer, request.
        epoch: Reads the epoch of an instance: id.
    """

    start: Sizes
    start_child: str
    append: Sizes
    change: str
    end: str
    answer: str
    epoch: str

    @classmethod
    def compiled(cls, dialect: Dialect, now: ColumnElement[int]) -> Statements:
        """Compile them; `now` is the time by the database's own clock."""
        dialect = copy(dialect)
        dialect.cte_follows_insert = True  # Python's sqlite3 counts rows of INSERT ... WITH, not of WITH ... INSERT

        def sql(statement: ClauseElement) -> str:
            return str(statement.compile(dialect=dialect))

        owned = (instances.c.id == bindparam("of"), instances.c.epoch == bindparam("at_epoch"))
        change = update(instances).where(*owned)
        state: dict[str, ColumnElement[Any]] = {"state": bindparam("to"), "changed_at": bindparam("at")}
        return cls(
            start=[(size, sql(_start(size))) for size in SIZES],
            start_child=sql(_start_child()),
            append=[(size, sql(_append(size))) for size in SIZES],
            change=sql(change.values(state)),
            end=sql(change.values(state | {"ended_at": bindparam("end"), "owner": literal_column("''")})),
            answer=sql(_answer(now)),
            epoch=sql(select(instances.c.epoch).where(instances.c.id == bindparam("of"))),
        )


_GIVEN = [column.name for column in instances.c if column.name not in {"number", "ended_at"}]


def _start(size: int) -> Insert:
    rows: list[dict[str, Any]] = [{name: bindparam(f"{name}_{nth}") for name in _GIVEN} for nth in range(size)]
    return insert(instances).values(rows)


def _start_child() -> Insert:
    # A condition of the statement itself: between a look at the parent and the start of its child, the process
    # may be paused, and the parent taken over and compensated. FOR SHARE for the same reason as below.
    given = [bindparam(name, type_=instances.c[name].type) for name in _GIVEN]
    parent = (instances.c.id == bindparam("of"), instances.c.epoch == bindparam("at_epoch"))
    source = select(*given).where(*parent, instances.c.ended_at.is_(None)).with_for_update(read=True)
    return insert(instances).from_select(_GIVEN, source)


_FACT: Final[Sequence[ColumnClause[Any]]] = (
    column("of", Text),
    column("at_epoch", Integer),
    column("nth", Integer),
    column("text", Text),
    column("data", Text),
)


def _append(size: int) -> Insert:
    # FOR SHARE, which SQLite neither has nor needs: on PostgreSQL the take-over of an instance must
    # wait for an append that saw the old epoch, or it would read a journal that still grows.
    rows = [tuple(bindparam(f"{one.name}_{nth}", type_=one.type) for one in _FACT) for nth in range(size)]
    given = (
        values(*_FACT, name="given").data(rows).cte("given", nesting=True)
    )  # sqlite3 counts rows of INSERT, not of WITH
    source = select(instances.c.number, given.c.nth, given.c.text, given.c.data)
    owned = source.where(instances.c.id == given.c.of, instances.c.epoch == given.c.at_epoch)
    locked = owned.with_for_update(read=True, of=instances)
    return insert(facts).from_select(["number", "seq", "body", "payload"], locked)


def _answer(now: ColumnElement[int]) -> ClauseElement:
    open_ = (requests.c.request == bindparam("nth"), requests.c.answered_at.is_(None))
    values: dict[str, ColumnElement[Any]] = {
        "answered_at": now,
        "error": bindparam("why"),
        "answer": bindparam("text"),
    }
    return update(requests).where(*open_).values(values)
