"""A bank whose answers get lost: what the network does, made to happen when it is wanted."""

from examples.money_transfer.models import Posting

from .models import Payment
from .payroll import PayrollBank
from .world import COLLEAGUE

__all__ = ("AnswersGetLost",)


class AnswersGetLost(PayrollBank):
    """Payments to one account are made, and then the connection breaks: the caller cannot know."""

    def pay(self, payment: Payment) -> Posting:
        """Pay, and lose the answer about one account."""
        posting = super().pay(payment)
        if payment.target == COLLEAGUE:
            msg = "connection reset by peer"
            raise ConnectionResetError(msg)
        return posting
