"""Plots of scores (extra `bench`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olift_fast.atomic import atomic_path
from olift_fast.train.metrics import METRICS

if TYPE_CHECKING:
    from olift_fast.train.evaluate import Score

DRAWN = ("sa_mpjpe", "sa_mpve")

# Also used by the plots of the studies and of the benchmarks.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130}


def draw_scores(scores: Sequence[Score], path: Path) -> None:
    """Draw a bar for each source and method: errors of joints on the left, errors of velocities on the right.

    Args:
        scores: what `evaluate` returns.
        path: .png, .svg or .pdf.

    Raises:
        InputError: the file can't be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sources, methods = (list(dict.fromkeys(getattr(row, key) for row in scores)) for key in ("source", "method"))
    found = {(row.source, row.method): row for row in scores}
    height = 0.8 / len(methods)
    size = (10, 1.2 + 0.25 * len(sources) * len(methods))
    drawn, axes = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    metrics = [metric for metric in METRICS if metric.name in DRAWN]
    for axis, metric in zip(axes, metrics, strict=True):
        for number, method in enumerate(methods):
            places = [place + (number + 0.5) * height - 0.4 for place in range(len(sources))]
            lengths = [found[source, method].values[metric.name] or 0.0 for source in sources]
            axis.barh(places, lengths, height, label=method)
        axis.set_xlabel(f"{metric.column}, % of RMS 2D radius")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(sources)), sources)
    axes[0].invert_yaxis()
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    with atomic_path(path) as temporary:
        plt.rcParams["svg.hashsalt"] = "olift"
        drawn.savefig(temporary, dpi=130)
    plt.close(drawn)
