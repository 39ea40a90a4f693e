"""A body learned from 2D: the relative lengths of its bones, how sure they are, and its file, `body.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from olift_fast._version import __version__
from olift_fast.atomic import atomic_path
from olift_fast.bodies.bones import twin_bones
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.bones import bone_lengths
from olift_fast.train.own_clips import OwnClips

FORMAT, FORMAT_VERSION = "olift-fast body", 1
QUANTILE = 0.75
"""Of a bone's lengths in the picture, over all frames: in so many of them it is seen shorter."""
FULL, OFTEN = 0.8, 0.1
"""A bone is seen in full where it looks that long, as a share of its length, in that share of its frames."""
PARTS = 8
"""Parts of the clips, in turns, between which a length's spread is taken."""


@dataclass(frozen=True, eq=False)
class Body:
    """Bone lengths of an individual, or of several that share proportions.

    Args:
        skeleton: its E edges are the bones.
        lengths: (E) the mean bone is 1; a bone and its twin have one length.
        spread: (E) standard deviation between eighths of the clips, in the same unit; NaN where fewer tell.
        frames: (E) frames that show both ends of the bone.
        millimeters: in one unit of `lengths`; None where no length is known.
    """

    skeleton: Skeleton
    lengths: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    frames: npt.NDArray[np.int64]
    millimeters: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The content of `body.json`; a bone that is never seen has null for its length."""
        bones = []
        for (a, b), length, spread, frames in zip(
            self.skeleton.edges, self.lengths, self.spread, self.frames, strict=True
        ):
            row: dict[str, Any] = {
                "joints": [self.skeleton.names[a], self.skeleton.names[b]],
                "length": _rounded(length),
                "spread": _rounded(spread),
                "frames": int(frames),
            }
            if self.millimeters is not None:
                row |= {
                    "millimeters": _rounded(length * self.millimeters),
                    "millimeters_spread": _rounded(spread * self.millimeters),
                }
            bones.append(row)
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "version": __version__, "bones": bones}

    def write(self, path: Path) -> None:
        """Write `body.json`; raises InputError where that can't be."""
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")

    def scaled(self, pairs: Sequence[tuple[int, int]], meters: float, text: str) -> Body:
        """The body with millimeters, by the known distance of some pairs of joints, each of which must be a bone.

        Raises:
            InputError: a pair is no bone, or its length is not known.
        """
        bones = [frozenset(edge) for edge in self.skeleton.edges]
        found = []
        for a, b in pairs:
            if frozenset((a, b)) not in bones:
                names = self.skeleton.names
                raise InputError(f"{text!r}: {names[a]} and {names[b]} are not the ends of one bone")
            found.append(self.lengths[bones.index(frozenset((a, b)))])
        unit = float(np.mean(found))
        if not unit > 0:
            raise InputError(f"{text!r}: the 2D does not tell how long that bone is beside the others")
        return Body(self.skeleton, self.lengths, self.spread, self.frames, 1000 * meters / unit)


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
        lengths = _over_frames(logs - scales[:, None, None], skeleton, 0.5)
        scales = scales_of(logs, lengths)
    return lengths, scales


def scales_of(logs: Tensor, lengths: Tensor) -> Tensor:
    """``(B,)`` how much larger each clip is than these lengths, as a logarithm: the median over frames and bones."""
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
    return _over_frames(logs - scales[:, None, None], clips.skeleton, QUANTILE)


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
    """The body that `lengths_in_picture` tells of, with its spread between parts of the clips."""
    lengths = lengths_in_picture(clips, scales).double().exp()
    unit = float(lengths.nanmean())
    parts = []
    for part in range(min(PARTS, len(clips))):
        rows = torch.arange(part, len(clips), PARTS)
        parts.append(lengths_in_picture(clips.take(rows), scales[rows]).double().exp())
    spread = _deviation(torch.stack(parts) / unit)
    seen = logarithms(clips.keypoints, clips.visible, clips.skeleton).isfinite().sum(dim=(0, 1))
    return Body(clips.skeleton, (lengths / unit).numpy(), spread.numpy(), seen.numpy())


def _over_frames(logs: Tensor, skeleton: Skeleton, quantile: float) -> Tensor:
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


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
