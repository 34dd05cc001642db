"""`check` and `diagram`: saga classes found by the names of their modules."""

import json
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from saga.kernel import class_diagram, definition_of, states_diagram
from tests.cli import _bank
from tests.cli.conftest import Command

BANK = "tests.cli._bank"

FAULTY = """
from saga import Compensatable, Pivot, ReadOnly, Saga

def one(number: int) -> int: return number

class Faulty(Saga):
    hold = Compensatable(one)
    first = Pivot(one)
    second = Pivot(one)

    async def run(self, number: int) -> int:
        return number
"""

CHANCY = """
import time
from saga import ReadOnly, Saga

def one(number: int) -> int: return number

class Chancy(Saga):
    look = ReadOnly(one)

    async def run(self, number: int) -> int:
        return int(time.time())
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that commands are called in; what they import from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return tmp_path


def module(folder: Path, text: str) -> str:
    """Write a module under a name that was never imported, and return the name."""
    name = f"module_{uuid4().hex}"
    (folder / f"{name}.py").write_text(text)
    return name


def test_a_class_that_can_run(saga: Command) -> None:
    """A class without faults is said to be fine, with its steps."""
    ended = saga("check", f"{BANK}:MoneyTransfer")
    told = "debit (compensatable), credit (pivot), notify (retriable); decisions review"
    assert ended == (0, f"MoneyTransfer can run: {told}\n", "")


def test_a_module_is_checked_whole(saga: Command) -> None:
    """Without a class, all saga classes that the module defines are checked."""
    value = json.loads(saga("check", BANK, "--json").out)
    assert list(value) == ["ok", "saga", "faults", "sagas", "warnings"]
    definition = definition_of(_bank.MoneyTransfer)
    assert value["sagas"] == [
        {
            "saga": "MoneyTransfer",
            "steps": ["debit", "credit", "notify"],
            "decisions": ["review"],
            "fingerprint": definition.fingerprint,
        }
    ]
    assert (value["ok"], value["saga"], value["faults"], value["warnings"]) == (True, None, [], [])


def test_all_faults_are_printed(saga: Command, written: Path) -> None:
    """Every fault comes with file and line; exit code 1."""
    name = module(written, FAULTY)
    ended = saga("check", f"{name}:Faulty")
    assert (ended.code, ended.err) == (1, "")
    heading, *faults = ended.out.splitlines()
    assert heading.startswith("Faulty cannot run, 2 faults (")
    assert f"{name}.py:7  hold: no compensation" in ended.out
    assert f"{name}.py:9  second: " in ended.out
    assert faults


def test_faults_as_json(saga: Command, written: Path) -> None:
    """Programs get where, name and text of every fault."""
    name = module(written, FAULTY)
    ended = saga("check", name, "--json")
    value = json.loads(ended.out)
    assert (ended.code, value["ok"], value["saga"]) == (1, False, "Faulty")
    assert [list(fault) for fault in value["faults"]] == [["where", "name", "text"]] * 2
    assert [fault["name"] for fault in value["faults"]] == ["hold", "second"]


def test_what_a_replay_would_not_repeat_is_warned_of(saga: Command, written: Path) -> None:
    """A clock in `run` is no fault of the class, but it is told."""
    name = module(written, CHANCY)
    ended = saga("check", f"{name}:Chancy")
    assert ended.code == 0
    assert "warning: Chancy.run calls time.time()" in ended.out


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("", "names no saga class"),
        (":MoneyTransfer", "names no saga class"),
        (f"{BANK}:", "names no saga class"),
        ("no.such.module:Class", "No module named 'no'; modules are looked for here"),
        ("transfers.py:Class", "write module:Class, such as transfers:Class"),
        ("shop/sagas.py", "write module:Class, such as shop.sagas:Class"),
        (f"{BANK}:Nothing", "has no Nothing; its saga classes: MoneyTransfer"),
        (f"{BANK}:Review", "is no saga class"),
        (f"{BANK}:bank", "is no class"),
        ("json", "json defines no saga class"),
        ("..relative:Class", "names no saga class"),
    ],
)
def test_a_target_that_names_no_class(saga: Command, target: str, told: str) -> None:
    """Exit code 2, and what there is instead."""
    ended = saga("check", target)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nx.nothing\n", "AttributeError: 'int' object has no attribute 'nothing' (NAME.py:2)"),
        ("def (\n", "SyntaxError: invalid syntax (NAME.py, line 1)"),
        ("import sys\nsys.exit(0)\n", "it ends the process (SystemExit: 0); let it do so only beneath if __name__"),
        ("class Odd(BaseException): ...\nraise Odd\n", "Odd (NAME.py:2)"),
        ("import no_such_dependency\n", "ModuleNotFoundError: No module named 'no_such_dependency' (NAME.py:1)"),
        ("import json\n\njson.loads('')\n", "JSONDecodeError: Expecting value: line 1 column 1 (char 0) (NAME.py:3)"),
        ("raise ValueError('\\x1b[2J')\n", "ValueError: \\x1b[2J (NAME.py:1)"),
    ],
)
def test_a_module_that_cannot_be_imported(saga: Command, written: Path, text: str, told: str) -> None:
    """What a module does wrong is told in one line, with the last place in it that ran, and no traceback."""
    name = module(written, text)
    ended = saga("check", f"{name}:Class")
    assert (ended.code, ended.out) == (3, "")
    assert f"Error: {name} cannot be imported: {told.replace('NAME', name)}" in ended.err
    assert "Traceback" not in ended.err
    as_json = saga("diagram", f"{name}:Class", "--json")
    assert (as_json.code, as_json.out) == (3, "")
    assert json.loads(as_json.err)["error"]["type"] == "ModuleImportError"


def test_a_module_sees_no_arguments_of_ours_and_prints_into_nothing_of_ours(saga: Command, written: Path) -> None:
    """A module that reads arguments gets none, and what it prints goes to standard error."""
    name = module(written, f"import sys\nprint('loaded', *sys.argv)\nfrom {BANK} import bank\n{CHANCY}")
    before = sys.argv
    ended = saga("check", f"{name}:Chancy", "--json")
    assert json.loads(ended.out)["ok"]
    assert ended.err == f"loaded {name}\n"
    assert sys.argv is before


def test_an_interrupted_import_is_an_interruption(saga: Command, written: Path) -> None:
    """Ctrl-C is nobody's fault."""
    assert saga("check", module(written, "raise KeyboardInterrupt\n")).code == 130


