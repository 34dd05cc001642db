"""The statements that flushes execute: constant SQL, compiled once from the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, Text, bindparam, insert, literal_column, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement, ColumnElement, Insert

from ._tables import facts, instances, requests

__all__ = ("Statements",)


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL for one dialect; parameters go by position.

    Attributes:
        start: Inserts an instance: id, saga, state, started at, changed at, parent, owner, epoch, request
            hash, fingerprint, version of the kernel.
        start_child: Does it, if the parent is open and its epoch still holds: the same, and then the parent's
            id and epoch.
        append: Inserts a fact, if the epoch still holds: seq, body, payload, id, epoch.
        change: Updates a state, if the epoch still holds: state, changed at, id, epoch.
        end: Does it for the last time: state, changed at, ended at, id, epoch.
        answer: Answers a request, if nobody did: error, answer, request.
        epoch: Reads the epoch of an instance: id.
    """

    start: str
    start_child: str
    append: str
    change: str
    end: str
    answer: str
    epoch: str

    @classmethod
    def compiled(cls, dialect: Dialect, now: ColumnElement[int]) -> Statements:
        """Compile them; `now` is the time by the database's own clock."""

        def sql(statement: ClauseElement) -> str:
            return str(statement.compile(dialect=dialect))

        owned = (instances.c.id == bindparam("of"), instances.c.epoch == bindparam("at_epoch"))
        change = update(instances).where(*owned)
        state: dict[str, ColumnElement[Any]] = {"state": bindparam("to"), "changed_at": bindparam("at")}
        return cls(
            start=sql(_start()),
            start_child=sql(_start_child()),
            append=sql(_append()),
            change=sql(change.values(state)),
            end=sql(change.values(state | {"ended_at": bindparam("end"), "owner": literal_column("''")})),
            answer=sql(_answer(now)),
            epoch=sql(select(instances.c.epoch).where(instances.c.id == bindparam("of"))),
        )


_GIVEN = [column.name for column in instances.c if column.name not in {"number", "ended_at"}]


def _start() -> Insert:
    return insert(instances).values({name: bindparam(name) for name in _GIVEN})


def _start_child() -> Insert:
    # A condition of the statement itself: between a look at the parent and the start of its child, the process
    # may be paused, and the parent taken over and compensated. FOR SHARE for the same reason as below.
    given = [bindparam(name, type_=instances.c[name].type) for name in _GIVEN]
    parent = (instances.c.id == bindparam("of"), instances.c.epoch == bindparam("at_epoch"))
    source = select(*given).where(*parent, instances.c.ended_at.is_(None)).with_for_update(read=True)
    return insert(instances).from_select(_GIVEN, source)


def _append() -> Insert:
    # FOR SHARE, which SQLite neither has nor needs: on PostgreSQL the take-over of an instance must
    # wait for an append that saw the old epoch, or it would read a journal that still grows.
    fact = [bindparam("nth", type_=Integer), bindparam("text", type_=Text), bindparam("data", type_=Text)]
    owned = (instances.c.id == bindparam("of"), instances.c.epoch == bindparam("at_epoch"))
    source = select(instances.c.number, *fact).where(*owned).with_for_update(read=True)
    return insert(facts).from_select(["number", "seq", "body", "payload"], source)


def _answer(now: ColumnElement[int]) -> ClauseElement:
    open_ = (requests.c.request == bindparam("nth"), requests.c.answered_at.is_(None))
    values: dict[str, ColumnElement[Any]] = {
        "answered_at": now,
        "error": bindparam("why"),
        "answer": bindparam("text"),
    }
    return update(requests).where(*open_).values(values)
