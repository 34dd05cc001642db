"""S15: everything that is wrong with a class is said at once, with file and line, when it is made."""

# pyright: reportUnusedClass=false
# A class that is refused when it is made is never used.

import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional, cast

import pytest
from pydantic import BaseModel, Field

from saga import (
    Compensatable,
    Decision,
    Effect,
    Finding,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaDefinitionError,
    participant,
)
from saga.errors import NotDeterministicWarning, ParticipantError, SagaError
from saga.kernel import definition_of
from tests.kernel._sagas import Bank, RefusedError, Steps, bank

other = participant(Bank, "other")


class Socket:
    """What pydantic cannot put into JSON."""


class Posting(BaseModel):
    """An output."""

    id: str


def line(mark: str) -> int:
    """The line of this file that ends with a mark."""
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, text in enumerate(source, 1) if text.endswith(f"# line: {mark}"))


def open_socket(amount: int) -> Socket:
    raise NotImplementedError


def send(socket: Socket) -> None:
    raise NotImplementedError


def debit(amount: int) -> Posting:
    raise NotImplementedError


def refund(effect: Effect[int, Posting]) -> None:
    raise NotImplementedError


def sockets(socket: Socket) -> Socket:
    raise NotImplementedError


def untyped(amount):  # type: ignore[no-untyped-def]
    raise NotImplementedError


def without_result(amount: int):  # type: ignore[no-untyped-def]
    raise NotImplementedError


def no_argument() -> int:
    raise NotImplementedError


def two_arguments(one: int, two: int) -> int:
    raise NotImplementedError


def nothing(amount: int) -> None:
    raise NotImplementedError


def drop_nothing(effect: Effect[int, None]) -> None:
    raise NotImplementedError


def maybe(amount: int) -> str | None:
    raise NotImplementedError


def drop_maybe(effect: Effect[int, Optional[str]]) -> None:  # noqa: UP045 - written in another way on purpose
    raise NotImplementedError


NAMELESS: Callable[[int], int] = lambda amount: amount  # noqa: E731 - on purpose
UNTYPED: Any = globals()["untyped"]
WITHOUT_RESULT: Any = globals()["without_result"]


async def run_nothing(self: object, request: int) -> str:
    return ""


def made(**body: object) -> type[Saga]:
    """A saga class with the given body and a `run`."""
    return type("Transfer", (Saga,), {"run": run_nothing, **body})


def fault(**body: object) -> str:
    """The one fault of such a class."""
    with pytest.raises(SagaDefinitionError) as caught:
        made(**body)
    assert len(caught.value.faults) == 1, str(caught.value)
    return f"{caught.value.faults[0].name}: {caught.value.faults[0].text}"


# -- all at once -----------------------------------------------------------------------


def test_all_faults_are_said_at_once_with_file_and_line() -> None:
    """In the order of the source, under a headline with the class and where it begins."""
    with pytest.raises(SagaDefinitionError) as caught:

        class MoneyTransfer(Saga):  # line: class
            debit = Compensatable(bank.debit).compensated_by(bank.return_fee)
            hold = Compensatable(bank.hold)  # line: hold
            look = ReadOnly(NAMELESS)  # line: look
            open_it = ReadOnly(open_socket)  # line: open
            review = Decision(bool, within=timedelta(0))  # line: review
            credit = Pivot(bank.credit).probed_by(bank.rate)  # type: ignore[arg-type] # line: credit
            late = Compensatable(bank.debit).compensated_by(bank.refund)  # line: late

            async def run(self, request: Socket) -> str:  # line: run
                return ""

    here = "test_s15_definition_check.py"
    lines = str(caught.value).splitlines()
    assert lines[0] == f"MoneyTransfer cannot run, 7 faults ({here}:{line('class')})"
    wheres = [(one.name, one.where) for one in caught.value.faults]
    assert wheres == [
        ("hold", f"{here}:{line('hold')}"),
        ("look", f"{here}:{line('look')}"),
        ("open_it", f"{here}:{line('open')}"),
        ("review", f"{here}:{line('review')}"),
        ("credit", f"{here}:{line('credit')}"),
        ("late", f"{here}:{line('late')}"),
        ("run", f"{here}:{line('run')}"),
    ]
    assert caught.value.saga == "MoneyTransfer"


