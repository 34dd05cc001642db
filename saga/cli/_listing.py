"""A list of instances as it is printed: line by line, while the journal is still read."""

from __future__ import annotations

import json
import sys
from itertools import chain, islice
from typing import TYPE_CHECKING

from rich.text import Text

from ._output import console, state_style
from ._shape import summary_value
from ._text import day_and_time, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from saga.kernel import SagaSummary

__all__ = ("print_listing", "write_listing")

_LOOKED_AT = 200  # lines from which the widths of the columns follow; a longer one pushes the rest to the right
_HEADINGS = ("id", "saga", "state", "started (UTC)", "changed (UTC)")
_STATE = 2  # where it stands among them
_WIDTHS = (0, 0, 12, 19, 19)  # at least


def write_listing(shown: Iterator[SagaSummary], rest: Iterator[SagaSummary]) -> None:
    """Write instances as one JSON document, a line each; `rest` tells whether there are more."""
    sys.stdout.write('{"instances": [')
    for number, one in enumerate(shown):
        sys.stdout.write(("," if number else "") + "\n  " + json.dumps(summary_value(one)))
    sys.stdout.write(f'\n], "more": {json.dumps(_any(rest))}}}\n')


def print_listing(shown: Iterator[SagaSummary], rest: Iterator[SagaSummary]) -> None:
    """Print instances for people; `rest` tells whether there are more."""
    out = console()
    first = [_fields(one) for one in islice(shown, _LOOKED_AT)]
    if not first:
        out.print("no such instances")
        return
    columns = zip(_HEADINGS, *first, strict=True)
    widths = [max(least, *map(len, column)) for least, column in zip(_WIDTHS, columns, strict=True)]
    width = out.width
    narrow = sum(widths) + 2 * len(widths) - 2 > width
    if not narrow:
        out.print(Text(_row(_HEADINGS, widths), "bold"), soft_wrap=True)
    number = 0
    for fields in chain(first, map(_fields, shown)):
        number += 1
        for line in _packed(fields, width) if narrow else [_row(fields, widths)]:
            _say(out, line, fields[_STATE])
    if _any(rest):
        out.print(f"the newest {number}; there are more: --limit 0 lists all", soft_wrap=True)


def _say(out: Console, line: str, state: str) -> None:
    if not out.is_terminal:  # many times as fast, which somebody with 100,000 instances notices
        sys.stdout.write(f"{line}\n")
        return
    text = Text(line)
    text.highlight_words([state], state_style(state))
    out.print(text, soft_wrap=True)


def _any(rest: Iterator[SagaSummary]) -> bool:
    return next(rest, None) is not None


def _fields(one: SagaSummary) -> tuple[str, ...]:
    times = (day_and_time(one.started_at), day_and_time(one.changed_at))
    state = "ended from outside" if one.state is None else one.state.value
    return printable(one.id), printable(one.saga), state, *times


def _row(fields: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([field.ljust(width) for field, width in zip(fields, widths, strict=True)]).rstrip()


def _packed(fields: Sequence[str], width: int) -> Iterator[str]:
    """Yield the fields on as many lines as a narrow terminal needs, with what a heading would say."""
    *names, started, changed = fields
    line = ""
    for field in (*names, f"started {started} UTC", f"changed {changed} UTC"):
        if line and len(line) + 2 + len(field) > width:
            yield line
            line = f"  {field}"
        else:
            line = f"{line}  {field}" if line else field
    yield line
