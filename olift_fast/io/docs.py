"""Writes the tables of docs/formats.md anew, from the records: ``python -m olift_fast.io.docs docs/formats.md``.

A table stands between ``<!-- formats: read -->`` or ``<!-- formats: written -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
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
        ]
        for known in sorted(FORMATS, key=lambda known: known.name)
    )
    return _table(["format", "files", "usual ending", "recognized by", "what is taken", "needs"], rows)


def written_table() -> str:
    """The formats that are written, as a table in Markdown."""
    rows = ([f"`{known.suffix}`", known.description, known.holds, known.extra or "core"] for known in OUTPUT_FORMATS)
    return _table(["ending", "what", "holds", "needs"], rows)


def rewritten(page: str) -> str:
    """The page with both tables as the records have them."""
    tables = {"read": read_table, "written": written_table}

    def block(match: re.Match[str]) -> str:
        return "\n".join((match["begin"], tables[match["table"]](), match["end"]))

    pattern = r"(?P<begin><!-- formats: (?P<table>\w+) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(pattern, block, page, flags=re.DOTALL)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