def test_the_error_reads_as_the_documentation_shows_it() -> None:
    """Each fault says what is wrong and what to write instead."""

    class Debit(BaseModel):
        amount: int

    class Credit(BaseModel):
        amount: int

    class Other:
        def debit(self, debit: Debit) -> Posting:
            raise NotImplementedError

        def reverse(self, effect: Effect[Credit, Posting]) -> None:
            raise NotImplementedError

    source_bank = participant(Other, "source_bank")
    with pytest.raises(SagaDefinitionError) as caught:

        class MoneyTransfer(Saga):
            debit = Compensatable(source_bank.debit).compensated_by(source_bank.reverse)  # type: ignore[arg-type]
            hold = Compensatable(source_bank.debit)

            async def run(self, request: int) -> str:
                return ""

    first, second = caught.value.faults
    assert f"{first.name}: {first.text}" == (
        "debit: compensation source_bank.reverse takes Effect[Credit, Posting],\n"
        "but action source_bank.debit makes Effect[Debit, Posting]."
    )
    assert str(caught.value).splitlines()[1:3] == [
        f"  {first.where}  debit: compensation source_bank.reverse takes Effect[Credit, Posting],",
        f"  {' ' * len(first.where)}  but action source_bank.debit makes Effect[Debit, Posting].",
    ]
    assert f"{second.name}: {second.text}" == "hold: no compensation. Add .compensated_by(...), or use ReadOnly."


def test_a_class_that_is_right_has_a_definition() -> None:
    """Steps, decisions, types and policies, resolved."""
    definition = definition_of(made(debit=Compensatable(debit).compensated_by(refund)))
    assert definition.saga == "Transfer"
    assert list(definition.steps) == ["debit"]
    assert definition.steps["debit"].roles["compensation"].takes.type == Effect[int, Posting]  # type: ignore[index]


# -- pairing ---------------------------------------------------------------------------


def test_a_compensation_of_another_input_is_refused() -> None:
    """It could not read the effect."""
    assert fault(step=Compensatable(debit).compensated_by(drop_nothing)) == (  # type: ignore[arg-type]
        "step: compensation drop_nothing takes Effect[int, None],\nbut action debit makes Effect[int, Posting]."
    )


@pytest.mark.parametrize(("action", "compensation"), [(nothing, drop_nothing), (maybe, drop_maybe)])
def test_types_that_mean_the_same_fit(action: Any, compensation: Any) -> None:
    """However they are written: None and NoneType, a union and its string."""
    assert made(step=Compensatable(action).compensated_by(compensation))


def test_a_compensation_that_takes_a_mapping_is_not_compared_with_the_effect() -> None:
    """The mapping makes its input."""
    step = Compensatable(debit).given(lambda effect: "p").compensated_by(bank.notify)
    assert made(step=step)


def test_a_missing_compensation_is_refused() -> None:
    """Whether or not a mapping was given already; the line is the step's."""
    assert fault(step=Compensatable(debit)) == "step: no compensation. Add .compensated_by(...), or use ReadOnly."
    with pytest.raises(SagaDefinitionError) as caught:
        made(step=Compensatable(debit).given(lambda effect: "p"))  # line: given
    assert caught.value.faults[0].where.endswith(f".py:{line('given')}")


def test_a_probe_that_takes_something_else_is_refused() -> None:
    """It is asked with the pivot's input."""

    def find(text: str) -> Finding[Posting]:
        raise NotImplementedError

    assert "probe find takes str" in fault(step=Pivot(debit).probed_by(find))  # type: ignore[arg-type]


FINDING: Any = Finding


@pytest.mark.parametrize("answer", [str, Happened[str], FINDING[str]])
def test_a_probe_that_answers_something_else_is_refused(answer: Any) -> None:
    """It must be able to say what the pivot would have returned."""

    def find(amount: int) -> Any:
        raise NotImplementedError

    find.__annotations__["return"] = answer
    assert "it must return Finding[Posting]" in fault(step=Pivot(debit).probed_by(find))


def test_a_confirmation_takes_the_output() -> None:
    """And nothing else."""
    step = Compensatable(debit).compensated_by(refund).confirmed_by(bank.settle)  # type: ignore[arg-type]
    assert "confirmation bank.settle takes str" in fault(step=step)


def test_a_compensation_of_another_participant_of_the_same_class_is_refused() -> None:
    """The types fit, and the money would go back at the wrong bank."""
    assert "belongs to another participant than action bank.debit" in fault(
        step=Compensatable(bank.debit).compensated_by(other.refund)
    )


# -- names -----------------------------------------------------------------------------


