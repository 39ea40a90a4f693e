"""The plots of the studies, each drawn from its rows alone (matplotlib: extra `bench`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from olift_fast.train.evaluate import FLAT
from olift_fast.train.metrics import METRICS
from olift_fast.train.plots import COLORS, STYLE
from olift_fast.train.studies.attention import FARTHEST
from olift_fast.train.studies.occlusion import KINDS, SHARES
from olift_fast.train.studies.rows import Row, mean_by, where
from olift_fast.train.studies.windows import LENGTHS, SPEEDS


def draw(figure: Callable[[Sequence[Row]], Figure], rows: Sequence[Row], path: Path) -> None:
    """Draw a study's plot into a PNG file."""
    with plt.rc_context(STYLE):
        drawn = figure(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, metadata={"Software": None}, bbox_inches="tight")
        plt.close(drawn)


def draw_occlusion(rows: Sequence[Row]) -> Figure:
    """Errors by the hidden share, a panel for each way of hiding. Dotted lines are errors of hidden joints alone."""
    drawn, axes = plt.subplots(1, len(KINDS), figsize=(10.5, 3.6), sharey=True, layout="constrained")
    for axis, kind in zip(axes, KINDS, strict=True):
        chosen = where(rows, hidden=kind)
        for color, method in zip(COLORS, dict.fromkeys(str(row["method"]) for row in chosen), strict=False):
            of_method = where(chosen, method=method)
            for value, style in (("sa_mpjpe", "-"), ("sa_mpjpe_hidden", ":")):
                means = mean_by(of_method, ("share",), value)
                points = [(share, means[(share,)]) for share in SHARES if value == "sa_mpjpe" or share]
                axis.plot(*zip(*points, strict=True), style, color=color, marker="o", markersize=3, label=method)
        axis.set(xlabel="keypoints hidden", title=kind)
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.grid(alpha=0.3)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("SA-MPJPE, % of RMS 2D radius")
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles[::2], labels[::2], loc="outside lower center", ncols=3, frameon=False)
    return drawn


def draw_attention(rows: Sequence[Row]) -> Figure:
    """Mean weights by distance: in frames for the heads of motion layers, in hops for those of space layers."""
    layers = {cast(int, row["layer"]): str(row["over"]) for row in rows}
    drawn, axes = plt.subplots(1, len(layers), figsize=(2.5 * len(layers), 3), layout="constrained")
    for axis, (layer, over) in zip(np.atleast_1d(axes), layers.items(), strict=True):
        means = mean_by(where(rows, layer=layer), ("head", "distance"), "weight")
        heads = sorted({head for head, _ in means})
        for head in heads:
            points = sorted((distance, weight) for (own, distance), weight in means.items() if own == head)
            local = over == "hops" and head < len(heads) // 2
            told = f"head {head + 1}" + (", graph" if local else "")
            style = "--" if local else "-"
            axis.plot(*zip(*points, strict=True), style, color=COLORS[head % len(COLORS)], label=told, linewidth=1.2)
        axis.set(xlabel="frames away" if over == "frames" else f"hops away ({FARTHEST}: or more)", ylim=(0, None))
        axis.set_title(f"layer {layer + 1}", fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=6)
    np.atleast_1d(axes)[0].set_ylabel("share of the attention")
    return drawn


def draw_windows(rows: Sequence[Row]) -> Figure:
    """Errors by window: on the left a line for each clip length, on the right for each speed of clips of 48 frames.

    Errors of joints are above, errors of velocities below. Clip lengths that a source has no clip of are left out,
    because their means would be over fewer animals.
    """
    sources = {frames: {row["source"] for row in where(rows, frames=frames)} for frames in LENGTHS}
    lengths = [frames for frames in LENGTHS if sources[frames] == sources[48]]
    drawn, axes = plt.subplots(2, 2, figsize=(8.4, 5.6), sharex=True, layout="constrained")
    for line, (value, told) in enumerate((("sa_mpjpe", "SA-MPJPE, %"), ("sa_mpve", "SA-MPVE, %"))):
        lines(axes[line][0], where(rows, speed="all"), "frames", lengths, value)
        lines(axes[line][1], where(rows, frames=48, speed=lambda speed: speed in SPEEDS), "speed", SPEEDS, value)
        axes[line][0].set_ylabel(told)
    axes[0][0].set_title("clips of T frames", fontsize=9)
    axes[0][1].set_title("clips of 48 frames, by speed", fontsize=9)
    for axis in axes[1]:
        axis.set_xlabel("window α, frames to each side")
    return drawn


def draw_trained(rows: Sequence[Row]) -> Figure:
    """For each variant a dot for each seed and a line at their mean; a row of panels for each metric except FA-MPJPE.

    Each panel shows one test, as means over the sources. If variants name a source ("without rat"), each panel shows
    one source.
    """
    sources = list(dict.fromkeys(str(row["source"]) for row in rows))
    if any(source in str(row["variant"]) for row in rows for source in sources):
        panels = {source: _about(where(rows, source=source), source, sources) for source in sources}
        panels = {source: chosen for source, chosen in panels.items() if len({r["variant"] for r in chosen}) > 1}
    else:
        panels = {str(row["test"]): where(rows, test=row["test"]) for row in rows}
    panels = {name: where(chosen, variant=lambda variant: variant != FLAT) for name, chosen in panels.items()}
    variants = list(dict.fromkeys(str(row["variant"]) for chosen in panels.values() for row in chosen))
    metrics = [metric for metric in METRICS if metric.name in rows[0] and metric.name != "fa_mpjpe"]
    size = (2.2 + 2.2 * len(panels), (0.6 + 0.25 * len(variants)) * len(metrics))
    drawn, axes = plt.subplots(
        len(metrics), len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for line, (value, told) in enumerate((metric.name, f"{metric.column}, %") for metric in metrics):
        for axis, (name, chosen) in zip(axes[line], panels.items(), strict=True):
            means = mean_by(chosen, ("variant", "seed"), value)
            for place, variant in enumerate(variants):
                found = [mean for (own, _), mean in means.items() if own == variant]
                if found:
                    axis.plot(found, [place] * len(found), "o", color=COLORS[0], markersize=4, alpha=0.6)
                    axis.plot(np.mean(found), place, "|", color=COLORS[1], markersize=12)
            axis.set_yticks(range(len(variants)), variants)
            axis.set(xlabel=told, ylim=(len(variants) - 0.5, -0.5))
            axis.set_title(name if line == 0 else "", fontsize=9)
            axis.grid(alpha=0.3)
    return drawn


def _about(rows: Sequence[Row], source: str, sources: Sequence[str]) -> list[Row]:
    """Rows of the variants that name this source or none. In their names the source becomes "it"."""
    others = [other for other in sources if other != source]
    return [
        {**row, "variant": str(row["variant"]).replace(source, "it")}
        for row in rows
        if not any(other in str(row["variant"]) for other in others)
    ]


def lines(axis: Axes, rows: Sequence[Row], key: str, values: Sequence[Any], value: str) -> None:
    """Draw a line for each value of the key, by window: means over the rows, which are one for each source."""
    for color, own in zip(COLORS, values, strict=False):
        means = mean_by(where(rows, **{key: own}), ("window",), value)
        windows = [window for (window,) in means]
        label = f"T = {own}" if key == "frames" else str(own)
        axis.plot(range(len(windows)), list(means.values()), color=color, marker="o", markersize=3, label=label)
        axis.set_xticks(range(len(windows)), [str(window) for window in windows])
    axis.set_ylim(0, None)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=7)
