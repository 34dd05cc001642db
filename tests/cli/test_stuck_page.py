"""The page of a STUCK saga: its commands work when they are pasted, and its places are those of the reader."""

import asyncio
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from saga import Compensatable, Effect, EmbeddedEngine, Pivot, Saga, SagaStuckError, StepRejected
from saga.cli._page import page_of
from saga.cli._place import Place
from saga.embedded import Journal
from saga.kernel import positional
from tests.cli.conftest import Command

HOSTILE = (
    "a b",
    "it's",
    "-x",
    "--json",
    "$(touch pwned)",
    '"q" `w`',
    "a;b & c|d",
    "*",
    "!x",
    "#1",
    "-x 'y'",
    "-",
    "ünï 漢字",
    r"a\b %s {x}",
)

WHO = ("--by", "YOU", "--why", "...")
AFTER = {"-": ("--",)}


def hold(number: int) -> int:
    """Hold something."""
    return number


def release(effect: Effect[int, int]) -> None:
    """Refuse to let it go."""
    raise StepRejected(f"kept {effect.input}")


def refuse(number: int) -> int:
    """Always refuse."""
    raise StepRejected(f"no {number}\nbecause of\n  that" if number == 3 else f"no {number}")


class Hold(Saga):
    """Is STUCK: what it holds is not released; with a 0 its code is at fault."""

    hold = Compensatable(hold).compensated_by(release)
    go = Pivot(refuse)

    async def run(self, number: int) -> int:
        """Hold, then go."""
        await self.hold(number)
        return await self.go(10 // number)


async def _stick(url: str, ids: tuple[str, ...], number: int) -> None:
    async with EmbeddedEngine(url, sagas=[Hold]) as engine:
        for id in ids:
            with pytest.raises(SagaStuckError):
                await engine.run(Hold, number, id=id)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a journal whose instances have ids that a shell would read as something else."""
    url = f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'journal.db'}"
    asyncio.run(_stick(url, HOSTILE, 1))
    asyncio.run(_stick(url, ("bug",), 0))
    return url


def pasted(out: str) -> list[str]:
    """Return what somebody copies from the end of the page: whole lines."""
    return out.rpartition("Nothing else will run until someone acts:\n")[2].splitlines()


def shown(saga: Command, url: str, id: str) -> str:
    """Return what `saga show` prints about an instance, whatever its id."""
    ended = saga("show", "--database", url, "--", id)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


@pytest.mark.parametrize("id", HOSTILE)
def test_every_command_of_the_page_can_be_pasted(saga: Command, hostile: str, tmp_path: Path, id: str) -> None:
    """A shell and the command line read each line as it is meant, and run nothing that an id may spell."""
    shell = 'saga() { "$PYTHON" -c \'import json, sys; print(json.dumps(sys.argv[1:]))\' "$@"; }\n'
    shell += "\n".join(pasted(shown(saga, hostile, id)))
    environment = {"PYTHON": sys.executable}
    done = subprocess.run(
        ["sh", "-c", shell], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stderr, list(tmp_path.iterdir())) == ("", [])
    retry, skip = [json.loads(line) for line in done.stdout.splitlines()]
    assert [word for word in retry if word not in WHO] == ["retry", *AFTER.get(id[0], ()), id]
    assert [word for word in skip if word not in WHO] == ["skip", *AFTER.get(id[0], ()), id, "hold.1"]
    for words in (retry, skip):
        ended = (
            saga(*words, "--no-wait", "--database", hostile)
            if id[0] != "-"
            else saga(words[0], "--no-wait", "--database", hostile, *words[1:])
        )
        assert (ended.code, ended.out) == (5, "")
        assert ended.err.startswith(f"{id}: {words[0]} ")


@pytest.mark.parametrize("id", HOSTILE)
def test_every_command_that_looks_takes_every_id(saga: Command, hostile: str, id: str) -> None:
    """Behind `--` an id is an id, and the value of an option stands in its word."""
    for looking in (("facts",), ("show", "--json")):
        ended = saga(*looking, "--database", hostile, "--", id)
        assert (ended.code, ended.err) == (0, "")
    assert json.loads(saga("show", "--json", "--database", hostile, "--", id).out)["id"] == id
    assert saga("diagram", f"--id={id}", database=hostile).code == 0
    listed = json.loads(saga("list", f"--prefix={id}", "--json", database=hostile).out)["instances"]
    assert id in [one["id"] for one in listed]
    assert f"\n{id}  " in saga("list", database=hostile).out


def test_a_pasted_page_reaches_the_journal(saga: Command, hostile: str) -> None:
    """The page pasted into a real shell leaves a request in the journal that it came from."""
    id = "-x 'y'"
    export, retry, _ = pasted(shown(saga, hostile, id))
    act = retry.replace("saga ", f"{shlex.quote(sys.executable)} -m saga.cli ").replace("--by", "--no-wait --by")
    done = subprocess.run(["sh", "-c", f"{export}\n{act}"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith(f"{id}: retry is queued")


def test_arguments_are_quoted_only_where_they_must_be() -> None:
    """An ordinary id stays as it is."""
    assert positional("transfer-42", "debit.1") == "transfer-42 debit.1"


def test_a_place_with_a_password_is_not_repeated(hostile: str) -> None:
    """Only the place of a file is put into a command: other URLs may hold secrets."""
    with Journal.open(hostile) as journal:
        view = journal.view("bug")
    assert "sqlite:///a.db" in page_of(view, Place("sqlite:///a.db"))
    assert "s3cret" not in page_of(view, Place("postgresql://me:s3cret@host/x"))


def test_places_are_those_of_the_reader(
    saga: Command, hostile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback names files from the folder that the reader is in; elsewhere, with their whole path."""
    monkeypatch.chdir(Path(__file__).parents[2])
    assert 'File "tests/cli/test_stuck_page.py", line' in shown(saga, hostile, "bug")
    monkeypatch.chdir(tmp_path)
    assert f'File "{__file__}", line' in shown(saga, hostile, "bug")
    assert "ZeroDivisionError" in shown(saga, hostile, "bug")


def test_a_message_of_many_lines_stays_one(saga: Command, tmp_path: Path) -> None:
    """A headline of several lines, such as pydantic's, is told line by line where it belongs."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    asyncio.run(_stick(url, ("m",), 3))
    out = saga("show", "m", database=url).out
    assert "\nreason    rejected: StepRejected: no 3\n          because of\n            that\n" in out
    assert "\n                StepRejected: no 3\n                because of\n                  that\n" in out
    assert "\\n" not in out
