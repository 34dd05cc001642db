"""Each protection is removed once, and an exploration must notice which rule is broken without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import pytest

from saga.kernel import CallState, Conductor, Decider, Instance, Outcome, Reason, Role, not_started
from saga.kernel import _facts as f
from saga.kernel._outcomes import fact_of
from saga.kernel._play import Play
from saga.kernel._recovery import Todo, next_to_compensate, to_compensate
from saga.kernel._replay import _Replay
from saga.kernel._requests import admit
from saga.kernel._runtime import Call
from saga.testing import ExplorationError, explore
from saga.testing._children import Child
from saga.testing._journal import MemoryJournal
from saga.testing._simulated import SimulatedRuntime
from tests.testing import sagas

LIMIT: Final = 1_500
Remove = Callable[[pytest.MonkeyPatch], None]


def compensate_in_order(patch: pytest.MonkeyPatch) -> None:
    """The action registered first is compensated first."""
    patch.setattr(
        "saga.kernel._backward.to_compensate", lambda *args, **only: reversed([*to_compensate(*args, **only)])
    )


def perform_before_durable(patch: pytest.MonkeyPatch) -> None:
    """A call is performed as soon as it is registered, durable or not."""
    apply = Conductor._apply

    def impatient(self: Conductor, fact: f.Fact) -> None:
        apply(self, fact)
        durable, self._durable = self._durable, 10**9
        self._reconcile(asyncio.get_running_loop())
        self._durable = durable

    patch.setattr(Conductor, "_apply", impatient)


def end_before_compensated(patch: pytest.MonkeyPatch) -> None:
    """The saga counts as compensated while its compensations are in flight."""
    compensate = Decider.compensate

    def hasty(self: Decider, actions: Any) -> bool:
        compensate(self, actions)
        return True

    patch.setattr(Decider, "compensate", hasty)


def believe_every_rejection(patch: pytest.MonkeyPatch) -> None:
    """A rejection is believed although an earlier attempt may have acted."""

    def credulous(call: Call, record: Any, outcome: Outcome, last_at: datetime) -> f.Fact:
        return fact_of(call, record, replace(outcome, recorded=True), last_at)

    patch.setattr("saga.kernel._conductor.fact_of", credulous)


def forget_the_lost_attempt(patch: pytest.MonkeyPatch) -> None:
    """A new owner does not know that a call in flight may have acted."""
    resumed = Instance._resumed

    def forgetful(self: Instance, fact: f.Resumed) -> None:
        before = {name: one.unanswered for name, one in self.in_flight.items()}
        resumed(self, fact)
        for name, one in self.in_flight.items():
            one.unanswered = before[name]

    patch.setitem(_folds(), f.Resumed, forgetful)


def _folds() -> dict[type, Callable[..., None]]:
    folds: Any = Instance._FOLDS
    return folds


def compensate_bugs(patch: pytest.MonkeyPatch) -> None:
    """A bug counts as a rejection."""
    patch.setattr("saga.kernel._backward.why", lambda error: (Reason.REJECTED, error))


def draw_anything(patch: pytest.MonkeyPatch) -> None:
    """Random numbers are seeded by nothing."""
    patch.setattr(Play, "random", lambda _: Random())  # noqa: S311 - the mistake is what is tested


def read_the_clock(patch: pytest.MonkeyPatch) -> None:
    """The time is the time at which somebody asks."""
    patch.setattr(Play, "now", lambda _: datetime.now(UTC))


def leave_doubts(patch: pytest.MonkeyPatch) -> None:
    """What is in doubt or abandoned stays as it is before the pivot."""
    patch.setattr(Decider, "tidy", lambda self, play: not self.instance.in_flight)


def leave_what_turned_out_to_have_happened(patch: pytest.MonkeyPatch) -> None:
    """A call that `run` saw in doubt stays, once an operator says that it happened."""
    answer = Decider._answer

    def loyal(self: Decider, record: Any, play: Play) -> None:
        if record.state is CallState.IN_DOUBT and record is not self.instance.commit:
            play.doubt(record.call, record.failure)
        else:
            answer(self, record, play)

    patch.setattr(Decider, "_answer", loyal)


def settle_at_once(patch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for before an action is compensated."""
    for module in ("_decider", "_recovery"):
        patch.setattr(f"saga.kernel.{module}.settled_at", lambda *_: None)


