"""Payloads made of payloads: JSON text that is joined and taken apart without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from saga.kernel._values import CallState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from saga.kernel._records import CallRecord

__all__ = ("effect_payload", "handover_payload", "size_of", "taken_over")


def size_of(payload: str) -> int:
    """Return how many bytes a payload takes.

    Example:
        >>> size_of('"p-1"'), size_of('"é"')
        (5, 4)
    """
    return len(payload) if payload.isascii() else len(payload.encode())


def effect_payload(record: CallRecord) -> str:
    """Return the effect of an action, made of its input and output."""
    output = record.output if record.state is CallState.DONE and record.output is not None else "null"
    in_doubt = "false" if record.state is CallState.DONE else "true"
    return f'{{"input":{record.input or "null"},"output":{output},"in_doubt":{in_doubt}}}'


def handover_payload(result: str | None, records: Iterable[CallRecord]) -> str:
    """Return the result of a child together with the inputs and outputs of the calls that it hands over."""
    calls = ",".join(f'{{"input":{one.input or "null"},"output":{one.output or "null"}}}' for one in records)
    return f'{{"output":{result or "null"},"adopted":[{calls}]}}'


def taken_over(payload: str | None) -> tuple[str, Iterator[tuple[str, str]]]:
    """Take apart what `handover_payload` made: the result, and input and output of each call.

    Example:
        >>> result, calls = taken_over('{"output":"p","adopted":[{"input":5,"output":null}]}')
        >>> result, list(calls)
        ('"p"', [('5', 'null')])
    """
    whole = from_json(payload or "{}")
    calls = ((_text(one["input"]), _text(one["output"])) for one in whole["adopted"])
    return _text(whole["output"]), calls


def _text(value: object) -> str:
    return to_json(value).decode()
