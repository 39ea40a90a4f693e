"""Bone lengths that 2D tells, of clips of one body or of several."""

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
"""Of a bone's lengths in the picture, over all frames: in so many of them it is seen shorter."""
FULL, OFTEN = 0.8, 0.1
"""A bone is seen in full where it looks that long, as a share of its length, in that share of its frames."""
LOOSE = 2.0
"""A bone whose spread is more than so many times that of the median bone counts less."""
DIFFERS, SURELY = 0.08, 4.0
"""Lengths of one name's recordings differ where they do by that share of a length, and by so many standard errors."""

Measure = Callable[[Tensor], Tensor]
"""Gives ``(E,)`` values of the clips whose numbers it gets."""


def bones_of(skeleton: Skeleton, clips: int) -> Tensor:
    """The skeleton's bones as int64 ``(clips, E, 2)``, for `bone_lengths`."""
    return torch.tensor(skeleton.edges, dtype=torch.int64).reshape(-1, 2).expand(clips, -1, 2)


def logarithms(joints: Tensor, seen: Tensor, skeleton: Skeleton) -> Tensor:
    """``(B, T, E)`` logarithms of bone lengths; NaN where an end is not seen, or the bone has no length.

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
    """The median of each bone over all frames, and of each clip's size, in turns.

    Args:
        logs: ``(B, T, E)`` of `logarithms`.
        skeleton: the bones; twins get one length.
        rounds: of the two in turns.

    Returns:
        Logarithms of lengths ``(E,)``, NaN for a bone that is never seen, and of the clips' sizes ``(B,)``.
    """
    scales = logs.new_zeros(len(logs))
    for _ in range(rounds):
        lengths = length_over_frames(logs - scales[:, None, None], skeleton, 0.5)
        scales = scales_of(logs, lengths)
    return lengths, scales


def scales_of(logs: Tensor, lengths: Tensor) -> Tensor:
    """``(B,)`` how much larger each clip is than these lengths, as a logarithm: the median over frames and bones.

    Args:
        logs: ``(B, T, E)``.
        lengths: ``(E,)``, or ``(B, 1, E)`` for each clip its own.
    """
    return (logs - lengths).flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)


def lengths_in_picture(clips: OwnClips, scales: Tensor) -> Tensor:
    """Logarithms of bone lengths ``(E,)`` by how long the bones are in the picture, in units of `scales`.

    No bone looks longer than it is, and seen from many sides each lies in the picture's plane now and then: the upper
    quartile is near its length, and keypoints gone wild don't reach it. NaN for a bone that is never seen.

    Args:
        clips: B clips.
        scales: ``(B,)`` logarithms of the clips' sizes, of `shared_lengths`.
    """
    logs = logarithms(clips.keypoints, clips.visible, clips.skeleton)
    return length_over_frames(logs - scales[:, None, None], clips.skeleton, QUANTILE)


def shown_share(joints: Tensor, clips: OwnClips) -> float:
    """How much of its length the median bone shows in the picture, in the upper quartile of its frames; 0 if none does.

    It is near 1 where the views are from many sides, and less where all are from above, say.

    Args:
        joints, clips: as for `seen_in_full`.
    """
    share = _shares(joints, clips)
    found = [
        _quantile(own[own.isfinite()], QUANTILE) for own in share.flatten(0, 1).unbind(dim=1) if own.isfinite().any()
    ]
    return float(torch.stack(found).median()) if found else 0.0


def share_along_view(joints: Tensor, clips: OwnClips) -> float:
    """Depth's share of the bones' squared lengths: the mean over frames, then over bones; 0 if none is seen.

    Were all directions alike, it would be a third. Views from the sides have less, for nothing that stands points at
    the camera, and views from above or from one end more.

    Args:
        joints, clips: as for `seen_in_full`.
    """
    share = 1 - _shares(joints, clips).square()
    known = share.isfinite()
    found = (torch.where(known, share, 0.0).sum(dim=(0, 1)) / known.sum(dim=(0, 1))).nanmean()
    return float(found.nan_to_num())


def seen_in_full(joints: Tensor, clips: OwnClips) -> Tensor:
    """Bool ``(E,)``: whether the clips show a bone across the view often enough to tell its length.

    Args:
        joints: ``(B, T, J, 3)``, what a lifter gives for the clips.
        clips: B clips.
    """
    share = _shares(joints, clips)
    return (share > FULL).sum(dim=(0, 1)) >= OFTEN * share.isfinite().sum(dim=(0, 1)).clamp(min=1)


def _shares(joints: Tensor, clips: OwnClips) -> Tensor:
    """``(B, T, E)`` each bone's length in the picture, as a share of its length; NaN where an end is not seen."""
    flat = logarithms(joints[..., :2], clips.visible, clips.skeleton)
    return (flat - logarithms(joints, clips.visible, clips.skeleton)).exp()


