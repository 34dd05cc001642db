"""The commands that look: `list`, `show` and `facts`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from saga.kernel import Instance, SagaState, view_of

from ._listing import print_listing, write_listing
from ._options import AsJson, Id, Payloads, as_instant
from ._output import console, print_json, state_style, write_raw_json
from ._page import page_of, recovery_of
from ._place import Place, at_place, opened, opened_server
from ._shape import fact_line, view_value, without_payloads
from ._text import day_and_time, printable, time_of_day
from ._timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from saga.kernel import Fact, SagaView

    from ._temporal import Workflow
    from ._timeline import Row

__all__ = ("facts", "list_", "show")

_LIMIT = 100
_WIDEST = 40  # columns of a call's name; a longer one pushes the rest of its line to the right


@at_place
def list_(
    *,
    place: Place,
    saga: Annotated[str | None, typer.Option(metavar="NAME", help="Only this saga.", show_default=False)] = None,
    state: Annotated[
        list[SagaState] | None,
        typer.Option(
            metavar="STATE",
            help="Only this state, such as stuck; may be given several times.",
            case_sensitive=False,
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Only ids that begin so.", show_default=False)] = "",
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=as_instant, metavar="TIME", help="Started then or later: 2026-03-04T10:12 (UTC), or 2h ago as 2h."
        ),
    ] = None,
    before: Annotated[
        datetime | None, typer.Option(parser=as_instant, metavar="TIME", help="Started earlier than that.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, max=1_000_000_000, help="At most so many; 0 for all.")
    ] = _LIMIT,
    count: Annotated[
        bool, typer.Option("--count", help="Only say how many are in each state; of the filters, --saga holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List instances, newest first. Payloads are never shown."""
    filters = state or prefix or since or before
    if count and filters:
        raise typer.BadParameter("--count goes with --saga only")
    with opened(place) as instances:
        if count:
            _print_count({each.value: number for each, number in instances.count(saga).items()}, as_json=as_json)
            return
        found = instances.list(
            saga=saga,
            states=state or (),
            id_prefix=prefix,
            started_after=since,
            started_before=before,
            limit=limit + 1 if limit else None,  # one more tells whether there are more
        )
        shown = islice(found, limit) if limit else found
        if as_json:
            write_listing(shown, found)
        else:
            print_listing(shown, found)


def _print_count(numbers: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({"states": numbers})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for state, number in numbers.items():
        table.add_row(Text(state, state_style(state)), str(number))
    console().print(table)


@at_place
def show(id: Id, *, place: Place, payloads: Payloads = False, as_json: AsJson = False) -> None:
    """Show what happened to an instance: calls with outcomes, attempts and errors, acts, and the ways out if STUCK."""
    found, workflow = _looked_at(place, id)
    view = view_of(Instance().fold_all(found))
    if as_json:
        beside = {} if workflow is None else {"workflow": asdict(workflow)}
        print_json(view_value(view, payloads=payloads) | beside)
        return
    _print_view(view if payloads else without_payloads(view), found, place, payloads=payloads, beside=_beside(workflow))
    if workflow is not None and workflow.cut_off:
        console().print(Text(f"\n{recovery_of(view, place)}"), soft_wrap=True)


def _looked_at(place: Place, id: str) -> tuple[Sequence[Fact], Workflow | None]:
    """Return the facts of an instance, and what a Temporal server says beside them."""
    if place.on_server:
        with opened_server(place) as server:
            workflow = server.workflow(id)
            return server.facts(id), workflow
    with opened(place) as instances:
        return instances.facts(id), None


def _beside(workflow: Workflow | None) -> list[tuple[str, str]]:
    """Return what a Temporal server knows and no fact tells: that somebody ended the workflow, or nobody runs it."""
    if workflow is None:
        return []
    if workflow.cut_off:
        ended = workflow.status.lower().replace("_", " ")
        return [("workflow", f"{ended}: ended from outside, nothing was compensated by that")]
    if workflow.status == "RUNNING" and not workflow.polled:
        return [("workflow", f"no worker has polled the task queue {workflow.task_queue!r} lately")]
    return [("trouble", workflow.trouble)] if workflow.trouble else []


def _print_view(
    view: SagaView, found: Sequence[Fact], place: Place, *, payloads: bool, beside: Sequence[tuple[str, str]]
) -> None:
    out = console()
    for name, text in (*_heading(view, payloads=payloads), *beside):
        first, *more = text.split("\n")
        line = Text(f"{name:<10}") + Text(printable(first), state_style(first) if name == "state" else "")
        out.print(line, soft_wrap=True)
        for each in more:
            out.print(Text(f"{'':<10}{printable(each)}".rstrip()), soft_wrap=True)
    out.print()
    rows = list(timeline(view, found, payloads=payloads, options=place.options))
    long = rows[0].at.date() != rows[-1].at.date()
    width = max(min(len(printable(row.what)), _WIDEST) for row in rows)
    out.print("UTC")  # of every time beneath it
    for row in rows:
        _print_row(out, row, width, day=long)
    if view.state is SagaState.STUCK:
        out.print()
        out.print(Text(page_of(view, place)), soft_wrap=True)


def _heading(view: SagaView, *, payloads: bool) -> list[tuple[str, str]]:
    known = [
        ("id", view.id),
        ("saga", view.saga),
        ("state", view.state.value),
        ("since", f"{day_and_time(view.since)} UTC"),
        ("started", f"{day_and_time(view.started_at)} UTC"),
    ]
    if view.deadline is not None and not view.state.ended:
        known.append(("deadline", f"{day_and_time(view.deadline)} UTC"))
    if view.parent is not None:
        known.append(("parent", view.parent))
    if view.reason is not None:
        known.append(("reason", view.reason.value + (f": {view.failure}" if view.failure else "")))
    if payloads:
        known.append(("request", view.request))
        known += [("result", view.result)] if view.result is not None else []
    return known


def _print_row(out: Console, row: Row, width: int, *, day: bool) -> None:
    clock = time_of_day(row.at, day=day)
    style = state_style(row.outcome or row.what)
    line = Text(f"{clock}  ", "dim")
    line.append(f"{printable(row.what):<{width}}", "" if row.outcome else style)
    line.append(f"  {row.outcome:<9}" if row.outcome else "", style)
    first, *more = row.text.split("\n")
    line.append(f"  {printable(first)}" if first else "")
    line.rstrip()
    out.print(line, soft_wrap=True)
    for note in "\n".join((*more, *row.notes)).split("\n") if more or row.notes else ():
        out.print(Text(f"{'':<{len(clock)}}    {printable(note)}".rstrip()), soft_wrap=True)


@at_place
def facts(id: Id, *, place: Place, payloads: Payloads = False, as_json: AsJson = False) -> None:
    """Print an instance's journal: one JSON object per fact and line, in order. It is JSON with or without --json."""
    _ = as_json
    with opened(place) as instances:
        for seq, fact in enumerate(instances.facts(id), start=1):
            write_raw_json(fact_line(seq, fact, payloads=payloads))
