"""Signs of how far a lifted result can be trusted, told without any truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.bodies.bones import body_radius, length_drift
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

Mask = npt.NDArray[np.bool_]

JUMP, JUMP_TIMES = 0.25, 8.0
"""A joint jumps where it moves by more than this share of the body's radius from one frame to the next, relative to the
body, and by more than so many times its usual step."""

BAD_ESTIMATED, BAD_DRIFT, BAD_DRIFT_TIMES, BAD_JUMPS, BAD_MIRROR, BAD_UNCERTAINTY = 0.5, 0.14, 2.0, 0.05, 0.2, 0.35
"""What is warned of: more than so much. Drift of bone lengths is bad above `BAD_DRIFT_TIMES` times that of the model's
validation, or above `BAD_DRIFT` where that is not known."""


@dataclass(frozen=True)
class Trust:
    """What a result tells of itself, over all of its tracks. Shares are of 1; None is what nobody knows.

    Args:
        bones, left, right: bones of the skeleton, and how many of them belong to the left and to the right side.
        estimated: share of the keypoints that the model did not see.
        drift: how much bones stretch, within windows of 48 frames (`length_drift`).
        usual_drift: the same of the model on the recordings that it was validated on.
        jumps: share of the frames in which a joint jumps (`jumping`).
        mirror: RMS distance of a joint from where the mirror image has it, over the keypoints' RMS radius, where asked.
        uncertainty: median standard deviation of depth, over the body's radius, where the model tells.
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
        """All of it in one line, for people."""
        sides = f"{self.left} left, {self.right} right" if self.left or self.right else "no sides"
        parts = [f"{self.bones} bone{'' if self.bones == 1 else 's'} ({sides})" if self.bones else "no bones"]
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
        """What is bad, each with the next step, one line each.

        Args:
            steadied: bones were given one length each afterwards, so that is no next step.
            smoothed: the joints were smoothed afterwards.
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
        """By name, rounded, for `--json`."""
        return {name: round(value, 5) if isinstance(value, float) else value for name, value in self.__dict__.items()}


def trust(result: LiftedTracks, *, usual_drift: float | None = None, mirror: float | None = None) -> Trust:
    """The signs of a result as it came from the model, before anything steadies or smooths it.

    Args:
        result: in any frame and unit.
        usual_drift: of the model (`olift_fast.model.checkpoints.validation`).
        mirror: the disagreement with the mirror image, if that was lifted, too.
    """
    skeleton = result.skeleton
    left, right = bones_by_side(skeleton)
    jumps = np.concatenate([jumping(joints) for joints in result.joints]) if result.num_frames > 2 else np.empty(0)
    drifts = np.array([length_drift(joints, skeleton.edges) for joints in result.joints])
    # A track counts by its frames that show something.
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
    """How many bones belong to the left side and to the right: those with an end there, and none on the other."""
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
    """The median standard deviation of depth over the radius of its track's body; None where there is none."""
    if result.uncertainty is None or not (np.isfinite(result.uncertainty) & np.isfinite(result.joints[..., 0])).any():
        return None
    shares = []
    for joints, deviation in zip(result.joints, result.uncertainty, strict=True):
        there = np.isfinite(joints).all(axis=-1) & np.isfinite(deviation)
        if there.any():
            shares.append(deviation[there] / max(body_radius(joints), 1e-12))
    return float(np.median(np.concatenate(shares)))
