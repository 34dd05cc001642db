"""S13: a payload is written only if what is read back from it is what was written; money never changes on its way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, model_validator

from saga.errors import InvalidRequestError
from saga.kernel import Instance
from saga.kernel._codec import codec_of
from saga.kernel._edge import Edge


class Euros(BaseModel):
    """Takes euros, and keeps cents."""

    cents: int

    @model_validator(mode="before")
    @classmethod
    def _to_cents(cls, value: dict[str, int]) -> dict[str, int]:
        return {"cents": value["cents"] * 100}


class Hidden(BaseModel):
    """Leaves a field out."""

    kept: int
    left_out: int = Field(default=0, exclude=True)


class Limit(BaseModel):
    """No limit is None."""

    limit: float | None


class Password(BaseModel):
    """Hides itself."""

    secret: SecretStr


class Base(BaseModel):
    """Has one field."""

    one: int


class More(Base):
    """Has another."""

    two: int


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Euros, Euros(cents=5)),
        (Hidden, Hidden(kept=1, left_out=2)),
        (Limit, Limit(limit=float("inf"))),
        (Password, Password(secret=SecretStr("s3cret"))),
        (list[Base], [More(one=1, two=2)]),
    ],
    ids=["a validator that calculates", "an excluded field", "infinity", "a secret", "a subclass in a list"],
)
def test_what_would_change_is_refused(type_: Any, value: object) -> None:
    """The message says where to look, and holds no value."""
    with pytest.raises(InvalidRequestError, match="read back from JSON it is another value") as caught:
        codec_of(type_).encode(value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Base, Base(one=1)),
        (Base, More(one=1, two=2)),
        (Decimal, Decimal("0.10")),
        (tuple[int, ...], (1, 2)),
        (None, None),
    ],
    ids=repr,
)
def test_what_stays_the_same_is_written(type_: Any, value: object) -> None:
    """A participant may return a subclass of what it declared: what was declared is kept."""
    codec = codec_of(type_)
    assert codec.encode(codec.decode(codec.encode(value))) == codec.encode(value)


@pytest.mark.parametrize(("levels", "fits"), [(100, True), (101, False), (150, False)])
def test_a_payload_has_a_limit_of_nesting(levels: int, *, fits: bool) -> None:
    """What one level more could not be read inside an effect, and its compensation would be stuck for ever."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    codec = codec_of(Any)
    if fits:
        assert codec.decode(codec.encode(value)) == value
    else:
        with pytest.raises(InvalidRequestError, match="more than 100 levels"):
            codec.encode(value)
        edge = Edge("Transfer", Instance(), limit=10_000)
        with pytest.raises(InvalidRequestError, match="more than 100 levels"):
            edge.check(codec, "[" * levels + "0" + "]" * levels, "debit.1")


def test_many_values_side_by_side_are_not_deep() -> None:
    """Only nesting counts, not how many lists there are."""
    codec = codec_of(list[list[str]])
    assert codec.encode([["[" * 300]] * 500)
