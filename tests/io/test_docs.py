"""docs/formats.md lists what the records say: all formats that are read and written."""

from __future__ import annotations

from pathlib import Path

from olift_fast.io import formats
from olift_fast.io.docs import rewritten
from olift_fast.io.write import SUFFIXES

PAGE = Path(__file__).parents[2] / "docs/formats.md"


def test_page_is_as_the_records_have_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run make report"
    for name in [known.name for known in formats()] + list(SUFFIXES):
        assert page.count(f"\n| `{name}` |") == 1


def test_readme_counts_the_formats() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"From any of {len(formats())} formats" in readme


def test_tables_are_replaced_and_the_rest_stays() -> None:
    page = "# Title\n\n<!-- formats: written -->\nwhat was here\n<!-- end -->\n\nEnd.\n"
    new = rewritten(page)
    assert new.startswith("# Title\n\n<!-- formats: written -->\n| ending |") and new.endswith("<!-- end -->\n\nEnd.\n")
    assert "what was here" not in new and rewritten(new) == new
