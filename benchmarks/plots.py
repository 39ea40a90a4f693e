"""The plots of the benchmarks' page: times beside the peers', scaling with the number of frames, and the roofline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.floors import work_of
from benchmarks.page import differing_facts, fact, figure, label, suites, varying_facts, words
from benchmarks.records import Case, Run
from olift_fast.train.plots import COLORS, STYLE

# Hatches distinguish the ninth way and later ones from the first eight.
FILLS: tuple[dict[str, Any], ...] = tuple(
    {"facecolor": color, "edgecolor": "white", "linewidth": 0, "hatch": hatch}
    for hatch in (None, "////", "....")
    for color in COLORS
)
MARKERS = "osD^vP*X"
SETTLED = 3
"""From this many lengths on, a slope is fitted; with fewer, it joins two points."""
PLAIN = FuncFormatter(lambda value, _: f"{value:,.10g}")


def draw_plots(runs: Mapping[str, Sequence[Run]], folder: Path) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Writes all plots into `folder`, after removing the PNG files there.

    Returns:
        (caption, address relative to the folder's parent) of the images of a device's suite by (device, suite); suite
        "" is the device itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    plots: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def keep(drawn: Figure | None, run: Run, suite: str, what: str, caption: str) -> None:
        if drawn is None:
            return
        path = folder / "-".join(filter(None, (run.device, run.kind, suite.replace("_", "-"), f"{what}.png")))
        drawn.savefig(path, metadata={"Software": None}, bbox_inches="tight")
        plt.close(drawn)
        plots.setdefault((run.device, suite), []).append((caption, f"{folder.name}/{path.name}"))

    with plt.rc_context(STYLE):
        for run in (run for of_device in runs.values() for run in of_device):
            kind = run.kind.replace("-", " ")
            keep(draw_roofline(run), run, "", "roofline", f"Share of the copy bandwidth by operations per byte, {kind}")
            for suite in suites([run]):
                cases = [case for case in run.cases if case.suite == suite]
                named = f"{words(suite)}, {kind}"
                keep(draw_ratios(cases, named), run, suite, "ratios", f"{named}: the others' times over ours")
                keep(draw_scaling(cases, named), run, suite, "scaling", f"{named}: time by the number of frames")
                keep(draw_latencies(cases, named), run, suite, "latencies", f"{named}: how many frames took how long")
    return plots


def draw_ratios(cases: Sequence[Case], title: str) -> Figure | None:
    """Bars of each peer's median over ours, a panel for each function and pass; whiskers go between the percentiles."""
    panels = [panel for panel in split(cases) if any(len(case.ways) > 1 for case in panel)]
    if not panels:
        return None
    names = dict.fromkeys(way.name for panel in panels for case in panel for way in case.ways[1:])
    fills = dict(zip(names, FILLS, strict=False))
    across = min(2, len(panels))
    rows = [panels[i : i + across] for i in range(0, len(panels), across)]
    heights = [max(sum(len(case.ways) - 1 + 0.7 for case in panel) for panel in row) + 2.5 for row in rows]
    drawn, axes = plt.subplots(
        len(rows),
        across,
        figsize=(5.4 * across, 0.2 * sum(heights) + 0.9),
        squeeze=False,
        height_ratios=heights,
        layout="constrained",
    )
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, panel in zip(axes.flat, panels, strict=False):
        bars(axis, panel, fills)
    handles = [Rectangle((0, 0), 1, 1, **fill) for fill in fills.values()]
    drawn.legend(handles, list(fills), loc="outside lower center", ncols=min(4, len(fills)), frameon=False)
    drawn.suptitle(f"{title}: time over that of {panels[0][0].ways[0].name}", fontsize=10)
    return drawn


