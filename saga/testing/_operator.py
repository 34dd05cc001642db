"""The operator of a simulated run: acts on STUCK instances, always truthfully."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import CODE_FAULTS, Reason, Resolve, RetryRequest, Role, SagaState, Skip
from saga.testing._script import target_of
from saga.testing._trace import Event, EventKind

if TYPE_CHECKING:
    from saga.kernel import Call, Instance
    from saga.kernel import facts as f
    from saga.testing._world import World

__all__ = ("Operator",)

_UNKNOWN = frozenset({Reason.UNSETTLED, Reason.IN_DOUBT})


class Operator:
    """Acts on one blocking call at a time.

    Attributes:
        acts: How often the operator acted.
        needed: Whether anything depended on what kind of operator it is.

    Args:
        world: The run.
        patient: Whether to wait for what may still act, and to do by hand what failed; otherwise the operator
            prevents what may still act, removes the cause of what failed, and lets it be tried again.
    """

    def __init__(self, world: World, *, patient: bool) -> None:
        self._world = world
        self._patient = patient
        self.acts = 0
        self.needed = False

    async def act(self) -> bool:
        """Act on the first instance that is STUCK for a reason outside its code; False if there is none."""
        for id in list(self._world.journals):
            instance = self._world.instance(id) if self._world.journals[id].facts else None
            if instance is not None and instance.state is SagaState.STUCK:
                first = instance.stuck[0]
                curable = first.reason not in CODE_FAULTS or first.reason is Reason.POISON
                self.needed = self.needed or curable
                if curable and await self._act_on(instance, first):
                    self.acts += 1
                    return True
        return False

    async def _act_on(self, instance: Instance, stuck: f.StuckReason) -> bool:
        if stuck.call is None:
            self._retry(instance)
            return True
        record = instance.calls[stuck.call]
        target = target_of(self._world.root, instance.id, record.name)
        call = self._world.effects.calls.get(target)
        unsettled = record.role is Role.ACTION and not record.after_commit and stuck.reason in _UNKNOWN
        if unsettled:
            if self._patient and self._still_acting(target):
                return False
            self._prevent(target)
            self._say_what_happened(instance.id, record.call, target)
        elif not self._patient or call is None:
            self._retry(instance)
        else:
            await self._world.effects.act(target, call, EventKind.ACTED_BY_HAND)
            if record.role is Role.ACTION:
                self._say_what_happened(instance.id, record.call, target)
            else:
                self._skip(instance.id, record.call)
        return True

    # -- acts ----------------------------------------------------------------------------

    def _retry(self, instance: Instance) -> None:
        self._world.script.heal()
        self._world.ask(instance.id, RetryRequest(by="operator", why="the cause is removed"))

    def _skip(self, id: str, call: str) -> None:
        self._world.ask(id, Skip(call=call, by="operator", why="done by hand"))

    def _say_what_happened(self, id: str, call: str, target: str) -> None:
        effects = self._world.trace.effects(target)
        if effects:
            verdict = Resolve(call=call, finding="happened", payload=effects[-1].output, by="operator", why="saw it")
        else:
            verdict = Resolve(call=call, finding="did_not_happen", by="operator", why="made sure")
        self._world.ask(id, verdict)

    def skip(self, target: str, call: Call) -> None:
        """Do by hand what keeps failing, and say so."""
        task = self._world.effects.act(target, call, EventKind.ACTED_BY_HAND)
        task.add_done_callback(lambda _: self._skip(call.id, call.call))

    def resolve(self, target: str, call: Call) -> None:
        """Say what became of the action that a probe asks about; nothing of it acts any more."""
        self._prevent(target)
        self._say_what_happened(call.id, call.call, target)

    # -- what may still act --------------------------------------------------------------

    def _still_acting(self, target: str) -> bool:
        late = self._world.effects.late.get(target, ())
        return bool(self._world.formers) or any(alarm.live for alarm in late)

    def _prevent(self, target: str) -> None:
        for former in list(self._world.formers):
            self._world.end_former(former)
        for alarm in self._world.effects.late.get(target, ()):
            if alarm.live:
                alarm.cancel()
                world = self._world
                world.note(Event(EventKind.PREVENTED, world.time.now, world.root, target))
