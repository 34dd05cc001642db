"""`demo`: hands its options to the example, and ends with the example's exit code."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Command

EXAMPLE = "saga._examples.money_transfer.demo"


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ((), {"transfers": 200, "kill": False, "as_json": False, "directory": None}),
        (
            ("--transfers", "3", "--kill", "--json", "--directory", "here"),
            {"transfers": 3, "kill": True, "as_json": True, "directory": "here"},
        ),
    ],
    ids=["defaults", "all"],
)
def test_options_reach_the_example(
    saga: Command, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], given: dict[str, Any]
) -> None:
    """The example gets every option, and says how the command ends."""
    seen: list[dict[str, Any]] = []

    def main(**options: Any) -> int:  # whatever the command gives
        seen.append(options)
        return 1

    monkeypatch.setitem(sys.modules, EXAMPLE, SimpleNamespace(main=main))  # the example itself has its own tests
    assert saga("demo", *options).code == 1
    assert seen == [given]


def test_an_installation_without_the_example(saga: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removed the example is told so, not shown a traceback."""
    monkeypatch.setitem(sys.modules, EXAMPLE, None)
    ended = saga("demo")
    assert (ended.code, ended.out) == (3, "")
    assert "holds no example" in ended.err
