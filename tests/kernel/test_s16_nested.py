"""S16: nested sagas hand what can be compensated to their parent, or are compensated as a whole."""

# pyright: reportUnusedClass=false
# A class that is refused when it is made is never used.

import pytest

from saga import Compensatable, Effect, Nested, Pivot, ReadOnly, Retriable, Saga, SagaDefinitionError, StepRejected
from saga.errors import InvalidIdError
from saga.kernel import Call, CallState, Cancel, Role, check_id, child_id, child_outcome, definition_of, not_started
from saga.kernel import _facts as f
from tests.kernel._drive import Driven, handed
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import ONCE, bank


class Payment(Saga):
    """Holds only compensatable and read-only steps."""

    rate = ReadOnly(bank.rate)
    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    fee = Compensatable(bank.fee).compensated_by(bank.return_fee)

    async def run(self, request: int) -> str:
        await self.rate(request)
        await self.debit(request)
        return await self.fee(1)


class Order(Saga):
    """Pays by a child, between two steps of its own."""

    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    pay = Nested(Payment)
    fee = Compensatable(bank.fee).compensated_by(bank.return_fee)
    credit = Pivot(bank.credit)

    async def run(self, request: int) -> str:
        await self.debit(request)
        paid = await self.pay(request)
        await self.fee(2)
        return paid + await self.credit(request)


class Business(Saga):
    """Its child is a grandchild's parent."""

    order = Nested(Order).compensated_by(bank.return_fee)
    credit = Pivot(bank.credit)

    async def run(self, request: int) -> str:
        await self.order(request)
        return await self.credit(request)


def paid() -> Driven:
    """A child that has completed, handing over."""
    child = Driven(Payment, id="order-7~pay.1", handed_over=True)
    return child.done("rate.1", "1").done("debit.1", '"d"').done("fee.1", '"f"')


def ordered() -> Driven:
    """A parent whose child has completed."""
    driven = Driven(Order, id="order-7").done("debit.1", '"a"')
    return driven.done("pay.1", **handed(paid()))


# -- ids and keys ----------------------------------------------------------------------


def test_the_id_of_a_child_is_parent_and_call() -> None:
    """So it is the same on every attempt, and nobody else can take it."""
    assert child_id("order-7", "pay.1") == "order-7~pay.1"
    assert child_id(child_id("order-7", "pay.1"), "sub.2") == "order-7~pay.1~sub.2"
    with pytest.raises(InvalidIdError, match="'~'"):
        check_id("order-7~pay.1")


