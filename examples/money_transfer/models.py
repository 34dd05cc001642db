"""What goes to the banks and comes back: frozen, typed, checked where it enters. All amounts are in euros."""

import re
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = (
    "AccountClosed",
    "AccountFrozen",
    "AccountNumber",
    "AccountUnavailable",
    "Address",
    "Credit",
    "Debit",
    "Euros",
    "InsufficientFunds",
    "Mail",
    "Posting",
    "Receipt",
    "Review",
    "Transfer",
    "UnknownAccount",
)

_CENT = Decimal("0.01")
# Countries whose codes begin with X do not exist, so nobody owns such an account.
_NUMBER = re.compile(r"X[A-Z][0-9]{2}[A-Z]{4}[0-9]{8}")
_ADDRESS = re.compile(r"[a-z0-9.+-]{1,64}@[a-z0-9.-]{1,185}")


def _account_number(number: str) -> str:
    if not _NUMBER.fullmatch(number):
        msg = "this is no account number, such as XN26NORD00000001"
        raise ValueError(msg)
    # As with an IBAN: turned into digits, the rest is 1 when it is divided by 97.
    turned = number[4:] + number[:4]
    if int("".join(str(int(character, 36)) for character in turned)) % 97 != 1:
        msg = "the check digits do not fit: is a digit mistyped?"
        raise ValueError(msg)
    return number


def _to_the_cent(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT)


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        msg = "this is no mail address"
        raise ValueError(msg)
    return text


AccountNumber = Annotated[str, AfterValidator(_account_number)]
Euros = Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=2), AfterValidator(_to_the_cent)]
Address = Annotated[str, AfterValidator(_address)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Transfer(_Model):
    """What a customer asks for."""

    source: AccountNumber
    target: AccountNumber
    amount: Euros
    owner: Address

    @model_validator(mode="after")
    def _between_two_accounts(self) -> Self:
        if self.source == self.target:
            msg = "source and target are the same account"
            raise ValueError(msg)
        return self


class Debit(_Model):
    """Take this amount from that account."""

    account: AccountNumber
    amount: Euros


class Credit(_Model):
    """Give this amount to that account."""

    account: AccountNumber
    amount: Euros


class Posting(_Model):
    """A line of a bank's ledger; the amount is negative where money was taken."""

    id: int
    account: str
    amount: Decimal


class Mail(_Model):
    """A letter to an owner."""

    to: Address
    text: str


class Review(_Model):
    """What a person says about a large transfer."""

    approved: bool
    reason: str


class Receipt(_Model):
    """What the customer gets: the two lines that moved the money."""

    debit: int
    credit: int


class InsufficientFunds(Exception):
    """The account does not hold that much."""


class AccountUnavailable(Exception):
    """The bank does not move money on this account."""


class UnknownAccount(AccountUnavailable):
    """The bank has no such account."""


class AccountClosed(AccountUnavailable):
    """The account was closed."""


class AccountFrozen(AccountUnavailable):
    """A court or the owner had the account frozen."""
