"""What somebody may type that makes no sense, and what they are told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from saga import __version__
from tests.cli.conftest import Command, shown

WHO = ("--by", "me", "--why", "because")
DECIDE = ("decide", "t-1", "review", "true")
NEED_A_JOURNAL = [
    ("list",),
    ("show", "t-1"),
    ("facts", "t-1"),
    ("retry", "t-1", *WHO),
    ("skip", "t-1", "debit", *WHO),
    ("resolve", "t-1", "debit", "--did-not-happen", *WHO),
    ("abort", "t-1", *WHO),
    ("cancel", "t-1", *WHO),
    (*DECIDE, *WHO),
    ("diagram", "--id", "t-1"),
    ("purge", "--older-than", "1d"),
]


def test_help_names_every_command_the_exit_codes_and_examples(saga: Command) -> None:
    """`saga --help` is enough to get going."""
    ended = saga("--help")
    assert ended.code == 0
    commands = "demo list show retry skip resolve abort cancel decide facts diagram check worker recover purge"
    for command in commands.split():
        assert f"\n  {command} " in ended.out
    for code in range(6):
        assert f"\n    {code}  " in ended.out
    assert "saga retry transfer-42 --by YOU" in ended.out


def test_no_command_shows_the_help(saga: Command) -> None:
    """`saga` alone explains itself, and is an error for a script."""
    ended = saga()
    assert (ended.code, "Commands:" in ended.out + ended.err) == (2, True)


@pytest.mark.parametrize(
    "arguments", [*NEED_A_JOURNAL, ("worker",), ("recover",), ("check",), ("demo",)], ids=lambda arguments: arguments[0]
)
def test_every_command_has_help_with_an_example(saga: Command, arguments: tuple[str, ...]) -> None:
    """The help of a command shows how it is called."""
    ended = saga(arguments[0], "--help")
    assert ended.code == 0
    assert f"\n    saga {arguments[0]} " in ended.out


def test_the_version(saga: Command) -> None:
    """`saga --version` says which library this is."""
    assert saga("--version") == (0, f"saga {__version__}\n", "")


def test_help_loads_no_database_library() -> None:
    """Asking for help does not wait for SQLAlchemy."""
    code = "import sys; from saga.cli import main; sys.argv = ['saga', '--help']\n"
    code += "try: main()\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "typer" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "alembic", "psycopg", "tenacity"})


@pytest.mark.parametrize("arguments", NEED_A_JOURNAL, ids=lambda arguments: arguments[0])
def test_a_missing_database_is_said(saga: Command, arguments: tuple[str, ...]) -> None:
    """Without a journal's place, a command says how to name it."""
    ended = saga(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "SAGA_DATABASE" in ended.err


def test_the_environment_may_name_the_journal(saga: Command, journal: str) -> None:
    """SAGA_DATABASE does what --database does, and --database comes first."""
    assert saga("show", "done-1", env={"SAGA_DATABASE": journal}).code == 0
    assert saga("show", "done-1", database=journal, env={"SAGA_DATABASE": "sqlite:///none.db"}).code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing",), "No such command"),
        (("show",), "Missing argument"),
        (("show", "t-1", "t-2"), "unexpected extra argument"),
        (("list", "--nothing"), "No such option"),
        (("list", "--state", "FAILED"), "stuck"),
        (("list", "--limit", "-1"), "--limit"),
        (("list", "--limit", "many"), "--limit"),
        (("list", "--since", "yesterday"), "'yesterday' is no time"),
        (("list", "--before", "2026-13-01"), "'2026-13-01' is no time"),
        (("list", "--count", "--state", "stuck"), "--count goes with --saga only"),
        (("purge",), "--older-than"),
        (("purge", "--older-than", "30"), "'30' is no duration"),
        (("purge", "--older-than", "-3d"), "'-3d' is no duration"),
        (("purge", "--older-than", "9999999w"), "longer than a hundred years"),
        (("demo", "--transfers", "0"), "--transfers"),
        (("diagram",), "name one thing to draw"),
        (("diagram", "--states", "--id", "t-1"), "name one thing to draw"),
    ],
    ids=shown,
)
def test_a_command_line_that_makes_no_sense(saga: Command, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, and one message that names what is wrong."""
    ended = saga(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("retry", "t-1"), "give --by NAME and --why TEXT"),
        (("retry", "t-1", "--by", "me"), "give --why TEXT"),
        (("skip", "t-1", "debit", "--by", " ", "--why", "x"), "give --by NAME"),
        (("cancel", "t-1", "--why", "x"), "give --by NAME"),
        (("abort", "t-1", "--by", "me", "--why", ""), "give --why TEXT"),
        (DECIDE, "give --by NAME"),
        (("retry", "t-1", "--by", "m" * 201, "--why", "x"), "--by: String should have at most 200 characters"),
        (("retry", "t-1", "--by", "m", "--why", "x" * 2001), "--why: String should have at most 2000 characters"),
        (("retry", "t-1", *WHO, "--timeout", "-1"), "--timeout"),
        (("retry", "t-1", *WHO, "--timeout", "nan"), "--timeout"),
        (("retry", "t-1", *WHO, "--timeout", "inf"), "--timeout"),
        (("resolve", "t-1", "credit", *WHO), "either --happened OUTPUT or --did-not-happen"),
        (("resolve", "t-1", "credit", "--happened", "1", "--did-not-happen", *WHO), "either --happened OUTPUT or"),
        (("resolve", "t-1", "credit", "--happened", "{id: 1}", *WHO), "the output is no JSON"),
        (("resolve", "t-1", "credit", "--happened", "NaN", *WHO), "NaN is no JSON"),
        (("resolve", "t-1", "credit", "--happened", "[" * 100_000, *WHO), "the output is no JSON"),
        (("resolve", "t-1", "credit/probe", "--happened", "1", *WHO), "is a probe; name the call alone, credit"),
        (("decide", "t-1", "review", "yes", *WHO), "the answer is no JSON"),
        (("skip", "t-1", "debit.0", *WHO), "'debit.0' names no call"),
        (("skip", "t-1", "debit.one", *WHO), "'debit.one' names no call"),
        (("skip", "t-1", "", *WHO), "'' names no call"),
        (("skip", "t-1", "pay/debit.1", *WHO), "'pay/debit.1' names no call"),
        (("skip", "t-1", "debit.1.2", *WHO), "'debit.1.2' names no call"),
    ],
    ids=shown,
)
def test_an_act_that_makes_no_sense(saga: Command, journal: str, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2 before the journal is touched, and one message that names what is wrong."""
    ended = saga(*arguments, database=journal)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("--nothing",),
        ("show",),
        ("list", "--limit", "-1"),
        ("purge", "--older-than", "3"),
        ("check", "x y"),
    ],
    ids=shown,
)
def test_programs_are_told_in_json_what_makes_no_sense(saga: Command, arguments: tuple[str, ...]) -> None:
    """With --json an error is JSON on standard error, those of the command line among them."""
    ended = saga(*arguments, "--json")
    assert (ended.code, ended.out) == (2, "")
    error = json.loads(ended.err)["error"]
    assert (error["type"], error["exit_code"]) == ("UsageError", 2)
    assert error["message"]


