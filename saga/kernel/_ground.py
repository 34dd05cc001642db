"""What the rules of one instance stand on: its state, what was decided, and the activities beside its actions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from saga.kernel import _facts as f
from saga.kernel._edge import PAYLOAD_LIMIT, Edge
from saga.kernel._instance import Instance
from saga.kernel._names import role_name
from saga.kernel._payloads import effect_payload
from saga.kernel._values import CallState, Failure, Reason, Role, SagaState

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel._definition import Definition
    from saga.kernel._play import Play
    from saga.kernel._records import CallRecord

__all__ = ("Ground",)


class Ground:
    """The state of one instance, and the means to decide something about it.

    Attributes:
        definition: The saga class, checked.
        instance: What the facts come to.
        edge: Lets payloads in.
        out: Facts that were decided and are not recorded yet, in order.
    """

    __slots__ = ("_play", "_settling", "definition", "edge", "instance", "out")

    def __init__(self, definition: Definition, *, payload_limit: int = PAYLOAD_LIMIT) -> None:
        self.definition = definition
        self.instance = Instance()
        self.edge = Edge(definition.saga, self.instance, payload_limit)
        self.out: list[f.Fact] = []
        self._play: Play | None = None
        self._settling: tuple[str, datetime] | None = None

    def now(self) -> datetime:
        """Return the time of the last fact."""
        return self.instance.last_at

    def emit(self, fact: f.Fact) -> None:
        """Decide something."""
        self.instance.fold(fact)
        self.out.append(fact)

    def go_on(self) -> None:
        """Leave STUCK because somebody acted; what is still blocked makes the instance STUCK again."""
        if self.instance.act_pending:
            self.emit((f.RecoveryContinued if self.instance.recovering else f.RunContinued)(at=self.now()))

    def get_stuck(self, reason: Reason, failure: Failure) -> None:
        """Make the instance STUCK by a fault of the code, unless it ended."""
        self.go_on()
        if self.instance.state is not SagaState.STUCK:
            self.emit(f.SagaStuck(at=self.now(), reasons=(f.StuckReason(reason=reason, failure=failure),)))

    def drop(self) -> None:
        """Give the execution of `run` up, without a fact."""
        if self._play is not None:
            self._play.drop()
            self._play = None

    # -- activities beside the actions ---------------------------------------------------

    def register_role(self, record: CallRecord, role: Role) -> None:
        """Register a compensation, probe, confirmation or forgetting of a call."""
        payload = None
        if self.definition.step(record.step).roles[role].given is not None:
            with suppress(Exception):  # whoever performs it asks again, and is told what is wrong with it
                payload = self._mapped(record)
        self.emit(f.CallRegistered(at=self.now(), call=role_name(record.call, role), payload=payload))

    def input_of(self, record: CallRecord) -> str:
        """Return the input of an activity: as it was registered, or as it follows from its action.

        Raises:
            Exception: whatever the author's mapping of a compensation raises.
        """
        if record.input is not None:
            return record.input
        action = self.instance.calls[record.call]
        if record.role is Role.COMPENSATION:
            given = self.definition.step(record.step).roles[record.role].given
            return effect_payload(action) if given is None else self._mapped(action)
        return (action.input if record.role is Role.PROBE else action.output) or "null"

    def _mapped(self, record: CallRecord) -> str:
        """Return the input that an author's mapping makes of an effect."""
        step = self.definition.step(record.step)
        role = step.roles[Role.COMPENSATION]
        assert role.given is not None and step.effect is not None  # noqa: S101, PT018 - the caller asked
        value = role.given(step.effect.decode(effect_payload(record)))
        return self.edge.encode(role.takes, value, f"{record.call}/compensation")

    def finish(self, role: Role) -> bool:
        """Confirm, or forget, every call that stays (S17); True when all is done."""
        if role not in self.definition.roles:
            return True
        finished = True
        for record in list(self.instance.calls.values()):
            if record.role is not Role.ACTION or record.state is not CallState.DONE:
                continue
            compensated = f"{record.call}/{Role.COMPENSATION.value}" in self.instance.calls
            if compensated or role not in self.definition.step(record.step).roles:
                continue
            finishing = self.instance.calls.get(role_name(record.call, role))
            if finishing is None:
                self.register_role(record, role)
            finished = finished and finishing is not None and finishing.state in _FINISHED
        return finished


_FINISHED = frozenset({CallState.DONE, CallState.SKIPPED})
