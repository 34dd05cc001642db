"""A mail sender whose outbox knows the idempotency keys: a letter that is asked for twice goes out once."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from saga import current_step

from .database import open_database
from .models import Mail

__all__ = ("MailSender",)


class _Table(DeclarativeBase):
    pass


class _Letter(_Table):
    __tablename__ = "outbox"

    key: Mapped[str] = mapped_column(primary_key=True)
    recipient: Mapped[str]
    text: Mapped[str]
    asked: Mapped[int]


class MailSender:
    """Puts letters into an outbox. No barrier: its primary key is the idempotency key, which does the same.

    Args:
        path: The outbox' database; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.engine = open_database(path)
        _Table.metadata.create_all(self.engine)

    def send(self, mail: Mail) -> None:
        """Put a letter into the outbox, unless it lies there already."""
        key = current_step().key
        with Session(self.engine) as session, session.begin():
            letter = session.get(_Letter, key)
            if letter is None:
                session.add(_Letter(key=key, recipient=mail.to, text=mail.text, asked=1))
            else:
                letter.asked += 1

    def letters(self) -> dict[str, int]:
        """Return how often each letter was asked for, by its key."""
        with Session(self.engine) as session:
            return {letter.key: letter.asked for letter in session.scalars(select(_Letter))}

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()
