"""Fits rotations and scales that bring joints onto keypoints or onto other joints, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olift_fast.runtime.asked_backend import asked_backend
from olift_fast.runtime.native_module import native_module
from olift_fast.runtime.threads import thread_count

Floats = npt.NDArray[np.float64]

ITERATIONS = 64


def orthographic_fit(spread: Floats, cross: Floats) -> tuple[Floats, Floats]:
    """The rotation R and the scale s that minimize ``Σ |s (R source)_xy - target|²`` for centered points.

    The fit starts at the rotation nearest to the best affine map. Then two steps alternate: complete the target with
    the depth of the fit, and fit the source to the completed target (Horn 1987). Each step lowers the error.

    Args:
        spread: ``(N, 3, 3)``, ``Σ source sourceᵀ``.
        cross: ``(N, 3, 2)``, ``Σ source targetᵀ``.

    Returns:
        rotations ``(N, 3, 3)`` and scales ``(N,)``.

    Equivalent to `olift_fast.reference.orthographic_procrustes` without its translation. The native module's kernel
    ends with Newton steps. Without the native module, NumPy computes the fit.
    """
    native = native_module()
    if native is None or asked_backend() == "eager" or not len(spread):
        return _alternated(spread, cross)
    rotation, scale = np.empty_like(spread, dtype=np.float64, order="C"), np.empty(len(spread))
    moments = (np.ascontiguousarray(x, dtype=np.float64) for x in (spread, cross))
    native.orthographic_moments(*moments, rotation, scale, thread_count())
    return rotation, scale


def _alternated(spread: Floats, cross: Floats) -> tuple[Floats, Floats]:
    """`orthographic_fit` in NumPy alone."""
    total = np.trace(spread, axis1=-2, axis2=-1)
    total = np.where(total > 0, total, 1.0)
    affine = np.linalg.pinv(spread, rcond=1e-6) @ cross
    left, singular, right = np.linalg.svd(affine.swapaxes(-1, -2), full_matrices=False)
    rows = left @ right
    third = np.cross(rows[..., 0, :], rows[..., 1, :])
    rotation = np.concatenate([rows, third[..., None, :]], axis=-2)
    scale = singular.mean(axis=-1)
    for _ in range(ITERATIONS):
        depth = scale[..., None, None] * (spread @ rotation[..., 2:, :].swapaxes(-1, -2))
        covariance = np.concatenate([cross, depth], axis=-1)
        rotation = nearest_rotation(covariance)
        scale = np.trace(rotation @ covariance, axis1=-2, axis2=-1) / total
    return rotation, scale


def similar(source: Floats, target: Floats) -> Floats:
    """``s R source + t`` with the rotation, scale and translation that minimize ``Σ |s R source + t - target|²``.

    Args:
        source, target: ``(P, 3)``.

    Equivalent to ``olift_fast.reference.procrustes_align(source, target, kind="similarity")``.
    """
    middle = target.mean(axis=0)
    source, target = source - source.mean(axis=0), target - middle
    covariance = source.T @ target
    rotation = nearest_rotation(covariance)
    spread = np.square(source).sum()
    scale = np.trace(rotation @ covariance) / spread if spread > 0 else 1.0
    return np.asarray(scale * (source @ rotation.T) + middle)


def nearest_rotation(covariance: Floats) -> Floats:
    """The rotations ``(..., 3, 3)`` that turn the source nearest to the target (Horn 1987).

    ``covariance[..., i, j] = Σ source_i target_j`` of centered points.
    """
    _, vectors = np.linalg.eigh(_davenport(covariance))
    return _matrix_of(vectors[..., :, -1])


def _davenport(covariance: Floats) -> Floats:
    """The symmetric ``(..., 4, 4)`` matrix whose top eigenvector is the quaternion (w, x, y, z) of the best rotation.

    ``covariance[..., i, j] = Σ source_i target_j``.
    """
    trace = np.trace(covariance, axis1=-2, axis2=-1)
    skew = covariance - covariance.swapaxes(-1, -2)
    found = np.empty((*covariance.shape[:-2], 4, 4))
    found[..., 0, 0] = trace
    found[..., 0, 1:] = np.stack([skew[..., 1, 2], skew[..., 2, 0], skew[..., 0, 1]], axis=-1)
    found[..., 1:, 0] = found[..., 0, 1:]
    found[..., 1:, 1:] = covariance + covariance.swapaxes(-1, -2) - trace[..., None, None] * np.eye(3)
    return found


def _matrix_of(quaternion: Floats) -> Floats:
    """Unit quaternions ``(..., 4)`` as (w, x, y, z) to rotations ``(..., 3, 3)``."""
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    rows = [
        *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
    ]
    return np.stack(rows, axis=-1).reshape(*quaternion.shape[:-1], 3, 3)
