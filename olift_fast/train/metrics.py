"""Metrics of lifted clips against the truth: functions that give one number for each clip, and a table of them.

A metric takes joints and target ``(B, T, J, 3)`` in one unit of length (model units, pixels, millimeters), and
labelled, bool ``(B, T, J)``, True where the target is known. B clips, T frames, J joints; all but B are at least 1.
What is not labeled is never read into arithmetic. A metric returns one value for each clip ``(B,)``, in float32, or in
float64 if an argument is float64:

- NaN if there is nothing to score: a clip without a label, the velocity of a clip of one frame;
- infinity (for `pck`, a miss) if a labeled joint is not finite, so that a broken lifter never scores well.

Both point sets are first centered, frame by frame, on the mean of the labeled joints. In the formulas, ŷ are the joints
and y the target after that, and M is the set of labeled pairs (frame, joint). ``kind`` is that of the alignment:
"similarity" (rotation R, scale s and translation d) or "rigid" (s = 1). Values are differentiable, also through the
fit.

All raise ValueError if a shape, ``kind`` or an option is wrong, and TypeError if labelled is not bool.

To add a metric, write its function here and add its record to `METRICS`; `olift eval` and docs/metrics.md read them
there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from olift_fast.nn.masked import center
from olift_fast.ops import procrustes_align
from olift_fast.ops.procrustes import Alignment
from olift_fast.train.bones import bone_lengths, proportions

Kind = Literal["similarity", "rigid"]


def fa_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Frame-aligned joint error: ``mean over (t, j) in M of |s_t R_t ŷ_tj + d_t - y_tj|``, each frame fitted by itself.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in the target's unit. A frame with one labeled joint adds 0, and under "similarity" one with two, too:
        it can be fitted exactly, whatever was predicted.

    Source: arXiv 2412.01166; known as PA-MPJPE or protocol 2 (Martinez et al. 2017). Equivalent to
    `olift_fast.reference.fa_mpjpe`, but for NaN where nothing is labeled.
    """
    return _mean(aligned_difference(joints, target, labelled, "frame", kind).norm(dim=-1), labelled)


def sa_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Sequence-aligned joint error: ``mean over (t, j) in M of |s R ŷ_tj + d - y_tj|``, one fit for all frames.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in the target's unit.

    Source: arXiv 2412.01166. Equivalent to `olift_fast.reference.sa_mpjpe`, but for NaN where nothing is labeled.
    """
    return _mean(aligned_difference(joints, target, labelled, "sequence", kind).norm(dim=-1), labelled)


def sa_mpve(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Sequence-aligned velocity error: ``mean of |e_t+1,j - e_t,j|``, ``e = s R ŷ + d - y``, one fit for all frames.

    The mean is over joints labeled in both frames.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in the target's unit per frame; NaN if no joint is labeled in two consecutive frames.

    Source: arXiv 2412.01166; MPJVE (Pavllo et al. 2019) after alignment. Equivalent to `olift_fast.reference.sa_mpve`,
    but NaN if no joint is labeled in two consecutive frames, where that gives 0.
    """
    step = aligned_difference(joints, target, labelled, "sequence", kind).diff(dim=1)
    return _mean(step.norm(dim=-1), labelled[:, 1:] & labelled[:, :-1])


def acceleration_error(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: Kind = "similarity") -> Tensor:
    """Acceleration error: ``mean of |e_t+1,j - 2 e_t,j + e_t-1,j|``, ``e = s R ŷ + d - y``, one fit for all frames.

    The mean is over joints labeled in all three frames.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        kind: of the fit.

    Returns:
        ``(B,)`` in the target's unit per frame² (times the frame rate squared: per second²); NaN if no joint is labeled
        in three consecutive frames.

    Source: Kanazawa et al. 2019, who do not align.
    """
    change = aligned_difference(joints, target, labelled, "sequence", kind).diff(n=2, dim=1)
    return _mean(change.norm(dim=-1), labelled[:, 2:] & labelled[:, 1:-1] & labelled[:, :-2])


