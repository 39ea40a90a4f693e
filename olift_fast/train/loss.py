"""The training loss, with the fast operations."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.nn.masked import center, masked_mean
from olift_fast.ops import procrustes
from olift_fast.ops.procrustes import Alignment
from olift_fast.train.bones import bone_lengths, proportions


def lifting_loss(
    joints: Tensor,
    target: Tensor,
    labelled: Tensor,
    *,
    alignment: Alignment = "sequence",
    velocity_weight: float = 1.0,
    keypoints: Tensor | None = None,
    visible: Tensor | None = None,
    reprojection_weight: float = 0.0,
    bones: Tensor | None = None,
    bone_variance_weight: float = 0.0,
    bone_ratio_weight: float = 0.0,
    uncertainty: Tensor | None = None,
    uncertainty_weight: float = 0.0,
) -> Tensor:
    """Squared joint error after rigid alignment + λ · squared velocity error + weighted terms of 2D and of the bones.

    With `uncertainty`, the weighted negative log-likelihood of the error (`deviance`) is added. Its gradient reaches
    only the standard deviations, not the joints.

    The gradient holds the alignment constant. This is exact for the squared error (envelope theorem), and keeps the
    gradient finite where the rotation is ambiguous.

    Args:
        joints, target: ``(B, T, J, 3)``, model units.
        labelled: bool ``(B, T, J)``, where the target is known.
        alignment: one Procrustes fit for a "sequence", or one for each "frame".
        velocity_weight: λ.
        keypoints, visible: ``(B, T, J, 2)`` and bool ``(B, T, J)``, the normalized input, for the reprojection term.
        reprojection_weight: weight of the error of x, y against the input, both centered on the visible keypoints.
        bones: int64 ``(B, E, 2)``, pairs of joints, padded with -1, for the terms of the bones (`bone_errors`).
        bone_variance_weight: weight of the excess of the lengths' variance within a clip over the truth's.
        bone_ratio_weight: weight of the error of the bones' proportions.
        uncertainty: ``(B, T, J, 2)``, the standard deviations of the error, that of x and y and that of z; > 0 where
            labeled.
        uncertainty_weight: weight of the negative log-likelihood.

    Returns:
        Scalar: each term is a mean over what is labeled (visible) in the batch.

    Equivalent to `olift_fast.reference.lifting_loss`.
    """
    aligned, target = center(joints, labelled), center(target, labelled)
    weights = labelled.to(joints.dtype)
    with torch.no_grad():
        if alignment == "sequence":
            flat = (x.flatten(1, 2) for x in (aligned, target))
            fit = procrustes(*flat, weights=weights.flatten(1, 2))
            rotation, translation = fit.rotation.unsqueeze(1), fit.translation.unsqueeze(1)
        else:
            fit = procrustes(aligned, target, weights=weights)
            rotation, translation = fit.rotation, fit.translation
    error = aligned @ rotation.mT + translation[..., None, :] - target
    loss = masked_mean(error.square().sum(dim=-1), labelled)
    if velocity_weight and joints.shape[1] > 1:
        step = error.diff(dim=1).square().sum(dim=-1)
        loss = loss + velocity_weight * masked_mean(step, labelled[:, 1:] & labelled[:, :-1])
    if reprojection_weight and keypoints is not None:
        visible = keypoints.isfinite().all(dim=-1) if visible is None else visible
        drift = center(joints[..., :2], visible) - center(keypoints, visible)
        loss = loss + reprojection_weight * masked_mean(drift.square().sum(dim=-1), visible)
    if bones is not None and (bone_variance_weight or bone_ratio_weight):
        variance, ratio = bone_errors(joints, target, labelled, bones)
        loss = loss + bone_variance_weight * variance + bone_ratio_weight * ratio
    if uncertainty_weight and uncertainty is not None:
        loss = loss + uncertainty_weight * masked_mean(deviance(error.detach(), uncertainty, labelled), labelled)
    return loss


def bone_errors(joints: Tensor, target: Tensor, labelled: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
    """How much more the bones stretch than the true bones, and the error of their proportions.

    ``variance = mean of max(0, var_t(ℓ̂) / m̂² - var_t(ℓ) / m²)``, over bones whose ends are labeled in two frames or
    more, and ``ratio = mean of (mean_t(ℓ̂) / m̂ - mean_t(ℓ) / m)²``, over bones whose ends are labeled in any frame. ℓ is
    a bone's length in the frames with both ends labeled, m the mean of mean_t(ℓ) over the clip's bones. The hat marks
    the prediction.

    Measured bones vary, too, by 4 to 16 % of their length in tracked animals; the same variance costs nothing. Lengths
    are divided by the clip's mean bone and not by their own mean, so that short bones, whose ratios are mostly noise,
    count little. Neither result depends on the prediction's size, rotation or place.

    Args:
        joints, target: ``(B, T, J, 3)``, any unit of length.
        labelled: bool ``(B, T, J)``.
        bones: int64 ``(B, E, 2)``, padded with -1.

    Returns:
        Two scalars, 0 where there is no such bone. A bone of length 0 has no gradient.

    Equivalent to `olift_fast.reference.bone_errors`.
    """
    (length, seen), (true, _) = (bone_lengths(x, labelled, bones) for x in (joints, target))
    (share, variance), (true_share, true_variance) = (proportions(x, seen) for x in (length, true))
    frames = seen.sum(dim=1)
    excess = (variance - true_variance).clamp(min=0)
    return masked_mean(excess, frames > 1), masked_mean((share - true_share).square(), frames > 0)


def deviance(error: Tensor, uncertainty: Tensor, labelled: Tensor) -> Tensor:
    """``log σ_a + 2.5 log(1 + e_a² / 4 σ_a²)``, the mean over the axes a: Student's t of 4 degrees, less a constant.

    Its tails are heavy, so an outlier changes the standard deviation no more than four good keypoints do.

    Args:
        error: ``(B, T, J, 3)``, in the target's axes.
        uncertainty: ``(B, T, J, 2)``: σ of x and y, and of z.
        labelled: bool ``(B, T, J)``; elsewhere the result is that of no error and σ = 1, 0.

    Returns:
        ``(B, T, J)``.

    Equivalent to `olift_fast.reference.deviance`.
    """
    deviation = torch.where(labelled[..., None], uncertainty, 1.0)[..., [0, 0, 1]]
    ratio = torch.where(labelled[..., None], error, 0.0) / deviation
    return (deviation.log() + 2.5 * torch.log1p(0.25 * ratio.square())).mean(dim=-1)
