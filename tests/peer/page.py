"""The page of peer cases: which behaviours of other systems' suites have a test here, and how it ended.

`uv run pytest --peer-page=docs/peer-cases.md` writes it; `test_page.py` compares it with the tests there are.
"""

import ast
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent
MARK = "pytest.mark.peer"
BOTH = "opened"
"""The fixture of tests that run on both engines."""
PAGE = HERE.parents[1] / "docs" / "peer-cases.md"

HEAD = """# Peer cases

What the suites of other systems check, in our words, and our test for it. E is a test on the embedded engine,
T one on Temporal, and "E T" one that runs on both.
The names of the sources: LRA is MicroProfile LRA's TCK, DTM dtm, MTC MassTransit Courier, EVT Eventuate Tram Sagas,
TJS and TFE and TPY Temporal (Java helper, features, Python), DBO DBOS, RST Restate, SEA Seata, PSO
python-saga-orchestrator, JEP Jepsen; NEW are cases that none of them checks.

Written by `uv run pytest --peer-page=docs/peer-cases.md`.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour: its id, what is given, what happens, what must hold, and why it has no test if it has none.

    Attributes:
        engines: Whom it concerns: E the embedded engine, T Temporal, K choreography.
        reason: Why no test here covers it.
        temporal: Why no test on Temporal covers it, though it concerns Temporal and has another test.
    """

    id: str
    section: str
    given: str
    when: str
    then: str
    engines: str
    source: str
    reason: str = ""
    temporal: str = ""


def cases() -> list[Case]:
    """Every case, in order."""
    with (HERE / "cases.toml").open("rb") as file:
        return [Case(**case) for case in tomllib.load(file)["case"]]


def marked() -> dict[str, dict[str, str]]:
    """The tests that carry `@pytest.mark.peer`, with the engines they run on, by case; read from their source."""
    found: dict[str, dict[str, str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for case in _cases_of(node):
                    found.setdefault(case, {})[node.name] = _engines_of(node, path)
    return found


def _cases_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    marks = [one for one in test.decorator_list if isinstance(one, ast.Call) and ast.unparse(one.func) == MARK]
    return [ast.literal_eval(id_) for mark in marks for id_ in mark.args]


def _engines_of(test: ast.FunctionDef | ast.AsyncFunctionDef, path: Path) -> str:
    if BOTH in {one.arg for one in test.args.args} or path.name.startswith("test_differential"):
        return "E T"
    return "T" if path.parent.name == "temporal" or path.name == "test_on_temporal.py" else "E"


def page(results: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page; `results` holds the outcome of each test, by case and test."""
    lines, engines = [HEAD], marked()
    section = ""
    for case in cases():
        if case.section != section:
            section = case.section
            lines += ["", f"## {section}", "", "| case | behaviour | test | result |", "| --- | --- | --- | --- |"]
        tests = results.get(case.id, {})
        behaviour = f"{case.given}; {case.when}: {case.then}"
        if tests:
            names = "<br>".join(f"`{name}` {engines.get(case.id, {}).get(name, '')}".strip() for name in sorted(tests))
            outcome = "passed" if set(tests.values()) == {"passed"} else ", ".join(sorted(set(tests.values())))
            outcome += f"; not on Temporal: {case.temporal}" if case.temporal else ""
            lines.append(f"| {case.id} | {behaviour} | {names} | {outcome} |")
        else:
            lines.append(f"| {case.id} | {behaviour} | - | {case.reason or 'no test'} |")
    return "\n".join(lines) + "\n"
