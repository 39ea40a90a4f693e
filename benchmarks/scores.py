"""Rewrites the tables of scores, and that of the metrics, in the pages: ``python -m benchmarks.scores``.

A table of scores stands between ``<!-- scores: TABLE RECORD MODEL … -->`` and ``<!-- end -->``. The record is a file
under results/scores, as `olift eval --out`, or `benchmarks.families`, `overhead`, `exported`, `serving`, `bodies` or
`world` writes it, and each model is one that it has scores of.

The table of metrics in docs/metrics.md stands between ``<!-- metrics -->`` and ``<!-- end -->``; its rows are
`olift_fast.train.metrics.METRICS`.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT
from benchmarks.world_tables import contacts, generated, real
from olift_fast.io.docs import filled, markdown_table
from olift_fast.train.evaluate import EDGES, FLAT
from olift_fast.train.metrics import METRICS, Metric

RECORDS = ROOT / "benchmarks/results/scores"
DOCS = ("accuracy", "after-lifting", "cli", "export", "skeletons", "streaming", "world")
PAGES = (
    ROOT / "README.md",
    *(ROOT / "docs" / f"{page}.md" for page in DOCS),
    *sorted((ROOT / "olift_fast/checkpoints").glob("*/README.md")),
)
METRICS_PAGE = ROOT / "docs/metrics.md"

COLUMNS = {metric.name: metric.column for metric in METRICS}

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
RAT = {"rat7m_gimbal_6cam_100f": "rat, a detector's 2D, motion capture, real cameras (18)"}
DELAYS = (0, 2, 4, 8, 16)

Rows = Sequence[Mapping[str, Any]]
Record = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Scores by source, then method, then name."""


def write_rows(path: Path, rows: Rows) -> None:
    """Writes a record: a list in JSON, a row a line."""
    path.write_text("[\n" + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n]\n", encoding="utf-8")


def by_source(rows: Rows) -> Record:
    """The rows of `olift eval` by source and method."""
    record: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        record.setdefault(row["source"], {})[row["method"]] = row
    return record


def ways(rows: Rows, model: str) -> str:
    """SA-MPJPE of a model, used in several ways, beside the flat guess."""
    record = by_source(rows)
    heads = ["held-out source", "clips", FLAT, model, "with mirror image", "one frame at a time", "sides hidden"]
    methods = [model, *(f"{model}, {way}" for way in ("with its mirror image", "one frame at a time", "sides hidden"))]
    lines = []
    for source, label in (MOTION | PAIRED | RAT).items():
        flat = record[source][FLAT]["sa_mpjpe"]
        errors = [record[source][method]["sa_mpjpe"] for method in methods]
        cells = [f"{error:.1f} ({change(error, flat)})" for error in errors]
        lines.append([label, str(record[source][FLAT]["clips"]), f"{flat:.1f}", *cells])
    return markdown_table(heads, lines, left=heads[:1])


def brief(rows: Rows, model: str) -> str:
    """SA-MPJPE of a model beside the flat guess, for readers who know neither."""
    record = by_source(rows)
    heads = ["recording, never trained on", "error of the flat guess", f"error of `{model}`", "of the error is gone"]
    lines = []
    for source, label in (MOTION | PAIRED | RAT).items():
        flat, error = (record[source][method]["sa_mpjpe"] for method in (FLAT, model))
        lines.append([label, f"{flat:.1f} %", f"{error:.1f} %", f"{100 * (1 - error / flat):.0f} %"])
    return markdown_table(heads, lines, left=heads[:1])


def edges(rows: Rows, model: str) -> str:
    """SA-MPJPE of a model with the true edges, with others, and with none."""
    record = by_source(rows)
    heads = ["held-out source", "clips", FLAT, "true edges", "from names", "from motion", "none"]
    others = (EDGES["named"], EDGES["motion"], EDGES["absent"])
    methods = [FLAT, model, *(f"{model}, {way}" for way in others)]
    lines = []
    for source, label in (MOTION | PAIRED | RAT).items():
        errors = [f"{record[source][method]['sa_mpjpe']:.1f}" for method in methods]
        lines.append([label, str(record[source][FLAT]["clips"]), *errors])
    return markdown_table(heads, lines, left=heads[:1])


