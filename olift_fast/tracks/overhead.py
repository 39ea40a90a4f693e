"""Judges from 2D keypoints alone whether a recording was filmed from above or from below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.body_parts import TRUNK_PARTS, Part
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.joint_names import read_names
from olift_fast.tracks.overhead_weights import HIDDEN, OUTPUT
from olift_fast.tracks.skeleton import Skeleton

Points = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MIN_FRAMES = 20
"""The fewest frames with three visible joints or more that a judgment needs."""

THRESHOLD = 0.9
"""There is a warning from this chance of a steep camera on. Of held-out recordings by cameras that look down by
0 … 40°, 2.8 % reach it (`python -m benchmarks.overhead`)."""

CLEAR = 0.8
"""From this share of the chance on, the warning says whether from above or from below."""

FACTS = (
    "spread", "still_x", "still_y", "shape", "axis", "level", "narrow", "size", "low_moves", "travel", "turn", "turned",
    "legs", "legs_down", "legs_long", "perp", "perp_down",
    "trunk", "upright", "trunk_long", "trunk_down",
    "sides", "apart", "apart_down", "apart_steady",
    "area", "around", "facing", "person",
)  # fmt: skip

_MOST_FRAMES, _MOST_TRACKS = 300, 8
_MIN_JOINTS, _MIN_SHARE = 3, 0.1
_E = 1e-3
_FEET = frozenset(("ankle", "heel", "fetlock", "foot", "paw", "toe", "claw"))
_ARMS = frozenset(("upper_arm", "elbow", "forearm", "wrist", "hand"))
_LEGS = _FEET | {"knee", "shank", "leg", "thigh", "trochanter", "coxa"}
_ANIMAL = frozenset(("paw", "tail", "wing", "antenna", "horn", "fin", "flipper", "throat"))
_FRONT = frozenset(("nose", "head", "face", "neck", "eye", "ear", "jaw"))
_REAR = frozenset(("pelvis", "hip", "abdomen"))


class Steep(NamedTuple):
    """The chances that a camera looks down, and up, by 45° or more."""

    above: float
    below: float

    @property
    def chance(self) -> float:
        """The chance of either."""
        return self.above + self.below

    @property
    def said(self) -> str:
        """From where the recording was filmed: "above or below" if the joints' names don't tell."""
        share = self.above / max(self.chance, 1e-9)
        return "above" if share > CLEAR else "below" if share < 1 - CLEAR else "above or below"


class TrackFacts:
    """The facts of a recording's tracks, each computed once, when it is first used.

    Args:
        keypoints: (N, T, J, 2) x to the right and y down, pixels; not read where not visible.
        visible: (N, T, J).
        skeleton: the joints; names and sides are used, edges are not.
    """

    def __init__(self, keypoints: Points, visible: Bools, skeleton: Skeleton) -> None:
        self.keypoints, self.visible, self.skeleton = keypoints, visible, skeleton
        self._found: dict[int, Floats | None] = {}

    @classmethod
    def of(cls, tracks: KeypointTracks, min_confidence: float) -> TrackFacts:
        """From tracks of `read_keypoints`; keypoints with a lower confidence count as hidden."""
        return cls(tracks.keypoints, tracks.visible(min_confidence), tracks.skeleton)

    def __getitem__(self, track: int) -> Floats | None:
        """See `facts`."""
        if track not in self._found:
            self._found[track] = facts(self.keypoints[track], self.visible[track], self.skeleton)
        return self._found[track]


def steep_camera(keypoints: Points, visible: Bools, skeleton: Skeleton, told: TrackFacts | None = None) -> Steep | None:
    """The chances that a recording was filmed from above or below.

    A small network weighs facts of the picture: whether the body turns within it, how high its parts stay, and, if the
    joints' names have them, legs, trunk and sides. All tracks have one camera, so the mean of their logits counts,
    weighted by their frames.

    Args:
        keypoints: (N, T, J, 2) or (T, J, 2) x to the right and y down, pixels; not read where not visible.
        visible: (N, T, J) or (T, J).
        skeleton: the joints; names and sides are used, edges are not.
        told: the facts of these tracks, to share them with other functions.

    Returns:
        the chances; None if fewer than 20 frames show three joints.
    """
    keypoints = keypoints.reshape(-1, *keypoints.shape[-3:])
    told = told or TrackFacts(keypoints, visible.reshape(-1, *visible.shape[-2:]), skeleton)
    frames = (told.visible.sum(axis=-1) >= _MIN_JOINTS).sum(axis=-1)
    logits, weights = [], []
    for track in np.argsort(-frames, kind="stable")[:_MOST_TRACKS].tolist():
        found = told[track]
        if found is not None:
            hidden = np.tanh(HIDDEN[:, 0] + HIDDEN[:, 1:] @ found)
            logits.append(OUTPUT[:, 0] + OUTPUT[:, 1:] @ hidden)
            weights.append(min(int(frames[track]), _MOST_FRAMES))
    if not logits:
        return None
    above, below = np.exp(np.clip(np.average(logits, axis=0, weights=weights), -50, 50))
    return Steep(float(above / (1 + above + below)), float(below / (1 + above + below)))


def steep_warning(
    tracks: KeypointTracks, min_confidence: float = 0.3, *, takes_pitch: bool = False, told: TrackFacts | None = None
) -> str | None:
    """A warning if a recording looks as if filmed from above or below; for recordings without a given pitch.

    Args:
        tracks: from `read_keypoints`.
        min_confidence: keypoints with a lower confidence count as hidden.
        takes_pitch: whether the model takes the pitch.
        told: the facts of these tracks, to share them with other functions.
    """
    told = told or TrackFacts.of(tracks, min_confidence)
    steep = steep_camera(told.keypoints, told.visible, told.skeleton, told)
    if steep is None or steep.chance < THRESHOLD:
        return None
    looks = f"the recording looks as if filmed from {steep.said} (chance {min(steep.chance, 0.99):.0%})"
    if takes_pitch:
        return f"{looks}: if so, give the camera's pitch (--pitch, pitch=), or expect larger errors"
    return f"{looks}: if so, expect larger errors, for the model expects a camera that looks down by at most 40°"


def facts(keypoints: Points, visible: Bools, skeleton: Skeleton) -> Floats | None:
    """The facts of one track (T, J, 2), in the order of `FACTS`; 0 for facts that its names don't have.

    None if fewer than 20 frames show three joints, or if all joints are at one point.
    """
    seen = np.flatnonzero(visible.sum(axis=1) >= _MIN_JOINTS)
    if len(seen) < MIN_FRAMES:
        return None
    seen = seen[np.linspace(0, len(seen) - 1, min(len(seen), _MOST_FRAMES)).round().astype(int)]
    joints = np.flatnonzero(visible[seen].mean(axis=0) >= _MIN_SHARE)
    if len(joints) < _MIN_JOINTS:
        return None
    points = _filled(keypoints[seen][:, joints], visible[seen][:, joints])
    center = points.mean(axis=1)
    points -= center[:, None]
    scale = np.sqrt(2 * np.square(points).mean())
    if not scale > 1e-6 * (1 + np.abs(center).max()):
        return None
    points /= scale
    parts, sides = read_names(skeleton.names), skeleton.sides
    found = _picture(points, center / scale)
    found |= _body(points, [parts[joint] for joint in joints], np.array([sides[joint] for joint in joints]))
    return np.array([found.get(name, 0.0) for name in FACTS])


def _filled(keypoints: Points, visible: Bools) -> Floats:
    """(T, J, 2) with gaps interpolated, and single outliers removed by a median of three frames."""
    times = np.arange(len(visible))
    points = np.empty(keypoints.shape, dtype=np.float64)
    for joint, there in enumerate(visible.T):
        for axis in (0, 1):
            points[:, joint, axis] = np.interp(times, times[there], keypoints[there, joint, axis])
    padded = np.pad(points, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return np.asarray(np.median([padded[:-2], points, padded[2:]], axis=0))


def _picture(points: Floats, center: Floats) -> dict[str, float]:
    """Facts that need no names, of points (T, J, 2) around the center (T, 2), in units of the body's radius."""
    x, y = points[..., 0], points[..., 1]
    total, difference, twice = np.square(points).sum(-1).mean(1), (x**2 - y**2).mean(1), 2 * (x * y).mean(1)
    long = np.hypot(difference, twice)
    step = np.log(np.median(np.abs(np.diff(points, axis=0)).sum(-1), axis=0) + 3e-3)
    height = y.mean(0)
    travel = center.std(axis=0) + 0.03
    # Compare frames far apart: from above, one is the other turned in the picture; from the side, narrower or wider.
    first = np.tile(x + 1j * y, (4, 1))
    second = np.concatenate([np.roll(x + 1j * y, len(x) // parts, axis=0) for parts in (2, 3, 5, 9)])
    inner = (first * second.conj()).sum(1)
    both = np.square(np.abs(first)).sum(1) + np.square(np.abs(second)).sum(1)
    widths = np.stack([np.square(first.real).sum(1), np.square(second.real).sum(1)])
    widened = widths.min(0) - np.square((first.real * second.real).sum(1)) / (widths.max(0) + _E)
    squeezed = np.square(first.imag - second.imag).sum(1) + widened
    return {
        "spread": _log_ratio(y.var(0).sum(), x.var(0).sum()),
        "still_x": np.square(x.mean(0)).sum() / (np.square(x).mean(0).sum() + _E),
        "still_y": np.square(height).sum() / (np.square(y).mean(0).sum() + _E),
        "shape": _log_ratio(np.square(y).mean(), np.square(x).mean()),
        "axis": np.hypot((difference / (long + _E)).mean(), (twice / (long + _E)).mean()),
        "level": (difference / (long + _E)).mean(),
        "narrow": np.log((total - long + _E) / (total + long + _E)).mean(),
        "size": np.log(np.sqrt(total) + _E).std(),
        "low_moves": ((step - step.mean()) * (height - height.mean())).mean() / (step.std() * height.std() + _E),
        "travel": _log_ratio(travel[1], travel[0]),
        "turn": 1 - (inner.real / (np.abs(inner) + _E)).mean(),
        "turned": _log_ratio((both - 2 * np.abs(inner)).mean(), squeezed.mean(), 0.05),
    }


def _body(points: Floats, parts: Sequence[Part | None], sides: npt.NDArray[np.int64]) -> dict[str, float]:
    """Facts of legs, trunk and sides of points (T, J, 2), as far as the parts (J) and sides (J) are known."""
    is_person = _is_person(parts)

    def middle(wanted: frozenset[str]) -> Floats | None:
        chosen = [joint for joint, part in enumerate(parts) if part is not None and part.part in wanted]
        return points[:, chosen].mean(1) if chosen else None

    found = {"person": float(is_person)}
    front, rear, back = middle(_FRONT), middle(_REAR), middle(TRUNK_PARTS - {"tail", "root", *_FRONT})
    rear = middle(frozenset({"tail"})) if rear is None else rear
    axis = None if front is None or rear is None else front - rear
    if back is None and front is not None and rear is not None:
        back = 0.5 * (front + rear)
    legs = middle(_FEET)
    legs = middle(_LEGS if is_person else _LEGS | _ARMS) if legs is None else legs
    if axis is not None:
        found |= _trunk(axis)
    if legs is not None and back is not None:
        found |= _legs_below(legs - back, axis)
    if (sides > 0).any() and (sides < 0).any():
        across = points[:, sides > 0].mean(1) - points[:, sides < 0].mean(1)
        ahead = [
            to - start
            for to, start in (
                (middle(frozenset({"nose"})), middle(_FRONT - {"nose", "face", "jaw"})),
                (middle(frozenset({"toe"})), middle(frozenset({"heel", "ankle", "foot"}))),
            )
            if to is not None and start is not None
        ]
        found |= _left_and_right(across, axis, ahead)
    return {name: float(value) for name, value in found.items()}


def _trunk(axis: Floats) -> dict[str, float]:
    """Facts of the trunk, from its rear to its front end (T, 2)."""
    long = _length(axis)
    return {
        "trunk": 1.0,
        "upright": (-axis[:, 1] / (long + 0.2)).mean(),
        "trunk_long": np.log(long.mean() + 0.1),
        "trunk_down": (np.abs(axis[:, 1]) / (long + 0.2)).mean(),
    }


def _legs_below(down: Floats, axis: Floats | None) -> dict[str, float]:
    """Facts of the legs, from the back to the feet (T, 2), and relative to the trunk's axis if known."""
    found = {
        "legs": 1.0,
        "legs_down": (down[:, 1] / (_length(down) + 0.2)).mean(),
        "legs_long": _length(down).mean(),
    }
    if axis is not None:
        along = axis / (_length(axis)[:, None] + 0.05)
        beside = down - (down * along).sum(1, keepdims=True) * along
        found |= {"perp": np.log(_length(beside).mean() + 0.03), "perp_down": beside[:, 1].mean()}
    return found


def _left_and_right(across: Floats, axis: Floats | None, ahead: Sequence[Floats]) -> dict[str, float]:
    """Facts of the sides, from right to left (T, 2), relative to the trunk's axis and to nose and toes."""
    width = _length(across)
    found = {
        "sides": 1.0,
        "apart": np.log(width.mean() + 0.05),
        "apart_down": _log_ratio(np.abs(across[:, 1]).mean(), np.abs(across[:, 0]).mean(), 0.05),
        "apart_steady": _log_ratio(width.mean(), np.quantile(width, 0.9), 0.05),
    }
    if axis is not None:
        area = _cross(axis, across)
        found |= {"area": np.log(np.abs(area).mean() + 0.05), "around": (area / (np.abs(area) + 0.1)).mean()}
    if ahead:
        area = np.concatenate([_cross(one, across) for one in ahead])
        found["facing"] = (area / (np.abs(area) + 0.03)).mean()
    return found


def _is_person(parts: Sequence[Part | None]) -> bool:
    """Whether there are arms, and no parts that only animals have, such as a tail or forelegs."""
    known = [part for part in parts if part is not None]
    is_animal = any(
        part.part in _ANIMAL
        or (part.part in ("knee", "foot", "thigh", "shank") and part.girdle == "fore")
        or (part.part in ("shoulder", "elbow", "wrist", "hand") and part.girdle == "hind")
        for part in known
    )
    return not is_animal and any(part.part in _ARMS or part.part == "shoulder" for part in known)


def _length(vectors: Floats) -> Floats:
    return np.asarray(np.hypot(vectors[:, 0], vectors[:, 1]))


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _log_ratio(a: float, b: float, floor: float = _E) -> float:
    return float(np.log((a + floor) / (b + floor)))
