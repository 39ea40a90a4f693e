"""Shared by all drawings of skeletons: the colors of tracks and sides, and the dashes of inferred bones."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.skeleton import Skeleton

DASHES = 4
"""The number of dashes of an inferred bone."""

# Hue, saturation and lightness of each track's middle color; they are easy to tell apart on white and on near-black.
TRACK_COLORS = (
    (0.59, 0.80, 0.52),
    (0.05, 0.82, 0.54),
    (0.45, 0.62, 0.42),
    (0.83, 0.48, 0.54),
    (0.12, 0.85, 0.46),
    (0.95, 0.66, 0.56),
    (0.28, 0.50, 0.42),
    (0.71, 0.52, 0.62),
)


def edge_side(skeleton: Skeleton, a: int, b: int) -> int:
    """The side of a bone: +1 left, -1 right, 0 middle. A bone from the middle to a side is of that side."""
    return int(np.sign(skeleton.sides[a] + skeleton.sides[b]))


def inferred_edges(skeleton: Skeleton) -> tuple[bool, ...]:
    """For each of the E edges, whether it was inferred. Inferred edges are drawn dashed."""
    return skeleton.inferred or (False,) * len(skeleton.edges)


def shades_of(index: int, theme: str) -> list[str]:
    """Colors of a track's left, middle and right parts: shades of one hue, so that tracks differ more than sides."""
    hue, saturation, lightness = TRACK_COLORS[index % len(TRACK_COLORS)]
    hue += 0.045 * (index // len(TRACK_COLORS))
    shades = []
    lightness += 0.09 if theme == "dark" else 0.0
    for turn, lift in ((-0.055, 0.15), (0.0, 0.0), (0.045, -0.11)):
        red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, lightness + lift, saturation)
        shades.append(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}")
    return shades


def rgb(shade: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 … 255, of a color such as "#1f77b4"."""
    return int(shade[1:3], 16), int(shade[3:5], 16), int(shade[5:7], 16)


def dashes(bones: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The dashes ``(E · DASHES, 2, D)`` of bones ``(E, 2, D)``, from end to end; gaps are as long as dashes."""
    at = np.linspace(0, 1, 2 * DASHES, dtype=bones.dtype).reshape(1, DASHES, 2, 1)
    drawn = (1 - at) * bones[:, None, None, 0] + at * bones[:, None, None, 1]
    return np.asarray(drawn.reshape(-1, 2, bones.shape[-1]))
