"""Finds rotations that turn directions onto others, and makes Euler angles and quaternions that do not jump."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Weights beside 1 for the first direction: the others decide only what it leaves open, the base what all leave open.
_OTHERS, _BASE = 1e-3, 1e-6
# A direction is in line with the first one if the squared sine of the angle between them is at most this.
_IN_LINE = 0.3


def turning(directions: Array, onto: Array, base: Array) -> Array:
    """(T, 3, 3) rotations that turn the first direction onto its target, to 0.1°, and the others as near as possible.

    They are weighted best fits (Kabsch, 1976). Directions in line with the first have no weight: when such a bone bends
    to one side and then to the other, it would roll the joint over.

    Args:
        directions: (K, 3) of unit length.
        onto: (T, K, 3) of unit length, the targets.
        base: (T, 3, 3) rotations, which decide what the directions leave open.
    """
    aside = np.maximum(1 - (directions @ directions[0]) ** 2 - _IN_LINE, 0)
    weights = np.where(np.arange(len(directions)) == 0, 1, _OTHERS * aside / len(directions))[:, np.newaxis]
    return proper(np.einsum("tki,kj->tij", onto, directions * weights) + _BASE * base)


def proper(matrices: Array) -> Array:
    """(T, 3, 3) the rotations R that maximize ``trace(Rᵀ M)`` for matrices M (T, 3, 3)."""
    left, _, right = np.linalg.svd(matrices)
    left[..., -1] *= np.linalg.det(left @ right)[..., np.newaxis]
    return left @ right


def swing(start: Array, end: Array) -> Array:
    """(..., 3, 3) the smallest rotations from unit vectors (..., 3) to others.

    For opposite vectors, the rotation is a half turn about an axis perpendicular to both.
    """
    cosine = np.einsum("...i,...i->...", start, end)[..., np.newaxis, np.newaxis]
    axis = np.cross(start, end)
    skew = np.zeros((*axis.shape, 3))
    for row, column, place in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        skew[..., row, column], skew[..., column, row] = -axis[..., place], axis[..., place]
    rotations = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-12)
    opposite = cosine[..., 0, 0] < -1 + 1e-9
    if opposite.any():
        rotations[opposite] = _half_turns(np.broadcast_to(start, axis.shape)[opposite])
    return rotations


def _half_turns(start: Array) -> Array:
    square = np.cross(start, np.eye(3)[np.abs(start).argmin(axis=-1)])
    square /= np.linalg.norm(square, axis=-1, keepdims=True)
    return 2 * square[..., :, np.newaxis] * square[..., np.newaxis, :] - np.eye(3)


def about_y(angle: float) -> Array:
    """(3, 3) the rotation about the y axis by an angle in radians, from z toward x."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def euler_zxy(rotations: Array) -> Array:
    """(T, ..., 3) angles z, x, y in degrees of rotations (T, ..., 3, 3) ``Rz Rx Ry``, without jumps over time.

    A rotation has several sets of angles: (z, x, y), its twin ``(z + 180, 180 - x, y + 180)``, and either plus full
    turns. The one nearest to the angles of the frame before is taken.
    """
    sine = np.clip(rotations[..., 2, 1], -1, 1)
    locked = np.abs(sine) > 1 - 1e-12
    z = np.where(
        locked,
        np.arctan2(rotations[..., 1, 0], rotations[..., 0, 0]),
        np.arctan2(-rotations[..., 0, 1], rotations[..., 1, 1]),
    )
    y = np.where(locked, 0, np.arctan2(-rotations[..., 2, 0], rotations[..., 2, 2]))
    angles = np.stack([z, np.arcsin(sine), y], axis=-1)
    twins = np.stack([z + np.pi, np.pi - angles[..., 1], y + np.pi], axis=-1)
    # From one frame to the next, two twins are as far apart as the two sets themselves. So whether to change from one
    # to the other does not depend on which was chosen before.
    change = np.zeros(angles.shape[:-1], np.int64)
    change[1:] = _distance(twins[1:], angles[:-1]) < _distance(angles[1:], angles[:-1])
    chosen = np.where((change.cumsum(axis=0) % 2 == 1)[..., np.newaxis], twins, angles)
    return np.degrees(np.unwrap(chosen, axis=0))


def _distance(a: Array, b: Array) -> Array:
    return np.sum(((a - b + np.pi) % (2 * np.pi) - np.pi) ** 2, axis=-1)


def quaternions(rotations: Array) -> Array:
    """(T, ..., 4) unit quaternions x, y, z, w of rotations (T, ..., 3, 3); their signs do not flip over time."""
    trace = np.einsum("...ii->...", rotations)
    diagonal = np.einsum("...ii->...i", rotations)
    # Of the four formulas, use the one that divides by the largest component.
    squares = np.concatenate([1 + 2 * diagonal - trace[..., np.newaxis], 1 + trace[..., np.newaxis]], axis=-1)
    best = squares.argmax(axis=-1)
    m = rotations
    products = np.empty((*best.shape, 4, 4))
    for place in range(4):
        products[..., place, place] = squares[..., place]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        products[..., a, b] = products[..., b, a] = m[..., a, b] + m[..., b, a]
    for place, (a, b) in enumerate(((2, 1), (0, 2), (1, 0))):
        products[..., place, 3] = products[..., 3, place] = m[..., a, b] - m[..., b, a]
    found = np.take_along_axis(products, best[..., np.newaxis, np.newaxis], axis=-2)[..., 0, :]
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    turned = np.einsum("t...i,t...i->t...", found[1:], found[:-1]) < 0
    signs = np.ones(found.shape[:-1])
    signs[1:] = np.where(turned.cumsum(axis=0) % 2 == 1, -1, 1)
    return found * signs[..., np.newaxis]
