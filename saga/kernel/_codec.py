"""How values become JSON text and are read back: pydantic decides what fits."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json

from saga.errors import InvalidRequestError
from saga.kernel._pairing import show_type

__all__ = ("Codec", "codec_of")

DEPTH_LIMIT: Final = 100
"""Levels of nesting that a payload may have.

pydantic reads 200; what is left is for what payloads are put into: effects, and what a nested saga hands over.
"""


class Codec:
    """Turns values of one type into JSON text and back; pydantic decides what fits.

    Attributes:
        type: The type, as annotated.
    """

    __slots__ = ("_from_json", "_to_json", "_validate", "adapter", "type")

    def __init__(self, type_: Any) -> None:  # any type that pydantic can validate
        self.type = type_
        self.adapter: TypeAdapter[Any] = TypeAdapter(type_)
        # The adapter's own methods look for a parent frame on every call; its parts do not.
        self._to_json = self.adapter.serializer.to_json
        self._from_json = self.adapter.validator.validate_json
        self._validate = self.adapter.validator.validate_python

    def encode(self, value: object) -> str:
        """Return `value` as JSON text.

        Raises:
            InvalidRequestError: if it does not fit the type; the message holds pydantic's paths.
        """
        try:
            # Aliases are what the model is called outside, and what its validator asks for.
            checked = self._validate(value)
            payload = self._to_json(checked, by_alias=True, warnings=False)
            again = self._from_json(payload)
        except ValidationError as error:
            raise _does_not_fit(self.type, error) from None
        except Exception as error:  # noqa: BLE001 - a validator of the author's, or a value that JSON cannot hold
            raise _fails(self.type, error) from None
        if not (again == checked or self._reads_alike(again, checked, payload)):
            raise _changes(self.type)
        self.check_depth(payload)
        return payload.decode()

    def check_depth(self, payload: bytes) -> None:
        """Refuse a payload that could not be read any more inside another one.

        Raises:
            InvalidRequestError: if it is nested too deeply.
        """
        if payload.count(b"{") + payload.count(b"[") > DEPTH_LIMIT and _is_deep(payload):
            raise _too_deep(self.type)

    def _reads_alike(self, again: object, checked: object, payload: bytes) -> bool:
        """Tell whether values that are not equal are the same all the same: their type has no equality."""
        if type(again) is type(checked) and type(checked).__eq__ is not object.__eq__:
            return False
        return bool(self._to_json(again, by_alias=True, warnings=False) == payload)

    def decode(self, payload: str) -> Any:  # a value of `type`
        """Return the value that `payload` holds.

        Raises:
            InvalidRequestError: if it does not fit the type.
        """
        try:
            return self._from_json(payload)
        except ValidationError as error:
            raise _does_not_fit(self.type, error) from None
        except Exception as error:  # noqa: BLE001 - a validator of the author's
            raise _fails(self.type, error) from None

    def same(self, one: str, other: str) -> bool:
        """Tell whether two payloads hold equal values by today's model."""
        if one == other:
            return True
        try:
            return bool(self.decode(one) == self.decode(other))
        except InvalidRequestError:
            return False


def _does_not_fit(type_: object, error: ValidationError) -> InvalidRequestError:
    # Input values stay out of the message: they may be secret.
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"  {'.'.join(str(part) for part in fault['loc']) or '(value)'}: {fault['msg']}" for fault in faults]
    return InvalidRequestError("\n".join([f"this does not fit {show_type(type_)}:", *lines]))


def _changes(type_: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"this does not fit {show_type(type_)}:\n  (value): read back from JSON it is another value; look at its "
        "validators, at excluded and secret fields, at infinite numbers, and at subclasses"
    )


def _is_deep(payload: bytes) -> bool:
    try:
        from_json(b"[" * DEPTH_LIMIT + payload + b"]" * DEPTH_LIMIT)
    except ValueError:
        return True
    return False


def _too_deep(type_: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"this does not fit {show_type(type_)}:\n  (value): its JSON is nested more than {DEPTH_LIMIT} levels deep"
    )


def _fails(type_: object, error: Exception) -> InvalidRequestError:
    # The text of the error may hold the value, so only its type is told.
    return InvalidRequestError(f"this does not fit {show_type(type_)}:\n  (value): {type(error).__name__}")


def codec_of(type_: Any) -> Codec:  # any annotation
    """Return the codec of a type.

    Raises:
        TypeError: if pydantic cannot put values of this type into JSON and back.
    """
    try:
        codec = Codec(type_)
        codec.adapter.json_schema(mode="serialization")  # what has no JSON schema cannot be journaled,
        codec.adapter.json_schema(mode="validation")  # and must be read back as well
    except PydanticUserError as error:
        msg = f"{show_type(type_)} cannot be journaled: {str(error).splitlines()[0]}"
        raise TypeError(msg) from None
    return codec