def split(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases grouped by function and pass."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.function, fact("backward", case.facts.get("backward"))), []).append(case)
    return list(groups.values())


def bars(axis: Axes, panel: Sequence[Case], fills: Mapping[str, Mapping[str, Any]]) -> None:
    keys = [key for key in differing_facts(panel) or varying_facts(panel) if key != "backward"]
    place, ticks = 0.0, {}
    for case in panel:
        ours, peers = case.ways[0], case.ways[1:]
        if peers:
            ticks[place + (len(peers) - 1) / 2] = label(case, keys)
        for way in peers:
            ratio = way.p50 / ours.p50
            low, high = (
                (way.spread[0] / ours.spread[1], way.spread[1] / ours.spread[0])
                if way.spread and ours.spread
                else (ratio, ratio)
            )
            # The bars start at 1: shorter times point left, longer ones right.
            axis.barh(place, ratio - 1, left=1, height=0.85, **fills[way.name])
            axis.plot([low, high], [place, place], color="black", linewidth=0.8)
            axis.annotate(
                figure(ratio), (max(high, 1), place), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
            place += 1
        place += 0.7 if peers else 0
    axis.set_xscale("log")
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.invert_yaxis()
    axis.axvline(1, color="black", linewidth=0.8)
    axis.margins(x=0.15, y=0.02)
    plain_ticks(axis, "x")
    pass_ = fact("backward", panel[0].facts.get("backward"))
    axis.set_title(", ".join(filter(None, (words(panel[0].function), pass_))), fontsize=9)


def draw_scaling(cases: Sequence[Case], title: str) -> Figure | None:
    """Times by the number of frames, a panel for the cases that differ in nothing else; slopes are in the legend."""
    panels = [group for group in same_but_frames(cases) if len({case.frames for case in group}) > 1]
    if not panels:
        return None
    drawn, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 3.9), squeeze=False, layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=True):
        for place, name in enumerate(dict.fromkeys(way.name for case in panel for way in case.ways)):
            points = sorted((case.frames or 0, way.p50) for case in panel for way in case.ways if way.name == name)
            line(axis, name, points, COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)])
        axis.set(xscale="log", yscale="log", xlabel="frames T", ylabel="median, ms")
        axis.set_xticks(sorted({case.frames or 0 for case in panel}))
        axis.xaxis.set_major_formatter(PLAIN)
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.yaxis.set_major_formatter(PLAIN)
        pass_ = fact("backward", panel[0].facts.get("backward"))
        axis.set_title(", ".join(filter(None, (words(panel[0].function), pass_))), fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    drawn.suptitle(title, fontsize=10)
    return drawn


def draw_latencies(cases: Sequence[Case], title: str) -> Figure | None:
    """Histograms, a panel for each case; both axes are logarithmic, so that the few slow calls can be seen."""
    panels = [case for case in cases if case.histogram]
    if not panels:
        return None
    keys = [key for key in differing_facts(panels) if key not in ("p99_ms", "max_ms")]
    rows, across = -(-len(panels) // 2), min(2, len(panels))
    drawn, axes = plt.subplots(
        rows, across, figsize=(5.2 * across, 1.7 * rows + 0.8), sharex=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, case in zip(axes.flat, panels, strict=False):
        uppers, calls = (np.asarray(values) for values in zip(*case.histogram, strict=True))
        lowers = np.concatenate([uppers[:1] ** 2 / uppers[1:2], uppers[:-1]])
        axis.bar(lowers, calls, width=uppers - lowers, align="edge", color=COLORS[0], edgecolor="white", linewidth=0.3)
        axis.axvline(case.ways[0].p50, color="black", linewidth=0.8)
        axis.annotate("median", (case.ways[0].p50, 1), (3, -9), ("data", "axes fraction"), "offset points", fontsize=7)
        axis.set(xscale="log", yscale="log", ylabel="frames", ylim=(0.7, None))
        axis.set_title(", ".join(filter(None, (words(case.function), label(case, keys)))), fontsize=9)
        axis.yaxis.set_major_formatter(PLAIN)
    taken = [upper for case in panels for upper, calls in case.histogram if calls]
    axes[0][0].set_xlim(min(taken) / 1.5, max(taken) * 1.2)
    for axis in axes[-1]:
        axis.set_xlabel("milliseconds")
        plain_ticks(axis, "x")
    drawn.suptitle(title, fontsize=10)
    return drawn


def same_but_frames(cases: Iterable[Case]) -> list[list[Case]]:
    """The cases in groups that share all facts except the number of frames and what follows from it."""
    groups: dict[Any, list[Case]] = {}
    for case in cases:
        if case.frames is not None:
            facts = {key: value for key, value in case.facts.items() if key not in ("frames", "operations")}
            for key in ("shape", "points"):
                if isinstance(facts.get(key), list):
                    facts[key] = [*facts[key][:1], *facts[key][2:]]
            groups.setdefault((case.function, repr(sorted(facts.items()))), []).append(case)
    return list(groups.values())


def line(axis: Axes, name: str, points: Sequence[tuple[int, float]], color: str, marker: str) -> None:
    """One way's times, with their slope: fitted where there are enough lengths, else between two points."""
    frames, times = (np.asarray(values, float) for values in zip(*points, strict=True))
    told = name or "time"
    if len(points) > 1:
        exponent = slope(frames, times)
        told += f": {'fitted slope' if len(points) >= SETTLED else 'slope of two points'} {exponent:.2f}"
    axis.plot(frames, times, color=color, marker=marker, label=told, linewidth=1.2)


def slope(frames: np.ndarray, times: np.ndarray) -> float:
    """The exponent a of time = c · T^a, by least squares of the logarithms."""
    return float(np.polyfit(np.log(frames), np.log(times), 1)[0])


def draw_roofline(run: Run) -> Figure | None:
    """Our way of each case whose operations per byte are known, with lines of equal GFLOP/s."""
    points = [(case, *point) for case in run.cases if (point := roofline_point(case)) is not None]
    if not points:
        return None
    drawn, axis = plt.subplots(figsize=(8.6, 4.4), layout="constrained")
    groups: dict[str, list[tuple[float, float]]] = {}
    for case, density, share in points:
        pass_ = fact("backward", case.facts.get("backward"))
        element = fact("dtype", case.facts.get("dtype", "float32"))
        of = [str(case.facts["of"])] if "of" in case.facts else []
        groups.setdefault(", ".join([words(case.function), *of, pass_, element]), []).append((density, share))
    for place, (name, group) in enumerate(groups.items()):
        densities, shares = zip(*group, strict=True)
        axis.scatter(
            densities,
            shares,
            color=COLORS[place % len(COLORS)],
            marker=MARKERS[place % len(MARKERS)],
            label=name,
            zorder=3,
        )
    axis.axhline(1, color="black", linewidth=1)
    axis.set(
        xscale="log", yscale="log", xlabel="operations per byte (ROOFLINE.md)", ylabel="share of the copy bandwidth"
    )
    lowest = min(share for *_, share in points)
    axis.set_ylim(lowest / 1.8, max(1.5, 1.2 * max(share for *_, share in points)))
    low, high = min(density for _, density, _ in points) / 1.5, max(density for _, density, _ in points) * 1.5
    axis.set_xlim(low, high)
    equal_rates(axis, run, {str(case.facts.get("device", "cpu")) for case, *_ in points})
    plain_ticks(axis, "x")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.0%}" if f"{value:.0e}"[0] in "235" else ""))
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    axis.set_title(f"Our ways, {run.kind.replace('-', ' ')}: share of the copy bandwidth", fontsize=10)
    return drawn


def roofline_point(case: Case) -> tuple[float, float] | None:
    """Operations per byte of our way, and its share of the copy bandwidth by the bytes that must move; None if unknown.

    A file's own share may be by another count of these bytes.
    """
    work, way = work_of(case), case.ways[0]
    if work is None or way.share is None or way.bandwidth is None:
        return None
    counted = way.bandwidth * way.p50 * 1e6
    return work.operations / work.bytes, way.share * work.bytes / counted


def equal_rates(axis: Axes, run: Run, devices: set[str]) -> None:
    """Dotted lines of equal GFLOP/s; only where all points are of one device, whose copy bandwidth gives the scale."""
    copy = run.machine.get("copy_GB/s", {}).get(next(iter(devices)))
    if len(devices) > 1 or not copy:
        return
    (low, high), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for rate in (1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0):
        share_at = {x: rate / (x * copy) for x in (low, high)}
        if share_at[high] < top and share_at[low] > bottom:
            axis.plot([low, high], list(share_at.values()), color="gray", linestyle=":", linewidth=0.8, zorder=1)
            # At the upper end of the line: on the top edge, or on the left one.
            start = max(low, rate / (copy * top)), min(top, share_at[low])
            axis.annotate(
                f"{rate:,.0f} GFLOP/s", start, (4, -2), textcoords="offset points", va="top", fontsize=7, color="gray"
            )
    axis.set(xlim=(low, high), ylim=(bottom, top))


def plain_ticks(axis: Axes, which: str) -> None:
    """Tick labels as plain numbers; minor ticks at 2, 3 and 5 where the axis spans less than two decades."""
    ruler = axis.xaxis if which == "x" else axis.yaxis
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    ruler.set_major_formatter(PLAIN)
    narrow = high / low < 60
    ruler.set_minor_formatter(
        FuncFormatter(lambda value, _: f"{value:,.10g}" if narrow and f"{value:.0e}"[0] in "235" else "")
    )
