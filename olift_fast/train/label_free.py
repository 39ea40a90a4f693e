"""Judges without known 3D whether a lifter knows a body, from its results for clips."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from olift_fast.model import Lifter
from olift_fast.nn.masked import center, masked_mean
from olift_fast.train.body import by_individual, length_over_frames, logarithms, shared_lengths
from olift_fast.train.metrics import sa_mpjpe
from olift_fast.train.own_clips import CLIPS_AT_ONCE, OwnClips, lifted_clips, mirrored_back
from olift_fast.train.seen_anew import SeenAnew

GAIN = 0.05
"""The error on views from all sides must fall by this share for the new weights to be kept."""
RISE = 0.1
"""The most by which a bone's change of length may rise."""
APART = 1.0
"""The most by which the distance from the keypoints may rise: it doubles."""
LEAST = 1e-6
SIGNS = {
    "anew": "error on the new results, seen from other sides",
    "steadiness": "change of a bone's length",
    "picture": "distance from the keypoints",
    "body": "bone lengths off from those that the 2D tells",
    "mirror": "distance from the mirror image's result",
}
"""The signs of `LabelFree` in words."""


@dataclass(frozen=True)
class LabelFree:
    """Signs of how well a lifter knows a body, on clips without 3D. For each sign, less is better.

    Args:
        anew: the sequence-aligned error on the results of the new weights, taken for true and seen by new cameras with
            a detector's faults (`error_anew`), in the clips' RMS 2D radius.
        steadiness: the mean difference of a bone's length in a frame from its length in all clips of the individual,
            as logarithms.
        picture: the distance of x, y from the keypoints, in the clips' RMS 2D radius.
        body: the difference of the bones' lengths, over all clips and frames, from those in the 2D
            (`lengths_in_picture`): the mean over bones and individuals of the difference of logarithms.
        mirror: the distance between the result of a clip and that of its mirror image, in the same unit as `picture`.
    """

    anew: float
    steadiness: float
    picture: float
    body: float
    mirror: float

    def as_json(self) -> dict[str, Any]:
        """All signs by name, rounded."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


@torch.no_grad()
def label_free(lifter: Lifter, clips: OwnClips, told: Tensor, views: SeenAnew) -> LabelFree:
    """The signs of a lifter on clips.

    Args:
        lifter: in evaluation mode.
        clips: it was not adapted to them.
        told: ``(1 + I, E)`` logarithms of the bone lengths from the 2D, of all clips and of each individual; NaN where
            unknown.
        views: the new weights' results for the clips, seen by new cameras.
    """
    joints, mirrored = lifted_clips(lifter, clips), mirrored_back(lifter, clips)
    logs = logarithms(joints, clips.visible, clips.skeleton)
    _, scales = shared_lengths(logs, clips.skeleton)
    sized = logs - scales[:, None, None]
    own = by_individual(clips, lambda rows: length_over_frames(sized[rows], clips.skeleton, 0.5))
    off = (own - told)[clips.individual.unique()]
    steady = (sized - own[clips.individual][:, None]).abs().clamp(max=1.0)
    return LabelFree(
        anew=error_anew(lifter, clips, views),
        steadiness=float(steady.nanmean().nan_to_num()),
        picture=_distance(joints[..., :2], clips.keypoints, clips.visible),
        body=float((off - off.nanmedian(dim=1, keepdim=True).values).abs().nanmean().nan_to_num()),
        mirror=_distance(joints, mirrored, clips.visible),
    )


@torch.no_grad()
def error_anew(lifter: Lifter, clips: OwnClips, views: SeenAnew) -> float:
    """The mean over the views of the lifter's sequence-aligned error (`sa_mpjpe`) on the joints that they show.

    Args:
        lifter: in evaluation mode.
        clips: the clips of the views.
        views: of bodies that are taken for true.
    """
    errors = [
        sa_mpjpe(
            lifter(views.keypoints[rows], views.visible[rows], **views.told(clips, rows, lifter.config)),
            views.joints[rows],
            views.labelled[rows],
        )
        for rows in torch.arange(len(views)).split(CLIPS_AT_ONCE)
    ]
    return float(torch.cat(errors).nanmean().nan_to_num())


def _distance(points: Tensor, others: Tensor, visible: Tensor) -> float:
    """The mean distance of visible points, each frame centered on them; outliers count little."""
    apart = (center(points, visible) - center(others, visible)).norm(dim=-1).clamp(max=0.5)
    return float(masked_mean(apart, visible))


@dataclass(frozen=True)
class Verdict:
    """Whether a lifter became better, judged without known 3D.

    Args:
        helped: whether to keep its new weights.
        reason: why, in words.
    """

    helped: bool
    reason: str


def verdict(before: LabelFree, after: LabelFree) -> Verdict:
    """Compare a lifter before and after: `anew` must fall by `GAIN`, and neither may `steadiness` rise by more than
    `RISE`, nor `picture` by more than `APART`.

    In adaptations whose true change is known, `anew` follows it best (docs/studies.md). x and y are not at the
    keypoints, because a lifter knows perspective; results that are far from them are wrong.

    Args:
        before, after: the signs on the same clips, to which the lifter was not adapted.
    """
    anew, steadier, picture = (
        _change(getattr(before, name), getattr(after, name)) for name in ("anew", "steadiness", "picture")
    )
    told = (
        f"error on views from other sides by {anew:+.1%} (wanted: -{GAIN:.0%} or lower), "
        f"a bone's change of length by {steadier:+.1%} (wanted: +{RISE:.0%} at most), "
        f"distance from the keypoints by {picture:+.1%} (wanted: +{APART:.0%} at most)"
    )
    return Verdict(anew <= -GAIN and steadier <= RISE and picture <= APART, told)


def _change(before: float, after: float) -> float:
    return max(after, LEAST) / max(before, LEAST) - 1
