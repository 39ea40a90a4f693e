"""The animals' size: meters in a pixel from known lengths, and each frame's size in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, listed
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.rates import rate_of
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world.averages import median_of
from olift_fast.world.feet import feet_of, is_upright, parts_of
from olift_fast.world.lengths import KnownLength
from olift_fast.world.path import SMOOTHED_SECONDS

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SPREADS = 3.0
"""There is a warning of a known length that is more than this many of its spreads from the size by all lengths."""
SMALLEST, LARGEST = 5e-5, 30.0
"""The limits of an animal's size in meters. Outside of them a known length is probably a mistake."""

_STRETCHED = 0.9  # the quantile over time at which an animal is at full stretch, or a person stands
# A bone's weight in a frame is this power of the cosine of its angle to the picture's plane: depth is less sure.
_ACROSS = 16.0
_BONE = 0.85  # this quantile of a bone's lengths is taken: lifters make bones too short more often than too long
_STEADY = 1e-3  # the share by which lengths of steady bones still differ
# Where the joints of a person's head and foot are, as shares of the height (Drillis and Contini 1966).
_UP_TO = {"crown": 1.0, "eye": 0.936, "ear": 0.93, "head": 0.93, "face": 0.92, "nose": 0.915}
_DOWN_TO = {"ankle": 0.039, "heel": 0.01, "foot": 0.02, "toe": 0.01}


class Size(NamedTuple):
    """For each track (N): meters in a pixel and its spread over the frames (as a share); and warnings."""

    meters_per_pixel: Floats
    spread: Floats
    warnings: tuple[str, ...]


class _Measured(NamedTuple):
    """One track's size by one known length: meters in a pixel, the spread over frames, the number of frames."""

    meters_per_pixel: float
    spread: float
    frames: int


def measure(result: LiftedTracks, lengths: Sequence[KnownLength], up: Floats, relative: Floats) -> Size:
    """Meters in a pixel at each animal, from known lengths.

    For a bone, all frames that show both of its ends count, and those of its twin on the other side of the body. A
    frame counts more if the bone is parallel to the picture's plane. After smoothing over time, the 85th percentile is
    taken, because lifted bones tend to be too short. With several lengths, the median over them is taken.

    Args:
        result: in the camera frame.
        lengths: at least one.
        up: (3) in the camera's axes; a person's height is measured along it.
        relative: (N, T) each frame's size divided by the track's median size; measured lengths are divided by it.

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
    values, spreads = [], []
    for of_track in found:
        known = [one for one in of_track if one.frames]
        value = float(np.median([one.meters_per_pixel for one in known])) if known else np.nan
        values.append(value)
        spreads.append(float(np.median([one.spread for one in known])) if known else np.nan)
    others = median_of(np.array(values), axis=0)
    meters = np.where(np.isnan(values), others, values)
    warnings = *_disagreements(result.tracks, lengths, found, values), *_unseen(result.tracks, values)
    return Size(meters, np.array(spreads), (*warnings, *_absurd(result, meters)))


def relative_sizes(result: LiftedTracks) -> tuple[Floats, Floats]:
    """(N, T) the size of each frame's bones divided by the track's median size, and (N) the scatter of single frames.

    It is the median over all bones, weighted by their lengths; NaN in frames without visible bones. Without edges, the
    distances of the joints from the frame's middle are used instead of bones.
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
    """Whether the bones of a track keep their lengths in pixels to 0.1 %, as only steady bones do."""
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
        pixels = _heights(joints, visible, result.skeleton, up) / relative
        return _told(length, pixels, pixels, np.ones_like(pixels), _STRETCHED)
    pairs = length.joints if length.kind == "length" else with_twins(length.joints, result.skeleton)
    pixels, across = _distances(joints, visible, pairs)
    pixels /= relative[:, None]
    if length.kind == "length":
        return _told(length, pixels, pixels, np.ones_like(pixels), _STRETCHED)
    weights = across**_ACROSS
    return _told(length, pixels, _steadied(pixels, weights, rate_of(result) or 30.0), weights, _BONE)


def _told(length: KnownLength, pixels: Floats, steady: Floats, weights: Floats, quantile: float) -> _Measured:
    """The size by one length: the weighted quantile of the smoothed lengths `steady`, and its spread."""
    known = np.isfinite(pixels) & (pixels > 0)
    if not known.any():
        return _Measured(np.nan, np.nan, 0)
    size = _quantiles(steady[known], weights[known], (quantile,))[0]
    low, high = _quantiles(pixels[known], weights[known], (0.16, 0.84))
    return _Measured(length.meters / size, (high - low) / 2 / size, int(known.sum()))


