"""Draws skeletons, lines and text into pictures with OpenCV, in fractions of a pixel, so that they move smoothly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from olift_fast.view.bones import DASHES, dashes, edge_side, inferred_edges, rgb, shades_of

if TYPE_CHECKING:
    from olift_fast.tracks.skeleton import Skeleton
    from olift_fast.view.video import Picture

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Color = tuple[int, int, int]
"""Blue, green, red."""

THEMES: dict[str, dict[str, Color]] = {
    "dark": {"page": (23, 17, 14), "panel": (34, 26, 21), "grid": (74, 58, 48), "shadow": (46, 36, 29),
             "text": (239, 233, 230), "soft": (173, 155, 143)},
    "light": {"page": (249, 247, 246), "panel": (255, 255, 255), "grid": (233, 226, 221), "shadow": (228, 221, 216),
              "text": (48, 36, 28), "soft": (133, 112, 102)},
}  # fmt: skip
_BITS = 4
"""Bits of a pixel's fraction in the coordinates that OpenCV takes."""
_FAR = 2**14
"""Nothing is drawn farther than this many pixels away: OpenCV's arithmetic overflows at about 2^15."""
_FURTHEST = np.float32(2 * _FAR * (1 << _BITS))
_SHADES = 6
"""Number of shades of a path, from its beginning to its end."""


class Painter:
    """Draws the skeletons of some tracks: left, middle and right in shades of the track's color.

    Args:
        skeleton: of all tracks.
        tracks: how many there are.
        theme: "dark" or "light".
        thick: the thickness of a bone in pixels.
    """

    def __init__(self, skeleton: Skeleton, tracks: int, theme: str, thick: float) -> None:
        self.edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
        self.inferred = np.array(inferred_edges(skeleton), np.bool_)
        self.sides = np.array([edge_side(skeleton, a, b) for a, b in skeleton.edges], np.int64)
        self.joint_sides = np.array(skeleton.sides, np.int64)
        self.colors = [[_bgr(shade) for shade in shades_of(track, theme)] for track in range(tracks)]
        self.hollow = THEMES[theme]["panel"]
        self.bone, self.radius = max(2, round(thick)), max(2.0, 1.1 * thick)

    def flat(self, picture: Picture, track: int, points: Array, visible: Mask) -> None:
        """Draw the visible ones of the keypoints (J, 2), and the bones between them; visible is (J,)."""
        shown = visible[self.edges].all(axis=1)
        for side in (1, 0, -1):
            color = self.colors[track][1 - side]
            for inferred in (False, True):
                bones = points[self.edges[shown & (self.sides == side) & (self.inferred == inferred)]]
                lines(picture, dashes(bones) if inferred else bones, color, self.bone)
        self._dots(picture, track, points, np.flatnonzero(visible), visible)

    def solid(self, picture: Picture, track: int, points: Array, depth: Array, visible: Mask) -> None:
        """Draw joints at (J, 2) pixels and (J,) depths, NaN for no joint, far ones first; hidden joints are hollow."""
        there = np.isfinite(depth) & (np.abs(np.nan_to_num(points)) < _FAR).all(axis=1)
        edges = np.flatnonzero(there[self.edges].all(axis=1))
        order = edges[np.argsort(-depth[self.edges[edges]].mean(axis=1), kind="stable")]
        bones = points[self.edges[order]]
        whole, colors = _fixed(bones), self.colors[track]
        pieces = _fixed(dashes(bones)).reshape(-1, DASHES, 2, 2) if self.inferred.any() else whole[:, None]
        for place, edge in enumerate(order.tolist()):
            drawn = pieces[place] if self.inferred[edge] else whole[place : place + 1]
            _draw(picture, drawn, colors[1 - self.sides[edge]], self.bone)
        joints = np.flatnonzero(there)
        self._dots(picture, track, points, joints[np.argsort(-depth[joints], kind="stable")], visible)

    def shadow(self, picture: Picture, points: Array, color: Color) -> None:
        """Draw the bones' shadow on the floor, from the joints' places on the floor (J, 2)."""
        there = np.asarray(np.isfinite(points).all(axis=1))
        lines(picture, points[self.edges[there[self.edges].all(axis=1)]], color, self.bone)

    def _dots(self, picture: Picture, track: int, points: Array, joints: npt.NDArray[np.int64], visible: Mask) -> None:
        import cv2

        colors, places = self.colors[track], _fixed(points[joints]).tolist()
        whole, hole = (round(share * self.radius * (1 << _BITS)) for share in (1, 0.6))
        for joint, place in zip(joints.tolist(), places, strict=True):
            if max(map(abs, place)) < _FAR << _BITS:
                cv2.circle(picture, place, whole, colors[1 - self.joint_sides[joint]], -1, cv2.LINE_AA, _BITS)
                if not visible[joint]:
                    cv2.circle(picture, place, hole, self.hollow, -1, cv2.LINE_AA, _BITS)