def n_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, root: int | None = None) -> Tensor:
    """Scale-normalized joint error: ``mean over M of |s_t ŷ_tj - y_tj|``, ``s_t = Σ_j ŷ_tj · y_tj / Σ_j |ŷ_tj|²``.

    No rotation is fitted: the joints must be in the target's camera frame.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        root: index of the joint on which each frame is centered, as in the source; frames without it are left out. None
            centers on the mean of the labeled joints.

    Returns:
        ``(B,)`` in the target's unit; NaN also if no frame has a labeled root.

    Source: Rhodin et al. 2018.
    """
    joints, target = _checked(joints, target, labelled)
    if root is not None and not 0 <= root < joints.shape[2]:
        raise ValueError(f"root must be in 0 … {joints.shape[2] - 1}, got {root}")
    if root is not None:
        labelled = labelled & labelled[:, :, root, None]
    known = labelled & _finite(joints, target)
    source, aim = center(joints, known), center(target, known)
    if root is not None:
        source, aim = (torch.where(known[..., None], x - x[:, :, root, None], 0.0) for x in (source, aim))
    spread = source.square().sum(dim=(2, 3), keepdim=True)
    scale = (source * aim).sum(dim=(2, 3), keepdim=True) / torch.where(spread > 0, spread, 1.0)
    return _mean(_lost(scale * source - aim, known, labelled).norm(dim=-1), labelled)


