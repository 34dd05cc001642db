"""Banks that answer badly: what the network does to a request, made to happen when it is wanted."""

import time
from datetime import timedelta
from pathlib import Path

from .bank import Bank
from .models import Credit, Debit, Posting

__all__ = ("AnswersGetLost", "AnswersLate", "RequestsGetLost")


class AnswersGetLost(Bank):
    """Credits are committed, and then the connection breaks: the caller cannot know."""

    def credit(self, credit: Credit) -> Posting:
        """Give the money, and lose the answer."""
        super().credit(credit)
        msg = "connection reset by peer"
        raise ConnectionResetError(msg)


class RequestsGetLost(Bank):
    """Credits never arrive, which looks the same to the caller."""

    def credit(self, credit: Credit) -> Posting:  # noqa: ARG002 - it does not arrive
        """Do nothing, and give no answer."""
        msg = "connection reset by peer"
        raise ConnectionResetError(msg)


class AnswersLate(Bank):
    """Debits are committed, and their answers take their time: enough to kill whoever waits for them.

    Args:
        path: The bank's database.
        delay: How long an answer takes.
    """

    def __init__(self, path: Path, *, delay: timedelta) -> None:
        super().__init__(path)
        self._delay = delay

    def debit(self, debit: Debit) -> Posting:
        """Take the money, and answer later."""
        posting = super().debit(debit)
        time.sleep(self._delay.total_seconds())
        return posting
