"""Bone lengths from 2D clips of one individual or of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from olift_fast.bodies.body import PARTS, Body
from olift_fast.bodies.bones import twin_bones
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.bones import bone_lengths
from olift_fast.train.own_clips import OwnClips

QUANTILE = 0.75
"""A bone's length is this quantile of its lengths in the picture, over all frames."""
FULL, OFTEN = 0.8, 0.1
"""A bone is seen in full if it shows more than `FULL` of its length in at least `OFTEN` of its frames."""
DIFFERS, SURELY = 0.08, 4.0
"""Recordings of one name differ if their lengths do by more than this share and by so many standard errors."""

Measure = Callable[[Tensor], Tensor]
"""A function from the indices of clips to one value for each bone, ``(E,)``."""


def bones_of(skeleton: Skeleton, clips: int) -> Tensor:
    """The skeleton's bones as int64 ``(clips, E, 2)``, for `bone_lengths`."""
    return torch.tensor(skeleton.edges, dtype=torch.int64).reshape(-1, 2).expand(clips, -1, 2)


def logarithms(joints: Tensor, seen: Tensor, skeleton: Skeleton) -> Tensor:
    """``(B, T, E)`` logarithms of bone lengths; NaN where an end of the bone is not seen, or its length is 0.

    Args:
        joints: ``(B, T, J, 3)`` or, in the picture, ``(B, T, J, 2)``.
        seen: bool ``(B, T, J)``.
        skeleton: the bones.
    """
    if joints.shape[-1] == 2:
        joints = torch.nn.functional.pad(joints, (0, 1))
    length, both = bone_lengths(joints, seen, bones_of(skeleton, len(joints)))
    return torch.where(both & (length > 0), length.clamp(min=1e-6).log(), torch.nan)


def shared_lengths(logs: Tensor, skeleton: Skeleton, rounds: int = 5) -> tuple[Tensor, Tensor]:
    """One length for each bone and one size for each clip, as medians, computed in turns.

    Args:
        logs: ``(B, T, E)`` of `logarithms`.
        skeleton: the bones; a left bone and its right twin get one length.
        rounds: how often both are computed.

    Returns:
        Logarithms of lengths ``(E,)``, NaN for a bone that is never seen, and of the clips' sizes ``(B,)``.
    """
    scales = logs.new_zeros(len(logs))
    for _ in range(rounds):
        lengths = length_over_frames(logs - scales[:, None, None], skeleton, 0.5)
        scales = scales_of(logs, lengths)
    return lengths, scales


def scales_of(logs: Tensor, lengths: Tensor) -> Tensor:
    """``(B,)`` logarithms of the clips' sizes, relative to these lengths: medians over frames and bones.

    Args:
        logs: ``(B, T, E)`` of `logarithms`.
        lengths: logarithms ``(E,)``, or ``(B, 1, E)`` with lengths for each clip.
    """
    return (logs - lengths).flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)


def lengths_in_picture(clips: OwnClips, scales: Tensor) -> Tensor:
    """Logarithms ``(E,)`` of bone lengths, estimated from how long the bones are in the picture, in units of `scales`.

    A bone never looks longer than it is. If it is seen from many sides, it is parallel to the picture in some frames.
    So the upper quartile of its lengths in the picture is near its true length, and a few wild keypoints don't change
    it. NaN for a bone that is never seen.

    Args:
        clips: B clips.
        scales: ``(B,)`` logarithms of the clips' sizes, of `shared_lengths`.
    """
    logs = logarithms(clips.keypoints, clips.visible, clips.skeleton)
    return length_over_frames(logs - scales[:, None, None], clips.skeleton, QUANTILE)


def shown_share(joints: Tensor, clips: OwnClips) -> float:
    """The share of its length that a bone shows in the picture: the upper quartile over frames, the median over bones.

    It is near 1 if the views are from many sides, and less if they are all from above, for example. It is 0 if no bone
    is seen.

    Args:
        joints, clips: as for `seen_in_full`.
    """
    share = _shares(joints, clips)
    found = [
        _quantile(own[own.isfinite()], QUANTILE) for own in share.flatten(0, 1).unbind(dim=1) if own.isfinite().any()
    ]
    return float(torch.stack(found).median()) if found else 0.0


