"""Journals that older versions of the library wrote go on with today's."""

import json
from typing import get_args

import pytest

from saga.kernel import Fact, Instance, definition_of, encode_fact, replay, resume, view_of
from saga.kernel import _facts as f
from tests.kernel._golden import FOLDER, STORIES, read

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def facts_of(name: str) -> list[Fact]:
    """The facts of a journal that was kept."""
    return read(FOLDER / f"{name}.json")


def test_every_story_has_a_journal() -> None:
    """`python -m tests.kernel._golden` writes those that are missing."""
    assert sorted(STORIES) == NAMES
    assert len(NAMES) >= 13


def test_every_kind_of_fact_is_kept() -> None:
    """A new kind of fact needs a story."""
    kept = {type(fact) for name in NAMES for fact in facts_of(name)}
    assert {kind.__name__ for kind in get_args(f.Fact)} - {kind.__name__ for kind in kept} == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_journal_is_read_and_written_as_it_is(name: str) -> None:
    """Byte for byte, as far as this version knows it."""
    rows = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert [[encode_fact(fact), fact.payload] for fact in facts_of(name)] == rows


@pytest.mark.parametrize("name", NAMES)
def test_todays_code_replays_a_kept_journal(name: str) -> None:
    """It concludes what the journal holds; nothing is missing at the end, unless a bug was fixed since."""
    facts = facts_of(name)
    again = replay(definition_of(STORIES[name].saga), facts)
    expected = ["CallRegistered"] if name == "bug" else []
    assert [fact.fact for fact in again.out] == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_of_a_kept_journal_can_be_resumed(name: str) -> None:
    """Wherever the owner crashed."""
    facts = facts_of(name)
    for end in range(1, len(facts) + 1):
        decider = resume(definition_of(STORIES[name].saga), facts[:end])
        assert not any(one.reason == "code does not fit the journal" for one in decider.instance.stuck), end
        expected = [fact.fact for fact in facts[end : end + len(decider.out)]]
        if name not in {"bug", "poisoned"}:
            assert [fact.fact for fact in decider.out] == expected, end


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_journal_can_be_shown_without_its_code(name: str) -> None:
    """The operator's page needs no saga class."""
    view = view_of(Instance().fold_all(facts_of(name)))
    assert view.page().startswith(f"{view.id} {view.saga} is {view.state} since ")
