"""The meshes of joints and bones in glTF, and their colors for left, middle and right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mesh = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.uint16]]
"""Corners (V, 3), their normals (V, 3) and triangles of corners (F * 3)."""

_SIDES_OF_STICK = 6


def ball(radius: float) -> Mesh:
    """An icosahedron about the origin."""
    golden = (1 + np.sqrt(5)) / 2
    some = np.array([(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)])
    corners = np.concatenate([np.roll(some, turn, axis=1) for turn in range(3)])
    normals = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    away = np.linalg.norm(corners[:, np.newaxis] - corners, axis=-1)
    near = np.isclose(away, 2)
    faces = [
        (a, b, c) if np.linalg.det(corners[[a, b, c]]) > 0 else (a, c, b)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    return (normals * radius).astype(np.float32), normals.astype(np.float32), np.array(faces, np.uint16).ravel()


def stick(radius: float) -> Mesh:
    """A tapering stick of length 1 from the origin along y. To change its length alone, scale y."""
    angles = np.arange(_SIDES_OF_STICK) * 2 * np.pi / _SIDES_OF_STICK
    around = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], axis=-1)
    corners = np.concatenate([around * radius, around * radius * 0.5 + (0, 1, 0)])
    faces = []
    for a in range(_SIDES_OF_STICK):
        b = (a + 1) % _SIDES_OF_STICK
        faces += [(a, a + _SIDES_OF_STICK, b), (b, a + _SIDES_OF_STICK, b + _SIDES_OF_STICK)]
    return (
        corners.astype(np.float32),
        np.concatenate([around] * 2).astype(np.float32),
        np.array(faces, np.uint16).ravel(),
    )


def color_of(track: int, side: int) -> list[float]:
    """Red, green, blue, alpha: a hue for each track; left is lighter, right darker."""
    hue = (0.58 + 0.618034 * track) % 1
    bright = 0.75 + 0.2 * side
    channels = [bright * float(np.clip(abs((hue + turn) % 1 * 6 - 3) - 1, 0.15, 1)) for turn in (0, 2 / 3, 1 / 3)]
    return [*(round(channel, 4) for channel in channels), 1.0]
