"""Rows of a study (values by name), in a JSON file with the conditions of their measurement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.atomic import atomic_path

Row = Mapping[str, str | int | float | None]
"""Values by name; None stands for a value that is not finite."""


def write_rows(path: Path, rows: Sequence[Row], **conditions: Any) -> None:
    """Write the rows and their conditions. The old file is replaced only by a complete new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join("  " + json.dumps(dict(row)) for row in rows)
    told = json.dumps(conditions)[1:-1]
    with atomic_path(path) as temporary:
        temporary.write_text("{" + told + (", " if told else "") + f'"rows": [\n{lines}\n]}}\n', encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that `write_rows` wrote."""
    found: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return found


def mean_by(rows: Iterable[Row], keys: Sequence[str], value: str) -> dict[tuple[Any, ...], float]:
    """The mean of a value for each group of rows with equal `keys`, in order of appearance."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        found = row[value]
        groups.setdefault(tuple(row[key] for key in keys), []).append(np.nan if found is None else float(found))
    return {key: float(np.mean(values)) for key, values in groups.items()}


def where(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """The rows with these values. A wanted value may also be a function that is True for the values to keep."""
    return [row for row in rows if all(_is(row[key], value) for key, value in wanted.items())]


def summary(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """A Markdown table: for each test and variant the mean over sources and seeds ± the standard deviation of seeds."""
    lines = [["test", "variant", "seeds", *metrics], ["---", "---", "---:", *("---:" for _ in metrics)]]
    for test, variant in mean_by(rows, ("test", "variant"), metrics[0]):
        chosen = where(rows, test=test, variant=variant)
        means = [list(mean_by(chosen, ("seed",), metric).values()) for metric in metrics]
        cells = [f"{np.mean(m):.2f}" + (f" ± {np.std(m, ddof=1):.2f}" if len(m) > 1 else "") for m in means]
        lines.append([test, variant, str(len(means[0])), *cells])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _is(value: Any, wanted: Any) -> bool:
    return bool(wanted(value)) if callable(wanted) else bool(value == wanted)
