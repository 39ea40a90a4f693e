"""Rewrites the tables of docs/formats.md from the format records: ``python -m olift_fast.io.docs docs/formats.md``.

A table begins after ``<!-- formats: read -->`` or ``<!-- formats: written -->``, and ends before ``<!-- end -->``.
`benchmarks.scores` writes the tables of scores and metrics of other pages with the functions of this module.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from olift_fast.io.readers import FORMATS
from olift_fast.io.writers import OUTPUT_FORMATS


def read_table() -> str:
    """The formats that are read, by name, as a table in Markdown."""
    rows = (
        [
            f"`{known.name}`",
            known.description,
            ", ".join(known.extensions),
            known.recognized_by,
            known.takes,
            known.extra or "core",
            f"`olift lift {known.example}`",
        ]
        for known in sorted(FORMATS, key=lambda known: known.name)
    )
    heads = ["format", "files", "usual ending", "recognized by", "what is taken", "needs", "example"]
    return markdown_table(heads, rows, left=heads)


def written_table() -> str:
    """The formats that are written, as a table in Markdown."""
    rows = (
        [f"`{known.suffix}`", known.description, known.holds, known.drops, known.extra or "core"]
        for known in OUTPUT_FORMATS
    )
    heads = ["ending", "what", "holds", "leaves out", "needs"]
    return markdown_table(heads, rows, left=heads)


def rewritten(page: str) -> str:
    """The page with both tables from the records."""
    tables = {"read": read_table, "written": written_table}
    return filled(page, "formats:", lambda name: tables[name]())


def filled(page: str, marker: str, content: Callable[..., str]) -> str:
    """The page with new text between each ``<!-- MARKER WORD WORD … -->`` and the ``<!-- end -->`` after it.

    Args:
        content: returns the text for the words that follow the marker.
    """

    def block(match: re.Match[str]) -> str:
        return "\n".join((match["begin"], content(*match["words"].split()), match["end"]))

    pattern = rf"(?P<begin><!-- {re.escape(marker)}(?P<words>( \S+)*) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(pattern, block, page, flags=re.DOTALL)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: Container[str] = ()) -> str:
    """A table in Markdown; the columns that are in `left` are aligned to the left, the others to the right."""
    rule = "|".join("---" if column in left else "---:" for column in columns)
    return "\n".join([f"| {' | '.join(columns)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)])


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
