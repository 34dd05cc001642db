"""Instances as JSON: payloads become values, or are left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from saga.kernel import encode_fact

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel import Fact, SagaSummary, SagaView

__all__ = ("fact_line", "summary_value", "view_value", "without_payloads")

_DETAILS = {"details": True}
_PAYLOADS: dict[str, Any] = {  # pydantic's nested form
    "request": True,
    "result": True,
    "failure": _DETAILS,
    "calls": {"__all__": {"input": True, "output": True, "failure": _DETAILS}},
    "decisions": {"__all__": {"answer": True}},
    "stuck": {"__all__": {"failure": _DETAILS}},
}


def summary_value(one: SagaSummary) -> dict[str, Any]:
    """Return a line of a list as JSON has it."""
    return {
        "id": one.id,
        "saga": one.saga,
        "state": None if one.state is None else one.state.value,
        "started_at": _instant(one.started_at),
        "changed_at": _instant(one.changed_at),
        "parent": one.parent,
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")  # as pydantic writes those of views and facts


def view_value(view: SagaView, *, payloads: bool) -> dict[str, Any]:
    """Return an instance as JSON has it; without payloads their keys are missing."""
    value = view.model_dump(mode="json", exclude=None if payloads else _PAYLOADS)
    if payloads:
        places = [(value, "request"), (value, "result")]
        places += [(call, key) for call in value["calls"] for key in ("input", "output")]
        places += [(one, "answer") for one in value["decisions"]]
        for holder, key in places:
            holder[key] = None if holder[key] is None else json.loads(holder[key])
    return value


def without_payloads(view: SagaView) -> SagaView:
    """Return a view that shows no payload, whoever prints it."""
    calls = [one.model_copy(update={"input": None, "output": None}) for one in view.calls]
    return view.model_copy(update={"request": "null", "result": None, "calls": tuple(calls)})


def fact_line(seq: int, fact: Fact, *, payloads: bool) -> str:
    """Return a fact as one JSON object: its number, what the journal holds, and the payload if asked for."""
    body = encode_fact(fact) if payloads else json.dumps(_bare(json.loads(encode_fact(fact))), separators=(",", ":"))
    rest = f',"payload":{fact.payload}' if payloads and fact.payload is not None else ""
    return f'{{"seq":{seq},{body[1:-1]}{rest}}}'


def _bare(body: dict[str, Any]) -> dict[str, Any]:
    """Return a fact's body without what a participant or a nested saga attached to it."""
    adopted = [{"call": one["call"]} for one in body.get("adopted", ())]
    reasons = [_bare(one) for one in body.get("reasons", ())]
    failure = {key: value for key, value in body.get("failure", {}).items() if key != "details"}
    bare = {"adopted": adopted, "reasons": reasons, "failure": failure}
    return body | {key: value for key, value in bare.items() if key in body}