def settle_the_lost_attempt(patch: pytest.MonkeyPatch) -> None:
    """A new owner takes a call in flight for settled."""
    resumed = Instance._resumed

    def careless(self: Instance, fact: f.Resumed) -> None:
        resumed(self, fact)
        for one in self.in_flight.values():
            one.overdue_at = None

    patch.setitem(_folds(), f.Resumed, careless)


def settle_what_a_child_hands_over(patch: pytest.MonkeyPatch) -> None:
    """A parent takes what its child hands over for settled."""
    adopt = Instance._adopt

    def careless(self: Instance, child: Any, entries: tuple[f.Adopted, ...]) -> None:
        adopt(self, child, tuple(one.model_copy(update={"overdue_at": None}) for one in entries))

    patch.setattr(Instance, "_adopt", careless)


def compensate_beside_actions(patch: pytest.MonkeyPatch) -> None:
    """Compensations begin while actions are in flight."""
    patch.setattr(
        Decider,
        "recover",
        lambda self: (
            self.compensate(
                [
                    one
                    for one in self.instance.calls.values()
                    if one.role is Role.ACTION and one.state is not CallState.REJECTED
                ]
            )
            and self.emit(f.SagaCompensated(at=self.now()))
        ),
    )


def ignore_cancels(patch: pytest.MonkeyPatch) -> None:
    """A cancel and the deadline are noted, and that is all."""
    patch.setattr(Decider, "interruption", lambda _: None)


