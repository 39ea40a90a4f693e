"""What every reader returns, and what happens to it in every format: hide missing keypoints, name joints, check."""

from __future__ import annotations

import math
import pickle
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, plural, printable
from olift_fast.io.far_points import warning_of_far_points
from olift_fast.io.limits import most_values
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import find_rig, rig
from olift_fast.tracks.skeleton import Skeleton

#: Errors of the readers and their libraries for a file that is damaged or not of the format.
UNUSABLE: tuple[type[Exception], ...] = (
    *(AttributeError, LookupError, TypeError, ValueError, ArithmeticError, StopIteration, EOFError),
    # HDF5 raises RuntimeError; a header that claims too large an array ends in MemoryError.
    *(RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError),
    # numpy parses the headers of its files as Python, and text with letters that don't exist ends in SystemError.
    *(SyntaxError, tokenize.TokenError, SystemError),
)


#: The most characters of a refusal, without the file's name, and of a note or a warning.
_LONGEST = 450


@dataclass(frozen=True)
class Parsed:
    """A file's content before the checks that all formats share.

    Args:
        keypoints: (N, T, J, 2) x, y in pixels; NaN or infinite for a missing keypoint.
        confidence: (N, T, J), or None if the format has none; NaN for a keypoint without confidence.
        names: (J) joint names; None if the format has none.
        edges: the file's bones, as pairs of joint indices.
        tracks: (N) track names.
        frames: (T) frame numbers, increasing; None for 0 … T-1.
        fps: frames a second, if the file has it.
        image_size: width and height in pixels, if the file has them.
        rig_name: the built-in rig that the format uses. Its edges are taken if the file has none, and its names if
            `names` is None.
        zero_is_hidden: the format writes (0, 0) for a missing keypoint.
        normalized: the format gives x in widths and y in heights of the image, not in pixels.
        notes: what the reader decided: which convention it used, what it left out. Each is a phrase without a full
            stop; `olift info` shows them.
        warnings: what is probably wrong with the result; every command shows them.

    Raises:
        InputError: keypoints or confidence are not real numbers.
    """

    keypoints: npt.NDArray[Any]
    confidence: npt.NDArray[Any] | None
    names: Sequence[str] | None
    edges: Sequence[Sequence[int]] = ()
    tracks: Sequence[str] = ("track_0",)
    frames: npt.NDArray[np.int64] | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    rig_name: str | None = None
    zero_is_hidden: bool = False
    normalized: bool = False
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        for what, values in (("keypoints", self.keypoints), ("confidence", self.confidence)):
            if values is not None and values.dtype.kind not in "biuf":
                raise InputError(f"{what} must be real numbers, got dtype {values.dtype}")


class Said(NamedTuple):
    """Notes and warnings of a step of `settle`, as in `Parsed`."""

    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def settle(
    parsed: Parsed,
    format: str,
    source: str,
    fps: float | None = None,
    skeleton: Skeleton | None = None,
    image_size: tuple[int, int] | None = None,
) -> KeypointTracks:
    """The tracks of a parsed file. A missing keypoint is NaN with confidence 0; confidence is within [0, 1].

    Args:
        parsed: the reader's result.
        format: the format's name.
        source: where the tracks come from, for messages.
        fps: overrides the file's own.
        skeleton: replaces the file's own.
        image_size: overrides the file's own; coordinates that are, or look, normalized by it are scaled to pixels.

    Raises:
        InputError: there are no tracks or frames, nothing is visible, coordinates are beyond `MAX_COORDINATE`, names do
            not fit `skeleton`, or edges or fps are unusable.
    """
    with np.errstate(over="ignore"):
        points = np.array(parsed.keypoints, dtype=np.float32)
    tracks, frames, joints = points.shape[:3]
    if tracks == 0:
        raise InputError("holds no tracks, wanted at least one animal")
    if frames == 0:
        raise InputError("holds no frames, wanted at least one")
    if joints == 0:
        raise InputError("holds no joints, wanted at least one")
    hidden = ~_finite(points)
    if parsed.zero_is_hidden:
        hidden |= (points[..., 0] == 0) & (points[..., 1] == 0)
    confidence = np.ones(points.shape[:3], np.float32)
    scale = Said()
    if parsed.confidence is not None:
        given, scale = _confidence_in_shares(np.asarray(parsed.confidence, dtype=np.float32), hidden)
        # A keypoint without a confidence, such as a hand label among predictions, counts as certain.
        confidence = np.clip(np.where(np.isnan(given), np.float32(1), given), 0, 1)
    hidden |= confidence <= 0
    marked, markers = _marked_missing(points, hidden, confidence)
    points[hidden | marked] = np.nan
    size = image_size or parsed.image_size
    size = size if size and min(size) > 0 else None
    points, shares = _in_pixels(points, parsed, size, image_size is not None)
    hidden = ~_finite(points)
    points[hidden] = np.nan
    confidence[hidden] = 0
    if hidden.all():
        size_of_all = f"{plural(tracks, 'track')}, {plural(frames, 'frame')}, {plural(joints, 'joint')}"
        raise InputError(f"no keypoint is visible ({size_of_all}), wanted at least one")
    named = skeleton_of(parsed, skeleton)
    far = warning_of_far_points(points, confidence, parsed.tracks, named.names, size)
    warnings = (*parsed.warnings, *scale.warnings, *markers.warnings, *shares.warnings, *filter(None, [far]))
    return KeypointTracks(
        keypoints=points,
        confidence=confidence,
        skeleton=named,
        tracks=tuple(parsed.tracks),
        fps=parsed.fps if fps is None else fps,
        frames=None if parsed.frames is None or _counts_from_zero(parsed.frames) else parsed.frames,
        image_size=size,
        source=source,
        format=format,
        notes=tuple(map(one_line, (*parsed.notes, *scale.notes, *markers.notes, *shares.notes))),
        warnings=tuple(map(one_line, warnings)),
    )