def pck(
    joints: Tensor,
    target: Tensor,
    labelled: Tensor,
    threshold: float,
    *,
    alignment: Alignment = "sequence",
    kind: Kind = "similarity",
) -> Tensor:
    """Share of correct keypoints: ``mean over (t, j) in M of [|s R ŷ_tj + d - y_tj| < threshold]``.

    Args:
        joints, target: ``(B, T, J, 3)``, one unit of length.
        labelled: bool ``(B, T, J)``.
        threshold: > 0, in the target's unit.
        alignment: one fit for each "sequence" or for each "frame".
        kind: of the fit.

    Returns:
        ``(B,)`` from 0 to 1, more is better. A joint that is not finite is a miss. It has no gradient.

    Source: 3DPCK, Mehta et al. 2017, who use 150 mm, relative to the root, without a fit.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be > 0, got {threshold}")
    if alignment not in get_args(Alignment):
        raise ValueError(f"alignment must be one of {', '.join(get_args(Alignment))}, got {alignment!r}")
    difference = aligned_difference(joints, target, labelled, alignment, kind)
    return _mean((difference.norm(dim=-1) < threshold).to(difference.dtype), labelled)


def bone_length_drift(joints: Tensor, labelled: Tensor, edges: Sequence[tuple[int, int]]) -> Tensor:
    """How much bones stretch: ``mean over bones of std_t(ℓ) / mean_t(ℓ)``, ``ℓ_t = |joint a - joint b|``.

    This is the coefficient of variation of each bone's length (standard deviation, with divisor n, over mean) in the
    frames that have both ends labeled. Bones with fewer than two such frames are left out. A bone of length 0 in all
    frames has drift 0. No target is needed. A target measured without fixed bone lengths drifts, too.

    Args:
        joints: ``(B, T, J, 3)``, any unit of length.
        labelled: bool ``(B, T, J)``.
        edges: (E) pairs of joint indices, as `olift_fast.tracks.Skeleton.edges` holds them.

    Returns:
        ``(B,)`` without a unit, 0 for rigid bones; NaN if no bone has both ends labeled in two frames.
    """
    joints, _ = _checked(joints, joints, labelled)
    length, both = bone_lengths(joints, labelled, _bones(edges, joints))
    frames = both.sum(dim=1).to(length.dtype)
    mean = length.sum(dim=1) / frames.clamp(min=1)
    deviation = torch.where(both, length - mean[:, None], 0.0).norm(dim=1) / frames.clamp(min=1).sqrt()
    return _mean(deviation / torch.where(mean == 0, 1.0, mean), frames > 1)


def bone_ratio_error(joints: Tensor, target: Tensor, labelled: Tensor, edges: Sequence[tuple[int, int]]) -> Tensor:
    """How wrong the proportions of the body are: ``mean over bones of |r̂ - r|``, ``r = mean_t(ℓ) / m``.

    ℓ_t are a bone's lengths in the frames that have both ends labeled, and m is the mean of mean_t(ℓ) over the clip's
    bones. So short bones count little. Nothing is fitted: the metric does not depend on size, rotation or place.

    Args:
        joints, target: ``(B, T, J, 3)``, any unit of length.
        labelled: bool ``(B, T, J)``.
        edges: (E) pairs of joint indices, as `olift_fast.tracks.Skeleton.edges` holds them.

    Returns:
        ``(B,)``, in units of the mean bone; NaN if fewer than two bones have both ends labeled.
    """
    joints, target = _checked(joints, target, labelled)
    bones = _bones(edges, joints)
    (mine, seen), (true, _) = (bone_lengths(x, labelled, bones) for x in (joints, target))
    known = seen.any(dim=1)
    error = (proportions(mine, seen)[0] - proportions(true, seen)[0]).abs()
    return _mean(error, known & (known.sum(dim=1, keepdim=True) > 1))


def depth_ratio(joints: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
    """The body's depth over the true depth: ``d(ŷ) / d(y)``, ``d = (Σ_M z² / Σ_M (x² + y²))^½``; 1 is right.

    d is the extent along the camera's axis in units of the extent in the picture. A lifter that is unsure of the depth
    makes bodies too flat, most of all those seen end-on. The joints must be in the target's camera frame.

    Args:
        joints, target: ``(B, T, J, 3)``, any unit of length; x and y in the picture, z away from the camera.
        labelled: bool ``(B, T, J)``.

    Returns:
        ``(B,)`` without a unit; 0 for the flat guess. NaN if the target has no extent in depth or in the picture.
    """
    joints, target = _checked(joints, target, labelled)
    known = labelled & _finite(joints, target)
    squares = [_lost(center(x, known), known, labelled).square() for x in (joints, target)]
    squares = [torch.where(labelled[..., None], x, 0.0).sum(dim=(1, 2)) for x in squares]
    across, depth = zip(*((x[:, :2].sum(dim=1), x[:, 2]) for x in squares), strict=True)
    ratio = (depth[0] * across[1] / (across[0] * depth[1])).sqrt()
    return _mean(ratio[:, None], ((depth[1] != 0) & (across[1] != 0))[:, None])


@dataclass(frozen=True)
class Metric:
    """A metric as `olift eval` computes and shows it, and as docs/metrics.md lists it.

    Args:
        name: its key in scores, and in the JSON of `olift eval`.
        column: heading of its column.
        function: ``(joints, target, labelled)`` → ``(B,)``.
        mean_of: a formula; the metric is its mean over the labeled joints.
        unit: of the function's values.
        use: when to look at it.
        options: of the function.
        other_name: another name of the metric.
        of_bones: whether the function takes the skeleton's edges, too, as its last argument.
        of_target: whether the function takes the target.
        more_is_better: True for shares of correct joints; the others are errors.
        fit: how the joints are fitted to the target; "" means by one similarity alignment for each clip.
        percent: what 100 times the value means; "" means % of the clips' RMS 2D radius.
    """

    name: str
    column: str
    function: Callable[..., Tensor]
    mean_of: str
    unit: str
    use: str
    options: Mapping[str, Any] = field(default_factory=dict)
    other_name: str = ""
    of_bones: bool = False
    of_target: bool = True
    more_is_better: bool = False
    fit: str = ""
    percent: str = ""

    def of_clips(
        self, joints: Tensor, target: Tensor, labelled: Tensor, edges: Sequence[tuple[int, int]] = ()
    ) -> Tensor:
        """The metric of each clip ``(B,)``, whichever arguments its function takes."""
        given = [joints, *([target] if self.of_target else ()), labelled, *([edges] if self.of_bones else ())]
        return self.function(*given, **self.options)


METRICS = (
    Metric(
        name="sa_mpjpe",
        column="SA-MPJPE",
        function=sa_mpjpe,
        mean_of="|s R ŷ + d − y|, one fit a clip",
        unit="length",
        use="first: shape and its rotation over time",
    ),
    Metric(
        name="fa_mpjpe",
        column="FA-MPJPE",
        function=fa_mpjpe,
        other_name="PA-MPJPE",
        mean_of="|s R ŷ + d − y|, one fit a frame",
        unit="length",
        use="shape alone; far below SA-MPJPE where the whole body turns or pulses",
        fit="one a frame",
    ),
    Metric(
        name="sa_mpve",
        column="SA-MPVE",
        function=sa_mpve,
        mean_of="|e(t+1) − e(t)|, e = s R ŷ + d − y, one fit a clip",
        unit="length a frame",
        use="whether the motion is right",
    ),
    Metric(
        name="n_mpjpe",
        column="N-MPJPE",
        function=n_mpjpe,
        mean_of="|s ŷ − y|, the best s a frame, no rotation",
        unit="length",
        use="joints in the target's camera frame: the direction counts too",
        fit="scale only",
    ),
    Metric(
        name="pck_20",
        column="PCK@20",
        function=pck,
        options={"threshold": 0.2},
        mean_of="1 where |s R ŷ + d − y| < threshold, else 0, one fit a clip",
        unit="share",
        use="where a few wild joints dominate a mean",
        more_is_better=True,
        percent="joints within 20%",
    ),
    Metric(
        name="acceleration",
        column="accel.",
        function=acceleration_error,
        mean_of="|e(t+1) − 2 e(t) + e(t−1)|, e = s R ŷ + d − y, one fit a clip",
        unit="length a frame²",
        use="jitter",
    ),
    Metric(
        name="bone_length_drift",
        column="bones",
        function=bone_length_drift,
        mean_of="(over bones) std(ℓ) / mean(ℓ), ℓ the lengths of the bone in the frames",
        unit="none",
        use="whether bones stretch; needs no target",
        of_bones=True,
        of_target=False,
        percent="drift in % of their length",
    ),
    Metric(
        name="bone_ratio_error",
        column="ratios",
        function=bone_ratio_error,
        mean_of="(over bones) |r̂ − r|, r the bone's mean length over the mean of the clip's bones",
        unit="mean bones",
        use="whether proportions are right; short bones count little",
        of_bones=True,
        percent="error of bone lengths in % of the mean bone",
    ),
    Metric(
        name="depth_ratio",
        column="depth",
        function=depth_ratio,
        mean_of="(no mean) d(ŷ) / d(y), d² = Σ z² / Σ (x² + y²) over the clip",
        unit="share, 1 is right",
        use="whether bodies are too flat, most of all where they are seen end-on",
        percent="extent in % of the true one",
    ),
)
"""In the order of the columns of `olift eval`. The first metric compares a lifter with the flat guess."""


def aligned_difference(
    joints: Tensor, target: Tensor, labelled: Tensor, alignment: Alignment = "sequence", kind: Kind = "similarity"
) -> Tensor:
    """``s R ŷ + d - y``, ``(B, T, J, 3)``, after the fit; NaN at labeled joints that are not finite."""
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    joints, target = _checked(joints, target, labelled)
    known = labelled & _finite(joints, target)
    source, aim, weights = center(joints, known), center(target, known), known.to(joints.dtype)
    if alignment == "frame":
        aligned = procrustes_align(source, aim, weights=weights, kind=kind)
    else:
        flat = (source.flatten(1, 2), aim.flatten(1, 2))
        aligned = procrustes_align(*flat, weights=weights.flatten(1, 2), kind=kind).view_as(source)
    return _lost(aligned - aim, known, labelled)


def _bones(edges: Sequence[tuple[int, int]], joints: Tensor) -> Tensor:
    """The edges for each clip, int64 ``(B, E, 2)``, on the device of the joints."""
    pairs, last = [tuple(int(joint) for joint in edge) for edge in edges], joints.shape[2] - 1
    if any(len(pair) != 2 or not 0 <= min(pair) <= max(pair) <= last for pair in pairs):
        raise ValueError(f"edges must be pairs of joints 0 … {last}, got {pairs}")
    return torch.tensor(pairs, dtype=torch.int64, device=joints.device).reshape(1, -1, 2).expand(len(joints), -1, -1)


def _finite(joints: Tensor, target: Tensor) -> Tensor:
    return joints.isfinite().all(dim=-1) & target.isfinite().all(dim=-1)


def _lost(difference: Tensor, known: Tensor, labelled: Tensor) -> Tensor:
    """The difference; NaN at labeled joints that the fit left out, because they are not finite."""
    return torch.where((known == labelled)[..., None], difference, torch.nan)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each clip's values under the mask, ``(B,)``: NaN if there are none, infinity if one of them is NaN."""
    values = torch.where(mask, torch.where(values.isnan(), torch.inf, values), 0.0)
    return values.flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1)


def _checked(joints: Tensor, target: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
    """Raises for wrong shapes and dtypes; returns joints and target in one dtype, float32 or float64."""
    if joints.dim() != 4 or joints.shape[-1] != 3 or 0 in joints.shape[1:]:
        raise ValueError(f"joints must be (B, T, J, 3) with T, J >= 1, got {tuple(joints.shape)}")
    if target.shape != joints.shape:
        raise ValueError(f"target must be {tuple(joints.shape)}, as joints are, got {tuple(target.shape)}")
    if labelled.dtype != torch.bool:
        raise TypeError(f"labelled must be bool, got {labelled.dtype}")
    if labelled.shape != joints.shape[:3]:
        raise ValueError(f"labelled must be {tuple(joints.shape[:3])}, got {tuple(labelled.shape)}")
    dtype = torch.promote_types(torch.promote_types(joints.dtype, target.dtype), torch.float32)
    return joints.to(dtype), target.to(dtype)
