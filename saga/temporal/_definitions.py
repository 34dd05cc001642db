"""What an instance remembers of the code that started it: enough to explain why other code does not fit."""

from __future__ import annotations

import hashlib
import inspect
import json
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, ConfigDict

from saga.errors import JournalVersionError
from saga.kernel import KERNEL_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from temporalio import workflow
    from temporalio.api.common.v1 import Payload

    from saga.kernel import Definition

__all__ = ("KEY", "Remembered", "check_kernel", "difference", "remembered", "remembered_in")

KEY: Final = "saga_definition"
"""Key of the memo."""


class Remembered(BaseModel):
    """What the memo of an instance holds.

    Attributes:
        fingerprint: The definition's.
        kernel: Version of the rules.
        code: Short hash of the saga class's name and module; empty if the source is not there.
        steps: Name and kind of each step, and of each decision, in the order of declaration.
        budget: Events of history after which it goes on in a new run; None leaves that to the server.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str = ""
    kernel: int = 1
    code: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    budget: int | None = None


def remembered(definition: Definition) -> Remembered:
    """Return what an instance that starts now has to remember."""
    steps = [(step.name, step.kind.value) for step in definition.steps.values()]
    decisions = [(one, "decision") for one in definition.decisions]
    return Remembered(
        fingerprint=definition.fingerprint,
        kernel=KERNEL_VERSION,
        code=_code_of(definition.cls),
        steps=tuple(steps + decisions),
    )


def _code_of(cls: type) -> str:
    try:
        source = inspect.getsource(inspect.getmodule(cls) or cls)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(f"{cls.__qualname__}\n{source}".encode()).hexdigest()[:12]


def remembered_in(memo: Mapping[str, Payload]) -> Remembered | None:
    """Return what an instance remembers; None for one that was started by name."""
    payload = memo.get(KEY)
    try:
        return None if payload is None else Remembered.model_validate_json(payload.data)
    except ValueError:
        return None


def check_kernel(info: workflow.Info) -> None:
    """Refuse an instance of newer rules.

    Raises:
        JournalVersionError: if it is.
    """
    version = _kernel_in(info.raw_memo)
    if version > KERNEL_VERSION:
        msg = (
            f"{info.workflow_type} {info.workflow_id} was started under version {version} of the rules; this library "
            f"knows version {KERNEL_VERSION}. Deploy the version that started it, or a newer one"
        )
        raise JournalVersionError(msg)


def _kernel_in(memo: Mapping[str, Payload]) -> int:
    """Return the version of the rules; 1 where the memo is another's, who chose the same key for something else."""
    try:
        known: Any = json.loads(memo[KEY].data) if KEY in memo else None
    except ValueError:
        return 1
    version: Any = cast("dict[str, Any]", known).get("kernel") if isinstance(known, dict) else None
    return version if isinstance(version, int) else 1


def difference(before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]) -> str:
    """Say which step was added, renamed, removed, moved or made another kind: the first difference; empty for none.

    Example:
        >>> difference([("debit", "compensatable")], [("audit", "read-only"), ("debit", "compensatable")])
        'step audit (read-only) was added before debit'
    """
    was, now = dict(before), dict(after)
    for place, (name, kind) in enumerate(after):
        old = before[place][0] if place < len(before) else None
        if name in was and was[name] != kind:
            return f"step {name} was {was[name]} and is {kind}"
        if name == old:
            continue
        if name in was:
            return _moved(name, old, now)
        if old is not None and old not in now and len(before) == len(after):
            return f"step {old} was renamed to {name}"
        return f"step {name} ({kind}) was added" + (f" before {old}" if old in now else "")
    gone = [name for name, _ in before if name not in now]
    return f"step {gone[0]} was removed" if gone else ""


def _moved(name: str, old: str | None, now: Mapping[str, str]) -> str:
    return f"step {name} was moved before {old}" if old in now else f"step {old} was removed"
