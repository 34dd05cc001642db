"""The page of peer cases: which behaviours of other systems' suites have a test here, and how it ended.

`uv run pytest --peer-page=docs/peer-cases.md` writes it; `test_page.py` compares it with the tests there are.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "peer-cases.md"

HEAD = """# Peer cases

What the suites of other systems check, in our words, and our test for it on the embedded engine.
The names of the sources: LRA is MicroProfile LRA's TCK, DTM dtm, MTC MassTransit Courier, EVT Eventuate Tram Sagas,
TJS and TFE and TPY Temporal (Java helper, features, Python), DBO DBOS, RST Restate, SEA Seata, PSO
python-saga-orchestrator, JEP Jepsen; NEW are cases that none of them checks.

Written by `uv run pytest --peer-page=docs/peer-cases.md`.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour: its id, what is given, what happens, what must hold, and why it has no test if it has none."""

    id: str
    section: str
    given: str
    when: str
    then: str
    engines: str
    source: str
    reason: str = ""


def cases() -> list[Case]:
    """Every case, in order."""
    with (HERE / "cases.toml").open("rb") as file:
        return [Case(**case) for case in tomllib.load(file)["case"]]


def page(results: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page; `results` holds the outcome of each test, by case and test."""
    lines = [HEAD]
    section = ""
    for case in cases():
        if case.section != section:
            section = case.section
            lines += ["", f"## {section}", "", "| case | behaviour | test | result |", "| --- | --- | --- | --- |"]
        tests = results.get(case.id, {})
        behaviour = f"{case.given}; {case.when}: {case.then}"
        if tests:
            names = "<br>".join(f"`{name}`" for name in sorted(tests))
            outcome = "passed" if set(tests.values()) == {"passed"} else ", ".join(sorted(set(tests.values())))
            lines.append(f"| {case.id} | {behaviour} | {names} | {outcome} |")
        else:
            lines.append(f"| {case.id} | {behaviour} | - | {case.reason or 'no test'} |")
    return "\n".join(lines) + "\n"