def delays(rows: Rows, model: str) -> str:
    """Errors of a model by frames of look-ahead."""
    record = by_source(rows)
    metrics = ("sa_mpjpe", "sa_mpve")
    heads = ["frames that a result comes late", "at 30 frames/s"]
    heads += [f"{COLUMNS[metric]}, {of}" for of in ("people", "five sources") for metric in metrics]
    heads += ["OpenPose person, real cameras"]
    named = {str(delay): (f"{delay * 1000 / 30:.0f} ms", later(model, delay)) for delay in DELAYS}
    lines = []
    for delay, (late, method) in (named | {FLAT: ("", FLAT)}).items():
        row = [delay, late]
        for sources in (["human_cmu"], list(MOTION)):
            joints, velocities = (
                sum(record[source][method][metric] for source in sources) / len(sources) for metric in metrics
            )
            row += [f"{joints:.1f}", f"{velocities:.2f}"]
        lines.append([*row, f"{record['human_pose2sim_balancing'][method]['sa_mpjpe']:.1f}"])
    return markdown_table(heads, lines)


def look_ahead(rows: Rows, model: str, other: str, *, metric: str, sources: Mapping[str, str]) -> str:
    """A model by source and frames of look-ahead, beside another that looks 16 frames ahead."""
    record = by_source(rows)
    heads = ["held-out source", "clips", FLAT, *map(str, DELAYS), f"`{other}`, 16"]
    methods = [FLAT, *(later(model, delay) for delay in DELAYS), later(other, 16)]
    lines = []
    for source, label in sources.items():
        errors = [f"{record[source][method][metric]:.1f}" for method in methods]
        lines.append([label, str(record[source][FLAT]["clips"]), *errors])
    return markdown_table(heads, lines, left=heads[:1])


FAMILIES: Mapping[str, tuple[str, str]] = {
    "with edges": ("level", "its own edges"),
    "edges from names": ("level", "edges from names"),
    "no edges": ("level", "no edges"),
    "sides hidden": ("level", "sides hidden"),
    "one frame at a time": ("level", "one frame at a time"),
    "a detector's faults": ("faults", "its own edges"),
    "from above": ("from above", "its own edges"),
    "from above, pitch hidden": ("from above", "pitch hidden"),
}
"""The columns of `families`, and the test and way that each is of."""


def families(rows: Rows) -> str:
    """SA-MPJPE in % of the flat guess's on the same clips: its mean by group of families, each counted once."""
    error = {(row["family"], row["test"], row["way"]): row["sa_mpjpe"] for row in rows}
    group = {row["family"]: row["group"] for row in rows}
    columns = {head: key for head, key in FAMILIES.items() if key in {key[1:] for key in error}}
    heads = ["left out of training", "families", FLAT, *columns]
    lines = []
    for name in ("all", *dict.fromkeys(group.values())):
        those = [family for family, its in group.items() if name in ("all", its)]
        flat = statistics.mean(error[family, "level", FLAT] for family in those)
        cells = [
            f"{100 * statistics.mean(error[family, test, way] / error[family, test, FLAT] for family in those):.0f} %"
            for test, way in columns.values()
        ]
        lines.append([name, str(len(those)), f"{flat:.1f}", *cells])
    return markdown_table(heads, lines, left=heads[:1])


def exported(rows: Rows) -> str:
    """Sizes and mean errors of a lifter's ONNX files."""
    errors: dict[str, dict[str, float]] = {}
    for row in rows:
        errors.setdefault(row["file"], {})[row["source"]] = row["sa_mpjpe"]
    sizes = {row["file"]: row["bytes"] for row in rows if row["bytes"]}
    heads = ["weights", "MiB", "SA-MPJPE, mean of all sources", "change", "of the source that loses most"]
    own = errors["itself"]
    lines = []
    for weights, size in sizes.items():
        found = errors[weights]
        changes = [100 * (found[source] / own[source] - 1) for source in own]
        mean = statistics.mean(found.values())
        total = 100 * (mean / statistics.mean(own.values()) - 1)
        lines.append(
            [f"`{weights}`", f"{size / 2**20:.1f}", f"{mean:.2f}", f"{total:+.1f} %", f"{max(changes):+.1f} %"]
        )
    return markdown_table(heads, lines, left=heads[:1])


STEEP: Mapping[tuple[int, int], str] = {
    (0, 40): "0 … 40°",
    (60, 90): "60 … 90°",
    (75, 90): "75 … 90°",
    (-90, -60): "-90 … -60°",
}


def steep(record: Mapping[str, Any]) -> str:
    """The share of recordings that are warned of, by group and camera."""
    warned = {(row["names"], row["recordings"], *row["elevation"]): row["warned"] for row in record["rows"]}
    groups = ("all", "people", "animals of animators", "animals made of boxes", "measured animals")
    lines = []
    for names, group in [*((True, group) for group in groups), (False, "all")]:
        label = group if group != "all" else f"{'with' if names else 'without'} names: all"
        lines.append([label, *(f"{100 * warned[names, group, *degrees]:.1f} %" for degrees in STEEP)])
    return markdown_table(["recordings", *STEEP.values()], lines, left=["recordings"])


