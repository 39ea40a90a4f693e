"""The tables of docs/world.md, out of what `benchmarks.world` recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from olift_fast.io.docs import markdown_table

Row = Mapping[str, Any]

LIFTS = {"truth": "without error but noise", "small": "by `small`"}
QUANTITIES: Mapping[str, tuple[Callable[[Row], float], str]] = {
    "gravity, pitch given to the degree": (lambda row: row["gravity_told"], "°"),
    "gravity, estimated": (lambda row: row["gravity"], "°"),
    "gravity, estimated, focal length known": (lambda row: row["gravity_lens"], "°"),
    "what the estimate says of its error": (lambda row: row["gravity_said"], "°"),
    "size, by one true bone": (lambda row: 100 * abs(row["size"]), " %"),
    "size, by its five longest bones": (lambda row: 100 * abs(row["size_several"]), " %"),
    "size, by all of the true body": (lambda row: 100 * abs(row["size_body"]), " %"),
    "root path on the floor, of its length": (lambda row: 100 * row["path_error"] / row["path_length"], " %"),
    "root path on the floor, in radii": (lambda row: row["path_error"], ""),
    "depth error that is stated, of the distance": (lambda row: 100 * row["path_said"] / row["distance"], " %"),
    "height of the floor, in radii": (lambda row: abs(row["floor"]), ""),
    "reprojection error over the lift's own": (lambda row: row["reprojection"], ""),
}
"""Rows of `generated`: what each is of a clip, and its unit."""


def generated(record: Mapping[str, Sequence[Row]]) -> str:
    """Medians and 80th percentiles over the generator's walking animals."""
    rows = record["generated"]
    heads = ["median (80th percentile)"]
    heads += [f"lifted {name} ({sum(row['lifted'] == lifted for row in rows)} clips)" for lifted, name in LIFTS.items()]
    lines = []
    for name, (value, unit) in QUANTITIES.items():
        cells = []
        for lifted in LIFTS:
            middle, high = np.quantile([value(row) for row in rows if row["lifted"] == lifted], (0.5, 0.8))
            digits = 1 if unit else 2
            cells.append(f"{middle:.{digits}f}{unit} ({high:.{digits}f}{unit})")
        lines.append([name, *cells])
    return markdown_table(heads, lines, left=heads[:1])


def contacts(record: Mapping[str, Sequence[Row]]) -> str:
    """Precision and recall of contacts, of all frames and feet together."""
    rows = record["contacts"]
    families = list(dict.fromkeys(row["family"] for row in rows))
    heads = ["body", "told", *(f"{part}, {name}" for name in LIFTS.values() for part in ("precision", "recall"))]
    lines = []
    for name, own in [*((family, [family]) for family in families), ("all", families)]:
        for told, words in (("focal", "focal length"), ("nothing", "nothing")):
            cells = []
            for lifted in LIFTS:
                those = [row for row in rows if (row["lifted"], row["told"]) == (lifted, told) and row["family"] in own]
                found, true, both = (sum(row[count] for row in those) for count in ("found", "true", "both"))
                cells += [f"{both / found:.2f}", f"{both / true:.2f}"]
            lines.append([name, words, *cells])
    return markdown_table(heads, lines, left=heads[:2])


def real(record: Mapping[str, Sequence[Row]]) -> str:
    """A row for each real camera: what the world frame says beside the measured 3D."""
    heads = ["recording", "camera", "looks down", "gravity", "size", "distance", "across", "depth (stated)", "floor"]
    heads += ["joints about the root", "angles"]
    lines = []
    for row in record["real"]:
        cells = (
            f"{row['pitch']:.0f}°",
            f"{row['gravity_lens']:.0f}°",
            f"{round(100 * row['size']):+d} %",
            f"{row['distance']:.2f} m",
            f"{1000 * row['root_across']:.0f} mm",
            f"{1000 * row['root_depth']:.0f} ({1000 * row['depth_said']:.0f}) mm",
            f"{1000 * row['floor']:+.0f} mm",
            f"{1000 * row['joints_about_root']:.0f} mm",
            f"{row['angles']:.0f}°",
        )
        lines.append([row["recording"], row["camera"], *(cell.replace("-", "\N{MINUS SIGN}") for cell in cells)])
    return markdown_table(heads, lines, left=heads[:2])
