"""How a compensated instance tells its end: as the facts that say so, in the details of the failure it ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.exceptions import ApplicationError

from saga.kernel import Instance, encode_fact, ending_of, view_of
from saga.kernel import facts as f

from ._payloads import facts_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saga.kernel import Fact

__all__ = ("compensated", "failure_of")

_TOLD = (f.SagaStarted, f.RecoveryStarted, f.SagaCompensated)
_TYPE = "SagaCompensatedError"


def failure_of(instance: Instance, facts: Sequence[Fact]) -> ApplicationError:
    """Return the failure that the workflow of a compensated instance ends with."""
    told = [(encode_fact(fact), None) for fact in facts if isinstance(fact, _TOLD)]
    return ApplicationError(str(ending_of(view_of(instance))), *told, type=_TYPE, non_retryable=True)


def compensated(cause: BaseException | None) -> Instance | None:
    """Return what a failure tells about an instance; None unless it is the end of one that was compensated."""
    if not isinstance(cause, ApplicationError) or cause.type != _TYPE:
        return None
    return Instance().fold_all(facts_in(cause.details))
