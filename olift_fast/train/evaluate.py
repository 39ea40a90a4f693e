"""Scores on held-out real recordings, beside the flat guess: what `olift eval` prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from olift_fast.data.clips import ClipBatch
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, lift_mirrored
from olift_fast.train.batches import Batch, collate
from olift_fast.train.held_out import FRAMES, held_out
from olift_fast.train.metrics import Scores, acceleration_error, fa_mpjpe, n_mpjpe, pck, sa_mpjpe, sa_mpve

Method = Callable[[Batch], Tensor]
METRICS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "sa_mpjpe": sa_mpjpe,
    "fa_mpjpe": fa_mpjpe,
    "sa_mpve": sa_mpve,
    "n_mpjpe": n_mpjpe,
    "pck_20": partial(pck, threshold=0.2),
    "acceleration": acceleration_error,
}


@dataclass(frozen=True)
class Score:
    """Mean scores of a method on a source (docs/metrics.md): errors in % of the clips' RMS 2D radius.

    After one similarity alignment a clip, but fa_mpjpe: one a frame; n_mpjpe: scale only, joints turned as the model
    gives them. pck_20: % of joints within 20 % of the radius. bone_length_drift: % of a bone's length. None:
    nothing to score, as motion in single frames, or joints that are not finite.
    """

    source: str
    method: str
    clips: int
    sa_mpjpe: float | None
    fa_mpjpe: float | None
    sa_mpve: float | None
    n_mpjpe: float | None
    pck_20: float | None
    acceleration: float | None
    bone_length_drift: float | None


def flat(batch: Batch) -> Tensor:
    """The guess that everything is at one depth: x, y as seen (hidden ones filled in over time), z = 0."""
    filled = np.stack([_filled(k, v) for k, v in zip(batch.keypoints.numpy(), batch.visible.numpy(), strict=True)])
    return torch.nn.functional.pad(torch.from_numpy(filled), (0, 1))


def lifted_by(lifter: Lifter, *, sides: bool = True, alone: bool = False, mirror: bool = False) -> Method:
    """The lifter as a method: told the joints' sides or not, on whole clips or single frames, with mirror image."""
    lift = lift_mirrored if mirror else Lifter.__call__

    def method(batch: Batch) -> Tensor:
        keypoints, visible, graph, side = batch.keypoints, batch.visible, batch.graph, batch.sides
        clips, frames = visible.shape[:2]
        if alone:
            keypoints, visible = keypoints.flatten(0, 1).unsqueeze(1), visible.flatten(0, 1).unsqueeze(1)
            graph, side = graph.repeat_interleave(frames, dim=0), side.repeat_interleave(frames, dim=0)
        with torch.inference_mode():
            joints = lift(lifter, keypoints, visible, graph=graph, sides=side if sides else torch.zeros_like(side))
        return joints.reshape(clips, frames, *joints.shape[2:])

    return method


def score(source: str, clips: ClipBatch, name: str, method: Method, hops: int = 1) -> Score:
    """One row: a method's scores on clips of one source."""
    scores = Scores(METRICS)
    edges = clips.skeleton.edges or None
    for start in range(0, len(clips), 32):
        batch = collate([_rows(clips, slice(start, start + 32))], hops)
        scores.update(method(batch), batch.joints, batch.labelled, source, edges)
    means = {metric: 100 * mean for metric, mean in scores.compute()[source].items()}
    means.setdefault("bone_length_drift", math.nan)
    rounded = {metric: round(mean, 2) if math.isfinite(mean) else None for metric, mean in means.items()}
    return Score(source, name, len(clips), **rounded)


def evaluate(
    lifters: Mapping[str, Lifter],
    data: Path,
    *,
    noise: bool = False,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    delays: Sequence[int] = (),
) -> list[Score]:
    """Scores of lifters, and of what they are compared with, on all held-out recordings of a folder.

    Args:
        lifters: by the name to show. Each lifts whole clips in every dtype, with its mirror image, with the sides
            hidden, and single frames; or, where there are delays, whole clips with each of them in every dtype.
        data: folder with ``motion3d/``, ``paired/`` or both.
        noise: detector-like faults on the 2D of the motion.
        dtypes: of the products.
        delays: frames to look ahead (`Lifter.with_delay`).

    Raises:
        InputError: the folder holds no recordings, or a dtype or a delay is none that the lifter can have.
    """
    methods: dict[str, tuple[Method, int]] = {"flat guess": (flat, 1)}
    for name, lifter in lifters.items():
        hops = lifter.config.hops
        check_time_table(name, lifter.config)
        for dtype in dtypes:
            rounded = "" if dtype == torch.float32 else f", {str(dtype).removeprefix('torch.')}"
            if not delays:
                methods[name + rounded] = lifted_by(lifter.optimize(dtype=dtype)), hops
            for frames in delays:
                lift = lifted_by(lifter.with_delay(frames).optimize(dtype=dtype))
                methods[f"{name}, {frames} frames later{rounded}"] = lift, hops
        if not delays:
            methods[f"{name}, with its mirror image"] = (lifted_by(lifter, mirror=True), hops)
            methods[f"{name}, sides hidden"] = (lifted_by(lifter, sides=False), hops)
            methods[f"{name}, one frame at a time"] = (lifted_by(lifter, alone=True), hops)
    return score_all(held_out(data, noise), methods)


def score_all(sources: Mapping[str, ClipBatch], methods: Mapping[str, tuple[Method, int]]) -> list[Score]:
    """A row for each source and method; with a method come the hops of the graph that its local heads see."""
    return [
        score(source, clips, name, method, hops)
        for source, clips in sources.items()
        for name, (method, hops) in methods.items()
    ]


def check_time_table(name: str, config: LifterConfig) -> None:
    """Raises InputError where a lifter knows fewer frames than a clip has."""
    if config.time_encoding == "table" and config.time_rows < FRAMES:
        raise InputError(f"{name}: its time table must have {FRAMES} rows or more, got {config.time_rows}")


def _rows(clips: ClipBatch, rows: slice) -> ClipBatch:
    return ClipBatch(
        clips.keypoints[rows],
        clips.visible[rows],
        clips.joints[rows],
        clips.labelled[rows],
        clips.skeleton,
        clips.family,
    )


def _filled(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """``(T, J, 2)`` with each joint's hidden frames filled in linearly over time; 0 for a joint never seen."""
    time = np.arange(len(keypoints))
    filled = np.zeros_like(keypoints)
    for joint in np.flatnonzero(visible.any(axis=0)):
        known = visible[:, joint]
        for axis in range(2):
            filled[:, joint, axis] = np.interp(time, time[known], keypoints[known, joint, axis])
    return filled
