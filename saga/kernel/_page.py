"""The page that an operator reads: what became of the instance, and the commands that move a STUCK one on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saga.kernel._endings import CODE_FAULTS
from saga.kernel._values import CallState, Kind, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from saga.kernel._facts import StuckReason
    from saga.kernel._values import Failure
    from saga.kernel._view import CallView, SagaView

__all__ = ("page_of", "positional")

_WIDEST = 200  # characters of a participant's words
_UNDECIDED = frozenset({CallState.IN_FLIGHT, CallState.IN_DOUBT})


def page_of(view: SagaView, before: Sequence[tuple[str, str]]) -> str:
    """Return the page of an instance; `before` are commands to give before those that help, with their reasons."""
    head = f"{view.id} {view.saga} is {view.state} since {_minute(view.since)}"
    lines = [f"{head}: {_headline(view)}" if view.state is SagaState.STUCK else f"{head}."]
    width = max((len(call.name) for call in view.calls), default=0) + 2
    lines += [f"  {call.name:<{width}}{call.state.value:<10} {_detail(call)}".rstrip() for call in view.calls]
    if view.state is SagaState.STUCK:
        lines += [_indented(one.failure) for one in view.stuck if one.reason in CODE_FAULTS and one.failure]
        lines += ["Nothing else will run until someone acts:", *_commands(view, before)]
    return "\n".join(lines)


def positional(*words: str) -> str:
    """Return the arguments of a command as a shell takes them, and as no option is read.

    Example:
        >>> positional("transfer 42", "debit.1"), positional("-x")
        ("'transfer 42' debit.1", '-- -x')
    """
    return ("-- " if words[0].startswith("-") else "") + shlex.join(words)


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _indented(failure: Failure) -> str:
    """Return a fault of the code with its traceback, or what else is known of it."""
    lines = (failure.traceback or failure.message).strip().splitlines()
    return "\n".join(f"  {_line(line)}" for line in lines)


def _line(text: str) -> str:
    """Return text for one line of a terminal: a participant's words must not move the cursor."""
    return "".join(one if one.isprintable() else " " for one in text)


_HEADLINES = {
    Reason.IN_DOUBT: "nobody knows whether {call} happened.",
    Reason.UNSETTLED: "an attempt of {call} may still be acting, so nothing is compensated or probed yet.",
    Reason.BUG: "run raised {failure}.",
    Reason.MISMATCH: "its code does not fit its journal.",
    Reason.POISON: "its owners keep ending before it progresses.",
}


def _headline(view: SagaView) -> str:
    if not view.stuck:
        return "see its calls."
    first = view.stuck[0]
    role = next((call.role for call in view.calls if call.name == first.call), Role.ACTION)
    if role is not Role.ACTION and first.reason is Reason.BUG:
        return f"the mapping for {first.call} raised {_told(first)}."
    if role is not Role.ACTION:
        verb = "was refused" if first.reason is Reason.REJECTED else "gave up"
        return f"a {role.value} {verb}."
    if first.reason is Reason.REJECTED:
        return f"{first.call} was rejected after the point of no return."
    return _HEADLINES[first.reason].format(call=first.call, failure=_told(first))


def _told(reason: StuckReason) -> str:
    first = str(reason.failure).partition("\n")[0]  # the rest is in the journal, and on the timeline
    return _line(first)[:_WIDEST].rstrip(".:")


def _detail(call: CallView) -> str:
    tries = f"({call.attempts} attempt{'' if call.attempts == 1 else 's'})"
    if call.failure is not None and call.state is not CallState.DONE:
        return f"{_line(str(call.failure))[:_WIDEST]} {tries}"
    if call.state is CallState.IN_FLIGHT:
        return tries
    return _line(call.output or "")[:_WIDEST] if call.role is Role.ACTION else ""


# -- the commands ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _WayOut:
    """A command of `saga` that moves a STUCK instance on, and when it is the right one."""

    act: str
    when: str
    call: str = ""
    options: str = ""

    def command(self, id: str) -> str:
        """Return the command as a shell takes it, whatever the id."""
        names = positional(*filter(None, (id, self.call)))
        who = "--by YOU --why ..."
        words = (self.options, who, names) if names.startswith("-- ") else (names, self.options, who)
        return " ".join(filter(None, ("saga", self.act, *words)))


def _commands(view: SagaView, before: Sequence[tuple[str, str]]) -> list[str]:
    # Whole lines can be pasted into a shell: what explains them is a comment there.
    found = [*before, *((one.command(view.id), one.when) for one in dict.fromkeys(_ways_out(view)))]
    width = max(len(command) for command, _ in found)
    return [f"  {command:<{width}}  # {text}" for command, text in found]


def _ways_out(view: SagaView) -> Iterator[_WayOut]:
    for one in view.stuck:
        if one.reason in CODE_FAULTS:
            yield _WayOut("retry", "the code is fixed and deployed")
        elif one.reason is not Reason.UNSETTLED:
            yield _WayOut("retry", "the cause is fixed")
        call = next((each for each in view.calls if each.name == one.call), None)
        if call is not None:
            yield from _about(call, one.reason)
    deciding = any(call.kind is Kind.PIVOT and call.state in _UNDECIDED for call in view.calls)
    doubtful = deciding or any(one.reason is Reason.IN_DOUBT for one in view.stuck)
    if not view.committed and not doubtful and view.reason is None:
        yield _WayOut("abort", "give it up and compensate")


def _about(call: CallView, reason: Reason) -> Iterator[_WayOut]:
    if call.role is not Role.ACTION and reason is not Reason.UNSETTLED:
        yield _WayOut("skip", f"you did the {call.role.value} by hand", call.call)
        return
    yield _WayOut("resolve", "it happened, and this is its output", call.call, "--happened OUTPUT")
    if call.kind is Kind.PIVOT or reason is Reason.UNSETTLED:
        yield _WayOut("resolve", "it did not, and it never will", call.call, "--did-not-happen")
