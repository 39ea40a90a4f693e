"""Writes the tables of scores in README and model cards anew, from their records: ``python -m benchmarks.scores``.

A table stands between ``<!-- scores: NAME RECORD -->`` and ``<!-- end -->``; the record is a file under results/scores,
as `olift eval --json` writes it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks/results/scores"
PAGES = (ROOT / "README.md", *sorted((ROOT / "olift_fast/checkpoints").glob("*/README.md")))

MOTION = {
    "human_cmu": "people, CMU, other actions (25 joints)",
    "rat_dannce23": "rat (23)",
    "mouse_salk34": "mouse (34)",
    "fly_df3d_30": "fruit fly, six legs (30)",
    "fly_anipose_17": "fruit fly, front legs and antennae (17)",
}
PAIRED = {
    "human_pose2sim_balancing": "person, OpenPose, real cameras (21)",
    "mouse_dannce_m2_labels": "mouse, single frames, real cameras (22)",
}
DELAYS = (0, 2, 4, 8, 16)
FLAT = "flat guess"

Record = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Scores by source, then method, then name."""


def read_record(path: Path) -> Record:
    record: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        record.setdefault(row["source"], {})[row["method"]] = row
    return record


def ways(record: Record) -> list[str]:
    """SA-MPJPE of `small` as it is lifted in several ways, beside the flat guess."""
    heads = ["held-out source", "clips", FLAT, "small", "with mirror image", "one frame at a time", "sides hidden"]
    methods = ["small", "small, with its mirror image", "small, one frame at a time", "small, sides hidden"]
    rows = []
    for source, label in (MOTION | PAIRED).items():
        flat = record[source][FLAT]["sa_mpjpe"]
        errors = [record[source][method]["sa_mpjpe"] for method in methods]
        cells = [f"{error:.1f} ({change(error, flat)})" for error in errors]
        rows.append([label, str(record[source][FLAT]["clips"]), f"{flat:.1f}", *cells])
    return table(heads, rows, left=1)


def delays(record: Record) -> list[str]:
    """What frames of look-ahead bring `small-causal`, by metric."""
    heads = ["frames that a result comes late", "at 30 frames/s"]
    heads += ["SA-MPJPE, people", "SA-MPVE, people", "SA-MPJPE, five sources", "SA-MPVE, five sources"]
    heads += ["OpenPose person, real cameras"]
    named = {str(delay): (f"{delay * 1000 / 30:.0f} ms", f"small-causal, {delay} frames later") for delay in DELAYS}
    rows = []
    for delay, (late, method) in (named | {FLAT: ("", FLAT)}).items():
        five = [record[source][method] for source in MOTION]
        people, person = record["human_cmu"][method], record["human_pose2sim_balancing"][method]
        means = [sum(row[metric] for row in five) / len(five) for metric in ("sa_mpjpe", "sa_mpve")]
        errors = [people["sa_mpjpe"], people["sa_mpve"], *means, person["sa_mpjpe"]]
        rows.append([delay, late, *(f"{error:.{1 + index % 2}f}" for index, error in enumerate(errors))])
    return table(heads, rows, left=0)


def look_ahead(metric: str, sources: Mapping[str, str]) -> Callable[[Record], list[str]]:
    """`small-causal` by source and frames of look-ahead, beside `small`."""

    def tabulated(record: Record) -> list[str]:
        heads = ["held-out source", "clips", FLAT, *map(str, DELAYS), "`small`, 16"]
        methods = [FLAT, *(f"small-causal, {delay} frames later" for delay in DELAYS), "small, 16 frames later"]
        rows = []
        for source, label in sources.items():
            errors = [f"{record[source][method][metric]:.1f}" for method in methods]
            rows.append([label, str(record[source][FLAT]["clips"]), *errors])
        return table(heads, rows, left=1)

    return tabulated


TABLES: dict[str, Callable[[Record], list[str]]] = {
    "ways": ways,
    "delays": delays,
    "look-ahead": look_ahead("sa_mpjpe", MOTION | PAIRED),
    "look-ahead-motion": look_ahead("sa_mpjpe", MOTION),
    "look-ahead-velocity": look_ahead("sa_mpve", MOTION),
}


def change(error: float, flat: float) -> str:
    """ "−42 %"."""
    return f"{100 * (error / flat - 1):+.0f} %".replace("-", "\N{MINUS SIGN}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Lines of Markdown; the first `left` columns are aligned to the left."""
    rule = "|".join("---" if column < left else "---:" for column in range(len(heads)))
    return [f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)]


def rewritten(page: str, records: Path = RECORDS) -> str:
    """The page with all its tables of scores as the records have them."""

    def block(match: re.Match[str]) -> str:
        lines = TABLES[match["table"]](read_record(records / f"{match['record']}.json"))
        return "\n".join((match["begin"], *lines, match["end"]))

    pattern = r"(?P<begin><!-- scores: (?P<table>\S+) (?P<record>\S+) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(pattern, block, page, flags=re.DOTALL)


def main() -> int:
    for page in PAGES:
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
