"""Which row a use of the barrier stands on: key, part and role, and the hash of the input."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from saga.errors import InvalidIdError, OutsideSagaError
from saga.kernel import Kind, Role, StepContext, maybe_current_step

__all__ = ("KEY_BYTES", "PART_LENGTH", "Place", "Use", "input_sha256", "use_of")

KEY_BYTES = 2000
"""Longest key, in bytes of UTF-8; an index of PostgreSQL takes little more."""

PART_LENGTH = 100
"""Longest part, in characters."""

_BEHIND_AN_ACTION: Final = {role.value: role for role in Role if role is not Role.ACTION}
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)  # dumps each value by its own type


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands.

    Attributes:
        key: An idempotency key.
        part: Which of several uses under that key; empty for the only one.
    """

    key: str
    part: str

    def __str__(self) -> str:
        return f"{self.key} (part {self.part!r})" if self.part else self.key


@dataclass(frozen=True, slots=True)
class Use:
    """One use of the barrier.

    Attributes:
        place: The row of the activity's own key.
        action: The row of its action; the same for an action.
        role: What the activity does in its step.
        final: Whether a rejection stays: not where an operator may retry the same call.
        given: Whether the caller gave the key, outside of a step.
    """

    place: Place
    action: Place
    role: Role
    final: bool
    given: bool

    def __str__(self) -> str:
        return str(self.place)


def use_of(key: str | None, part: str) -> Use:
    """Find out under which key the caller uses the barrier.

    Raises:
        OutsideSagaError: if no step is running and no key is given.
        InvalidIdError: if the key or the part is incomplete, or is not that of the running step.
    """
    step = maybe_current_step()
    if key is None and step is None:
        raise OutsideSagaError(
            "the barrier has no key: no saga step is running here. "
            "Give key=..., the same for every attempt of one request."
        )
    if part:
        _check("part", part, len(part), PART_LENGTH)
    if step is None:
        return _use_of_key(key or "", part)
    if key is not None and key != step.key:
        raise InvalidIdError(
            f"inside {step.key} the barrier's key is the step's own, not {key!r}: leave key= out. "
            "A second use in the same call takes part=..."
        )
    return _use_of_step(step, part)


def _use_of_step(step: StepContext, part: str) -> Use:
    # After the pivot an operator retries a rejected call under the same key; a recorded no would stop him.
    final = step.role is Role.ACTION and step.kind is not Kind.RETRIABLE
    return Use(_place(step.key, part), _place(step.action_key, part), step.role, final, given=False)


def _use_of_key(key: str, part: str) -> Use:
    action, _, last = key.rpartition("/")
    role = _BEHIND_AN_ACTION.get(last, Role.ACTION)
    behind = key if role is Role.ACTION else action
    return Use(_place(key, part), _place(behind, part), role, role is Role.ACTION, given=True)


def _place(key: str, part: str) -> Place:
    _check("key", key, len(key.encode(errors="replace")), KEY_BYTES)
    if not all(segment.strip() for segment in key.split("/")):
        raise InvalidIdError(
            f"the barrier's key {key!r} is incomplete: something is missing beside a '/'. "
            "A key looks like 'transfer-42/debit.1'."
        )
    return Place(key, part)


def _check(name: str, text: str, size: int, limit: int) -> None:
    if not text or text != text.strip():
        raise InvalidIdError(f"the barrier's {name} {text!r} is empty, or begins or ends with a space")
    if not text.isprintable():
        raise InvalidIdError(f"the barrier's {name} {text!r} holds a control character")
    if size > limit:
        raise InvalidIdError(f"the barrier's {name} is too long: {size}, at most {limit}: {text[:40]!r}...")


def input_sha256(value: object) -> str:
    """Hash what an action was called with.

    Fields that hold their default are left out, so that a field added with a default changes no hash.

    Raises:
        TypeError: if it cannot be put into JSON.
    """
    try:
        plain = to_jsonable_python(_ordered(_ANY.dump_python(value, exclude_defaults=True)))
    except PydanticSerializationError as error:
        msg = f"the input of the body cannot be put into JSON: {error}"
        raise TypeError(msg) from None
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _ordered(value: Any) -> Any:  # whatever pydantic makes of an input
    # A set of strings comes in another order in each process.
    kind: Any = value.__class__  # `isinstance` would narrow to members of unknown types
    if issubclass(kind, dict):
        return {key: _ordered(member) for key, member in value.items()}
    if issubclass(kind, list | tuple):
        return [_ordered(member) for member in value]
    if issubclass(kind, set | frozenset):
        return sorted((to_jsonable_python(_ordered(member)) for member in value), key=json.dumps)
    return value
