"""The first tables of the journal.

A migration never imports the tables of today: it has to make those of its own day for ever.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables for instances, facts, requests and owners."""
    _create_instances()
    op.create_table(
        "saga_facts",
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text()),
    )
    _create_requests()
    op.create_table(
        "saga_owners",
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("began", sa.Text(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
    )


def _create_instances() -> None:
    op.create_table(
        "saga_instances",
        sa.Column("number", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("saga", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("parent", sa.Text()),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("kernel", sa.Integer(), nullable=False),
    )
    _create_partial_index("saga_instances_open", "saga_instances", ["owner", "saga"], "ended_at IS NULL")
    op.create_index("saga_instances_listed", "saga_instances", ["saga", "state", "number"])
    _create_partial_index("saga_instances_children", "saga_instances", ["parent"], "parent IS NOT NULL")


def _create_requests() -> None:
    op.create_table(
        "saga_requests",
        sa.Column("request", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("answer", sa.Text()),
        sqlite_autoincrement=True,
    )
    _create_partial_index("saga_requests_open", "saga_requests", ["answered_at"], "answered_at IS NULL")


def _create_partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