def share_along_view(joints: Tensor, clips: OwnClips) -> float:
    """Depth's share of the bones' squared lengths: the mean over frames, then over bones; 0 if no bone is seen.

    It is 1/3 if bones point in all directions equally often. Views from the side give less, because the bones of a
    standing animal's legs do not point at the camera. Views from above or from one end give more.

    Args:
        joints, clips: as for `seen_in_full`.
    """
    share = 1 - _shares(joints, clips).square()
    known = share.isfinite()
    found = (torch.where(known, share, 0.0).sum(dim=(0, 1)) / known.sum(dim=(0, 1))).nanmean()
    return float(found.nan_to_num())


def seen_in_full(joints: Tensor, clips: OwnClips) -> Tensor:
    """Bool ``(E,)``: whether a bone is parallel to the picture often enough to tell its length (`FULL`, `OFTEN`).

    Args:
        joints: ``(B, T, J, 3)``, the lifted clips.
        clips: B clips.
    """
    share = _shares(joints, clips)
    return (share > FULL).sum(dim=(0, 1)) >= OFTEN * share.isfinite().sum(dim=(0, 1)).clamp(min=1)


def _shares(joints: Tensor, clips: OwnClips) -> Tensor:
    """``(B, T, E)`` each bone's length in the picture, as a share of its length in 3D; NaN where an end is not seen."""
    flat = logarithms(joints[..., :2], clips.visible, clips.skeleton)
    return (flat - logarithms(joints, clips.visible, clips.skeleton)).exp()


def body_of(clips: OwnClips, scales: Tensor) -> Body:
    """The body with the lengths of `lengths_in_picture`, their spread between parts of the clips, and its individuals.

    Args:
        clips: B clips.
        scales: ``(B,)`` logarithms of the clips' sizes, of `shared_lengths`.
    """

    def measured(rows: Tensor) -> Tensor:
        return lengths_in_picture(clips.take(rows), scales[rows])

    lengths = by_individual(clips, measured)
    bodies = [
        _body(clips.take(rows), own, _spread(rows, measured)) for rows, own in zip(clips.rows(), lengths, strict=True)
    ]
    return replace(bodies[0], individuals=dict(zip(clips.individuals, bodies[1:], strict=True)))


def by_individual(clips: OwnClips, measure: Measure) -> Tensor:
    """``(1 + I, E)`` logarithms of lengths: those of all clips, then those of each individual.

    An individual's lengths are drawn towards those of all clips (empirical Bayes). The more uncertain a length is, by
    its standard error between parts of the individual's clips, the more it is drawn. If individuals differ from each
    other by no more than these errors, all get the shared lengths.

    Args:
        clips: of I individuals and of others (`OwnClips.rows`).
        measure: gives logarithms ``(E,)`` of lengths for some of the clips.
    """
    every, *rows = clips.rows()
    shared = measure(every)
    if not rows:
        return shared[None]
    own = torch.stack([measure(those) for those in rows])
    off = own - shared
    # The common factor of all bones is the size, which is not compared.
    off = (off - off.nanmedian(dim=1, keepdim=True).values).nan_to_num(0.0)
    error = torch.stack([_standard_error(those, measure) for those in rows])
    known = error.isfinite() & own.isfinite()
    between = float((off.square() - error.square())[known].mean().clamp(min=0.0).nan_to_num()) if known.any() else 0.0
    weight = torch.where(known, between / (between + error.square()).clamp(min=1e-12), 0.0)
    return torch.cat([shared[None], shared + weight * off])