def _steadied(pixels: Floats, weights: Floats, rate: float) -> Floats:
    """(T, P) the weighted means over the frames around each one, because a high quantile would measure the noise."""
    deviation = SMOOTHED_SECONDS * rate
    reach = max(min(round(3 * deviation), len(pixels) - 1), 0)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    known = np.isfinite(pixels) & (weights > 0)
    sums = [
        np.stack([np.convolve(column, kernel)[reach : reach + len(pixels)] for column in np.where(known, those, 0).T])
        for those in (weights * pixels, weights)
    ]
    return np.where(known, sums[0].T / np.where(known, sums[1].T, 1), pixels)


def with_twins(pairs: Sequence[tuple[int, int]], skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """The pairs of joints, and those on the other side of the body."""
    twins = skeleton.mirror()
    mirrored = [(int(twins[first]), int(twins[second])) for first, second in pairs]
    known = {frozenset(pair): pair for pair in (*mirrored, *pairs)}
    return tuple(known.values())


def _distances(joints: Floats, visible: Bools, pairs: Sequence[tuple[int, int]]) -> tuple[Floats, Floats]:
    """(T, P) pixels between two joints, NaN in frames that don't show both; and the cosine of the angle to the view's
    plane."""
    first, second = np.array(pairs).T
    vectors = joints[:, first] - joints[:, second]
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths[~(visible[:, first] & visible[:, second])] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        return lengths, np.linalg.norm(vectors[..., :2], axis=-1) / lengths


def _quantiles(values: Floats, weights: Floats, shares: Sequence[float]) -> list[float]:
    """Weighted quantiles of values (V); with equal weights they are `np.quantile`."""
    order = np.argsort(values)
    weights = weights if weights.any() else np.ones_like(weights)
    ranked, middles = values[order], weights[order].cumsum() - 0.5 * weights[order]
    places = (middles - middles[0]) / max(middles[-1] - middles[0], np.finfo(np.float64).tiny)
    return [float(value) for value in np.interp(shares, places, ranked)]


def _heights(joints: Floats, visible: Bools, skeleton: Skeleton, up: Floats) -> Floats:
    """(T) pixels from the floor to the crown of a person, in frames that show head and feet.

    Raises:
        InputError: the skeleton is not a person's, or has no head or no feet.
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
    """(T) the medians of rows (T, E) with weights (E); NaN where a row has no value."""
    order = np.argsort(values, axis=1)  # NaN comes last
    ranked = np.take_along_axis(values, order, axis=1)
    share = np.where(np.isfinite(ranked), weights[order], 0).cumsum(axis=1)
    if not share.shape[1]:
        return np.full(len(values), np.nan)
    place = (share < 0.5 * share[:, -1:]).sum(axis=1)
    found = ranked[np.arange(len(ranked)), np.minimum(place, ranked.shape[1] - 1)]
    return np.where(share[:, -1] > 0, found, np.nan)


def _disagreements(
    tracks: Sequence[str],
    lengths: Sequence[KnownLength],
    found: Sequence[Sequence[_Measured]],
    values: Sequence[float],
) -> Iterator[str]:
    """A line for each length that gives another size than all lengths together, with the tracks where it does."""
    for place, length in enumerate(lengths):
        off = {}
        for name, of_track, value in zip(tracks, found, values, strict=True):
            one = of_track[place]
            change, spread = one.meters_per_pixel / value - 1, max(one.spread, 0.01)
            if one.frames and abs(change) > SPREADS * spread:
                off[name] = change, abs(change) / spread
        if off:
            changes, times = zip(*off.values(), strict=True)
            yield (
                f"{listed([*off])}: {length.text!r} says {_span(changes, '+.0%')} of what the lengths together say, "
                f"{_span(times, '.0f')} times its spread: is it right?"
            )


def _unseen(tracks: Sequence[str], values: Sequence[float]) -> Iterator[str]:
    """A line about the tracks in which no known length is seen."""
    names = [name for name, value in zip(tracks, values, strict=True) if np.isnan(value)]
    if names:
        whose = "its size is that" if len(names) == 1 else "their size is that"
        yield f"{listed(names)}: no known length is seen, so {whose} of the others"


def _absurd(result: LiftedTracks, meters: Floats) -> Iterator[str]:
    """A line about the tracks whose size is impossible for an animal."""
    across = 2 * np.asarray(result.scale, np.float64) * meters
    off = {name: size for name, size in zip(result.tracks, across, strict=True) if not SMALLEST <= size <= LARGEST}
    if off:
        yield f"{listed([*off])}: would be {_span([*off.values()], '.3g')} m across: is the length in the right unit?"


def _span(values: Sequence[float], form: str) -> str:
    """The values in words, from the lowest to the highest."""
    ends = dict.fromkeys(format(end, form) for end in (min(values), max(values)))
    return " to ".join(ends)


def _source(result: LiftedTracks) -> str:
    return f"{result.source}: " if result.source else ""
