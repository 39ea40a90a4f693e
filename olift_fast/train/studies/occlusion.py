"""Errors with 0 … 80 % of the keypoints hidden: single ones at random, parts of the body, or stretches of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from olift_fast.data.clips import ClipBatch
from olift_fast.model import Lifter
from olift_fast.nn.masked import masked_mean
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.batches import collate, normalize_clips
from olift_fast.train.evaluate import FLAT, Method, flat, lifted_by
from olift_fast.train.held_out import held_out
from olift_fast.train.metrics import aligned_difference
from olift_fast.train.studies.rows import Row

Kind = Literal["at random", "a part of the body", "a stretch of time"]
KINDS: tuple[Kind, ...] = ("at random", "a part of the body", "a stretch of time")
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)


def occlusion(lifter: Lifter, data: Path, seed: int = 0) -> Iterator[Row]:
    """Rows of SA-MPJPE over all joints, and over the hidden joints alone, in % of the clips' RMS 2D radius.

    Each clip of the held-out motion is seen by one random upright camera, without other faults. The alignment is fitted
    to all joints, also to hidden ones. Where no joint is hidden, the error of hidden joints is 0.
    """
    methods: dict[str, Method] = {
        FLAT: flat,
        lifter.name: lifted_by(lifter),
        f"{lifter.name}, one frame at a time": lifted_by(lifter, alone=True),
    }
    for source, clips in held_out(data, cameras=1, paired=False).items():
        for kind in KINDS:
            for share in SHARES:
                rng = np.random.default_rng((seed, KINDS.index(kind), round(100 * share)))
                hidden = replace(clips, visible=clips.visible & ~hide(rng, clips, share, kind))
                for name, method in methods.items():
                    yield {
                        "source": source,
                        "hidden": kind,
                        "share": share,
                        "method": name,
                        **_errors(hidden, clips, method, lifter.config.hops),
                    }


def hide(rng: np.random.Generator, clips: ClipBatch, share: float, kind: Kind) -> NDArray[np.bool_]:
    """Bool ``(B, T, J)``, True for the keypoints to hide: this share of all.

    "at random" draws each keypoint by itself. "a part of the body" hides a random joint and those nearest to it along
    the skeleton, in all frames. "a stretch of time" hides all joints in consecutive frames.
    """
    _, frames, joints = clips.visible.shape
    if kind == "at random":
        return np.asarray(rng.random(clips.visible.shape) < share)
    hidden = np.zeros(clips.visible.shape, dtype=np.bool_)
    for clip in hidden:
        if kind == "a part of the body":
            clip[:, _part(rng, clips.skeleton, round(share * joints))] = True
        else:
            length = round(share * frames)
            start = int(rng.integers(frames - length + 1))
            clip[start : start + length] = True
    return hidden


def _part(rng: np.random.Generator, skeleton: Skeleton, size: int) -> NDArray[np.intp]:
    joints = skeleton.num_joints
    distance = skeleton.hop_distances()[rng.integers(joints)] + rng.random(joints)
    return np.argsort(distance)[:size]


def _errors(hidden: ClipBatch, clips: ClipBatch, method: Method, hops: int) -> Mapping[str, float]:
    batch = collate([hidden], hops)
    # The batch is in units of the visible keypoints' radius; errors are reported in units of the whole body's radius.
    unit = torch.from_numpy(normalize_clips(hidden)[1] / normalize_clips(clips)[1])[:, None, None]
    error = 100 * aligned_difference(method(batch), batch.joints, batch.labelled).norm(dim=-1) * unit
    hid = torch.from_numpy(clips.visible & ~hidden.visible) & batch.labelled
    return {
        "sa_mpjpe": round(float(masked_mean(error, batch.labelled)), 2),
        "sa_mpjpe_hidden": round(float(masked_mean(error, hid)), 2),
    }
