"""Right code passes both type checkers, and wrong code gets an error that its author can read.

The files in tests/typing are read by mypy and pyright and never executed. A line that must be refused ends
with what the checkers must say there, as regular expressions that are searched for in their messages:

    await self.debit("five")  # mypy: "expected "Debit"" # pyright: "not assignable to "Debit""

Every other error is a failure. Where mypy has nothing to say, the comment begins with it all the same, since
pyright takes a comment that begins with its own name for an order: `# mypy: silent # pyright: "..."`.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "typing"
EXPECTED = re.compile(r'# (?P<checker>mypy|pyright): "(?P<pattern>.*?)"(?=\s*$|\s+# (?:mypy|pyright): )')


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a checker says about a line, or the pattern of what it must say."""

    line: int
    text: str


Complaints = Mapping[str, list[Complaint]]


def output_of(*command: str) -> str:
    """What a checker prints. It ends with 1 if it found errors, and with more if it could not work."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


def mypy(folder: Path) -> Complaints:
    """Every error of mypy, strict, by the name of the file."""
    complaints: dict[str, list[Complaint]] = defaultdict(list)
    files = [str(path) for path in sorted(folder.glob("*.py"))]
    for line in output_of("mypy", "--config-file", str(ROOT / "pyproject.toml"), "--output=json", *files).splitlines():
        said = json.loads(line)
        if said["severity"] == "error":
            complaints[Path(said["file"]).name].append(Complaint(said["line"], said["message"]))
    return complaints


def pyright(folder: Path) -> Complaints:
    """Every error of pyright, strict, by the name of the file; the folder brings the configuration."""
    complaints: dict[str, list[Complaint]] = defaultdict(list)
    options = ("--project", str(folder), "--pythonpath", sys.executable, "--outputjson")
    for said in json.loads(output_of("pyright", *options))["generalDiagnostics"]:
        if said["severity"] == "error":
            line = said["range"]["start"]["line"] + 1
            complaints[Path(said["file"]).name].append(Complaint(line, said["message"]))
    return complaints


def expected(file: Path, checker: str) -> list[Complaint]:
    """What the comments of a file say that the checker must say."""
    return [
        Complaint(number, found["pattern"])
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        for found in EXPECTED.finditer(line)
        if found["checker"] == checker
    ]


def differences(said: list[Complaint], wanted: list[Complaint]) -> list[str]:
    """What was said though nothing asked for it, and what was not said though it should have been."""
    missing = list(wanted)
    found: list[str] = []
    for complaint in said:
        fits = [each for each in missing if each.line == complaint.line and re.search(each.text, complaint.text)]
        if fits:
            missing.remove(fits[0])
        else:
            found.append(f"line {complaint.line}: unexpected: {complaint.text}")
    return found + [f"line {each.line}: never said: {each.text}" for each in missing]


@pytest.fixture(scope="module")
def reports() -> Mapping[str, Complaints]:
    """What each checker says about the whole folder."""
    return {"mypy": mypy(FOLDER), "pyright": pyright(FOLDER)}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_the_checker_says_exactly_what_the_file_expects(
    reports: Mapping[str, Complaints], name: str, checker: str
) -> None:
    """Each wrong line is refused in the expected words, and no other line is."""
    assert differences(reports[checker].get(name, []), expected(FOLDER / name, checker)) == []


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_file_that_expects_the_wrong_things_fails(check: Callable[[Path], Complaints], tmp_path: Path) -> None:
    """An error nobody expects, an error in other words, and an error that does not come are all noticed."""
    lines = [
        'one: int = "unexpected"',
        'two: int = "other words"  # mypy: "apples" # pyright: "apples"',
        'three: int = 3  # mypy: "incompatible" # pyright: "not assignable"',
        'four: int = "right"  # mypy: "[Ii]ncompatible" # pyright: "not assignable"',
    ]
    (tmp_path / "wrong.py").write_text("\n".join(lines) + "\n")
    (tmp_path / "pyrightconfig.json").write_text((FOLDER / "pyrightconfig.json").read_text())
    wanted = expected(tmp_path / "wrong.py", check.__name__)
    found = differences(check(tmp_path)["wrong.py"], wanted)
    assert [line.split(": ")[:2] for line in found] == [
        ["line 1", "unexpected"],
        ["line 2", "unexpected"],
        ["line 2", "never said"],
        ["line 3", "never said"],
    ]


def test_a_comment_may_hold_quotes_and_one_checker_only() -> None:
    """The patterns of a line are told apart, whatever stands in them."""
    both = """x  # mypy: "expected "Debit"" # pyright: ""a" is not "b"" """
    assert [found["pattern"] for found in EXPECTED.finditer(both)] == ['expected "Debit"', '"a" is not "b"']
    one = 'x  # mypy: silent # pyright: "no"'
    assert [found.groups() for found in EXPECTED.finditer(one)] == [("pyright", "no")]
