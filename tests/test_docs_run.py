"""Every example that a reader may copy runs: `>>>` in docstrings, and Python blocks in README and docs."""

import ast
import asyncio
import doctest
import importlib
import inspect
import linecache
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import CodeType, ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")


def modules() -> list[str]:
    """Names of all modules of the library that can be imported, private ones included."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "saga").rglob("*.py")]
    return sorted(
        ".".join(path.parts).removesuffix(".__init__")
        for path in paths
        if path.name != "__main__" and "_migrations" not in path.parts  # Alembic executes those, nobody imports them
    )


def pages() -> list[str]:
    """README and every page of the documentation, relative to the checkout."""
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


def python_of(page: str) -> str:
    """The Python blocks of a page as one program, each line at the number that it has on the page."""
    lines: list[str] = []
    fence: re.Match[str] | None = None
    for line in page.splitlines():
        found = FENCE.match(line)
        if fence is None:
            fence = found
        elif found and found["ticks"] == fence["ticks"] and not found["info"]:
            fence = None
        elif fence["info"].strip() == "python":
            lines.append(line.removeprefix(fence["indent"]))
            continue
        lines.append("")
    if fence is not None:
        raise ValueError(f"a block is never closed: {fence.group()}")
    return "\n".join(lines) + "\n"


def compiled(program: str, name: str) -> CodeType:
    """Compiles a program that may await at its top level."""
    code: CodeType = compile(program, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def execute(program: str, name: str) -> ModuleType:
    """Runs a page's program as a module, so that its classes can be looked up and its source shown."""
    module = ModuleType("page_" + re.sub(r"\W", "_", name))
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (
        len(program),
        None,
        program.splitlines(keepends=True),
        module.__file__,
    )
    code = compiled(program, module.__file__)
    sys.modules[module.__name__] = module
    try:
        with asyncio.Runner() as runner:
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(awaited(code, module))
            else:
                exec(code, vars(module))  # noqa: S102 - our own documentation
    finally:
        del sys.modules[module.__name__]
    return module


async def awaited(code: CodeType, module: ModuleType) -> None:
    """Runs code that awaits at its top level."""
    await eval(code, vars(module))  # noqa: S307 - our own documentation


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Examples write their files into an empty folder, and leave the event loop policy as it was."""
    monkeypatch.chdir(tmp_path)
    yield
    asyncio.set_event_loop(None)


def reader_of(name: str, known: dict[str, object]) -> ModuleType:
    """A module in which a reader types an example: classes of the example can be looked up in it."""
    module = ModuleType("docstring_" + name.replace(".", "_"))
    vars(module).update({each: value for each, value in known.items() if not each.startswith("__")})
    vars(module).pop("annotations", None)  # else `from __future__ import annotations` would hold there too
    return module


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_docstring_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `>>>` in a docstring prints what the docstring says."""
    module = importlib.import_module(name)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        reader = reader_of(test.name, vars(module))
        monkeypatch.setitem(sys.modules, reader.__name__, reader)
        test.globs = vars(reader)
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize("page", pages())
def test_the_examples_of_a_page_run(page: str) -> None:
    """The Python blocks of a page run one after the other, as a reader would type them."""
    execute(python_of((ROOT / page).read_text(encoding="utf-8")), page)


def test_blocks_share_names_and_may_await() -> None:
    """A later block sees the names of an earlier one, and awaits without a function around it."""
    first = "```python\nimport asyncio\none = 1\n```\n"
    page = first + "text\n```python\ntwo = await asyncio.sleep(0, 2 * one)\n```\n"
    assert execute(python_of(page), "page.md").two == 2


def test_an_error_is_shown_where_the_page_has_it() -> None:
    """A block that fails is reported with the line of the page."""
    with pytest.raises(ZeroDivisionError) as failed:
        execute(python_of("# Title\n\n```python\n1 / 0\n```\n"), "page.md")
    assert failed.traceback[-1].lineno == 3


def test_a_class_of_a_page_has_its_source_and_its_module() -> None:
    """What looks at classes, such as a saga's own check, finds the source and the names of the page."""
    page = """# Title

```python
import inspect, sys
class Thing:
    x: int
lines, line = inspect.getsourcelines(Thing)
found = vars(sys.modules[Thing.__module__])["Thing"]
```
"""
    module = execute(python_of(page), "page.md")
    assert (module.line, module.found) == (5, module.Thing)


def test_other_blocks_are_left_alone() -> None:
    """Only blocks marked as Python, and nothing more, are executed."""
    page = "```console\n$ exit 1\n```\n~~~\n```python no-run\n1 / 0\n```\n```\n1 / 0\n```\n"
    assert python_of(page).strip() == ""


def test_a_block_in_a_list_loses_its_indentation() -> None:
    """A block that belongs to an item of a list is read without the item's indentation."""
    assert python_of("- item\n\n  ```python\n  if True:\n      x = 1\n  ```\n").strip() == "if True:\n    x = 1"


def test_a_block_that_is_never_closed_is_an_error() -> None:
    """A forgotten fence would silently turn the rest of a page into text."""
    with pytest.raises(ValueError, match="never closed"):
        python_of("```python\nx = 1\n")
