"""The commands that act: `retry`, `skip`, `resolve`, `abort`, `cancel` and `decide`."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError

from saga.errors import ActRefusedError, InvalidRequestError, ServerError, UnknownSagaError
from saga.kernel import Abort, Cancel, Decide, Resolve, RetryRequest, Skip

from ._calls import called
from ._exits import ExitCode
from ._options import AsJson, Call, Id, json_text
from ._output import console, print_json
from ._place import Instances, Place, at_place, opened
from ._text import plain, printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from saga.kernel import Request

__all__ = ("By", "Why", "abort", "cancel", "check_who", "decide", "resolve", "retry", "skip")

_WAIT: Final = 10.0

By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who acts; it is journaled.  [required]", show_default=False)
]
Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it is journaled.  [required]", show_default=False)
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, max=86_400, help="How long to wait for the answer.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Leave the request behind and do not wait.")]


@at_place
def retry(
    id: Id,
    *,
    by: By = "",
    why: Why = "",
    place: Place,
    timeout: Timeout = _WAIT,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Let everything that is blocked be tried again: its cause is fixed."""
    _act(RetryRequest, id, _fields(by, why), place, 0 if no_wait else timeout, as_json=as_json)


@at_place
def skip(
    id: Id,
    call: Call,
    *,
    by: By = "",
    why: Why = "",
    place: Place,
    timeout: Timeout = _WAIT,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Say that a call's compensation (or confirmation) was done by hand."""
    fields = _fields(by, why) | {"call": called(call, roles=True)}
    _act(Skip, id, fields, place, 0 if no_wait else timeout, as_json=as_json)


@at_place
def resolve(
    id: Id,
    call: Call,
    *,
    happened: Annotated[
        str | None,
        typer.Option(metavar="OUTPUT", help="It happened; its output as JSON, or - to read that.", show_default=False),
    ] = None,
    did_not_happen: Annotated[
        bool, typer.Option("--did-not-happen", help="It did not happen, and it never will.")
    ] = False,
    by: By = "",
    why: Why = "",
    place: Place,
    timeout: Timeout = _WAIT,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Say what became of a call that is in doubt."""
    if (happened is None) is not did_not_happen:
        raise typer.BadParameter("say what became of it: either --happened OUTPUT or --did-not-happen")
    finding = {"finding": "did_not_happen", "payload": None}
    if happened is not None:
        finding = {"finding": "happened", "payload": json_text(happened, "the output")}
    fields = _fields(by, why) | {"call": called(call)} | finding
    _act(Resolve, id, fields, place, 0 if no_wait else timeout, as_json=as_json)


@at_place
def abort(
    id: Id,
    *,
    by: By = "",
    why: Why = "",
    place: Place,
    timeout: Timeout = _WAIT,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Give a saga up before its pivot, and compensate."""
    _act(Abort, id, _fields(by, why), place, 0 if no_wait else timeout, as_json=as_json)


@at_place
def cancel(
    id: Id,
    *,
    by: By = "",
    why: Why = "",
    place: Place,
    timeout: Timeout = _WAIT,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Ask a saga to stop and compensate; after its pivot this is noted only."""
    _act(Cancel, id, _fields(by, why), place, 0 if no_wait else timeout, as_json=as_json)


@at_place
def decide(
    id: Id,
    call: Annotated[
        str, typer.Argument(metavar="DECISION", help="Decision such as review.1; `review` means its first.")
    ],
    answer: Annotated[str, typer.Argument(metavar="ANSWER", help="The answer as JSON, or - to read it.")],
    *,
    by: By = "",
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is journaled.")] = "",
    place: Place,
    timeout: Timeout = _WAIT,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Answer a decision; an early answer is kept until it is awaited."""
    fields = _fields(by, why, why_needed=False) | {"call": called(call, decision=True)}
    fields |= {"payload": json_text(answer, "the answer")}
    _act(Decide, id, fields, place, 0 if no_wait else timeout, as_json=as_json)


def check_who(by: str, why: str, *, why_needed: bool = True) -> None:
    """Refuse an act without the one who acts, or without the reason.

    Raises:
        BadParameter: if either is missing.
    """
    missing = [name for name, text in (("--by NAME", by), ("--why TEXT", why)) if not text.strip()]
    if not why_needed:
        missing = missing[: 0 if by.strip() else 1]
    if missing:
        raise typer.BadParameter(f"an act is journaled with who did it and why: give {' and '.join(missing)}")


def _fields(by: str, why: str, *, why_needed: bool = True) -> dict[str, Any]:
    check_who(by, why, why_needed=why_needed)
    return {"by": by, "why": why}


def _act(kind: type[Request], id: str, fields: dict[str, Any], place: Place, seconds: float, *, as_json: bool) -> None:
    """Leave the request in the journal, wait for the answer, and say it."""
    if math.isnan(seconds):
        raise typer.BadParameter("--timeout: nan is no number of seconds")
    request = _made(kind, fields)
    with opened(place) as instances:
        code, outcome, message = _sent(instances, id, request, seconds, place)
        state = _state(instances, id)
        message = message or f"the saga is {state or 'gone'} now"
    told = {"id": id, "act": request.request, "call": getattr(request, "call", None)}
    told |= {"outcome": outcome, "state": state, "message": message}
    if as_json:
        print_json(told)
    else:
        act = " ".join(filter(None, (request.request, told["call"])))
        said = f"{id}: {act} {_TOLD[outcome]}; {message}"
        if _REFUSED in message:  # it names saga, state and act itself
            said = message
        typer.echo(printable(said, lines=True), err=code is not ExitCode.OK)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


_REFUSED = " is refused, "
_ASKED = "its worker may carry it out all the same: look with `saga show` before you repeat it"
_TOLD = {
    "accepted": "is journaled",
    "ignored": "is ignored",
    "refused": "was refused",
    "queued": "is queued",
    "kept": "is journaled and kept",
}


def _sent(instances: Instances, id: str, request: Request, seconds: float, place: Place) -> tuple[ExitCode, str, str]:
    try:
        with _waiting(instances, id, seconds):
            answered = instances.send(id, request, timeout=timedelta(seconds=seconds))
    except ActRefusedError as error:
        return ExitCode.NO, "refused", str(error)
    except InvalidRequestError as error:
        return (
            ExitCode.NO,
            "refused",
            f"{plain(str(error))}\nNothing was journaled and nothing changes: give a value that fits",
        )
    except KeyboardInterrupt:
        left = _ASKED if place.on_server else _left(instances, id, 0, place)
        typer.echo(printable(f"{id}: {request.request} was interrupted; {left}"), err=True)
        raise
    if not answered:
        return ExitCode.QUEUED, "queued", _left(instances, id, seconds, place)
    if isinstance(request, Decide) and _is_ignored(instances, id, request):
        return ExitCode.NO, "ignored", "it was answered before, or nobody asks any more; nothing follows from this"
    kept = _kept(instances, id, request.call) if isinstance(request, Decide) else ""
    return ExitCode.OK, "kept" if kept else "accepted", kept


def _kept(instances: Instances, id: str, call: str) -> str:
    """Return what is to be said of an answer that `run` has not asked for; nothing if it has."""
    with suppress(UnknownSagaError):  # purged meanwhile
        view = instances.view(id)
        asked = [one.call for one in view.decisions if one.due is not None]
        if call not in asked and not view.state.ended:
            known = f"so far it has asked for {', '.join(asked)}" if asked else "it has asked for none yet"
            return f"run has not asked for {call}, {known}; the saga is {view.state.value}"
    return ""


def _is_ignored(instances: Instances, id: str, asked: Decide) -> bool:
    """Tell whether the answer to a decision was journaled as one from which nothing follows."""
    mine = (asked.call, asked.by, asked.why)
    with suppress(UnknownSagaError):  # purged meanwhile
        for fact in reversed(instances.facts(id)):
            if fact.fact == "DecisionIgnored" and (fact.call, fact.by, fact.why) == mine:
                return True
            if fact.fact == "DecisionAnswered" and (fact.call, fact.by, fact.why) == mine:
                return False
    return False


def _made(kind: type[Request], fields: dict[str, Any]) -> Request:
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise typer.BadParameter(f"--{first['loc'][0]}: {first['msg']}") from None


def _waiting(instances: Instances, id: str, seconds: float) -> AbstractContextManager[object]:
    """Show that an answer is waited for, to somebody at a terminal."""
    if seconds == 0 or not sys.stderr.isatty():
        return nullcontext()
    what = "the engine that drives it" if instances.driven(id) else "an engine, none drives it now"
    return console(stderr=True).status(f"waiting for {what}; Ctrl-C leaves the request queued")


def _state(instances: Instances, id: str) -> str | None:
    try:
        return instances.view(id).state.value
    except (UnknownSagaError, ServerError):  # purged meanwhile; or nobody tells now
        return None


def _left(instances: Instances, id: str, seconds: float, place: Place) -> str:
    """Return what becomes of a request that nobody has answered."""
    if place.on_server:
        return f"the server keeps it: the worker that runs {id} takes it up, and refuses it where it makes no sense"
    if instances.driven(id):
        who = "the engine that drives it has not answered" + (f" in {seconds:g} s" if seconds else " yet")
    else:
        who = "no engine drives it now"
    return f"{who}. The request stays in the journal: the next engine that drives {id} carries it out, or refuses it"
