"""What the barrier asks of a body: a stable function, a typed result, the kind of its transaction."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from saga.errors import InvalidRequestError
from saga.kernel import Codec, Role, codec_of, resolved_hints, show_type

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from saga.participant._keys import Use

__all__ = ("check_kind", "codec_of_body", "codec_of_type")


def codec_of_type(type_: Any) -> Codec:  # any annotation
    """Return the codec of a type.

    Raises:
        TypeError: if pydantic cannot put values of this type into JSON and back.
    """
    try:
        hash(type_)
    except TypeError:  # an annotation may hold anything
        return codec_of(type_)
    return _cached(type_)


@lru_cache(maxsize=256)  # a codec takes long to make, and never changes
def _cached(type_: Hashable) -> Codec:
    return codec_of(type_)


def codec_of_body(body: Callable[..., Any], use: Use) -> Codec:
    """Return the codec of what a body returns.

    Raises:
        TypeError: if it has no name or no usable type.
    """
    function = inspect.unwrap(getattr(body, "__func__", body))
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        msg = f"the body of {use} must be a function made with def, or a method, not {body!r}"
        raise TypeError(msg)
    hints = resolved_hints(function, {}, function.__name__)
    if "return" not in hints:
        msg = f"{function.__name__} needs a type: annotate what it returns, for a repeat to return it again"
        raise TypeError(msg)
    codec = codec_of_type(hints["return"])
    if use.role in {Role.COMPENSATION, Role.CONFIRMATION}:
        _check_none(function.__name__, codec, use)
    return codec


def _check_none(name: str, codec: Codec, use: Use) -> None:
    try:
        codec.encode(None)
    except InvalidRequestError:
        msg = (
            f"{name} returns {show_type(codec.type)}, but a {use.role.value} behind the barrier may find "
            "nothing to do and then returns None: let it return None"
        )
        raise TypeError(msg) from None


def check_kind(body: Callable[..., Any], use: Use, *, asynchronous: bool) -> None:
    """Check that a body is of its transaction's kind.

    Raises:
        TypeError: if only one of them is asynchronous.
    """
    if inspect.iscoroutinefunction(body) is not asynchronous:
        wanted, because = ("async def", "is") if asynchronous else ("def", "is not")
        msg = f"the body of {use} must be made with {wanted}, for its transaction {because} asynchronous"
        raise TypeError(msg)
