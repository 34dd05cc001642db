"""The archive: its primary key is the idempotency key, so a report that is filed twice lies there once."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from examples.money_transfer.database import open_database
from saga import current_step

from .models import Filed

__all__ = ("Archive",)


class _Table(DeclarativeBase):
    pass


class _Document(_Table):
    __tablename__ = "document"

    key: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[str]


class Archive:
    """Keeps the reports that were paid.

    Args:
        path: The database; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.engine = open_database(path)
        _Table.metadata.create_all(self.engine)

    def file(self, filed: Filed) -> None:
        """File a report, unless it lies there already."""
        with Session(self.engine) as session, session.begin():
            session.merge(_Document(key=current_step().key, body=filed.model_dump_json()))

    def documents(self) -> dict[str, Filed]:
        """Return what was filed, by its key."""
        with Session(self.engine) as session:
            return {one.key: Filed.model_validate_json(one.body) for one in session.scalars(select(_Document))}

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()