def _confidence_in_shares(
    given: npt.NDArray[np.float32], hidden: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], Said]:
    """Confidence from 0 to 1: per cent is divided by 100; there is a warning of larger values.

    Some tools exceed 1 slightly, and a label's visibility is up to 2.
    """
    seen = given[np.isfinite(given) & (given > 0) & ~hidden]
    middle = float(np.median(seen)) if len(seen) else 0.0
    if middle <= 2:
        return given, Said()
    top = float(seen.max())
    if middle >= 20 and top <= 100.5:
        return given / np.float32(100), Said([f"confidence up to {top:.4g} is taken as per cent"])
    message = (
        f"confidence must lie in [0, 1], got values up to {top:.4g} (half of them above {middle:.4g}): they count "
    )
    return given, Said(warnings=[message + "as 1; are these x, y pairs without a confidence, or 3D points?"])


#: Values that tools write for both coordinates of a missing keypoint.
_MARKERS = (0, -1, -10, -99, -100, -999, -1000, -9999, -10000)


def _marked_missing(
    points: npt.NDArray[np.float32], hidden: npt.NDArray[np.bool_], confidence: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.bool_], Said]:
    """Finds keypoints (N, T, J) that stand for missing ones: several at exactly (0, 0), (-1, -1), …, and no other near.

    A single one is kept, with a warning. So are several to which the file gives a high confidence.
    """
    marked = np.zeros(hidden.shape, np.bool_)
    # Only keypoints that are there: these are few if many frames show nothing.
    places = np.flatnonzero(~hidden)
    seen, scores = points.reshape(-1, 2)[places], confidence.reshape(-1)[places]
    equal = (seen[:, 0] == seen[:, 1]) & np.isin(seen[:, 0], _MARKERS)
    others = seen[~equal]
    # Where coordinates are negative, they count from the animal's or the picture's center, and (0, 0) is a real point.
    if not equal.any() or not len(others) or float((others < 0).any(axis=-1).mean()) > 0.01:
        return marked, Said()
    scored = bool((scores != 1).any())
    reach = 0.01 * float(np.linalg.norm(np.ptp(others, axis=0)))
    notes, warnings = [], []
    for value in np.unique(seen[equal][:, 0]).tolist():
        here = equal & (seen[:, 0] == value)
        if float((np.abs(others - value).max(axis=-1) <= reach).mean()) > 0.001:
            continue
        count = int(here.sum())
        what = f"{plural(count, 'keypoint')} at exactly ({value:g}, {value:g})"
        if not scored and count > 1:
            marked.reshape(-1)[places[here]] = True
            notes.append(f"{what} are taken as missing")
        elif not scored or float(np.median(scores[here])) >= 0.5:
            warnings.append(f"{what} may stand for missing keypoints, but are kept")
    return marked, Said(notes, warnings)