def begin_actions_backward(patch: pytest.MonkeyPatch) -> None:
    """What a crashed owner left in flight is performed again, although the saga goes backward."""

    def begin(self: Conductor, record: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._perform(record, loop)

    patch.setattr(Conductor, "_begin", begin)
    patch.setattr(Conductor, "_stop_what_should_stop", lambda *_: None)


def never_stop_actions(patch: pytest.MonkeyPatch) -> None:
    """Backward recovery lets running actions be tried on and on."""
    patch.setattr(Conductor, "_ask_to_stop", lambda *_: None)


def register_the_pivot_at_once(patch: pytest.MonkeyPatch) -> None:
    """The pivot does not wait for what is in flight, and nothing waits for the pivot."""
    patch.setattr(Decider, "_withholds", lambda *_: False)


def compensate_after_the_pivot(patch: pytest.MonkeyPatch) -> None:
    """A step that fails after the pivot starts backward recovery."""
    answer, begin = Decider._answer, Decider.begin_recovery

    def tell(self: Decider, record: Any, play: Play) -> None:
        if record.after_commit and record.failed:
            play.reject(record.call, record.failure)
        else:
            answer(self, record, play)

    def begin_always(self: Decider) -> bool:
        play = self._play
        if not self.instance.committed or play is None or play.error is None:
            return begin(self)
        self.start_recovery(Reason.REJECTED, None, None)
        return True

    patch.setattr(Decider, "_answer", tell)
    patch.setattr(Decider, "begin_recovery", begin_always)


def allow_every_order(patch: pytest.MonkeyPatch) -> None:
    """A step may run wherever it is called."""
    patch.setattr("saga.kernel._decider.order_fault", lambda *_: None)


def stop_at_the_first_failure(patch: pytest.MonkeyPatch) -> None:
    """A compensation that fails stops the others."""

    def timid(instance: Instance, definition: Any, actions: Any) -> Todo:
        failed = [one for one in instance.calls.values() if one.role is Role.COMPENSATION and one.failed]
        return Todo() if failed else next_to_compensate(instance, definition, actions)

    patch.setattr("saga.kernel._backward.next_to_compensate", timid)


def act_anonymously(patch: pytest.MonkeyPatch) -> None:
    """An operator's act does not say who acted."""

    def nameless(*args: Any) -> f.Fact:
        fact = admit(*args)
        return fact.model_copy(update={"by": ""}) if isinstance(fact, f.Act) else fact

    patch.setattr("saga.kernel._conductor.admit", nameless)


def change_keys(patch: pytest.MonkeyPatch) -> None:
    """The idempotency key depends on how often the call was attempted."""
    key: Any = Call.action_key
    patch.setattr(Call, "action_key", property(lambda self: f"{key.fget(self)}{self.attempts or ''}"))


def turn_the_clock_back(patch: pytest.MonkeyPatch) -> None:
    """Facts are dated by the clock alone, even where it lags behind the journal."""
    patch.setattr(Conductor, "_now", lambda self: self._runtime.now() - timedelta(seconds=30))


def refuse_what_waits_for_a_replay(patch: pytest.MonkeyPatch) -> None:
    """A replay takes no input before what follows from an act on a STUCK instance."""
    take = _Replay._take

    def strict(self: _Replay, fact: f.Fact) -> None:
        freed, self._freed = self._freed, False
        try:
            if freed and self._decider.out and not self._held:
                raise self._mismatch("an input", "what follows from an act")
            take(self, fact)
        finally:
            self._freed = self._freed or freed

    patch.setattr(_Replay, "_take", strict)


def hand_nothing_over(patch: pytest.MonkeyPatch) -> None:
    """A child keeps what it did to itself."""
    patch.setattr("saga.kernel._handover.handed_over", lambda *_: [])


def adopt_nothing(patch: pytest.MonkeyPatch) -> None:
    """A parent takes no note of what its child hands over."""
    adopt = Instance._adopt

    def forgetful(self: Instance, child: Any, entries: tuple[f.Adopted, ...]) -> None:
        adopt(self, child, entries)
        for one in entries:
            del self.calls[f"{child.call}/{one.call}"]

    patch.setattr(Instance, "_adopt", forgetful)


def start_children_late(patch: pytest.MonkeyPatch) -> None:
    """A child starts whatever became of its parent meanwhile, and nothing takes its place before."""
    patch.setattr(SimulatedRuntime, "may_start_children", True)
    patch.setattr(Child, "suspend", lambda self: not_started(self._runtime.now()))


def let_every_owner_append(patch: pytest.MonkeyPatch) -> None:
    """An owner that was taken over goes on writing."""
    patch.setattr(MemoryJournal, "admits", lambda *_: True)


def leave_it_tentative(patch: pytest.MonkeyPatch) -> None:
    """What is tentative is never confirmed."""
    patch.setattr(Decider, "finish", lambda *_: True)


def answer_twice(patch: pytest.MonkeyPatch) -> None:
    """A second answer to a decision counts like the first."""

    def every(decider: Decider, request: Any, at: Any) -> f.Fact:
        return f.DecisionAnswered(at=at, call=request.call, by=request.by, payload=request.payload)

    patch.setattr("saga.kernel._requests._decide", every)


def acknowledge_at_once(patch: pytest.MonkeyPatch) -> None:
    """A request is acknowledged before it is durable."""
    request = Conductor.request

    def hasty(self: Conductor, asked: Any) -> asyncio.Future[None]:
        future = request(self, asked)
        if not future.done():
            future.set_result(None)
        return future

    patch.setattr(Conductor, "request", hasty)


def retry_before_durable(patch: pytest.MonkeyPatch) -> None:
    """What an operator lets be tried again is tried before the act is durable."""
    retried = Instance._retried

    def hasty(self: Instance, fact: f.Retried) -> None:
        before = {name: one.position for name, one in self.calls.items()}
        retried(self, fact)
        for name, one in self.calls.items():
            one.position = before[name]

    patch.setitem(_folds(), f.Retried, hasty)


def repeat_what_is_recorded(patch: pytest.MonkeyPatch) -> None:
    """A new owner performs again what was done last, although its outcome is recorded."""
    resumed = Instance._resumed

    def zealous(self: Instance, fact: f.Resumed) -> None:
        resumed(self, fact)
        done = [one for one in self.calls.values() if one.state is CallState.DONE and one.role is not Role.PROBE]
        for one in done[-1:]:
            self.in_flight[one.name] = one

    patch.setitem(_folds(), f.Resumed, zealous)


def wait_for_the_poisoned(patch: pytest.MonkeyPatch) -> None:
    """Crashes without progress are never counted."""
    resumed = Instance._resumed

    def patient(self: Instance, fact: f.Resumed) -> None:
        resumed(self, fact)
        self.resumes = 0

    patch.setitem(_folds(), f.Resumed, patient)


PROTECTIONS: Final[list[tuple[Remove, type, str]]] = [
    (compensate_in_order, sagas.NoPivot, "S1"),
    (perform_before_durable, sagas.Transfer, "S1"),
    (end_before_compensated, sagas.Transfer, "S1 S5 end"),
    (believe_every_rejection, sagas.Transfer, "S2"),
    (forget_the_lost_attempt, sagas.Transfer, "S2"),
    (compensate_bugs, sagas.Buggy, "S3"),
    (draw_anything, sagas.Drawing, "S15"),
    (read_the_clock, sagas.Drawing, "S15"),
    (leave_doubts, sagas.OtherWay, "S4"),
    (leave_what_turned_out_to_have_happened, sagas.UnguardedOtherWay, "S4"),
    (settle_at_once, sagas.Settling, "S5"),
    (settle_the_lost_attempt, sagas.Settling, "S5"),
    (settle_what_a_child_hands_over, sagas.UnguardedParent, "S5"),
    (compensate_beside_actions, sagas.Parallel, "S5 S1 S13"),
    (ignore_cancels, sagas.Transfer, "S6"),
    (begin_actions_backward, sagas.Parallel, "S6"),
    (never_stop_actions, sagas.Parallel, "S6"),
    (register_the_pivot_at_once, sagas.Beside, "S7"),
    (compensate_after_the_pivot, sagas.Transfer, "S7"),
    (allow_every_order, sagas.OutOfOrder, "S8"),
    (stop_at_the_first_failure, sagas.NoPivot, "S9"),
    (act_anonymously, sagas.Unguarded, "S10"),
    (change_keys, sagas.Transfer, "S12"),
    (turn_the_clock_back, sagas.Transfer, "S13"),
    (refuse_what_waits_for_a_replay, sagas.Looking, "S15"),
    (hand_nothing_over, sagas.Parent, "S16"),
    (adopt_nothing, sagas.Parent, "S1"),
    (start_children_late, sagas.Parent, "S16"),
    (let_every_owner_append, sagas.Transfer, "S13"),
    (leave_it_tentative, sagas.Tentative, "S17"),
    (answer_twice, sagas.Loop, "S19"),
    (acknowledge_at_once, sagas.Transfer, "S20"),
    (retry_before_durable, sagas.Transfer, "S20"),
    (repeat_what_is_recorded, sagas.Transfer, "S20 S13 end"),
    (wait_for_the_poisoned, sagas.Transfer, "end"),
]


@pytest.mark.parametrize(("remove", "saga", "rules"), PROTECTIONS, ids=lambda one: getattr(one, "__name__", ""))
async def test_a_protection_that_is_removed_is_missed(
    remove: Remove, saga: type, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exploration fails, and names the rule that the protection stands for."""
    remove(monkeypatch)
    with pytest.raises(ExplorationError) as caught:
        await explore(saga, 3, participants=sagas.shelves, decisions=sagas.answers_of(saga), limit=LIMIT)
    assert caught.value.rule in rules.split(), str(caught.value)
