"""Names that last: ids, calls and idempotency keys, and the grammar that keeps them apart."""

from __future__ import annotations

from saga.errors import InvalidIdError
from saga.kernel._values import Role

__all__ = (
    "ID_LENGTH",
    "LONGEST_NAME",
    "LONGEST_REASON",
    "action_key",
    "call_name",
    "check_id",
    "child_id",
    "role_name",
    "split_call",
    "split_role",
    "step_of",
)

ID_LENGTH = 255
"""Longest id that a caller may choose, in characters; children of nested sagas add their own part."""
LONGEST_NAME = 200
"""Characters that a fact keeps of the name of whoever asks; an id may be longer."""
LONGEST_REASON = 2000
"""Characters that a fact keeps of why they ask."""


def check_id(id: str) -> str:
    """Return `id` if it can name an instance.

    Raises:
        InvalidIdError: if it is empty, longer than `ID_LENGTH`, or holds `/`, `~` or a control character.

    Example:
        >>> check_id("transfer-42")
        'transfer-42'
    """
    if not _is_text(id):
        msg = "a saga id is a string that is not empty, such as 'transfer-42'"
        raise InvalidIdError(msg)
    if len(id) > ID_LENGTH:
        msg = f"a saga id has at most {ID_LENGTH} characters; this one has {len(id)}: {id[:40]!r}..."
        raise InvalidIdError(msg)
    for character in id:
        if character in "/~" or not character.isprintable():
            msg = f"saga id {id!r} holds {character!r}; ids hold no '/', no '~' and no control characters"
            raise InvalidIdError(msg)
    if id != id.strip():
        msg = f"saga id {id!r} begins or ends with a space"
        raise InvalidIdError(msg)
    return id


def _is_text(id: object) -> bool:
    return isinstance(id, str) and id != ""


def call_name(step: str, number: int) -> str:
    """Return the name of the `number`-th use of a step, such as `debit.1`."""
    return f"{step}.{number}"


def split_call(call: str) -> tuple[str, int]:
    """Return step and number of a call without role, such as `("debit", 1)`; 0 for what is no number."""
    step, _, number = call.rpartition(".")
    return step, int(number) if number.isascii() and number.isdecimal() else 0


def role_name(call: str, role: Role) -> str:
    """Return the name of one role of a call: `debit.1` for the action, `debit.1/compensation` and so on."""
    return call if role is Role.ACTION else f"{call}/{role.value}"


def split_role(name: str) -> tuple[str, Role]:
    """Return call and role of a name that `role_name` made."""
    call, _, last = name.rpartition("/")
    role = _ROLES.get(last)
    return (name, Role.ACTION) if role is None or not call else (call, role)


_ROLES = {role.value: role for role in Role if role is not Role.ACTION}


def action_key(id: str, call: str) -> str:
    """Return the idempotency key of a call's action.

    A call that a child handed over keeps the key it had in the child.

    Example:
        >>> action_key("transfer-42", "debit.1"), action_key("order-7", "pay.1/debit.1")
        ('transfer-42/debit.1', 'order-7~pay.1/debit.1')
    """
    children, _, last = call.rpartition("/")
    return f"{id}~{children.replace('/', '~')}/{last}" if children else f"{id}/{call}"


def child_id(parent: str, call: str) -> str:
    """Return the id of the nested saga that `call` of `parent` runs."""
    return f"{parent}~{call}"


def step_of(call: str) -> str:
    """Return the step of a call: `debit` of `debit.1`, `pay.1/debit` of `pay.1/debit.1`."""
    return call.rpartition(".")[0]