async def test_a_child_that_was_handed_over_keeps_its_key() -> None:
    """The participant recognises the action that it did for the child."""
    driven = ordered().cancel()
    driven.rejected("fee.1")
    conducted = Conducted(Order, decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    await conducted.conduct()
    call = conducted.runtime.calls["pay.1/fee.1/compensation"]
    assert (call.action_key, call.key) == ("order-7~pay.1/fee.1", "order-7~pay.1/fee.1/compensation")
    assert call.activity.takes.decode(call.input) == Effect[int, str](input=1, output="f", in_doubt=False)
    await conducted.leave()


# -- handing over ----------------------------------------------------------------------


def test_a_child_hands_over_what_can_be_compensated() -> None:
    """In order of registration, with input and output; nothing for what only read."""
    assert handed(paid()) == {
        "adopted": (f.Adopted(call="debit.1"), f.Adopted(call="fee.1")),
        "output": '{"output":"f","adopted":[{"input":5,"output":"d"},{"input":1,"output":"f"}]}',
    }


def test_what_is_handed_over_lies_in_the_payload() -> None:
    """So that it can be encrypted, and an instance be listed without it; the fact says only which calls."""
    fact = ordered().facts[-2]
    assert '"adopted":[{"call":"debit.1"},{"call":"fee.1"}]' in f.encode_fact(fact)
    assert "input" not in f.encode_fact(fact)
    records = ordered().instance.calls
    assert [(records[name].input, records[name].output) for name in ("pay.1/debit.1", "pay.1/fee.1")] == [
        ("5", '"d"'),
        ("1", '"f"'),
    ]
    assert records["pay.1"].output == '"f"'


def test_a_child_whose_hand_over_is_too_large_does_not_complete() -> None:
    """Nothing is lost: it is STUCK, says why, and an operator can abort it."""
    child = Driven(Payment, id="order-7~pay.1", handed_over=True, payload_limit=60, parent="order-7")
    child.done("rate.1", "1").done("debit.1", '"d"').done("fee.1", '"f"')
    assert (child.state, child.blocking) == ("STUCK", [(None, "bug")])
    assert "Payment order-7~pay.1 run: its result and what it hands to order-7: 76 bytes" in str(child.instance.stuck)
    child.abort().compensate_all()
    assert child.state == "COMPENSATED"


def test_a_child_hands_over_nothing_that_it_compensated_itself() -> None:
    """What was in doubt and caught is gone already."""
    from saga import StepInDoubt  # noqa: PLC0415 - only here

    class Careful(Saga):
        debit = Payment.debit
        fee = Payment.fee

        async def run(self, request: int) -> str:
            try:
                return await self.debit(request)
            except StepInDoubt:
                return await self.fee(request)

    child = Driven(Careful, handed_over=True).in_doubt("debit.1").done("fee.1", '"f"').done("debit.1/compensation")
    assert child.state == "COMPLETED"
    assert [one.call for one in handed(child)["adopted"]] == ["fee.1"]


def test_the_parent_compensates_at_the_childs_place_in_the_order() -> None:
    """Own steps after the child first, then the child's in reverse, then own steps before it."""
    driven = ordered().done("fee.1", '"g"').rejected("credit.1").compensate_all()
    assert driven.compensated == ["fee.1", "pay.1/fee.1", "pay.1/debit.1", "debit.1"]
    assert driven.state == "COMPENSATED"


def test_a_parent_that_completes_leaves_the_childs_effects() -> None:
    """Nothing is compensated."""
    driven = ordered().done("fee.1", '"g"').done("credit.1", '"c"')
    assert (driven.state, driven.result, driven.compensated) == ("COMPLETED", '"fc"', [])


def test_a_childs_compensation_that_fails_blocks_the_parent_under_its_full_name() -> None:
    """An operator sees which child and which call."""
    driven = ordered().cancel().rejected("fee.1").rejected("pay.1/fee.1/compensation")
    driven.done("pay.1/debit.1/compensation").done("debit.1/compensation")
    assert driven.blocking == [("pay.1/fee.1/compensation", "rejected")]
    assert driven.skip("pay.1/fee.1").state == "COMPENSATED"


def test_a_child_that_ended_compensated_is_a_rejected_step() -> None:
    """Nothing of it is left, and `run` may go another way."""

    class Two(Saga):
        pay = Nested(Payment)
        fee = Payment.fee

        async def run(self, request: int) -> str:
            try:
                return await self.pay(request)
            except StepRejected as error:
                return f"{error.step}: {await self.fee(1)}"

    driven = Driven(Two).rejected("pay.1").done("fee.1", '"f"')
    assert (driven.state, driven.result) == ("COMPLETED", '"pay.1: f"')


def test_an_abandoned_child_is_compensated_before_the_pivot() -> None:
    """With everything that it handed over."""
    import asyncio  # noqa: PLC0415 - only here

    class Impatient(Saga):
        pay = Nested(Payment)
        credit = Pivot(bank.credit)

        async def run(self, request: int) -> str:
            try:
                await asyncio.wait_for(self.pay(request), 1)
            except TimeoutError:
                pass
            return await self.credit(request)

    driven = Driven(Impatient).fire("timer.1").done("pay.1", **handed(paid()))
    assert driven.in_flight == ["pay.1/fee.1/compensation"]
    driven.done("pay.1/fee.1/compensation").done("pay.1/debit.1/compensation")
    assert driven.in_flight == ["credit.1"]


# -- grandchildren ---------------------------------------------------------------------


class Parent(Saga):
    """Hands its own child's entries on."""

    fee = Compensatable(bank.fee).compensated_by(bank.return_fee)
    pay = Nested(Payment)

    async def run(self, request: int) -> str:
        await self.fee(3)
        return await self.pay(request)


class Grandparent(Saga):
    """Two levels above."""

    first = Nested(Parent)
    credit = Pivot(bank.credit)

    async def run(self, request: int) -> str:
        await self.first(request)
        return await self.credit(request)


def test_a_grandchilds_entries_reach_the_top_with_right_order_and_keys() -> None:
    """Each level hands on what it was handed."""
    middle = Driven(Parent, id="top~first.1", handed_over=True).done("fee.1", '"g"')
    middle.done("pay.1", **handed(paid()))
    assert middle.state == "COMPLETED"
    assert [one.call for one in handed(middle)["adopted"]] == ["fee.1", "pay.1/debit.1", "pay.1/fee.1"]
    top = Driven(Grandparent, id="top").done("first.1", **handed(middle)).rejected("credit.1")
    top.compensate_all()
    assert top.compensated == ["first.1/pay.1/fee.1", "first.1/pay.1/debit.1", "first.1/fee.1"]
    from saga.kernel import action_key  # noqa: PLC0415 - only here

    assert action_key("top", "first.1/pay.1/fee.1") == "top~first.1~pay.1/fee.1"


def call_of(parent: type[Saga], step: str) -> Call:
    """The call of a parent that runs a child."""
    return Call("order-7", parent.__name__, f"{step}.1", Role.ACTION, definition_of(parent).step(step), "5")


def test_a_child_that_completed_is_done_with_what_it_hands_over() -> None:
    """Only where its parent takes that over."""
    child = paid()
    outcome = child_outcome(call_of(Order, "pay"), child.instance, child.definition, child.at)
    assert (outcome.state, [one.call for one in outcome.adopted or ()]) == (CallState.DONE, ["debit.1", "fee.1"])
    whole = child_outcome(call_of(Business, "order"), child.instance, child.definition, child.at)
    assert (whole.state, whole.output, whole.adopted) == (CallState.DONE, '"f"', None)


def test_a_child_that_was_compensated_is_rejected_for_certain() -> None:
    """Whatever attempts of driving it came before: its journal says that nothing is left of it."""
    child = Driven(Payment, id="order-7~pay.1", handed_over=True).done("rate.1", "1").rejected("debit.1")
    outcome = child_outcome(call_of(Order, "pay"), child.instance, child.definition, child.at)
    assert (outcome.state, outcome.recorded) == (CallState.REJECTED, True)
    assert str(outcome.failure).startswith("Refused: ")


def test_a_child_that_never_existed_is_rejected_for_certain() -> None:
    """It was asked to stop before it began."""
    outcome = not_started(paid().at)
    assert (outcome.state, outcome.recorded) == (CallState.REJECTED, True)
    assert str(outcome.failure) == "NotStarted: backward recovery began first"


def test_a_call_that_was_handed_over_can_be_done_by_hand() -> None:
    """By its full name; the others go on."""
    driven = ordered().rejected("fee.1").rejected("pay.1/fee.1/compensation").compensate_all()
    assert driven.blocking == [("pay.1/fee.1/compensation", "rejected")]
    assert driven.skip("pay.1/fee.1").state == "COMPENSATED"


# -- a compensation of its own ---------------------------------------------------------


def test_a_child_with_a_compensation_of_its_own_is_compensated_as_a_whole() -> None:
    """By an activity that takes its request and its result."""
    driven = Driven(Business).done("order.1", '"o"').rejected("credit.1")
    assert driven.in_flight == ["order.1/compensation"]
    step = driven.definition.step("order")
    assert step.roles[Role.COMPENSATION].takes.type == Effect[int, str]
    assert not step.hands_over


def test_the_compensation_of_a_child_as_a_whole_can_be_done_by_hand() -> None:
    """Like any other."""
    driven = Driven(Business).done("order.1", '"o"').rejected("credit.1").rejected("order.1/compensation")
    assert driven.skip("order.1").state == "COMPENSATED"


def test_a_child_with_a_point_of_no_return_needs_a_compensation_of_its_own() -> None:
    """Its effects could not be handed over."""

    class Final(Saga):
        notify = Retriable(bank.notify)

        async def run(self, request: int) -> str:
            await self.notify("done")
            return ""

    with pytest.raises(SagaDefinitionError, match="Final has the retriable step notify, so it cannot be compensated"):

        class Wrong(Saga):
            child = Nested(Final)

            async def run(self, request: int) -> str:
                return await self.child(request)

    class Right(Saga):
        child = Nested(Final).compensated_by(bank.refund)

        async def run(self, request: int) -> str:
            return await self.child(request)

    assert Right.child.kind == "nested"


def test_a_compensation_of_a_child_has_to_fit() -> None:
    """It takes the effect of request and result."""

    async def wrong(effect: Effect[str, str]) -> None: ...

    with pytest.raises(SagaDefinitionError, match="but action Payment makes Effect\\[int, str\\]"):

        class Transfer(Saga):
            pay = Nested(Payment).compensated_by(wrong)  # type: ignore[arg-type]

            async def run(self, request: int) -> str:
                return await self.pay(request)


# -- cancel ----------------------------------------------------------------------------


async def test_a_cancel_reaches_the_child_and_its_end_is_awaited() -> None:
    """The child's drive is asked to stop; whatever it came to is compensated then."""
    conducted = await Conducted(Order).start()
    conducted.runtime.done("debit.1", '"a"')
    await conducted.settle()
    await conducted.ask(Cancel(by="anna"))
    assert conducted.runtime.stopped() == ["pay.1"]
    assert "debit.1/compensation" not in conducted.runtime.performed()
    conducted.runtime.done("pay.1", **handed(paid()))
    await conducted.settle()
    assert conducted.runtime.performed()[-1] == "pay.1/fee.1/compensation"
    await conducted.leave()


async def test_a_child_that_was_taken_over_while_compensating_is_asked_and_awaited() -> None:
    """It may be running by itself, so it is not given up like an action."""
    driven = Driven(Order).done("debit.1", '"a"').cancel()
    assert driven.in_flight == ["pay.1"]
    conducted = Conducted(Order, decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    conducted.conductor.resumed(2, crashed=True)
    await conducted.conduct()
    assert (conducted.runtime.performed(), conducted.runtime.stopped()) == (["pay.1"], ["pay.1"])
    conducted.runtime.rejected("pay.1", recorded=True)
    await conducted.settle()
    assert conducted.runtime.performed()[-1] == "debit.1/compensation"
    await conducted.leave()


# -- confirming ------------------------------------------------------------------------


class Holding(Saga):
    """A child whose effect is tentative."""

    hold = Compensatable(bank.hold).compensated_by(bank.release).confirmed_by(bank.settle).forgotten_by(bank.forget)

    async def run(self, request: int) -> str:
        return await self.hold(request)


class Buying(Saga):
    """Its parent."""

    part = Nested(Holding)
    credit = Pivot(bank.credit, retry=ONCE)

    async def run(self, request: int) -> str:
        await self.part(request)
        return await self.credit(request)


def test_a_child_that_hands_over_confirms_nothing_itself() -> None:
    """Its effect stays tentative until its parent has decided."""
    child = Driven(Holding, handed_over=True).done("hold.1", '"h"')
    assert (child.state, child.registered) == ("COMPLETED", ["hold.1"])


def test_a_child_of_its_own_confirms_before_it_completes() -> None:
    """Nobody does it later."""
    child = Driven(Holding).done("hold.1", '"h"')
    assert child.in_flight == ["hold.1/confirmation"]


def test_the_parent_confirms_what_its_child_handed_over() -> None:
    """After its own point of no return, and forgets it in the end."""
    child = Driven(Holding, handed_over=True).done("hold.1", '"h"')
    driven = Driven(Buying).done("part.1", **handed(child))
    driven.done("credit.1", '"c"')
    assert driven.in_flight == ["part.1/hold.1/confirmation"]
    driven.done("part.1/hold.1/confirmation")
    assert driven.in_flight == ["part.1/hold.1/forget"]
    driven.done("part.1/hold.1/forget")
    assert driven.state == "COMPLETED"


def test_what_was_handed_over_is_settled_unless_an_attempt_of_it_can_still_act() -> None:
    """The parent waits as the child would have."""
    record = ordered().instance.calls["pay.1/debit.1"]
    assert (record.state, record.overdue_at, record.order) == (CallState.DONE, None, (1, 0))
    child = Driven(Payment, id="order-7~pay.1", handed_over=True).done("rate.1", "1")
    child.done("debit.1", '"d"', overdue=True, attempts=2).done("fee.1", '"f"')
    driven = Driven(Order, id="order-7").done("debit.1", '"a"').done("pay.1", **handed(child))
    driven.rejected("fee.1").done("pay.1/fee.1/compensation").done("debit.1/compensation")
    assert driven.blocking == [("pay.1/debit.1", "unsettled")]


def test_a_child_that_was_ended_from_outside_is_no_settled_matter() -> None:
    """It handed nothing over, so what it did stands: the parent is not compensated until somebody says what it was."""
    driven = Driven(Order).done("debit.1", '"d"').in_doubt("pay.1", overdue=True)
    driven.done("debit.1/compensation")
    assert driven.state == "STUCK"
    assert driven.blocking == [("pay.1", "unsettled")]
    driven.resolve_did_not_happen("pay.1")
    assert driven.state == "COMPENSATED"


def test_a_lost_child_with_a_compensation_of_its_own_is_compensated_as_a_whole() -> None:
    """Its author said how."""
    driven = Driven(Business).in_doubt("order.1", overdue=True)
    assert driven.in_flight == ["order.1/compensation"]