def test_a_step_that_hides_another_is_refused() -> None:
    """The second declaration would win silently."""
    with pytest.raises(SagaDefinitionError, match="declared twice in this class") as caught:

        class Transfer(Saga):
            debit = Compensatable(bank.debit).compensated_by(bank.refund)  # line: hidden
            debit = Compensatable(bank.fee).compensated_by(bank.return_fee)

            async def run(self, request: int) -> str:
                return ""

    assert caught.value.faults[0].where.endswith(f":{line('hidden')}")


def test_a_step_that_hides_another_in_a_base_without_run_is_refused() -> None:
    """Where its steps are first used."""

    class Shared(Saga):
        debit = Compensatable(bank.debit).compensated_by(bank.refund)
        debit = Compensatable(bank.fee).compensated_by(bank.return_fee)

    with pytest.raises(SagaDefinitionError, match="declared twice"):

        class Transfer(Shared):
            async def run(self, request: int) -> str:
                return ""


def test_a_method_that_hides_a_step_is_refused() -> None:
    """Whatever it is that hides it."""
    with pytest.raises(SagaDefinitionError, match="declared twice"):

        class Transfer(Saga):
            debit = Compensatable(bank.debit).compensated_by(bank.refund)  # pyright: ignore[reportAssignmentType]

            async def debit(self) -> None: ...  # type: ignore[no-redef]

            async def run(self, request: int) -> str:
                return ""


def test_one_step_object_under_two_names_is_refused() -> None:
    """Its calls would be journaled under one of them."""
    step = Compensatable(debit).compensated_by(refund)
    assert "the same step object is declared as 'one' too" in fault(one=step, two=step)


@pytest.mark.parametrize("name", ["now", "random", "sleep", "deadline"])
def test_a_name_that_belongs_to_saga_is_refused(name: str) -> None:
    """Also if the step itself is right."""
    assert "this name belongs to Saga" in fault(**{name: ReadOnly(bank.rate)})


def test_a_decision_named_like_the_timers_is_refused() -> None:
    """Both would be timer.1 in the journal."""
    assert "this name belongs to Saga" in fault(timer=Decision(bool, within=timedelta(hours=1)))


@pytest.mark.parametrize("function", [NAMELESS, functools.partial(debit, 5), "".join, "debit"])
def test_an_activity_without_a_stable_name_is_refused(function: Any) -> None:
    """Lambdas and partials change between deployments."""
    assert "has no stable name. Use a function made with def, or a method of participant(...)" in fault(
        step=ReadOnly(function)
    )


def test_two_functions_of_one_name_are_refused() -> None:
    """A worker that is asked for `pay` could perform either."""

    def made() -> Any:
        def pay(amount: int) -> str:
            raise NotImplementedError

        return pay

    assert "two functions are named pay" in fault(fee=ReadOnly(made()), pay=ReadOnly(made()))


def test_a_step_where_an_activity_belongs_is_refused() -> None:
    """In the class body a step hides the function of the same name."""
    with pytest.raises(SagaDefinitionError, match="fee: it is given the step 'debit', whose name hides the function's"):

        class Transfer(Saga):
            debit = Compensatable(debit).compensated_by(refund)
            fee = ReadOnly(cast("Any", debit))

            async def run(self, request: int) -> str:
                return ""


def test_both_activities_of_a_step_are_checked() -> None:
    """A fault of the action does not hide one of the compensation."""
    with pytest.raises(SagaDefinitionError) as caught:
        made(step=Compensatable(NAMELESS).compensated_by(cast("Any", functools.partial(refund))))
    assert len(caught.value.faults) == 2


# -- types -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (open_socket, "Socket cannot be journaled"),
        (send, "Socket cannot be journaled"),
        (UNTYPED, "untyped needs types: annotate its argument and what it returns"),
        (WITHOUT_RESULT, "without_result needs types"),
        (no_argument, "no_argument must take one argument"),
        (two_arguments, "two_arguments must take one argument"),
    ],
)
def test_an_activity_whose_types_cannot_be_journaled_is_refused(function: Any, text: str) -> None:
    """Every payload goes through JSON and back."""
    assert text in fault(step=ReadOnly(function))


def test_a_model_that_can_be_written_but_not_read_is_refused() -> None:
    """The journal is for reading."""

    class Holder(BaseModel, arbitrary_types_allowed=True):
        socket: Socket

    def hold(holder: Holder) -> str:
        raise NotImplementedError

    assert "cannot be journaled" in fault(step=ReadOnly(hold))


