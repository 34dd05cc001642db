"""What people see of an instance: the view, the page of a STUCK one, and the error that a result raises."""

import gc

import pytest

from saga import SagaCompensatedError, SagaStuckError, StepInDoubt, StepRejected
from saga.errors import ActRefusedError
from saga.kernel import _facts as f
from saga.kernel import ending_of, view_of
from saga.kernel._values import Failure
from tests.kernel._drive import SECOND, Driven
from tests.kernel._sagas import Steps, Unprobed, transfer, unprobed


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    credited = await saga.credit(amount)
    await saga.archive("done")
    return credited


async def bare(saga: Unprobed, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


def page(driven: Driven) -> list[str]:
    """The lines of the page."""
    return view_of(driven.instance).page().splitlines()


def frozen() -> Driven:
    """A compensation was refused."""
    driven = Driven(transfer(straight)).done("debit.1", '"p-1"').rejected("credit.1", "AccountClosed", "NL02")
    return driven.rejected("debit.1/compensation", "Refused", "account frozen")


# -- the page --------------------------------------------------------------------------


def test_the_page_of_a_refused_compensation() -> None:
    """What happened, what blocks, and the commands that help."""
    assert page(frozen()) == [
        "transfer-42 Transfer is STUCK since 2026-01-01 00:00 UTC: a compensation was refused.",
        '  debit.1               done       "p-1"',
        "  credit.1              rejected   AccountClosed: NL02 (1 attempt)",
        "  debit.1/compensation  rejected   Refused: account frozen (1 attempt)",
        "Nothing else will run until someone acts:",
        "  saga retry transfer-42 --by YOU --why ...         # the cause is fixed",
        "  saga skip transfer-42 debit.1 --by YOU --why ...  # you did the compensation by hand",
    ]


def test_the_page_of_a_pivot_in_doubt() -> None:
    """It is resolved either way, or tried again; abort is no way out."""
    lines = page(Driven(unprobed(bare)).done("debit.1", '"p-1"').in_doubt("credit.1"))
    assert lines[0].endswith("STUCK since 2026-01-01 00:00 UTC: nobody knows whether credit.1 happened.")
    commands = [line.split("--by")[0].strip() for line in lines[4:]]
    assert commands == [
        "saga retry transfer-42",
        "saga resolve transfer-42 credit.1 --happened OUTPUT",
        "saga resolve transfer-42 credit.1 --did-not-happen",
    ]


def test_the_page_of_an_unsettled_call() -> None:
    """Trying again does not help; only somebody who knows does."""
    lines = page(Driven(transfer(straight)).in_doubt("debit.1", overdue=True))
    assert "an attempt of debit.1 may still be acting" in lines[0]
    commands = [line.split("--by")[0].strip() for line in lines[3:]]
    assert commands == [
        "saga resolve transfer-42 debit.1 --happened OUTPUT",
        "saga resolve transfer-42 debit.1 --did-not-happen",
    ]


def test_the_page_of_a_step_that_failed_after_the_pivot() -> None:
    """Forward is the only way."""
    lines = page(Driven(transfer(straight)).done("debit.1", '"p"').done("credit.1", '"c"').rejected("archive.1"))
    assert lines[0].endswith(": archive.1 was rejected after the point of no return.")
    commands = [line.split("--by")[0].strip() for line in lines[5:]]
    assert commands == ["saga retry transfer-42", "saga resolve transfer-42 archive.1 --happened OUTPUT"]


def test_the_page_of_a_bug_shows_its_traceback() -> None:
    """The author reads where."""

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("currency")

    lines = page(Driven(transfer(buggy), replayed=False).done("debit.1", '"p"'))
    assert lines[0].endswith(": run raised KeyError: 'currency'.")
    assert any('raise KeyError("currency")' in line for line in lines)
    assert any(line.startswith("  saga retry transfer-42 ") and "fixed and deployed" in line for line in lines)
    assert any(line.startswith("  saga abort transfer-42 ") for line in lines)


def test_the_page_of_code_that_does_not_fit_shows_the_first_difference() -> None:
    """What the journal holds, and what the code does."""

    async def other(saga: Steps, amount: int) -> str:
        return await saga.fee(amount)

    driven = Driven(transfer(straight), replayed=False).reload(transfer(other))
    text = "\n".join(page(driven))
    assert "its code does not fit its journal." in text
    assert "the journal holds  call debit.1 (compensatable)" in text
    assert "the code does      call fee.1 (compensatable)" in text


def test_every_command_of_a_page_is_allowed() -> None:
    """The page never recommends what would be refused."""
    allowed = {
        "retry": Driven.retry,
        "abort": Driven.abort,
        "skip": Driven.skip,
        "--happened": Driven.resolve_happened,
        "--did-not-happen": Driven.resolve_did_not_happen,
    }
    outputs = {"debit": '"p"', "credit": '"c"', "archive": "null"}

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("x")

    states = {
        "frozen": frozen,
        "pivot": lambda: Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1"),
        "unsettled": lambda: Driven(transfer(straight)).in_doubt("debit.1", overdue=True),
        "after": lambda: (
            Driven(transfer(straight)).done("debit.1", '"p"').done("credit.1", '"c"').in_doubt("archive.1")
        ),
        "bug": lambda: Driven(transfer(buggy), replayed=False).done("debit.1", '"p"'),
    }
    tried = 0
    for make in states.values():
        for line in page(make()):
            if "--by YOU" not in line:
                continue
            _, act, _, *rest = line.split("--by")[0].split()
            call = rest[:1]
            name = rest[1] if act == "resolve" else act
            output = [outputs[call[0].partition(".")[0]]] if name == "--happened" else []
            allowed[name](make(), *call, *output)  # type: ignore[operator]  # each takes what its command takes
            tried += 1
    assert tried == 11


def test_the_words_of_a_participant_stay_on_their_line() -> None:
    """They neither break the table nor move the cursor of a terminal."""
    driven = Driven(transfer(straight)).rejected("debit.1", "Refused", "one\ntwo\x1b[2J\x9b" + "x" * 5000)
    lines = page(driven)
    assert len(lines) == 2
    assert lines[1].startswith("  debit.1  rejected   Refused: one two [2J x")
    assert len(lines[1]) < 300


def test_an_instance_that_is_not_stuck_has_a_page_without_commands() -> None:
    """Its calls, and since when it is what it is."""
    driven = Driven(transfer(straight))
    assert page(driven) == [
        "transfer-42 Transfer is RUNNING since 2026-01-01 00:00 UTC.",
        "  debit.1  in flight  (1 attempt)",
    ]


def test_attempts_are_counted_while_a_call_is_in_flight() -> None:
    """Those that failed, and the one that runs."""
    driven = Driven(transfer(straight))
    failure = Failure(type="OSError", message="lost")
    for number in (1, 2):
        driven.take(f.AttemptFailed(at=driven.at + SECOND, call="debit.1", attempt=number, failure=failure))
    assert page(driven)[1] == "  debit.1  in flight  OSError: lost (3 attempts)"
    driven.resumed()
    assert page(driven)[1] == "  debit.1  in flight  OSError: lost (4 attempts)"


# -- the view --------------------------------------------------------------------------


def test_the_view_tells_everything_that_the_journal_holds() -> None:
    """Calls, decisions, acts, and why recovery began."""
    driven = frozen()
    driven.retry()
    view = view_of(driven.instance)
    assert (view.id, view.saga, view.state, view.facts) == (
        "transfer-42",
        "Transfer",
        "COMPENSATING",
        len(driven.facts),
    )
    assert [(call.name, call.state.value) for call in view.calls] == [
        ("debit.1", "done"),
        ("credit.1", "rejected"),
        ("debit.1/compensation", "in flight"),
    ]
    assert [(act.act, act.by, act.why) for act in view.acts] == [("retry", "olga", "fixed")]
    assert view.reason == "rejected"
    assert view.request == "5"


def test_the_view_is_frozen_and_becomes_json() -> None:
    """It is for programs too."""
    view = view_of(frozen().instance)
    assert view.model_validate_json(view.model_dump_json()) == view
    with pytest.raises(ValueError, match="frozen"):
        view.id = "other"


# -- how it ended ----------------------------------------------------------------------


def test_a_compensated_instance_raises_why() -> None:
    """Reason, step, type, message and details."""
    details = {"limit": 7}
    driven = Driven(transfer(straight)).done("debit.1", '"p"')
    failure = Failure(type="AccountClosed", message="NL02", details=details)
    driven.take(f.CallRejected(at=driven.at + SECOND, call="credit.1", failure=failure)).compensate_all()
    error = ending_of(view_of(driven.instance))
    assert isinstance(error, SagaCompensatedError)
    assert (error.id, error.reason, error.step) == ("transfer-42", "rejected", "credit.1")
    assert (error.type, error.message, error.details) == ("AccountClosed", "NL02", details)
    assert str(error) == "Transfer transfer-42 was compensated (rejected): credit.1: AccountClosed: NL02"


def test_a_cancelled_instance_raises_who_asked_why() -> None:
    """In the words of whoever cancelled."""
    error = ending_of(view_of(Driven(transfer(straight)).cancel().rejected("debit.1").instance))
    assert str(error) == "Transfer transfer-42 was compensated (cancelled): no longer needed"


def test_a_stuck_instance_raises_its_page() -> None:
    """Whoever waits reads what the operator reads."""
    view = view_of(frozen().instance)
    error = ending_of(view)
    assert isinstance(error, SagaStuckError)
    assert str(error) == view.page()


def test_a_rejection_tells_the_call_the_type_and_the_words() -> None:
    """In `run`, and in the log of whoever lets it through."""
    error = StepRejected("shut", step="credit.1", type="AccountClosed")
    assert str(error) == "credit.1 was rejected: AccountClosed: shut"


# -- words -----------------------------------------------------------------------------


def test_messages_have_no_empty_parts() -> None:
    """An abort has no exception type, and many exceptions have no text."""
    assert str(Failure(type="", message="no longer needed")) == "no longer needed"
    assert str(Failure(type="KeyError", message="")) == "KeyError"
    assert str(StepInDoubt(step="debit.1")) == "debit.1 is in doubt"
    assert str(StepRejected("", step="debit.1", type="Refused")) == "debit.1 was rejected: Refused"
    driven = Driven(transfer(straight)).abort().done("debit.1", '"p"').compensate_all()
    assert str(ending_of(view_of(driven.instance))) == "Transfer transfer-42 was compensated (aborted): hopeless"


def test_a_headline_ends_with_one_full_stop() -> None:
    """Whatever the exception's text ends with."""

    async def program(saga: Steps, amount: int) -> str:
        raise KeyError("no such account.")

    assert page(Driven(transfer(program), replayed=False))[0].endswith("run raised KeyError: 'no such account.'.")

    async def other(saga: Steps, amount: int) -> str:
        raise LookupError("No such account.")

    assert page(Driven(transfer(other), replayed=False))[0].endswith("run raised LookupError: No such account.")


def test_a_refused_act_says_what_it_was_about_in_fields() -> None:
    """Programs need not read the message."""
    with pytest.raises(ActRefusedError) as caught:
        Driven(transfer(straight)).skip("debit.1")
    error = caught.value
    assert (error.saga, error.id, error.state, error.act) == ("Transfer", "transfer-42", "RUNNING", "skip debit.1")


def test_python_names_a_step_that_nobody_awaited(recwarn: pytest.WarningsRecorder) -> None:
    """By its saga and step, and not by a function of this library."""

    async def program(saga: Steps, amount: int) -> str:
        _ = saga.debit(amount)
        _ = saga.review()
        return ""

    Driven(transfer(program), replayed=False)
    gc.collect()
    told = [str(one.message) for one in recwarn]
    assert told == ["coroutine 'Transfer.review' was never awaited"]  # of a step the saga itself says so
