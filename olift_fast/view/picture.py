"""Draws a skeleton on one frame of keypoints, as a picture (extra `bench`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olift_fast.atomic import atomic_path
from olift_fast.errors import MissingExtraError
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.view.bones import edge_side, inferred_edges, shades_of

_SIDE = 10.0
_DASHES = (0, (3, 2))


def draw_skeleton(tracks: KeypointTracks, path: Path, *, min_confidence: float = 0.3) -> int:
    """Draw the skeleton of `tracks` on the frame that shows most joints, with their names; inferred bones are dashed.

    If no track shows all joints in that frame, several tracks are drawn, each where it is. Left, middle and right have
    the shades of the viewer.

    Args:
        tracks: keypoints (N, T, J, 2) in pixels, not all hidden.
        path: a .png; an old one is replaced only by a complete new one.
        min_confidence: keypoints below it are not drawn.

    Returns:
        the index of the frame.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: the file can't be written.
    """
    require_matplotlib()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    skeleton, visible = tracks.skeleton, tracks.visible(min_confidence)
    frame = clearest_frame(visible)
    shown = _chosen(visible[:, frame])
    points = tracks.keypoints[:, frame]
    inferred = inferred_edges(skeleton)
    drawn = np.concatenate([points[track, visible[track, frame]] for track in shown])
    extent = np.maximum(np.ptp(drawn, axis=0), 1e-3)
    size = np.clip(_SIDE * extent / extent.max(), 0.45 * _SIDE, _SIDE)
    with atomic_path(path) as temporary, plt.rc_context({"font.size": 9}):
        figure, axes = plt.subplots(figsize=size.tolist(), layout="constrained")
        named: set[int] = set()
        for track in shown:
            shades, seen = shades_of(track, "light"), visible[track, frame]
            for (a, b), guessed in zip(skeleton.edges, inferred, strict=True):
                if seen[a] and seen[b]:
                    color = shades[1 - edge_side(skeleton, a, b)]
                    axes.plot(*points[track, [a, b]].T, color=color, lw=2, ls=_DASHES if guessed else "-", zorder=1)
            for joint in np.flatnonzero(seen):
                x, y = points[track, joint]
                axes.scatter(x, y, s=28, color=shades[1 - skeleton.sides[joint]], zorder=2)
                if joint not in named:
                    axes.annotate(skeleton.names[joint], (x, y), (5, 4), textcoords="offset points", zorder=3)
            named |= set(np.flatnonzero(seen).tolist())
        if any(skeleton.sides):
            for side, word in ((1, "left"), (0, "middle or unknown"), (-1, "right")):
                axes.scatter([], [], s=28, color=shades_of(shown[0], "light")[1 - side], label=word)
            axes.legend(frameon=False)
        axes.set(title=_title(tracks, frame), aspect="equal")
        axes.margins(0.12)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(temporary, format="png", dpi=130)
        plt.close(figure)
    return frame


def require_matplotlib() -> None:
    """Raise MissingExtraError unless matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(what="drawing a picture", extra="bench")


def clearest_frame(visible: npt.NDArray[np.bool_]) -> int:
    """The first frame of `visible` (N, T, J) in which most joints are visible in any of the tracks."""
    return int(visible.any(axis=0).sum(axis=-1).argmax())


def _chosen(visible: npt.NDArray[np.bool_]) -> list[int]:
    """The tracks of `visible` (N, J) to draw: the one with most joints, then those that add most joints to these."""
    chosen: list[int] = []
    shown = np.zeros(visible.shape[-1], dtype=np.bool_)
    while (adds := (visible & ~shown).sum(axis=-1)).any():
        chosen.append(int(adds.argmax()))
        shown |= visible[chosen[-1]]
    return chosen


def _title(tracks: KeypointTracks, frame: int) -> str:
    number = frame if tracks.frames is None else int(tracks.frames[frame])
    name = Path(tracks.source).name if tracks.source else "keypoints"
    bones = f"{len(tracks.skeleton.edges)} bones"
    guessed = sum(tracks.skeleton.inferred)
    return f"{name}, frame {number:,}: {bones}" + (f", {guessed} inferred (dashed)" if guessed else "")
