"""Signs of how far a result can be trusted, without knowing the true 3D."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.bodies.bones import body_radius, length_drift
from olift_fast.errors import plural
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

Mask = npt.NDArray[np.bool_]

JUMP, JUMP_TIMES = 0.25, 8.0
"""A joint jumps if, from one frame to the next and relative to the body, it moves by more than this share of the body's
radius and by more than this many times its usual step."""

BAD_ESTIMATED, BAD_DRIFT, BAD_DRIFT_TIMES, BAD_JUMPS, BAD_MIRROR, BAD_UNCERTAINTY = 0.5, 0.14, 2.0, 0.05, 0.2, 0.35
"""There is a warning above these values. Drift of bone lengths is bad above `BAD_DRIFT_TIMES` times that of the model's
validation, or above `BAD_DRIFT` if that is not known."""


@dataclass(frozen=True)
class Trust:
    """Signs of trust in a result, over all of its tracks. Shares are from 0 to 1; None if unknown.

    Args:
        bones, left, right: the number of bones, and how many of them are on the left and on the right side.
        estimated: share of the keypoints that the model did not see.
        drift: how much bones stretch, within windows of 48 frames (`length_drift`).
        usual_drift: the model's drift on the recordings that it was validated on.
        jumps: share of the frames in which a joint jumps (`jumping`).
        mirror: RMS distance between joints and those of the mirror image, divided by the keypoints' RMS radius; only
            if the mirror image was lifted.
        uncertainty: median standard deviation of depth, divided by the body's radius; only if the model gives it.
    """

    bones: int
    left: int
    right: int
    estimated: float
    drift: float | None
    usual_drift: float | None
    jumps: float | None
    mirror: float | None = None
    uncertainty: float | None = None

    def line(self) -> str:
        """All signs in one line, for the user."""
        sides = f"{self.left} left, {self.right} right" if self.left or self.right else "no sides"
        parts = [f"{plural(self.bones, 'bone')} ({sides})" if self.bones else "no bones"]
        parts.append(f"{self.estimated:.1%} of the keypoints estimated")
        if self.drift is not None:
            usual = "" if self.usual_drift is None else f" (in validation {self.usual_drift:.1%})"
            parts.append(f"bones stretch by {self.drift:.1%}{usual}")
        if self.jumps is not None:
            parts.append(f"jumps in {self.jumps:.1%} of the frames")
        if self.mirror is not None:
            parts.append(f"the mirror image differs by {self.mirror:.1%}")
        if self.uncertainty is not None:
            parts.append(f"depth ±{self.uncertainty:.1%}")
        return ", ".join(parts)

    def warnings(self, *, steadied: bool = False, smoothed: bool = False) -> Iterator[str]:
        """A line for each bad sign, with the next step.

        Args:
            steadied: whether bones were given one length each afterwards; then that is not suggested.
            smoothed: whether the joints were smoothed afterwards; then that is not suggested.
        """
        if self.estimated > BAD_ESTIMATED:
            yield (
                f"only {1 - self.estimated:.0%} of the keypoints are visible: what is hidden is estimated from the "
                "rest; see `olift info`, and lower --min-confidence only if the keypoints are right"
            )
        limit = BAD_DRIFT if self.usual_drift is None else BAD_DRIFT_TIMES * self.usual_drift
        if self.drift is not None and self.drift > limit:
            known = "" if self.usual_drift is None else f", against {self.usual_drift:.1%} in validation"
            rigid = "the --rigid or --body that was given" if steadied else "--rigid"
            yield (
                f"bones stretch by {self.drift:.1%}{known}: check sides and bones with `olift info`, and whether the "
                f"camera is upright and level; {rigid} steadies lengths, but mends no wrong depth"
            )
        if self.jumps is not None and self.jumps > BAD_JUMPS:
            yield (
                f"a joint jumps in {self.jumps:.1%} of the frames: look for swapped left and right in the 2D "
                "(`olift view`), or raise --min-confidence" + ("" if smoothed else "; --smooth 0.2 hides small jumps")
            )
        if self.mirror is not None and self.mirror > BAD_MIRROR:
            yield (
                f"the mirror image is lifted differently, by {self.mirror:.0%} of the body's radius: the depth is a "
                "guess; check sides and bones with `olift info`"
            )
        if self.uncertainty is not None and self.uncertainty > BAD_UNCERTAINTY:
            yield (
                f"the model itself gives depth ±{self.uncertainty:.0%} of the body's radius: use the joints that it is "
                "surest of (`uncertainty` in the result), or another view"
            )

    def as_json(self) -> dict[str, Any]:
        """The signs by name, rounded, for `--json`."""
        return {name: round(value, 5) if isinstance(value, float) else value for name, value in self.__dict__.items()}


def trust(result: LiftedTracks, *, usual_drift: float | None = None, mirror: float | None = None) -> Trust:
    """The signs of a result as it came from the model, before it is steadied or smoothed.

    Args:
        result: in any frame and unit.
        usual_drift: of the model (`olift_fast.model.checkpoints.validated_drift`).
        mirror: the distance from the mirror image's joints (`MirrorDisagreement.share`), if it was lifted, too.
    """
    skeleton = result.skeleton
    left, right = bones_by_side(skeleton)
    jumps = np.concatenate([jumping(joints) for joints in result.joints]) if result.num_frames > 2 else np.empty(0)
    drifts = np.array([length_drift(joints, skeleton.edges) for joints in result.joints])
    # A track's weight is the number of its frames with visible joints.
    frames = np.where(np.isfinite(drifts), result.visible.any(axis=-1).sum(axis=1), 0)
    return Trust(
        bones=len(skeleton.edges),
        left=left,
        right=right,
        estimated=1.0 - float(result.visible.mean()),
        drift=float(np.average(np.nan_to_num(drifts), weights=frames)) if frames.any() else None,
        usual_drift=usual_drift,
        jumps=float(jumps.mean()) if jumps.size else None,
        mirror=mirror,
        uncertainty=_uncertainty(result),
    )


def bones_by_side(skeleton: Skeleton) -> tuple[int, int]:
    """The numbers of bones on the left and on the right side: those with an end there, and none on the other side."""
    ends = [(skeleton.sides[a], skeleton.sides[b]) for a, b in skeleton.edges]
    return sum(max(pair) > 0 <= min(pair) for pair in ends), sum(min(pair) < 0 >= max(pair) for pair in ends)


def jumping(joints: npt.NDArray[np.floating]) -> Mask:
    """(T-1) True where a joint of one track jumps to the next frame: see `JUMP`.

    Args:
        joints: (T, J, 3), NaN where unknown.
    """
    there = np.isfinite(joints).all(axis=-1)
    known = there.any(axis=0)
    if len(joints) < 3 or not known.any():
        return np.zeros(max(len(joints) - 1, 0), dtype=np.bool_)
    own, seen = joints[:, known].astype(np.float64), there[:, known]
    counts = np.maximum(seen.sum(axis=1), 1)[:, None, None]
    own -= np.where(seen[..., None], own, 0).sum(axis=1, keepdims=True) / counts
    steps = np.linalg.norm(np.diff(own, axis=0), axis=-1)
    # NaN comes last: the middle of what is known.
    middle = np.maximum(np.isfinite(steps).sum(axis=0) - 1, 0) // 2
    usual = np.sort(steps, axis=0)[middle, np.arange(steps.shape[1])]
    return np.asarray((steps > np.maximum(JUMP * body_radius(joints), JUMP_TIMES * usual)).any(axis=1))


def _uncertainty(result: LiftedTracks) -> float | None:
    """The median standard deviation of depth, divided by the radius of its track's body; None if there is none."""
    if result.uncertainty is None or not (np.isfinite(result.uncertainty) & np.isfinite(result.joints[..., 0])).any():
        return None
    shares = []
    for joints, deviation in zip(result.joints, result.uncertainty, strict=True):
        there = np.isfinite(joints).all(axis=-1) & np.isfinite(deviation)
        if there.any():
            shares.append(deviation[there] / max(body_radius(joints), 1e-12))
    return float(np.median(np.concatenate(shares)))