def test_a_model_that_is_not_defined_yet_is_refused() -> None:
    """Types are resolved when the class is made."""

    def later(amount: "Later") -> str:  # type: ignore[name-defined]  # noqa: F821 - on purpose
        raise NotImplementedError

    assert "models used in annotations must exist when the saga class is made" in fault(step=ReadOnly(later))  # pyright: ignore[reportUnknownArgumentType]


def test_models_and_types_of_a_test_are_found() -> None:
    """Annotations may name what exists only inside a function."""

    class Local(BaseModel):
        amount: int

    def hold(local: "Local") -> "Local":
        raise NotImplementedError

    class Transfer(Saga):
        step = ReadOnly(hold)

        async def run(self, request: "Local") -> "Local":
            return await self.step(request)

    assert definition_of(Transfer).request.type is Local


def test_a_run_of_unserialisable_types_is_refused() -> None:
    """Request and result are journaled too."""

    async def takes(self: object, request: Socket) -> int:
        raise NotImplementedError

    async def returns(self: object, request: int) -> Socket:
        raise NotImplementedError

    assert "run: Socket cannot be journaled" in fault(run=takes)
    assert "run: Socket cannot be journaled" in fault(run=returns)


def run_sync(self: object, request: int) -> str:
    return ""


async def run_bare(self: object) -> str:
    return ""


async def run_two(self: object, one: int, two: int) -> str:
    return ""


async def run_untyped(self, request):  # type: ignore[no-untyped-def]
    return ""


@pytest.mark.parametrize("run", [run_sync, run_bare, run_two, globals()["run_untyped"]])
def test_a_run_that_is_none_is_refused(run: object) -> None:
    """It takes one request and returns one result, both typed, and is `async`."""
    assert fault(run=run).startswith("run: ")


# -- policy ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": timedelta(0)}, "give a positive time"),
        ({"timeout": 5}, "timeout is 5; give a timedelta"),
        ({"settle_time": timedelta(seconds=-1)}, "give zero or more"),
        ({"settle_time": 5}, "settle_time is 5; give a timedelta"),
        ({"retry": Retry(attempts=0)}, "give 1 or more, or None for no limit"),
        ({"retry": Retry(first=timedelta(seconds=-1))}, "retry's first is -1 day, 23:59:59; give zero or more"),
        ({"retry": Retry(cap=60)}, "retry's cap is 60; give a timedelta"),  # type: ignore[arg-type]
        ({"retry": Retry(factor=0.5)}, "give 1.0 or more"),
        ({"retry": 3}, "retry is 3; give a Retry"),
        ({"rejects": [5]}, "no exception type"),
        ({"rejects": [Exception]}, "name the refusals themselves"),
        ({"rejects": [TimeoutError]}, "name the refusals themselves"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any], text: str) -> None:
    """When the class is made, not at the first failure."""
    assert text in fault(step=ReadOnly(bank.rate, **options))


def test_a_policy_of_a_compensation_is_named_as_such() -> None:
    """Each role has its own."""
    step = Compensatable(debit).compensated_by(refund, timeout=timedelta(0))
    assert fault(step=step).startswith("step: compensation: timeout is")


def test_a_refusal_that_is_a_type_of_its_own_is_fine() -> None:
    """That is what `rejects` is for."""
    assert made(step=ReadOnly(bank.rate, rejects=[RefusedError, KeyError]))


def test_a_decision_needs_a_time() -> None:
    """Nobody waits for ever."""
    assert "within is" in fault(review=Decision(bool, within=timedelta(0)))


def test_a_decision_whose_answer_cannot_be_journaled_is_refused() -> None:
    """It is a payload."""
    assert "Socket cannot be journaled" in fault(review=Decision(Socket, within=timedelta(hours=1)))


# -- values of the wrong type ------------------------------------------------------------

# Without a type checker they take anything.
read_only: Any = ReadOnly
compensatable: Any = Compensatable
pivot: Any = Pivot
decision: Any = Decision
retry: Any = Retry

WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "timeout": (lambda: read_only(bank.rate, timeout=5), "timeout is 5; give a timedelta."),
    "settle_time": (lambda: read_only(bank.rate, settle_time=5), "settle_time is 5; give a timedelta."),
    "barrier": (lambda: read_only(bank.rate, barrier="yes"), "barrier is 'yes'; give True or False."),
    "retry": (lambda: read_only(bank.rate, retry=3), "retry is 3; give a Retry."),
    "no retry": (lambda: read_only(bank.rate, retry=0), "retry is 0; give a Retry."),
    "attempts": (lambda: read_only(bank.rate, retry=retry(attempts="3")), "retry allows '3' attempts; give 1 or more"),
    "factor": (lambda: read_only(bank.rate, retry=retry(factor="2")), "retry's factor is '2'; give 1.0 or more."),
    "never": (lambda: read_only(bank.rate, retry=retry(never=KeyError)), "give a tuple of exception types."),
    "rejects": (lambda: read_only(bank.rate, rejects=KeyError), "rejects is KeyError; give a list of exception types."),
    "no rejects": (
        lambda: compensatable(bank.debit, rejects=None).compensated_by(bank.refund),
        "rejects is None; give a list of exception types.",
    ),
    "given": (
        lambda: compensatable(bank.debit).given(5).compensated_by(nothing),
        "given is 5; give a function that takes the effect.",
    ),
    "every": (lambda: pivot(bank.credit).probed_by(bank.find_credit, every=5), "probe: every is 5; give a timedelta."),
    "within": (lambda: decision(bool, within=5), "within is 5; give a timedelta."),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_the_wrong_type_is_a_fault_like_the_others(name: str) -> None:
    """No error of Python's from somewhere inside; what to write instead is said."""
    make, text = WRONG[name]
    assert text in fault(step=make())


def test_an_annotation_that_cannot_be_read_is_a_fault() -> None:
    """Whatever Python says of it."""

    def odd(amount: "timedelta.nothing") -> str:  # type: ignore[name-defined]
        raise NotImplementedError

    assert "odd: type object 'datetime.timedelta' has no attribute 'nothing'" in fault(step=ReadOnly(odd))


def test_a_fault_stands_on_the_line_of_its_declaration() -> None:
    """Of every kind of step, however long the statement is."""
    with pytest.raises(SagaDefinitionError) as caught:

        class Wrong(Saga):
            one = Compensatable(nothing)
            two = Compensatable(nothing).given(lambda effect: effect)
            three = read_only(nothing, timeout=5)
            four = Nested(int)  # type: ignore[type-var]
            five = Nested(
                int,  # type: ignore[type-var]
            ).compensated_by(bank.refund)
            six = decision(bool, within=5)

            async def run(self, request: int) -> str:
                return ""

    lines = [int(one.where.rpartition(":")[2]) for one in caught.value.faults]
    assert [one.name for one in caught.value.faults] == ["one", "two", "three", "four", "five", "six"]
    assert [line - lines[0] for line in lines] == [0, 1, 2, 3, 4, 7]


def test_a_fault_is_said_once_and_ends_with_one_full_stop() -> None:
    """Even where a type is wrong in two places."""
    text = fault(step=ReadOnly(sockets))
    assert text.endswith(".")
    assert not text.endswith("..")


# -- participants ----------------------------------------------------------------------


def test_a_stand_in_offers_what_its_class_has() -> None:
    """A name that is none is a fault like the others, with what there is."""
    text = fault(step=ReadOnly(bank.explode))  # type: ignore[attr-defined]  # on purpose
    assert text.startswith("step: Bank has no method 'explode' for participant 'bank'; it has credit, debit, fee")


def test_a_stand_in_offers_nothing_private() -> None:
    """Python and its tools ask for such names too."""
    with pytest.raises(AttributeError, match="Bank._debit is private, so participant 'bank' does not offer it"):
        bank._debit  # type: ignore[attr-defined]  # noqa: B018 - on purpose


def test_a_stand_in_cannot_be_called() -> None:
    """It has no connection."""
    with pytest.raises(SagaError, match="bank.debit is a stand-in and was called directly"):
        _ = bank.debit(5)


def test_a_participants_name_is_an_identifier() -> None:
    """It routes and is journaled."""
    for name in ("the bank", "", 5):
        with pytest.raises(ParticipantError, match=r"participant\(Bank, .*\): .* an identifier such as 'source_bank'"):
            participant(Bank, name)  # type: ignore[arg-type]  # on purpose


def test_a_participant_is_made_of_a_class() -> None:
    """Its methods are the activities."""
    with pytest.raises(ParticipantError, match="give the class whose methods are the activities"):
        participant("bank", "bank")  # type: ignore[arg-type]  # on purpose


def test_a_step_cannot_be_called_outside_a_running_saga() -> None:
    """Nothing would be journaled."""
    with pytest.raises(SagaError, match="start it with an engine"):
        made(step=ReadOnly(bank.rate))().step(5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["now", "random"])
