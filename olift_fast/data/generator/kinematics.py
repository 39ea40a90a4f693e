"""Forward kinematics of a tree of joints, for all clips and frames at once.

Arrays have the S samples (clips x frames) along the last axis, so that every NumPy operation runs over long contiguous
rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def forward_kinematics(parents: Ints, offsets: Floats, turning: Ints, rotation_vectors: Floats) -> Floats:
    """Positions of all joints: p_child = p_parent + G_parent offset_child, G_child = G_parent exp(rotation vector).

    Args:
        parents: (N,) index of each joint's parent, -1 for the root; parents come before their children.
        offsets: (N, 3, S) from the parent to the joint, in the parent's axes.
        turning: (M,) indices of the joints that turn. The others are rigid.
        rotation_vectors: (M, 3, S) of these joints, in radians.

    Returns:
        Positions (N, 3, S), in the axes and from the origin of the root's offset.
    """
    row_of = {int(node): row for row, node in enumerate(turning)}
    local = rotation_matrices(rotation_vectors)
    positions = np.empty_like(offsets)
    frames: list[Floats | None] = []
    for node, parent in enumerate(parents.tolist()):
        frame = None
        if parent < 0:
            positions[node] = offsets[node]
        else:
            frame = frames[parent]
            positions[node] = offsets[node] if frame is None else _rotate(frame, offsets[node])
            positions[node] += positions[parent]
        row = row_of.get(node)
        if row is not None:
            frame = local[row] if frame is None else compose(frame, local[row])
        frames.append(frame)
    return positions


def rotation_matrices(vectors: Floats) -> Floats:
    """exp of rotation vectors (..., 3, S) in radians, as matrices (..., 3, 3, S) (Rodrigues, 1840)."""
    x, y, z = vectors[..., 0, :], vectors[..., 1, :], vectors[..., 2, :]
    # 1e-12 is too small to change a real angle in float32, and avoids 0 / 0 at the angle 0.
    half = np.sqrt(0.25 * (x * x + y * y + z * z) + np.float32(1e-12))
    quotient = np.sin(half) / half
    sinc = quotient * np.cos(half)
    versine = np.float32(0.5) * quotient * quotient
    matrices = np.empty((*vectors.shape[:-2], 3, 3, vectors.shape[-1]), dtype=vectors.dtype)
    for i, (a, b, c) in enumerate(((x, y, z), (y, z, x), (z, x, y))):
        j = (i + 1) % 3
        matrices[..., i, i, :] = 1 - versine * (b * b + c * c)
        product, turn = versine * a * b, sinc * c
        matrices[..., i, j, :] = product - turn
        matrices[..., j, i, :] = product + turn
    return matrices


def compose(left: Floats, right: Floats) -> Floats:
    """Products of rotations (3, 3, S) and (3, 3, S), sample by sample."""
    product = left[:, 0, None] * right[None, 0]
    product += left[:, 1, None] * right[None, 1]
    product += left[:, 2, None] * right[None, 2]
    return product


def _rotate(matrices: Floats, vectors: Floats) -> Floats:
    """Rotations (3, 3, S) times vectors (3, S)."""
    turned = matrices[:, 0] * vectors[0]
    turned += matrices[:, 1] * vectors[1]
    turned += matrices[:, 2] * vectors[2]
    return turned