def _finite(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(…) True where both coordinates (…, 2) are finite; five times as fast as `all` over the last axis."""
    return np.asarray(np.isfinite(points[..., 0]) & np.isfinite(points[..., 1]))


def _in_pixels(
    points: npt.NDArray[np.float32], parsed: Parsed, size: tuple[int, int] | None, asked: bool
) -> tuple[npt.NDArray[np.float32], Said]:
    """The points in pixels: coordinates given as shares of the image's sides are scaled by them.

    Args:
        size: the width and the height of the image, if known.
        asked: whether the user gave the size; then coordinates that look like shares are scaled in every format.
    """
    shares = parsed.normalized or _look_normalized(points)
    if not shares:
        return points, Said()
    if size is None or not (parsed.normalized or asked):
        looks = "are" if parsed.normalized else "lie in 0…1 and look"
        way_out = "--image-size WIDTH HEIGHT (image_size= in Python) scales them to pixels"
        warning = f"coordinates {looks} normalized by the picture's width and height; {way_out}"
        return points, Said(warnings=[warning])
    note = f"coordinates were normalized, and are scaled by the picture's {size[0]} x {size[1]} pixels"
    with np.errstate(over="ignore"):
        return points * np.array(size, np.float32), Said([note])


def _look_normalized(points: npt.NDArray[np.float32]) -> bool:
    """Whether nearly all coordinates are in 0…1: no animal in pixels is that small."""
    seen = points[_finite(points)]
    return len(seen) > 0 and float(seen.max()) > 0 and share_in_unit(seen) >= 0.99


def share_in_unit(points: npt.NDArray[np.float32]) -> float:
    """The share of the points (P, 2), at least one, that are in 0…1 or up to half a picture beside it."""
    return float(((points >= -0.5) & (points <= 1.5)).all(axis=-1).mean())


def check_size(tracks: int, frames: int, joints: int) -> None:
    """Raises InputError for an array that is larger than any recording, or than its file can hold.

    To be called before the array is allocated.
    """
    if tracks * frames * joints > most_values():
        raise InputError(
            f"{tracks} tracks x {frames} frames x {joints} joints is too much to hold, wanted at most "
            f"{most_values()} keypoints: are the frame numbers and the ids of the tracks right?"
        )


def fill_gaps(numbers: npt.NDArray[np.int64], joints: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All frame numbers from the first to the last of `numbers` (T), and the index of each of `numbers` among them.

    Args:
        numbers: distinct and sorted.
        joints: the number of joints, for the size of the array that will hold all frames.

    Raises:
        InputError: so many are missing that these can't be frame numbers.
    """
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first >= 1000 * (len(numbers) + 10):
        raise InputError(f"frame numbers run from {first} to {last} but only {len(numbers)} are there")
    check_size(1, last - first + 1, joints)
    return np.arange(first, last + 1, dtype=np.int64), numbers - first


def int64(value: Any, what: str) -> int:
    """`value` as a whole number that fits 64 bits; raises InputError for other values."""
    try:
        number = int(value)
        whole = not isinstance(value, float) or number == value
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or isinstance(value, bool) or not -(2**63) < number < 2**63:
        raise InputError(f"{what} must be a whole number below 2^63, got {value!r:.40}")
    return number


def known_rate(fps: float | None) -> float | None:
    """The stored frame rate; NaN stands for an unknown one."""
    return None if fps is None or math.isnan(fps) else fps


def one_line(text: str) -> str:
    """`text`, which may have words from a file, as one line of printable characters that is not too long."""
    text = " ".join(text.split())
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def refuse_3d() -> InputError:
    """The error for a file of 3D points."""
    return InputError("holds 3D points (x, y, z), needs 2D (x, y)")


def _counts_from_zero(frames: npt.NDArray[np.int64]) -> bool:
    return np.array_equal(frames, np.arange(np.size(frames)))


def skeleton_of(parsed: Parsed, wanted: Skeleton | None = None) -> Skeleton:
    """The skeleton of a parsed file: `wanted`, with its joints matched by name; without it, the file's own.

    If the file has no edges, they are those of its format's rig, or of the built-in rig with the same joint names.

    Raises:
        InputError: names do not fit `wanted` or the number of joints, or edges are unusable.
    """
    joints = int(parsed.keypoints.shape[2])
    names = parsed.names
    convention = rig(parsed.rig_name) if parsed.rig_name else None
    if names is None and convention is not None:
        names = convention.names
    if wanted is not None:
        if names is None:
            # Without names only the number of joints can be compared; the joints get the skeleton's names, in order.
            if wanted.num_joints != joints:
                raise InputError(f"{joints} joints without names, but the skeleton has {wanted.num_joints}")
            return wanted
        try:
            return wanted.match(names)
        except InputError:
            # The file itself has no names: the reader guessed the rig from the number of joints. The user knows better.
            if parsed.names is None and wanted.num_joints == joints:
                return wanted
            raise
    if names is None:
        names = [f"keypoint_{index}" for index in range(joints)]
    if len(names) != joints:
        raise InputError(f"{joints} joints a frame but {len(names)} joint names")
    edges = _distinct(parsed.edges)
    named = Skeleton(tuple(names), edges)
    if edges:
        return named
    return convention or find_rig(named.names) or named


def _distinct(edges: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """The edges, each once: some tools list a bone in both directions."""
    seen: dict[frozenset[int], tuple[int, int]] = {}
    for edge in edges:
        if len(edge) != 2:
            raise InputError(f"an edge must join two joints, got {list(edge)}")
        a, b = (int64(end, "a joint of an edge") for end in edge)
        seen.setdefault(frozenset((a, b)), (a, b))
    return tuple(seen.values())
