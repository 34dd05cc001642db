"""S12: keys come from id, step and call number; ids hold no `/`, no `~` and no control characters."""

import pytest

from saga.errors import InvalidIdError
from saga.kernel import ID_LENGTH, Role, action_key, check_id, child_id, role_name
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, transfer


async def twice(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.fee(1)
    await saga.debit(amount)
    return await saga.credit(amount)


def test_calls_of_a_step_are_numbered_from_one() -> None:
    """Each step counts its own calls."""
    driven = Driven(transfer(twice)).done("debit.1", '"a"').done("fee.1", '"b"')
    assert driven.registered == ["debit.1", "fee.1", "debit.2"]


async def test_the_key_is_the_id_and_the_call_and_the_role() -> None:
    """Participants see it, and may store it."""
    driven = Driven(transfer(twice)).in_doubt("debit.1")
    conducted = Conducted(transfer(twice), decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    await conducted.conduct()
    call = conducted.runtime.calls["debit.1/compensation"]
    assert (call.action_key, call.key) == ("transfer-42/debit.1", "transfer-42/debit.1/compensation")
    await conducted.leave()


async def test_the_key_is_the_same_for_the_next_owner() -> None:
    """A resume repeats the call under its key."""
    keys: set[str] = set()
    for _ in range(2):
        driven = Driven(transfer(twice))
        conducted = Conducted(transfer(twice), decider=driven.decider)
        conducted.runtime.facts = list(driven.facts)
        conducted.conductor.resumed(2, crashed=True)
        await conducted.conduct()
        keys.add(conducted.runtime.calls["debit.1"].key)
        await conducted.leave()
    assert keys == {"transfer-42/debit.1"}


def test_two_different_calls_never_share_a_key() -> None:
    """Ids, steps and children are kept apart by characters that they cannot hold."""
    keys = [
        action_key("a", "debit.1"),
        action_key("a", "debit.11"),
        action_key("a", "pay.1/debit.1"),
        action_key(child_id("a", "pay.1"), "fee.1"),
        role_name(action_key("a", "debit.1"), Role.COMPENSATION),
        role_name(action_key("a", "debit.1"), Role.CONFIRMATION),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("id_", ["a", "transfer-42", "Überweisung 7", "a.b:c|d#e", "x" * ID_LENGTH, "42"])
def test_an_id_is_any_printable_text(id_: str) -> None:
    """It is the business's own name for the instance."""
    assert check_id(id_) == id_


@pytest.mark.parametrize(
    ("id_", "why"),
    [
        ("", "not empty"),
        ("a/b", "'/'"),
        ("a~b", "'~'"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\x7fb", "control"),
        ("a\u202eb", "control"),
        ("a\ud800b", "control"),
        ("x" * (ID_LENGTH + 1), "at most 255"),
        (" a", "space"),
        ("a ", "space"),
        (42, "is a string"),
        (None, "is a string"),
    ],
)
def test_an_id_that_could_be_mistaken_is_refused(id_: str, why: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(InvalidIdError, match=why):
        check_id(id_)