def clients(record: Mapping[str, Any]) -> str:
    """How long a live stream's answers take, by the number of clients: medians of the turns of `benchmarks.serving`."""
    heads = ["clients at 30 frames/s", "frames/s in all", "median", "99th percentile", "longest"]
    lines = []
    for count in dict.fromkeys(turn["clients"] for turn in record["turns"]):
        turns = [turn for turn in record["turns"] if turn["clients"] == count]
        times = (statistics.median(turn[name] for turn in turns) for name in ("p50", "p99", "longest"))
        lines.append([str(count), f"{30 * count:,}", *(f"{time:.1f} ms" for time in times)])
    return markdown_table(heads, lines)


def steady(rows: Rows) -> str:
    """Errors and drift of what is lifted, and of its steady bones, by recording and length of clips."""
    heads = ["held-out source", "frames", "SA-MPJPE", "with `--rigid`", "on clean 2D", "drift", "with `--rigid`"]
    heads += ["angles at joints", "with `--rigid`"]
    found = {(row["source"], row["frames"], row["faults"]): row for row in rows}
    lines = []
    for (source, frames, faults), row in found.items():
        if not faults:
            continue
        clean = found[source, frames, False]
        changes = [change(one["steady_sa_mpjpe"], one["sa_mpjpe"], 1) for one in (row, clean)]
        error, drift = f"{row['sa_mpjpe']:.1f}", f"{row['drift']:.1f} %"
        label = (MOTION | PAIRED | RAT)[source]
        angles = [f"{row[name]:.1f}°" for name in ("angles", "steady_angles")]
        lines.append([label, str(frames), error, *changes, drift, f"{row['steady_drift']:.3f} %", *angles])
    return markdown_table(heads, lines, left=heads[:1])


def signs(rows: Rows) -> str:
    """The signs of trust of clips of 48 frames beside their true errors, from the best to the worst."""
    heads = ["held-out source", "SA-MPJPE", "mirror image differs by", "bones stretch by", "jumps"]
    those = sorted((row for row in rows if row["faults"] and row["frames"] == 48), key=lambda row: row["sa_mpjpe"])
    lines = [
        [(MOTION | PAIRED | RAT)[row["source"]], f"{row['sa_mpjpe']:.1f}"]
        + [f"{row[name]:.1f} %" for name in ("mirror", "drift", "jumps")]
        for row in those
    ]
    return markdown_table(heads, lines, left=heads[:1])


TABLES: dict[str, Callable[..., str]] = {
    "families": families,
    "exported": exported,
    "steep": steep,
    "world-generated": generated,
    "world-contacts": contacts,
    "world-real": real,
    "clients": clients,
    "steady": steady,
    "signs": signs,
    "ways": ways,
    "brief": brief,
    "edges": edges,
    "delays": delays,
    "look-ahead": partial(look_ahead, metric="sa_mpjpe", sources=MOTION | PAIRED),
    "look-ahead-motion": partial(look_ahead, metric="sa_mpjpe", sources=MOTION),
    "look-ahead-velocity": partial(look_ahead, metric="sa_mpve", sources=MOTION),
}


def metrics_table() -> str:
    """A row for each metric, as its record describes it."""
    heads = ["metric", "in `olift eval`", "mean over labeled joints of", "unit", "when to look at it"]
    rows = [
        [_named(metric), metric.column, metric.mean_of.replace("|", r"\|"), _unit(metric), metric.use]
        for metric in METRICS
    ]
    return markdown_table(heads, rows, left=heads)


def _named(metric: Metric) -> str:
    return f"`{metric.function.__name__}`" + (f" ({metric.other_name})" if metric.other_name else "")


def _unit(metric: Metric) -> str:
    return metric.unit + (", more is better" if metric.more_is_better else "")


def later(model: str, frames: int) -> str:
    """What records call the method of a model that looks so many frames ahead."""
    return f"{model}, {frames} frames later"


def change(error: float, flat: float, digits: int = 0) -> str:
    """The change of an error against the flat guess's, or another: "−42 %"."""
    return f"{100 * (error / flat - 1):+.{digits}f} %".replace("-", "\N{MINUS SIGN}")


def rewritten(page: str, records: Path = RECORDS) -> str:
    """The page with its tables of scores, and that of the metrics, as the records have them."""

    def table(name: str, record: str, *models: str) -> str:
        return TABLES[name](json.loads((records / f"{record}.json").read_text(encoding="utf-8")), *models)

    return filled(filled(page, "scores:", table), "metrics", metrics_table)


def main() -> int:
    for page in (*PAGES, METRICS_PAGE):
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
