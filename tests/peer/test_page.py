"""The page of peer cases shows no unexplained gap, and lists the tests that there are."""

import ast
from pathlib import Path

from tests.peer.page import PAGE, cases

TESTS = Path(__file__).parents[1]


def marked() -> dict[str, set[str]]:
    """The tests that carry `@pytest.mark.peer`, by case, read from their source."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.peer":
                        for id_ in mark.args:
                            found.setdefault(ast.literal_eval(id_), set()).add(node.name)
    return found


def test_every_case_has_a_test_or_a_reason() -> None:
    """A case that concerns this engine is tested here, or says why not; never both, never neither."""
    tests = marked()
    gaps = [case.id for case in cases() if not tests.get(case.id) and not case.reason]
    assert not gaps
    explained_and_tested = [case.id for case in cases() if tests.get(case.id) and case.reason]
    assert not explained_and_tested


def test_every_mark_names_a_case() -> None:
    """A test cannot claim a case that does not exist."""
    assert set(marked()) <= {case.id for case in cases()}


def test_the_page_lists_the_tests_that_there_are() -> None:
    """The page in the documentation is of these tests."""
    text = PAGE.read_text(encoding="utf8")
    missing = [f"{case} {name}" for case, names in marked().items() for name in names if f"`{name}`" not in text]
    assert not missing
