"""Facts that are no calls, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._text import day_and_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from saga.kernel import Fact

__all__ = ("happening",)


def happening(fact: Fact) -> tuple[str, str, str] | None:
    """Return what happened, an empty outcome, and the reason; None for what a call's own line tells."""
    told = _TOLD.get(fact.fact)
    if told is None:
        return None
    what, text = told(fact)
    return what, "", text


def _by(fact: Any) -> str:  # one of the facts that somebody is behind
    who = f"by {fact.by}" if fact.by else ""
    return ": ".join(part for part in (who, fact.why) if part)


def _stuck(fact: Any) -> str:  # SagaStuck
    return "; ".join(f"{one.call}: {one.reason.value}" if one.call else one.reason.value for one in fact.reasons)


def _recovery(fact: Any) -> str:  # RecoveryStarted
    cause = [fact.reason.value, fact.call or "", str(fact.failure) if fact.failure else ""]
    return ": ".join(part for part in cause if part)


def _resumed(fact: Any) -> str:  # Resumed
    return f"owner {fact.epoch}; the owner before {'crashed' if fact.crashed else 'let go of it'}"


def _utc(at: datetime) -> str:
    return f"{day_and_time(at)} UTC"


def _found(finding: str) -> str:
    return finding.replace("_", " ")


# Typed as it is looked up: by the name of the fact, each with the fields of its own.
_TOLD: Mapping[str, Callable[[Any], tuple[str, str]]] = {
    "SagaStarted": lambda fact: ("started", f"deadline {_utc(fact.deadline)}" if fact.deadline else ""),
    "Resumed": lambda fact: ("resumed", _resumed(fact)),
    "CallProbed": lambda fact: (f"{fact.call} probed", _found(fact.finding)),
    "TimerSet": lambda fact: (f"{fact.timer} set", f"until {_utc(fact.due)}"),
    "TimerFired": lambda fact: (f"{fact.timer} passed", ""),
    "DecisionAwaited": lambda fact: (f"{fact.call} awaited", f"until {_utc(fact.due)}"),
    "DecisionAnswered": lambda fact: (f"decide {fact.call}", _by(fact)),
    "DecisionIgnored": lambda fact: (f"decide {fact.call}, ignored", _by(fact)),
    "CancelRequested": lambda fact: ("cancel", _by(fact)),
    "Retried": lambda fact: ("retry", _by(fact)),
    "CallResolved": lambda fact: (f"resolve {fact.call} {_found(fact.finding)}", _by(fact)),
    "CallSkipped": lambda fact: (f"skip {fact.call}", _by(fact)),
    "SagaAbortOrdered": lambda fact: ("abort", _by(fact)),
    "RecoveryStarted": lambda fact: ("COMPENSATING", _recovery(fact)),
    "SagaCompleted": lambda _: ("COMPLETED", ""),
    "SagaCompensated": lambda _: ("COMPENSATED", ""),
    "SagaStuck": lambda fact: ("STUCK", _stuck(fact)),
    "RunContinued": lambda _: ("RUNNING", "goes on"),
    "RecoveryContinued": lambda _: ("COMPENSATING", "goes on"),
}