def test_an_installed_command_finds_modules_where_it_is_called(tmp_path: Path) -> None:
    """`saga check shop:Order` works in the folder of shop.py."""
    name = module(tmp_path, CHANCY)
    command = [str(Path(sys.executable).with_name("saga")), "check", f"{name}:Chancy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Chancy can run: look (read-only)")


def test_the_diagram_of_a_class(saga: Command) -> None:
    """A class is drawn as the kernel draws it, for people and for programs."""
    expected = class_diagram(definition_of(_bank.MoneyTransfer))
    assert saga("diagram", f"{BANK}:MoneyTransfer") == (0, expected, "")
    assert json.loads(saga("diagram", f"{BANK}:MoneyTransfer", "--json").out) == {"mermaid": expected}


def test_the_diagram_of_the_states(saga: Command) -> None:
    """The states are drawn from the table that the kernel uses."""
    assert saga("diagram", "--states") == (0, states_diagram(), "")


def test_a_diagram_needs_one_class(saga: Command, written: Path) -> None:
    """A module is no class, and a class with faults is not drawn."""
    assert "names no class" in saga("diagram", BANK).err
    ended = saga("diagram", f"{module(written, FAULTY)}:Faulty")
    assert (ended.code, ended.out, "Faulty cannot run" in ended.err) == (1, "", True)
