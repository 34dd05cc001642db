"""The reference pages that follow from the code are as the code is."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GENERATED = runpy.run_path(str(DOCS / "generate.py"))


@pytest.mark.parametrize("name", sorted(GENERATED["PAGES"]))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    """`python docs/generate.py` would change nothing."""
    page = GENERATED["PAGES"][name]()
    assert (DOCS / "reference" / name).read_text(encoding="utf8") == page
