"""Rebuilds docs/benchmarks.md and its plots from the result files alone: ``python -m benchmarks.report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.page import write_page
from benchmarks.records import BadResultsError, read_results

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2, with one line on stderr, where a file is unusable."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks/results", help="a folder with a folder a device"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks/*.png go")
    chosen = parser.parse_args(arguments)
    try:
        build(chosen.results, chosen.docs)
    except BadResultsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def build(results: Path, docs: Path) -> Path:
    """Writes the page and its plots over the old ones; returns the page's path; raises `BadResultsError`."""
    runs = read_results(results)
    # Imported only when all files could be read: drawing is slow to import.
    from benchmarks.plots import draw_plots

    page = docs / "benchmarks.md"
    plots = draw_plots(runs, docs / "benchmarks")
    page.write_text(write_page(runs, plots), encoding="utf-8")
    return page


if __name__ == "__main__":
    sys.exit(main())
