"""The tables that ``pytest benchmarks`` ends with: one for each benchmark that compares ways, with a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLE = "side by side: milliseconds; a first call finds the caches full of what the other ways left"
HEAD = ("way", "median", "20th", "80th", "× ours", "first call", "× ours")


def table_lines(name: str, info: Mapping[str, Any]) -> list[str]:
    """A title, a head and a row for each way of ``info["ways"]``, ours first, in columns as wide as they need be."""
    ours = next(iter(info["ways"].values()))
    rows = [HEAD]
    for way, row in info["ways"].items():
        times = [f"{row[key]:.3f}" for key in ("p50_ms", "p20_ms", "p80_ms")]
        ratios = [f"{row[key] / ours[key]:.2f}" for key in ("p50_ms", "first_ms")]
        rows.append((way, *times, ratios[0], f"{row['first_ms']:.3f}", ratios[1]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    share = f", ours at {info['share_of_copy']:.0%} of a copy's bandwidth" if "share_of_copy" in info else ""
    lines = [f"{name}: {info['device']}, {threads_of(info['threads'])}{share}"]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells))
    return lines


def threads_of(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"
