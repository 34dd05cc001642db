"""The page of peer cases shows no unexplained gap, and lists the tests that there are."""

from tests.peer.page import PAGE, cases, marked


def test_every_case_has_a_test_or_a_reason() -> None:
    """A case that concerns this engine is tested here, or says why not; never both, never neither."""
    tests = marked()
    gaps = [case.id for case in cases() if not tests.get(case.id) and not case.reason]
    assert not gaps
    explained_and_tested = [case.id for case in cases() if tests.get(case.id) and case.reason]
    assert not explained_and_tested


def test_every_case_of_temporal_has_a_test_there_or_a_reason() -> None:
    """A case that concerns Temporal has a test that runs on it, or says why not; never both, never neither."""
    on_temporal = {case for case, tests in marked().items() if any("T" in engines for engines in tests.values())}
    concerned = [case for case in cases() if "T" in case.engines.split()]
    assert not [case.id for case in concerned if case.id not in on_temporal and not (case.reason or case.temporal)]
    assert not [case.id for case in cases() if case.id in on_temporal and case.temporal]


def test_every_mark_names_a_case() -> None:
    """A test cannot claim a case that does not exist."""
    assert set(marked()) <= {case.id for case in cases()}


def test_the_page_lists_the_tests_that_there_are() -> None:
    """The page in the documentation is of these tests."""
    text = PAGE.read_text(encoding="utf8")
    missing = [f"{case} {name}" for case, names in marked().items() for name in names if f"`{name}`" not in text]
    assert not missing
