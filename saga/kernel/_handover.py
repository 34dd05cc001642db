"""What a finished child of a nested saga hands to its parent: the entries that can still be compensated (S16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel._facts import Adopted
from saga.kernel._recovery import to_compensate
from saga.kernel._values import CallState, Role

if TYPE_CHECKING:
    from saga.kernel._definition import Definition
    from saga.kernel._instance import Instance

__all__ = ("entries_of",)


def entries_of(instance: Instance, definition: Definition) -> tuple[Adopted, ...]:
    """Return the entries of a COMPLETED child, first registered first, its own children's among them."""
    stays = [
        record
        for record in to_compensate(instance, definition)
        if f"{record.call}/{Role.COMPENSATION.value}" not in instance.calls
    ]
    return tuple(
        Adopted(
            call=record.call,
            input=record.input or "null",
            output=record.output,
            in_doubt=True if record.state is CallState.IN_DOUBT else None,
            overdue_at=None if record.settled else record.overdue_at,
        )
        for record in reversed(stays)
    )
