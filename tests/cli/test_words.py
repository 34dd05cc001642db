"""What a hostile or hurried user types, and the words that answer: each is told once, in terms of what was typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from saga.cli._text import plain
from tests.cli.conftest import Command, shown
from tests.cli.test_classes import module, written

__all__ = ("written",)

BY = ("--by", "me")
WHO = (*BY, "--why", "because")
BROKEN = "a\udcff"

UNFINISHED = """
from saga import ReadOnly, Saga

def one(number: int) -> int: return number

class Shared(Saga):
    look = ReadOnly(one)

class Fine(Shared):
    async def run(self, number: int) -> int:
        return await self.look(number)

class Unfinished(Saga):
    look = ReadOnly(one)

class Forgotten(Saga):
    look = ReadOnly(one)
"""


# -- classes without run -----------------------------------------------------------------


def test_a_class_without_run_is_a_fault(saga: Command, written: Path) -> None:
    """Checking a module tells of every class that nothing can run; a base that others finish is none of them."""
    name = module(written, UNFINISHED)
    ended = saga("check", name)
    assert ended.code == 1
    assert f"{name}.py:13  run: Unfinished is no saga class with a run method" in ended.out
    assert f"{name}.py:16  run: Forgotten is no saga class with a run method" in ended.out
    assert "Shared" not in ended.out
    told = json.loads(saga("check", name, "--json").out)
    assert (told["ok"], [one["name"] for one in told["faults"]]) == (False, ["run", "run"])


def test_a_class_without_run_that_is_named_is_a_fault(saga: Command, written: Path) -> None:
    """The exit code is that of a fault, also where the class was asked for by name."""
    name = module(written, UNFINISHED)
    for target in (f"{name}:Unfinished", f"{name}:Shared"):
        ended = saga("check", target)
        assert (ended.code, "no saga class with a run method" in ended.out) == (1, True)
    assert saga("check", f"{name}:Fine").code == 0


def test_what_was_never_a_saga_has_no_fault(saga: Command) -> None:
    """A class of somebody else is not told to mend itself, and Saga is what others derive from."""
    for target in ("json:JSONDecoder", "saga:Saga"):
        ended = saga("check", target)
        assert (ended.code, ended.out) == (2, "")
        assert f"{target} is no saga class" in ended.err
        assert "fault" not in ended.err


# -- text that is none -------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", BROKEN),
        ("list", "--saga", BROKEN),
        ("list", "--prefix", BROKEN),
        ("diagram", "--id", BROKEN),
        ("retry", "t-1", "--by", BROKEN, "--why", "x"),
        ("retry", "t-1", *BY, "--why", BROKEN),
        ("decide", "t-1", "review", f'"{BROKEN}"', *BY),
        ("purge", "--older-than", "1d", "--saga", BROKEN),
        ("demo", "--directory", BROKEN),
        ("check", BROKEN),
        (BROKEN,),
        ("list", "--database", f"sqlite:///{BROKEN}.db"),
    ],
    ids=lambda arguments: ascii(arguments[0]),
)
def test_bytes_that_are_no_text(saga: Command, journal: str, arguments: tuple[str, ...]) -> None:
    """Bytes that are no UTF-8 are named as such, before anything looks at them; also as JSON."""
    ended = saga(*arguments, env={"SAGA_DATABASE": journal})
    assert (ended.code, ended.out) == (2, "")
    number = next(place for place, one in enumerate(arguments, start=1) if "\udcff" in one)
    assert f"word {number} of the command line is no text: it holds bytes that are not UTF-8" in ended.err
    told = json.loads(saga(*arguments, "--json", env={"SAGA_DATABASE": journal}).err)["error"]
    assert (told["type"], told["exit_code"]) == ("UsageError", 2)


def test_an_answer_from_standard_input_that_is_no_text(journal: str) -> None:
    """What is piped in may be anything; it is told what is expected."""
    command = [sys.executable, "-m", "saga.cli", "decide", "t-1", "review", "-", *BY, "--database", journal]
    done = subprocess.run(command, input=b'"\xff"', capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert b"the answer is no JSON: it holds bytes that are not UTF-8" in done.stderr


# -- words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("decide", "t-1", "", "true", *BY), "'' names no decision; write a decision and which use of it in run"),
        (("decide", "t-1", "review.0", "true", *BY), "'review.0' names no decision; "),
        (("decide", "t-1", "review/probe", "true", *BY), "'review/probe' names no decision; "),
        (("list", "--state", "lost"), "Error: Invalid value for '--state': 'lost' is not one of"),
        (("list", "--limit", "9" * 30), "--limit"),
        (("diagram", "--id", ""), "'' can be no saga's id"),
    ],
    ids=shown,
)
def test_a_word_that_makes_no_sense(saga: Command, journal: str, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, and the words for what was asked: a decision is no step."""
    ended = saga(*arguments, database=journal)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.split())
    assert "Value error" not in ended.err


def test_the_help_of_decide_names_decisions(saga: Command) -> None:
    """Its examples would be understood by a saga that declares them."""
    examples = saga("decide", "--help").out.rpartition("Examples:")[2]
    assert "saga decide order-7 approval " in examples
    assert " size " not in examples


def test_words_of_pydantic_are_left_out() -> None:
    """Whoever reads a message did not ask which library found the mistake."""
    assert plain("approved: Value error, must be true") == "approved: must be true"
    assert plain("Assertion failed, too late") == "too late"
    assert plain("a value error, as such") == "a value error, as such"


def test_a_module_that_fails_with_many_lines(saga: Command, written: Path) -> None:
    """The place stands where the eye looks first, and the lines after it stay lines."""
    name = module(written, "raise ValueError('two mistakes\\n  one\\n  two')\n")
    ended = saga("check", name)
    assert (ended.code, ended.out) == (3, "")
    assert f"Error: {name} cannot be imported: ValueError: two mistakes ({name}.py:1)\n    one\n    two\n" == ended.err
