"""How large the animals are: meters in a pixel from known lengths, and each frame's size in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world.averages import median_of
from olift_fast.world.feet import feet_of, is_upright, parts_of
from olift_fast.world.lengths import KnownLength

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SPREADS = 3.0
"""Known lengths that are more of their spreads apart from what all of them say are warned of."""
SMALLEST, LARGEST = 5e-5, 30.0
"""Meters across an animal, below and above which a known length is taken for a slip."""

_STRETCHED = 0.9  # quantile of time at which an animal is stretched out, or a person stands
_ACROSS = 0.7  # bones that lie so far in the picture's plane are measured best
_STEADY = 1e-3  # the share by which lengths that were made steady still differ
_ENOUGH = 0.2  # … where so large a share of the frames has them
# Where the joints of a person's head and foot are, as shares of the height (Drillis and Contini 1966).
_UP_TO = {"crown": 1.0, "eye": 0.936, "ear": 0.93, "head": 0.93, "face": 0.92, "nose": 0.915}
_DOWN_TO = {"ankle": 0.039, "heel": 0.01, "foot": 0.02, "toe": 0.01}


class Size(NamedTuple):
    """Of each track (N): meters in a pixel, how much that spreads over the frames (a share), and what is odd of it."""

    meters_per_pixel: Floats
    spread: Floats
    warnings: tuple[str, ...]


class _Measured(NamedTuple):
    """What one known length says of one track: meters in a pixel, the spread over frames, the frames that tell."""

    meters_per_pixel: float
    spread: float
    frames: int


def measure(result: LiftedTracks, lengths: Sequence[KnownLength], up: Floats, relative: Floats) -> Size:
    """Meters in a pixel at each animal, from known lengths.

    Of a bone, frames count that show both of its ends, of these the ones in which it lies across the view where there
    are enough; the median over them decides, and over the lengths where there are several.

    Args:
        result: in the camera frame.
        lengths: at least one.
        up: (3) in the camera's axes; a person's height is measured along it.
        relative: (N, T) the size of each frame over the track's median size, by which what is measured is divided.

    Raises:
        InputError: no frame of any track shows what a length is of.
    """
    found = [
        [_measure(result, track, length, up, relative[track]) for length in lengths]
        for track in range(result.num_tracks)
    ]
    for place, length in enumerate(lengths):
        if not any(of_track[place].frames for of_track in found):
            raise InputError(f"{_source(result)}{length.text!r}: no frame shows both of its ends")
    values, spreads, warnings = [], [], []
    for name, of_track in zip(result.tracks, found, strict=True):
        known = [one for one in of_track if one.frames]
        value = float(np.median([one.meters_per_pixel for one in known])) if known else np.nan
        values.append(value)
        spreads.append(float(np.median([one.spread for one in known])) if known else np.nan)
        warnings += list(_disagreements(name, lengths, of_track, value))
    others = median_of(np.array(values), axis=0)
    warnings += [
        f"{name}: no known length is seen, so its size is that of the others"
        for name, value in zip(result.tracks, values, strict=True)
        if np.isnan(value)
    ]
    meters = np.where(np.isnan(values), others, values)
    warnings += list(_absurd(result, meters))
    return Size(meters, np.array(spreads), tuple(warnings))


def relative_sizes(result: LiftedTracks) -> tuple[Floats, Floats]:
    """(N, T) the size of each frame's bones over their median in the track, and (N) how far single frames scatter.

    The median over all bones, weighted by their lengths; NaN in frames that show none. Without edges, the distances of
    the joints from the middle of the frame take the bones' place.
    """
    joints = result.joints.astype(np.float64)
    sizes, scatter = [], []
    for track in range(result.num_tracks):
        lengths, seen = _bone_lengths(joints[track], result.visible[track], result.skeleton)
        usual = median_of(np.where(seen, lengths, np.nan), axis=0)
        kept = np.isfinite(usual) & (usual > 0.02 * np.nanmax(usual, initial=0))
        logs = np.log(np.where(seen, lengths, np.nan)[:, kept] / usual[kept])
        sizes.append(np.exp(_weighted_median(logs, usual[kept])))
        steps = np.diff(np.log(sizes[-1]))
        scatter.append(
            float(1.48 * np.median(np.abs(steps[np.isfinite(steps)])) / np.sqrt(2))
            if np.isfinite(steps).any()
            else np.nan
        )
    return np.array(sizes), np.array(scatter)


def keeps_lengths(result: LiftedTracks) -> bool:
    """Whether bones of a track keep their lengths in the picture to 0.1 %, as only bones do that were made steady."""
    for joints in result.joints:
        lengths, _ = _bone_lengths(joints.astype(np.float64), np.isfinite(joints).all(axis=-1), result.skeleton)
        usual = median_of(lengths, axis=0)
        off = np.abs(lengths / np.where(usual > 0, usual, np.nan) - 1)
        if result.skeleton.edges and np.isfinite(off).sum() > 2 * off.shape[1] and np.nanmax(off) < _STEADY:
            return True
    return False


def _measure(result: LiftedTracks, track: int, length: KnownLength, up: Floats, relative: Floats) -> _Measured:
    if length.kind == "pixel":
        return _Measured(length.meters, 0.0, result.num_frames)
    joints, visible = result.joints[track].astype(np.float64), result.visible[track]
    if length.kind == "height":
        pixels, weight = _heights(joints, visible, result.skeleton, up) / relative, _STRETCHED
    else:
        pixels, weight = (
            _distances(joints, visible, length.joints) / relative[:, None],
            0.5 if length.kind == "bone" else _STRETCHED,
        )
    pixels = pixels[np.isfinite(pixels) & (pixels > 0)]
    if not len(pixels):
        return _Measured(np.nan, np.nan, 0)
    size = float(np.quantile(pixels, weight))
    low, high = np.quantile(pixels, (0.16, 0.84))
    return _Measured(length.meters / size, float((high - low) / 2 / size), len(pixels))


def _distances(joints: Floats, visible: Bools, pairs: Sequence[tuple[int, int]]) -> Floats:
    """(T, P) pixels between two joints, in the frames that tell; NaN in the others."""
    first, second = np.array(pairs).T
    vectors = joints[:, first] - joints[:, second]
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths[~(visible[:, first] & visible[:, second])] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        across = np.linalg.norm(vectors[..., :2], axis=-1) / lengths >= _ACROSS
    known = np.isfinite(lengths)
    return np.where(across, lengths, np.nan) if across.sum() > _ENOUGH * known.sum() else lengths


def _heights(joints: Floats, visible: Bools, skeleton: Skeleton, up: Floats) -> Floats:
    """(T) pixels from the floor to the crown of a person, of frames that show head and feet.

    Raises:
        InputError: the skeleton is none of a person, or has no head or no feet.
    """
    parts = parts_of(skeleton.names)
    top = {joint: _UP_TO[part.part] for joint, part in enumerate(parts) if part is not None and part.part in _UP_TO}
    low = {int(joint): _DOWN_TO[parts[joint].part] for joint in feet_of(skeleton) if parts[joint].part in _DOWN_TO}  # type: ignore[union-attr]
    if not is_upright(skeleton) or not top or not low:
        raise InputError("a height is measured on a person with a head and feet: give --bone or --length instead")
    heights = np.where(visible, joints @ up, np.nan)
    highest = max(top.values())
    heads = [joint for joint, share in top.items() if share == highest]
    head = median_of(heights[:, heads], axis=1)
    # The foot that a person stands on is the lower one.
    found = [(head - heights[:, foot]) / (highest - share) for foot, share in low.items()]
    return np.asarray(np.fmax.reduce(found))


def _bone_lengths(joints: Floats, visible: Bools, skeleton: Skeleton) -> tuple[Floats, Bools]:
    if skeleton.edges:
        first, second = np.array(skeleton.edges).T
        return np.linalg.norm(joints[:, first] - joints[:, second], axis=-1), visible[:, first] & visible[:, second]
    count = np.maximum(visible.sum(axis=1), 1)[:, None, None]
    middle = np.where(visible[..., None], joints, 0).sum(axis=1, keepdims=True) / count
    return np.linalg.norm(joints - middle, axis=-1), visible & (visible.sum(axis=1, keepdims=True) > 1)


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """(T) of (T, E), each value counting by its weight (E); NaN where a row has no value."""
    order = np.argsort(values, axis=1)  # NaN comes last
    ranked = np.take_along_axis(values, order, axis=1)
    share = np.where(np.isfinite(ranked), weights[order], 0).cumsum(axis=1)
    if not share.shape[1]:
        return np.full(len(values), np.nan)
    place = (share < 0.5 * share[:, -1:]).sum(axis=1)
    found = ranked[np.arange(len(ranked)), np.minimum(place, ranked.shape[1] - 1)]
    return np.where(share[:, -1] > 0, found, np.nan)


def _disagreements(name: str, lengths: Sequence[KnownLength], found: Sequence[_Measured], value: float) -> list[str]:
    return [
        f"{name}: {length.text!r} says {one.meters_per_pixel / value - 1:+.0%} of what the lengths together say, "
        f"{abs(one.meters_per_pixel / value - 1) / max(one.spread, 0.01):.0f} times its spread: is it right?"
        for length, one in zip(lengths, found, strict=True)
        if one.frames and abs(one.meters_per_pixel / value - 1) > SPREADS * max(one.spread, 0.01)
    ]


def _absurd(result: LiftedTracks, meters: Floats) -> list[str]:
    across = 2 * np.asarray(result.scale, np.float64) * meters
    return [
        f"{name}: would be {size:.3g} m across: is the length in the right unit?"
        for name, size in zip(result.tracks, across, strict=True)
        if not SMALLEST <= size <= LARGEST
    ]


def _source(result: LiftedTracks) -> str:
    return f"{result.source}: " if result.source else ""
