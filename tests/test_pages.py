"""Pages in Markdown: relative links lead to files and headings that exist, and lines are short."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".", "docs", "docs/*", "docs/tutorials/data", "benchmarks", "examples", "olift_fast/checkpoints/*")
PAGES = sorted(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/*.md"))
FENCED = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")


def text_of(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of headings: lower case, hyphens, no punctuation, and a number where a heading repeats."""
    headings = [heading.lower() for heading in re.findall(r"^#+ (.*)$", text_of(page), flags=re.MULTILINE)]
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in headings:
        anchor = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text_of(page))):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_end_at_120_columns(page: Path) -> None:
    """But for tables, images, what a program printed (indented), and the page that `make report` writes."""
    if page != ROOT / "docs/benchmarks.md":
        lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
        assert [place for place, line in lines if len(line) > 120 and not line.startswith(("|", "![", "    "))] == []


def test_all_pages_are_looked_at() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {page.name for page in PAGES}
    assert len(PAGES) > 15
