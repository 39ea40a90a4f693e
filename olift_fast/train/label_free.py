"""Judges without known 3D whether a lifter knows a body, from its results for clips."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from olift_fast.model import Lifter
from olift_fast.nn.masked import center, masked_mean
from olift_fast.train.body import by_individual, length_over_frames, logarithms, shared_lengths
from olift_fast.train.metrics import sa_mpjpe
from olift_fast.train.own_clips import OwnClips

CLIPS_AT_ONCE = 32
GAIN = 0.05
"""Bones must be steadier by this share for the new weights to be kept."""
VIEWS = 0.92
"""The bones must show this share of their lengths (`Adaptation.views`) for the lengths to follow from the 2D."""
RISE = 0.01
"""The most by which the error on turned results may rise."""
APART = 0.05
"""The most by which the distance from the keypoints may rise."""
LEAST = 1e-6
SIGNS = {
    "body": "bone lengths off from those that the 2D tells",
    "steadiness": "change of a bone's length",
    "picture": "distance from the keypoints",
    "mirror": "distance from the mirror image's result",
    "turned": "error on its own results, turned and seen anew",
}
"""The signs of `LabelFree` in words."""


@dataclass(frozen=True)
class LabelFree:
    """Signs of how well a lifter knows a body, on clips without 3D. For each sign, less is better.

    Args:
        body: the difference of the bones' lengths, over all clips and frames, from those in the 2D
            (`lengths_in_picture`): the mean over bones and individuals of the difference of logarithms.
        steadiness: the mean difference of a bone's length in a frame from its length in all clips of the individual,
            as logarithms.
        picture: the distance of x, y from the keypoints, in the clips' RMS 2D radius.
        mirror: the distance between the result of a clip and that of its mirror image, in the same unit.
        turned: the lifter's error on its own results, seen from another side (`turned_error`).
    """

    body: float
    steadiness: float
    picture: float
    mirror: float
    turned: float

    def as_json(self) -> dict[str, Any]:
        """All signs by name, rounded."""
        return {name: round(value, 5) for name, value in asdict(self).items()}


@torch.no_grad()
def lifted_clips(lifter: Lifter, clips: OwnClips, *, uncertainty: bool = False) -> Tensor:
    """Joints ``(B, T, J, 3)`` in model units, in the camera's axes; with `uncertainty` as `Lifter.forward` gives it."""
    parts = clips.split(CLIPS_AT_ONCE)
    given = {"uncertainty": True} if uncertainty else {}
    return torch.cat([lifter(part.keypoints, part.visible, **part.told(lifter.config), **given) for part in parts])


def mirrored_back(lifter: Lifter, clips: OwnClips) -> Tensor:
    """The lifter's results for the clips' mirror images, mirrored back."""
    return lifted_clips(lifter, clips.mirror()) * torch.tensor([-1.0, 1.0, 1.0])


@torch.no_grad()
def label_free(lifter: Lifter, clips: OwnClips, told: Tensor) -> LabelFree:
    """The signs of a lifter on clips.

    Args:
        lifter: in evaluation mode.
        clips: it was not adapted to them.
        told: ``(1 + I, E)`` logarithms of the bone lengths from the 2D, of all clips and of each individual; NaN where
            unknown.
    """
    joints, mirrored = lifted_clips(lifter, clips), mirrored_back(lifter, clips)
    logs = logarithms(joints, clips.visible, clips.skeleton)
    _, scales = shared_lengths(logs, clips.skeleton)
    sized = logs - scales[:, None, None]
    own = by_individual(clips, lambda rows: length_over_frames(sized[rows], clips.skeleton, 0.5))
    off = (own - told)[clips.individual.unique()]
    steady = (sized - own[clips.individual][:, None]).abs().clamp(max=1.0)
    return LabelFree(
        body=float((off - off.nanmedian(dim=1, keepdim=True).values).abs().nanmean().nan_to_num()),
        steadiness=float(steady.nanmean().nan_to_num()),
        picture=_distance(joints[..., :2], clips.keypoints, clips.visible),
        mirror=_distance(joints, mirrored, clips.visible),
        turned=turned_error(lifter, clips, joints),
    )


def turned_error(lifter: Lifter, clips: OwnClips, joints: Tensor) -> float:
    """The sequence-aligned error of the lifter on its own results, whose 3D is known, seen from another side.

    The results are turned about the vertical axis, each clip by another angle of 40 to 320 degrees, and seen from far
    away. A lifter that does not know the body gives other bodies for other views.

    Args:
        lifter: in evaluation mode.
        clips: the joints were lifted from them.
        joints: ``(B, T, J, 3)``, in the camera's axes.

    Returns:
        the mean over the clips, in their RMS 2D radius.
    """
    angles = torch.linspace(math.radians(40), math.radians(320), len(clips))
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    x, y, z = joints.unbind(dim=-1)
    present = clips.present[:, None].expand(clips.visible.shape)
    turned = center(torch.stack([cosine * x + sine * z, y, cosine * z - sine * x], dim=-1), present)
    squares = torch.where(present, turned[..., :2].square().sum(dim=-1), 0.0).sum(dim=(1, 2))
    radius = (squares / present.sum(dim=(1, 2))).sqrt().clamp(min=1e-6)[:, None, None, None]
    shown = replace(clips, keypoints=turned[..., :2] / radius, visible=present, pitch=None)
    return float(sa_mpjpe(lifted_clips(lifter, shown), turned / radius, present).nan_to_num().mean())


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


def verdict(before: LabelFree, after: LabelFree, views: float) -> Verdict:
    """Compare a lifter before and after: `steadiness` must fall by `GAIN`; `turned` must not rise by more than `RISE`,
    and `picture` not by more than `APART`.

    In adaptations whose true change is known, the first two follow it best (docs/studies.md). `body` and `mirror`
    nearly always improve, because the training minimizes them.

    Args:
        before, after: the signs on the same clips, to which the lifter was not adapted.
        views: `olift_fast.train.body.shown_share` of the clips that it was adapted to, which must reach `VIEWS`.
    """
    if few := too_few_views(views):
        return Verdict(False, few)
    steadier = _change(before.steadiness, after.steadiness)
    turned = _change(before.turned, after.turned)
    picture = _change(before.picture, after.picture)
    told = (
        f"a bone's change of length by {steadier:+.1%} (wanted: -{GAIN:.0%} or lower), "
        f"error on turned results by {turned:+.1%} (wanted: +{RISE:.0%} at most), "
        f"distance from the keypoints by {picture:+.1%} (wanted: +{APART:.0%} at most)"
    )
    return Verdict(steadier <= -GAIN and turned <= RISE and picture <= APART, told)


def too_few_views(views: float) -> str | None:
    """Why no weights will be kept, if the bones show less than `VIEWS` of their lengths; else None."""
    if views >= VIEWS:
        return None
    return f"bones show {views:.1%} of their lengths (wanted: {VIEWS:.0%}), views of more sides do"


def _change(before: float, after: float) -> float:
    return max(after, LEAST) / max(before, LEAST) - 1