def lines(picture: Picture, ends: Array, color: Color, thickness: int) -> None:
    """Draw lines (L, 2, 2) from end to end. Lines with an end far outside of the picture are left out."""
    if len(ends) and not np.abs(ends).max() < _FAR:
        ends = ends[(np.abs(ends) < _FAR).all(axis=(1, 2))]
    _draw(picture, _fixed(ends), color, thickness)


def path(picture: Picture, points: Array, color: Color, behind: Color, thickness: int) -> None:
    """Draw a path (P, 2) that fades toward its beginning into the color `behind` it.

    Points that are not finite are skipped. The line is interrupted at points far outside of the picture.
    """
    there = points[np.isfinite(points).all(axis=1)]
    if len(there) < 2:
        return
    fixed, near = _fixed(there), np.asarray((np.abs(there) < _FAR).all(axis=1))
    stops = np.linspace(0, len(there) - 1, _SHADES + 1).round().astype(np.int64).tolist()
    for place, (start, stop) in enumerate(pairwise(stops)):
        part, inside = fixed[start : stop + 1], near[start : stop + 1]
        gaps = np.flatnonzero(np.diff(np.flatnonzero(inside)) > 1) + 1
        _draw(
            picture,
            [part] if inside.all() else np.split(part[inside], gaps),
            _mixed(behind, color, (place + 1) / _SHADES),
            thickness,
        )


def _draw(picture: Picture, lines: Iterable[npt.NDArray[np.int32]], color: Color, thickness: int) -> None:
    """Draw lines (P, 2), each through P points of `_fixed`, none of them far away."""
    import cv2

    if lines := [line for line in lines if len(line) > 1]:
        cv2.polylines(picture, lines, False, color, thickness, cv2.LINE_AA, _BITS)


def dot(picture: Picture, place: tuple[float, float], radius: float, color: Color) -> None:
    """Draw a filled circle."""
    import cv2

    x, y, size = (round(value * (1 << _BITS)) for value in (*place, radius))
    cv2.circle(picture, (x, y), size, color, -1, cv2.LINE_AA, _BITS)


def words(picture: Picture, place: tuple[int, int], text: str, color: Color, size: int) -> int:
    """Write a text with its upper left corner at `place`; returns where it ends, in pixels from the left."""
    x, y = float(place[0]), place[1]
    for sign in text:
        mask, step = _sign(sign, size)
        part = picture[y : y + mask.shape[0], round(x) : round(x) + mask.shape[1]]
        share = mask[: part.shape[0], : part.shape[1], None]
        part[:] = (part + share * (np.array(color, np.float32) - part)).astype(np.uint8)
        x += step
    return round(x)


def width_of(text: str, size: int) -> int:
    """The width of a text in pixels."""
    return round(sum(_sign(sign, size)[1] for sign in text))


def _mixed(behind: Color, color: Color, share: float) -> Color:
    blue, green, red = (round(b + share * (c - b)) for b, c in zip(behind, color, strict=True))
    return blue, green, red


@lru_cache(maxsize=2048)
def _sign(sign: str, size: int) -> tuple[Array, float]:
    """A character as a mask (H, W), 0 … 1, and the distance to the next character in pixels."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size)
    step = font.getlength(sign)
    image = Image.new("L", (max(1, int(np.ceil(max(step, font.getbbox(sign)[2])))), round(1.3 * size)))
    ImageDraw.Draw(image).text((0, 0), sign, fill=255, font=font)
    return np.asarray(image, np.float32) / np.float32(255), float(step)


def _fixed(points: Array) -> npt.NDArray[np.int32]:
    """The points as OpenCV's integers, with `_BITS` bits of fraction. Points that are far away stay far away."""
    fixed = np.multiply(points, 1 << _BITS, dtype=np.float32)
    np.minimum(np.maximum(fixed, -_FURTHEST, out=fixed), _FURTHEST, out=fixed)
    return np.rint(fixed, out=fixed).astype(np.int32)


def _bgr(shade: str) -> Color:
    red, green, blue = rgb(shade)
    return blue, green, red


def names_of(tracks: Sequence[str], longest: int) -> list[str]:
    """The names, each cut to at most so many characters."""
    return [name if len(name) <= longest else name[: longest - 1] + "…" for name in tracks]