def test_saga_methods_do_not_work_outside_a_running_saga(what: str) -> None:
    """There is no last fact."""
    with pytest.raises(SagaError, match="start it with an engine"):
        getattr(made()(), what)()


# -- activities of others --------------------------------------------------------------


def test_an_existing_temporal_activity_keeps_its_name() -> None:
    """`@activity.defn` leaves its definition on the function; no import is needed to read it."""

    class ActivityDefinition:
        name = "Debit"

    def existing(amount: int) -> Posting:
        raise NotImplementedError

    setattr(existing, "__temporal_activity_definition", ActivityDefinition())
    step = definition_of(made(step=ReadOnly(existing))).steps["step"]
    assert step.action.activity is not None
    assert step.action.activity.name == "Debit"


def test_a_decorated_function_keeps_its_types() -> None:
    """`functools.wraps` is enough."""

    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any) -> Any:
            return function(*args)

        return inner

    assert definition_of(made(step=ReadOnly(logged(debit)))).steps["step"].action.returns is not None


def test_an_argument_with_a_default_is_no_second_input() -> None:
    """Only what is required counts."""

    def debit_in(amount: int, currency: str = "EUR") -> str:
        raise NotImplementedError

    assert made(step=ReadOnly(debit_in))


# -- chance ----------------------------------------------------------------------------


def test_what_can_be_seen_of_clocks_and_chance_is_warned_of() -> None:
    """With the line, and what to write instead."""
    with pytest.warns(NotDeterministicWarning, match=r"Transfer\.run calls datetime\.now\(\).*use self\.now\(\)"):

        class Transfer(Saga):
            async def run(self, request: int) -> str:
                from datetime import datetime  # noqa: PLC0415 - on purpose

                return str(datetime.now())  # noqa: DTZ005 - on purpose


# -- fingerprint -----------------------------------------------------------------------


def test_the_fingerprint_changes_with_what_a_journal_depends_on() -> None:
    """Names, kinds, activities and inputs; it explains, it never decides."""

    class Other(BaseModel):
        id: str
        more: int = Field(default=0)

    def debit_other(other: Other) -> Posting:
        raise NotImplementedError

    same = made(step=ReadOnly(debit)).__definition__.fingerprint
    assert made(step=ReadOnly(debit, timeout=timedelta(seconds=1))).__definition__.fingerprint == same
    different = [
        made(step=Retriable(debit)),
        made(other=ReadOnly(debit)),
        made(step=ReadOnly(nothing)),
        made(step=ReadOnly(debit_other)),
        made(step=ReadOnly(debit), more=ReadOnly(nothing)),
    ]
    fingerprints = {one.__definition__.fingerprint for one in different}
    assert len(fingerprints) == len(different)
    assert same not in fingerprints


# -- classes that only share steps -----------------------------------------------------


def test_a_base_class_without_run_only_shares_its_steps() -> None:
    """It is no saga class itself."""
    with pytest.raises(SagaDefinitionError, match=r"Steps cannot run, 1 fault \(_sagas\.py:\d+\)\n.*is no saga class"):
        definition_of(Steps)


@pytest.mark.parametrize("one", [int, "Transfer", None])
def test_what_is_no_class_at_all_is_refused_in_the_same_way(one: Any) -> None:
    """Whoever hands it to an engine sees what to write."""
    with pytest.raises(SagaDefinitionError, match=r"derive it from saga\.Saga and write `async def run"):
        definition_of(one)
    assert "is no saga class with a run method" in fault(child=Nested(one))


def test_a_renamed_class_keeps_its_journaled_name() -> None:
    """`name=` says under which its instances are found."""

    class Renamed(Saga, name="MoneyTransfer"):
        step = ReadOnly(bank.rate)

        async def run(self, request: int) -> int:
            return await self.step(request)

    assert definition_of(Renamed).saga == "MoneyTransfer"


def test_a_nested_class_that_is_no_saga_class_is_refused() -> None:
    """It has to be right itself."""
    assert "is no saga class with a run method" in fault(child=Nested(Steps))  # type: ignore[arg-type]


def test_a_time_that_leads_past_the_calendar_is_refused() -> None:
    """`timedelta.max` is what people write for never; added to today it is no date."""
    text = fault(step=Pivot(bank.credit, settle_time=timedelta.max))
    assert "give a hundred years at most" in text
