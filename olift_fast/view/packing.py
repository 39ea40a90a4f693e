"""Packs a result for the viewer page: facts for its script, and the arrays of the drawn frames as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from olift_fast.tracks.rates import rate_of
from olift_fast.view.bones import edge_side, inferred_edges, shades_of
from olift_fast.view.scene import floor_of, known_floor

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

MISSING = -32768
"""Code of a missing coordinate; the others use -32500 … 32500."""


def pack(result: LiftedTracks, stride: int) -> tuple[dict[str, Any], bytes]:
    """The facts that the page's script reads from JSON, and the arrays of the drawn frames, frames first, as bytes."""
    joints = np.swapaxes(result.joints[:, ::stride], 0, 1)
    keypoints = np.swapaxes(result.keypoints[:, ::stride], 0, 1)
    confidence = np.swapaxes(result.confidence[:, ::stride], 0, 1)
    visible = np.swapaxes(result.visible[:, ::stride], 0, 1)
    total = result.joints.shape[1]
    frames = np.arange(total) if result.frames is None else np.asarray(result.frames)

    joint_codes, joint_offset, joint_step = quantize(joints)
    keypoint_codes, keypoint_offset, keypoint_step = quantize(keypoints)
    # The panels' size comes from visible keypoints only. One stray detection would shrink the animal to a dot.
    seen = np.where(visible[..., None], keypoints, np.nan)
    tracks, skeleton = len(result.tracks), result.skeleton
    info: dict[str, Any] = {
        "frames": joints.shape[0],
        "total": total,
        "stride": stride,
        "fps": result.fps,
        "rate": rate_of(result),
        "tracks": list(result.tracks),
        "joints": list(skeleton.names),
        "edges": [
            [a, b, edge_side(skeleton, a, b), int(inferred)]
            for (a, b), inferred in zip(skeleton.edges, inferred_edges(skeleton), strict=True)
        ],
        "sides": list(skeleton.sides),
        "colors": {theme: [shades_of(index, theme) for index in range(tracks)] for theme in ("light", "dark")},
        "imageSize": list(result.image_size) if result.image_size else None,
        "missing": MISSING,
        "joint": {"offset": joint_offset, "step": joint_step, "range": _ranges(joints)},
        "keypoint": {"offset": keypoint_offset, "step": keypoint_step, "range": _ranges(seen)},
        # Of all tracks together, then of each one.
        "reach": [_reach(joints), *(_reach(joints[:, track : track + 1]) for track in range(tracks))],
        "reach2D": [_reach(seen), *(_reach(seen[:, track : track + 1]) for track in range(tracks))],
        "floor": _floor(result),
        "pitch": result.pitch,
    }
    deviations: tuple[np.ndarray, ...] = ()
    if result.uncertainty is not None:
        codes, offset, step = quantize(np.swapaxes(result.uncertainty[:, ::stride], 0, 1))
        deviations, info["deviation"] = (codes,), {"offset": offset, "step": step}
    levels = np.round(np.clip(np.nan_to_num(confidence), 0, 1) * 250).astype(np.uint8)
    # Bits: 1 visible, 2 stands on the floor.
    marks = visible.astype(np.uint8)
    if result.contacts is not None:
        marks |= 2 * np.swapaxes(result.contacts[:, ::stride], 0, 1).astype(np.uint8)
    arrays = (frames[::stride].astype("<i4"), joint_codes, keypoint_codes, *deviations, levels, marks)
    return info, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def quantize(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Codes int16 `(...)`, offset and step: values = offset + step × code. Values that aren't finite become MISSING."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(values.shape, MISSING, "<i2"), 0.0, 1.0
    low, high = float(values[finite].min()), float(values[finite].max())
    offset, step = (low + high) / 2, max((high - low) / 65000, 1e-9)
    codes = np.round((np.where(finite, values, offset).astype(np.float64) - offset) / step)
    return np.where(finite, codes, MISSING).astype("<i2"), offset, step


def _ranges(points: np.ndarray) -> list[list[float]]:
    """The drawn range of each coordinate, with a margin; points far outside of the range of 99.6 % are left out."""
    flat = points.reshape(-1, points.shape[-1])
    flat = flat[np.isfinite(flat).all(axis=1)]
    if not len(flat):
        return [[-1.12, 1.12]] * points.shape[-1]
    low, high = np.percentile(flat, [0.2, 99.8], axis=0)
    near = 0.25 * max(float((high - low).max()), 1e-6)
    ranges = []
    for values, least, most in zip(flat.T, low, high, strict=True):
        kept = values[(values >= least - near) & (values <= most + near)]
        ranges.append([float(kept.min()), float(kept.max())])
    margin = 0.06 * max(max(high - low for low, high in ranges), 1e-6)
    return [[_rounded(low - margin), _rounded(high + margin)] for low, high in ranges]


def _reach(points: np.ndarray) -> list[float]:
    """Half the sides of a box about the center of a frame's points that contains the points of nearly every frame."""
    frames = points.reshape(points.shape[0], -1, points.shape[-1])
    reach = []
    for values in np.moveaxis(frames, -1, 0):
        rows = values[np.isfinite(values).any(axis=1)]
        if rows.size == 0:
            reach.append(1.0)
            continue
        spread = np.nanmax(np.abs(rows - np.nanmean(rows, axis=1, keepdims=True)), axis=1)
        reach.append(_rounded(float(np.percentile(spread, 99.5))))
    return reach


def _floor(result: LiftedTracks) -> dict[str, Any] | None:
    """The height of the floor in the world frame, and whether a floor was found; None in other frames."""
    if result.frame != "world":
        return None
    return {"height": _rounded(floor_of(result, result.joints)), "known": known_floor(result) is not None}


def _rounded(value: float) -> float:
    """The value to five digits, which are enough for drawing, in pixels and in meters."""
    return float(f"{value:.5g}")