def body_of(clips: OwnClips, scales: Tensor) -> Body:
    """The body that `lengths_in_picture` tells of, with its spread between parts of the clips, and its individuals.

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

    An individual's own are drawn towards those of all, which are the prior, by how much they differ between parts of
    its clips: where all individuals differ from each other by no more than that, they get what all share.

    Args:
        clips: I individuals' and others' (`OwnClips.rows`).
        measure: logarithms ``(E,)`` of the lengths of some clips.
    """
    every, *rows = clips.rows()
    shared = measure(every)
    if not rows:
        return shared[None]
    own = torch.stack([measure(those) for those in rows])
    off = own - shared
    # A size is no proportion.
    off = (off - off.nanmedian(dim=1, keepdim=True).values).nan_to_num(0.0)
    error = torch.stack([_standard_error(those, measure) for those in rows])
    known = error.isfinite() & own.isfinite()
    between = float((off.square() - error.square())[known].mean().clamp(min=0.0).nan_to_num()) if known.any() else 0.0
    weight = torch.where(known, between / (between + error.square()).clamp(min=1e-12), 0.0)
    return torch.cat([shared[None], shared + weight * off])


def bone_weights(clips: OwnClips, scales: Tensor) -> Tensor:
    """``(E,)`` how much each bone counts, 0 … 1: less where its length is not one, as of tails and loose markers.

    The weight is 1 up to twice the spread of the median bone, between parts of the clips, and falls with its square.

    Args:
        clips, scales: as for `body_of`.
    """
    every = clips.rows()[0]
    error = _standard_error(every, lambda rows: lengths_in_picture(clips.take(rows), scales[rows]))
    share = LOOSE * error.nanmedian() / error.clamp(min=1e-12)
    return share.square().clamp(max=1.0).nan_to_num(1.0)


def mixed_names(clips: OwnClips, scales: Tensor) -> list[tuple[str, float]]:
    """Individuals whose recordings differ in proportions, as if several had one name, and by how much, as a share.

    Of one recording the halves of its clips are compared. The name is "" where all clips are of one individual.

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
    """``(P, E)`` what the parts of some clips measure, in turns."""
    return torch.stack([measure(rows[part::PARTS]) for part in range(max(1, min(PARTS, len(rows))))])


def _spread(rows: Tensor, measure: Measure) -> Tensor:
    """``(E,)`` the standard deviation of lengths, not of their logarithms, between parts of the clips."""
    return _deviation(_parts(rows, measure).double().exp())


def _standard_error(rows: Tensor, measure: Measure) -> Tensor:
    """``(E,)`` of the logarithms of lengths, by how much they differ between parts of the clips; NaN of one part."""
    parts = _parts(rows, measure)
    return _deviation(_without_sizes(parts)) / len(parts) ** 0.5


def _without_sizes(logs: Tensor) -> Tensor:
    """``(P, E)`` how far lengths are from their mean over the first dimension, but for what all bones have alike."""
    off = logs - logs.nanmean(dim=0)
    return off - off.nanmedian(dim=1, keepdim=True).values


def _root_mean_square(values: Tensor) -> float:
    return float(values.square().nanmean().sqrt().nan_to_num())


def length_over_frames(logs: Tensor, skeleton: Skeleton, quantile: float) -> Tensor:
    """``(E,)`` the quantile of each bone with its twin, over clips and frames."""
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
    """The value of that rank: torch.quantile takes no more than 16 million values."""
    return values.kthvalue(1 + round(quantile * (len(values) - 1))).values


def _deviation(parts: Tensor) -> Tensor:
    """``(E,)`` the standard deviation over the first dimension, of what is finite; NaN of less than two values."""
    known = parts.isfinite()
    count = known.sum(dim=0)
    mean = torch.where(known, parts, 0.0).sum(dim=0) / count
    squares = torch.where(known, parts - mean, 0.0).square().sum(dim=0)
    return torch.where(count > 1, (squares / (count - 1)).sqrt(), torch.nan)