def mixed_names(clips: OwnClips, scales: Tensor) -> list[tuple[str, float]]:
    """Names whose recordings differ in proportions, as if of several individuals, and by how much, as a share.

    If a name has one recording, the halves of its clips are compared. The name is "" if all clips are of one
    individual.

    Args:
        clips, scales: as for `body_of`.
    """

    def measured(rows: Tensor) -> Tensor:
        return lengths_in_picture(clips.take(rows), scales[rows])

    found = []
    every, *rows_of = clips.rows()
    named = zip(clips.individuals, rows_of, strict=True) if clips.individuals else [("", every)]
    for name, rows in named:
        recordings = clips.recording[rows]
        groups = [rows[recordings == number] for number in recordings.unique().tolist()]
        groups = [rows[: len(rows) // 2], rows[len(rows) // 2 :]] if len(groups) == 1 else groups
        groups = [group for group in groups if len(group) >= PARTS]
        if len(groups) < 2:
            continue
        off = _root_mean_square(_without_sizes(torch.stack([measured(group) for group in groups])))
        error = _root_mean_square(torch.stack([_standard_error(group, measured) for group in groups]))
        if off > max(DIFFERS, SURELY * error):
            found.append((name, off))
    return found


def _body(clips: OwnClips, lengths: Tensor, spread: Tensor) -> Body:
    relative = lengths.double().exp()
    unit = relative.nanmean()
    seen = logarithms(clips.keypoints, clips.visible, clips.skeleton).isfinite().sum(dim=(0, 1))
    return Body(clips.skeleton, (relative / unit).numpy(), (spread / unit).numpy(), seen.numpy())


def _parts(rows: Tensor, measure: Measure) -> Tensor:
    """``(P, E)`` the measure of each of P parts of the clips; clip i is in part i mod P."""
    return torch.stack([measure(rows[part::PARTS]) for part in range(max(1, min(PARTS, len(rows))))])


def _spread(rows: Tensor, measure: Measure) -> Tensor:
    """``(E,)`` the standard deviation between parts of the clips of lengths, not of their logarithms."""
    return _deviation(_parts(rows, measure).double().exp())


def _standard_error(rows: Tensor, measure: Measure) -> Tensor:
    """``(E,)`` the standard error of the logarithms of lengths, from parts of the clips; NaN if there is one part."""
    parts = _parts(rows, measure)
    return _deviation(_without_sizes(parts)) / len(parts) ** 0.5


def _without_sizes(logs: Tensor) -> Tensor:
    """``(P, E)`` logarithms less their mean over the P parts, and less each part's size, the median over bones."""
    off = logs - logs.nanmean(dim=0)
    return off - off.nanmedian(dim=1, keepdim=True).values


def _root_mean_square(values: Tensor) -> float:
    return float(values.square().nanmean().sqrt().nan_to_num())


def length_over_frames(logs: Tensor, skeleton: Skeleton, quantile: float) -> Tensor:
    """``(E,)`` the quantile over clips and frames of each bone, taken together with its twin."""
    twins = twin_bones(skeleton)
    found = logs.new_full((len(twins),), torch.nan)
    for bone, twin in enumerate(twins.tolist()):
        if twin < bone and twins[twin] == bone:
            found[bone] = found[twin]
            continue
        values = logs[..., sorted({bone, twin})].flatten()
        values = values[values.isfinite()]
        if len(values):
            found[bone] = _quantile(values, quantile)
    return found


def _quantile(values: Tensor, quantile: float) -> Tensor:
    """The quantile, without interpolation; `torch.quantile` takes no more than 16 million values."""
    return values.kthvalue(1 + round(quantile * (len(values) - 1))).values


def _deviation(parts: Tensor) -> Tensor:
    """``(E,)`` the standard deviation of the finite values over the first dimension; NaN of fewer than two."""
    known = parts.isfinite()
    count = known.sum(dim=0)
    mean = torch.where(known, parts, 0.0).sum(dim=0) / count
    squares = torch.where(known, parts - mean, 0.0).square().sum(dim=0)
    return torch.where(count > 1, (squares / (count - 1)).sqrt(), torch.nan)