@pytest.mark.parametrize("id", ["", "a\x1bb", "a\nb"], ids=ascii)
def test_an_id_that_can_be_none(saga: Command, journal: str, id: str) -> None:
    """An empty id, or one with control characters, is refused and shown harmlessly."""
    ended = saga("show", id, database=journal)
    assert (ended.code, ended.out) == (2, "")
    assert "can be no saga's id" in ended.err
    assert "\x1b" not in ended.err


def test_secrets_on_the_command_line_are_not_repeated(saga: Command, journal: str) -> None:
    """An output or a URL that cannot be read is not shown again: both may hold secrets."""
    ended = saga("resolve", "t-1", "credit", "--happened", "{s3cret", *WHO, database=journal)
    assert "s3cret" not in ended.out + ended.err
    ended = saga("list", database="postgresql://me:s3cret@[host/x")
    assert (ended.code, "s3cret" in ended.out + ended.err) == (3, False)


def test_a_bug_of_the_command_is_no_answer(tmp_path: Path) -> None:
    """What nobody foresaw ends with a traceback and an exit code that no script takes for a no."""
    code = "import saga.cli._reading as reading, sys; from saga.cli import main\n"
    code += "def bug(*_): raise LookupError('a bug')\nreading.opened = bug\n"
    code += "sys.argv = ['saga', 'list', '--database', 'sqlite:///x.db']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "LookupError: a bug" in done.stderr
