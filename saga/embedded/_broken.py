"""Instances that an engine owns and cannot drive: why, who is told, and that they are tried again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from saga.errors import SagaError

from ._faults import first_line, passes
from ._interrupts import InterruptedDriveError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from ._ownership import Claim

__all__ = ("Broken", "check_mending", "give_up")

logger = logging.getLogger(__name__)


class Broken(NamedTuple):
    """Why an instance is not driven though this process owns it.

    Attributes:
        error: Why.
        claim: The claim under which nothing was written yet; None if a drive has been there.
    """

    error: Exception
    claim: Claim | None = None


def give_up(known: MutableMapping[str, Broken], saga: str, id: str, broken: Broken, what: str) -> None:
    """Note why an instance is not driven; say it once, however often it is tried again."""
    before, known[id], error = known.get(id), broken, broken.error
    if before is not None and str(before.error) == str(error):
        return
    ours = isinstance(error, SagaError)  # such an error says what to do, and a traceback would not
    text = "%s: %s %s: %s; this engine tries again, and so does the next that opens the journal"
    fields = {"saga": saga, "id": id}
    reason = error if ours else first_line(error)
    logger.error(text, what, saga, id, reason, extra=fields, exc_info=None if ours else error)


def check_mending(known: Mapping[str, Broken], id: str) -> None:
    """Return if an instance is driven, or will be in a moment.

    Raises:
        SagaError: what keeps this engine from driving it.
    """
    error = known[id].error if id in known else None
    if error is None or passes(error) or isinstance(error, InterruptedDriveError):
        return
    if isinstance(error, SagaError):
        raise error
    msg = f"{id} is not driven by this engine ({first_line(error)}); it tries again, and so does its next owner"
    raise SagaError(msg) from error
