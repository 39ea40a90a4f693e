"""The panel beside the live view: the keypoints in 2D, the legend, and a line for each track."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.skeleton import Skeleton
from olift_fast.view.bones import edge_side, inferred_edges

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_PANEL = 420
_MARGIN = 0.12


@dataclass(slots=True, eq=False)
class LiveTrack:
    """The latest frame of a track, its colors, and its parts of the scene."""

    name: str
    color: int
    shades: list[str]
    frame: int = -1
    joints: Array = field(default_factory=lambda: np.empty((0, 3), np.float32))
    keypoints: Array = field(default_factory=lambda: np.empty((0, 2), np.float32))
    visible: Mask = field(default_factory=lambda: np.empty(0, np.bool_))
    uncertainty: Array | None = None
    handles: dict[str, Any] = field(default_factory=dict)


class Panel:
    """Draws the 2D input of all tracks. The drawing covers all places where visible keypoints have been so far."""

    def __init__(self, skeleton: Skeleton, title: str) -> None:
        self._skeleton, self._title = skeleton, title
        self._sides = [edge_side(skeleton, a, b) for a, b in skeleton.edges]
        self._inferred = inferred_edges(skeleton)
        self._range: tuple[Array, Array] | None = None

    def svg(self, tracks: Iterable[LiveTrack]) -> str:
        """The drawing as HTML; the mouse over a joint shows its name. "" until a keypoint was visible."""
        tracks = list(tracks)
        seen = [track.keypoints[track.visible] for track in tracks if track.visible.any()]
        if seen:
            points = np.concatenate(seen)
            low, high = points.min(axis=0), points.max(axis=0)
            if self._range is not None:
                low, high = np.minimum(low, self._range[0]), np.maximum(high, self._range[1])
            self._range = low, high
        if self._range is None:
            return ""
        low, high = self._range
        extent = max(float((high - low).max()), 1.0)
        left, top = low - _MARGIN * extent
        width, height = high - low + 2 * _MARGIN * extent
        dot = 0.012 * max(width, height)
        body = "".join(self._drawn(track, dot) for track in tracks)
        box = f"{left:.1f} {top:.1f} {width:.1f} {height:.1f}"
        return (
            f'<div style="padding:0 0.75em"><b>{html.escape(self._title)}</b>: 2D input'
            f'<svg id="olift-input" viewBox="{box}" style="width:100%;max-height:{_PANEL}px;background:#f4f5f7;'
            f'border-radius:4px">{body}</svg></div>'
        )

    def legend(self, axes: str | None) -> str:
        """The meaning of colors, marks and axes, as HTML."""
        rows = []
        if any(self._skeleton.sides):
            rows.append("Shades of a track: light left, middle, dark right.")
        rows.append("Pale: hidden in the input, estimated.")
        if any(self._inferred):
            rows.append("Dashed: bones that were inferred, not given.")
        if axes:
            rows.append(f"Axes: {html.escape(axes)}.")
        return "<br>".join(rows)

    def _drawn(self, track: LiveTrack, dot: float) -> str:
        parts = []
        points = [f"{x:.1f} {y:.1f}".split() for x, y in np.nan_to_num(track.keypoints).tolist()]
        dashed = f' stroke-dasharray="{1.6 * dot:.2f} {dot:.2f}"'
        for (a, b), side, inferred in zip(self._skeleton.edges, self._sides, self._inferred, strict=True):
            if track.visible[a] and track.visible[b]:
                (x1, y1), (x2, y2) = points[a], points[b]
                parts.append(
                    f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{track.shades[1 - side]}" '
                    f'stroke-width="{0.6 * dot:.2f}"{dashed if inferred else ""}/>'
                )
        joints = zip(points, self._skeleton.sides, self._skeleton.names, track.visible.tolist(), strict=True)
        for (x, y), side, name, visible in joints:
            if visible:
                parts.append(
                    f'<circle cx="{x}" cy="{y}" r="{dot:.2f}" fill="{track.shades[1 - side]}">'
                    f"<title>{html.escape(name)}</title></circle>"
                )
        return "".join(parts)


def told(tracks: Iterable[LiveTrack], latency: float | None) -> str:
    """A line for each track, and one for the latency (in seconds), if it is known, as HTML."""
    rows = [
        f"<span style='color:{track.shades[1]}'>●</span> {html.escape(track.name)}: frame {track.frame:,}, "
        f"{track.visible.sum()} of {len(track.visible)} joints visible"
        for track in tracks
    ]
    if not rows:
        return "No track."
    if latency is not None:
        rows.append(f"Latency: {1e3 * latency:.0f} ms from a frame's coming to its drawing (median)")
    return "<br>".join(rows)
