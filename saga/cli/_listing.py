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
    from collections.abc import Iterator

    from rich.console import Console

    from saga.kernel import SagaSummary

__all__ = ("print_listing", "write_listing")

_LOOKED_AT = 200  # lines from which the widths of the columns follow; a longer one pushes the rest to the right
_HEADINGS = ("id", "saga", "state", "started (UTC)", "changed (UTC)")
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
    columns = zip(_HEADINGS, *(map(str, fields) for fields in first), strict=True)
    widths = [max(least, *map(len, column)) for least, column in zip(_WIDTHS, columns, strict=True)]
    narrow = sum(widths) + 2 * len(widths) - 2 > out.width
    if not narrow:
        out.print(_row([Text(name, "bold") for name in _HEADINGS], widths), soft_wrap=True)
    number = 0
    for number, fields in enumerate(chain(first, map(_fields, shown)), start=1):  # noqa: B007 - it is used below
        for line in _packed(fields, out.width) if narrow else [_row(fields, widths)]:
            _say(out, line)
    if _any(rest):
        out.print(f"the newest {number}; there are more: --limit 0 lists all", soft_wrap=True)


def _say(out: Console, line: Text) -> None:
    if out.is_terminal:
        out.print(line, soft_wrap=True)
    else:  # ten times as fast, which somebody with 100,000 instances notices
        sys.stdout.write(f"{line.plain}\n")


def _any(rest: Iterator[SagaSummary]) -> bool:
    return next(rest, None) is not None


def _fields(one: SagaSummary) -> list[Text]:
    state = Text(one.state.value, state_style(one.state.value))
    times = (day_and_time(one.started_at), day_and_time(one.changed_at))
    return [Text(printable(one.id)), Text(printable(one.saga)), state, *map(Text, times)]


def _row(fields: list[Text], widths: list[int]) -> Text:
    for field, width in zip(fields[:-1], widths, strict=False):
        field.pad_right(width - len(field))
    return Text("  ").join(fields)


def _packed(fields: list[Text], width: int) -> Iterator[Text]:
    """Yield the fields on as many lines as a narrow terminal needs, with what a heading would say."""
    *names, started, changed = fields
    line = Text()
    for field in (*names, Text(f"started {started} UTC"), Text(f"changed {changed} UTC")):
        if line and len(line) + 2 + len(field) > width:
            yield line
            line = Text("  ") + field
        else:
            line = line + Text("  ") + field if line else field
    yield line
