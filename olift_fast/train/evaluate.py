"""Scores lifters and the flat guess on held-out clips, for `olift eval` and for early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from olift_fast.data.clips import ClipBatch
from olift_fast.data.told import Graph, with_graph
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, lift_mirrored
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.batches import Batch, collate
from olift_fast.train.held_out import FRAMES, held_out, held_out_families
from olift_fast.train.metrics import METRICS, Metric, sa_mpjpe
from olift_fast.train.scores import Mean, Scores
from olift_fast.train.uncertainty import UNCERTAINTY_METRICS

Method = Callable[[Batch], Tensor]
"""A function from a batch to joints: a lifter used in some way, or the flat guess.

Joints are ``(B, T, J, 3)``; or ``(B, T, J, 5)`` with the standard deviation of x and y and that of z.
"""


class Way(NamedTuple):
    """A method, the hops of the graph that its local heads see, and the bones that it is given."""

    method: Method
    hops: int = 1
    graph: Graph = "true"


EDGES: dict[Graph, str] = {
    "true": "its own edges",
    "named": "edges from names",
    "motion": "edges from motion",
    "damaged": "damaged edges",
    "absent": "no edges",
}
"""The names, in scores, of the bones that a method is given."""
FLAT = "flat guess"
"""The name of the method `flat` in scores."""

CLIPS_AT_ONCE = 32


@dataclass(frozen=True)
class Score:
    """Mean scores of a method on the clips of a source.

    values: by the names of `METRICS` (docs/metrics.md), all times 100: errors in % of the clips' RMS 2D radius after
    one similarity alignment for each clip, or as the metric's record says (`legend`). None if there is nothing to
    score, such as motion in single frames, or if joints are not finite. Methods that give standard deviations have the
    values of `UNCERTAINTY_METRICS` as well.
    """

    source: str
    method: str
    clips: int
    values: Mapping[str, float | None]

    def as_row(self) -> dict[str, str | int | float | None]:
        """All fields and values by name, as `olift eval --json` writes them."""
        return {"source": self.source, "method": self.method, "clips": self.clips, **self.values}


def legend(metrics: Sequence[Metric] = METRICS) -> str:
    """One sentence that explains the values of a `Score`."""
    fits = "; ".join(f"{metric.column}: {metric.fit}" for metric in metrics if metric.fit)
    others = [f"{metric.column}: {metric.percent}" for metric in metrics if metric.percent]
    lengths = "in % of the clips' RMS 2D radius after one similarity alignment a clip" + (f" ({fits})" if fits else "")
    return "; ".join([lengths, *others])


def flat(batch: Batch) -> Tensor:
    """The flat guess: x, y as seen (interpolated over time where hidden), and z = 0."""
    filled = np.stack([_filled(k, v) for k, v in zip(batch.keypoints.numpy(), batch.visible.numpy(), strict=True)])
    return torch.nn.functional.pad(torch.from_numpy(filled), (0, 1))


def lifted_by(
    lifter: Lifter,
    *,
    sides: bool = True,
    pitch: bool = True,
    alone: bool = False,
    mirror: bool = False,
    uncertainty: bool = False,
) -> Method:
    """The lifter as a method.

    Args:
        lifter: in evaluation mode.
        sides: give it the joints' sides.
        pitch: give it the camera's pitch, if it takes the pitch (`LifterConfig.pitch`).
        alone: lift each frame by itself.
        mirror: take the mean of each clip and its mirror image (`lift_mirrored`).
        uncertainty: also return standard deviations.
    """
    lift = lift_mirrored if mirror else Lifter.__call__

    def method(batch: Batch) -> Tensor:
        keypoints, visible, told = batch.keypoints, batch.visible, batch.told(lifter.config)
        clips, frames = visible.shape[:2]
        if not sides:
            told["sides"] = torch.zeros_like(batch.sides)
        if not pitch:
            told.pop("pitch", None)
        if alone:
            keypoints, visible = keypoints.flatten(0, 1).unsqueeze(1), visible.flatten(0, 1).unsqueeze(1)
            told = {name: x.repeat_interleave(frames, dim=0) for name, x in told.items()}
        with torch.inference_mode():
            joints = lift(lifter, keypoints, visible, **told, uncertainty=uncertainty)
        return joints.reshape(clips, frames, *joints.shape[2:])

    return method


def score(
    source: str, clips: ClipBatch, name: str, method: Method, hops: int = 1, told: Skeleton | None = None
) -> Score:
    """The scores of a method on the clips of one source.

    `hops` is the reach of the graph that its local heads see, `told` a skeleton to give it instead of the clips' own.
    """
    edges = clips.skeleton.edges
    scores = Scores({metric.name: partial(metric.of_clips, edges=edges) for metric in METRICS})
    spread = {metric.name: Mean(metric.of_clips) for metric in UNCERTAINTY_METRICS}
    for batch in collate([clips], hops, told=[told or clips.skeleton]).split(CLIPS_AT_ONCE):
        lifted = method(batch)
        scores.update(lifted[..., :3], batch.joints, batch.labelled, source)
        if lifted.shape[-1] > 3:
            for mean in spread.values():
                mean.update(lifted, batch.joints, batch.labelled)
    means = {metric: 100 * mean for metric, mean in scores.compute()[source].items()}
    if lifted.shape[-1] > 3:
        means |= {metric: 100 * float(mean.compute()) for metric, mean in spread.items()}
    rounded = {metric: round(mean, 2) if math.isfinite(mean) else None for metric, mean in means.items()}
    return Score(source, name, len(clips), rounded)


def mean_score(lifter: Lifter, batches: Sequence[Batch]) -> float:
    """The score that early stopping watches: SA-MPJPE in % of the RMS 2D radius, the mean over batches of their means.

    A clip without a label counts as an error of 0.
    """
    method, device = lifted_by(lifter), next(lifter.parameters()).device
    means = []
    for batch in batches:
        parts = [part.to(device) for part in batch.split(CLIPS_AT_ONCE)]
        errors = [sa_mpjpe(method(part), part.joints, part.labelled).nan_to_num(nan=0.0) for part in parts]
        means.append(float(torch.cat(errors).mean()))
    return 100 * sum(means) / len(means)


def evaluate(
    lifters: Mapping[str, Lifter],
    data: Path,
    *,
    noise: bool = False,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    delays: Sequence[int] = (),
    families: Sequence[str] = (),
    edges: Sequence[Graph] = (),
) -> list[Score]:
    """Scores of lifters, and of the flat guess, on all held-out recordings of a folder.

    Args:
        lifters: by the name to show. Each lifts whole clips in every dtype, with its mirror image, with the sides
            hidden, with the pitch hidden if it takes the pitch, and single frames; or, with `delays`, whole clips with
            each delay in every dtype.
        data: folder with ``motion3d/``, ``paired/`` or both.
        noise: add a detector's faults to the 2D of the motion.
        dtypes: the rounding of the lifters' products (`Lifter.optimize`).
        delays: frames to look ahead (`Lifter.with_latency`).
        families: patterns of families and persons (`Mixture.held_out`). All clips of these, from all folders of
            recordings in `data`, are then scored in place of the held-out parts, and last come the means over them.
        edges: bones that the lifters are told in place of the skeletons' own, each of which is one more way to lift
            whole clips (`olift_fast.data.told.with_graph`).

    Raises:
        InputError: the folder holds no recordings, a pattern matches none, or a lifter can't have one of the dtypes or
            delays.
    """
    ways = {FLAT: Way(flat)}
    for name, lifter in lifters.items():
        hops, by = lifter.config.hops, partial(lifted_by, uncertainty=lifter.config.uncertainty)
        check_time_table(name, lifter.config)
        for dtype in dtypes:
            rounded = "" if dtype == torch.float32 else f", {str(dtype).removeprefix('torch.')}"
            if not delays:
                ways[name + rounded] = Way(by(lifter.optimize(dtype=dtype)), hops)
            for frames in delays:
                lift = by(lifter.with_latency(frames).optimize(dtype=dtype))
                ways[f"{name}, {frames} frames later{rounded}"] = Way(lift, hops)
        if not delays:
            ways[f"{name}, with its mirror image"] = Way(by(lifter, mirror=True), hops)
            ways[f"{name}, sides hidden"] = Way(by(lifter, sides=False), hops)
            if lifter.config.pitch:
                ways[f"{name}, pitch hidden"] = Way(by(lifter, pitch=False), hops)
            ways[f"{name}, one frame at a time"] = Way(by(lifter, alone=True), hops)
        for graph in edges:
            ways[f"{name}, {EDGES[graph]}"] = Way(by(lifter), hops, graph)
    if not families:
        return score_all(held_out(data, noise), ways)
    folders = sorted({path.parent for path in data.glob("*/*.npz")} - {data / "paired"})
    scores = score_all(held_out_families(folders, families, noise), ways)
    return [*scores, *mean_scores(scores)]


def score_all(sources: Mapping[str, ClipBatch], ways: Mapping[str, Way]) -> list[Score]:
    """The `score` of every way to lift, by name, on every source. Damage to bones is the same in every call."""
    scores = []
    for source, clips in sources.items():
        graphs = {way.graph for way in ways.values()}
        told = {graph: with_graph(clips, graph, np.random.default_rng(0)) for graph in graphs}
        scores += [score(source, clips, name, way.method, way.hops, told[way.graph]) for name, way in ways.items()]
    return scores


def mean_scores(scores: Sequence[Score]) -> list[Score]:
    """For each method, the mean of its scores over the sources that have one, each source counted once."""
    means = []
    for method in dict.fromkeys(row.method for row in scores):
        rows = [row for row in scores if row.method == method]
        known = {name: [v for row in rows if (v := row.values[name]) is not None] for name in rows[0].values}
        values = {name: round(float(np.mean(found)), 2) if found else None for name, found in known.items()}
        means.append(Score(f"mean of {len(rows)} families", method, sum(row.clips for row in rows), values))
    return means


def check_time_table(name: str, config: LifterConfig) -> None:
    """Raises InputError where a lifter knows fewer frames than a clip has."""
    if config.time_encoding == "table" and config.time_rows < FRAMES:
        raise InputError(f"{name}: its time table must have {FRAMES} rows or more, got {config.time_rows}")


def _filled(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """``(T, J, 2)`` with each joint's hidden frames filled in linearly over time; 0 for a joint never seen."""
    time = np.arange(len(keypoints))
    filled = np.zeros_like(keypoints)
    for joint in np.flatnonzero(visible.any(axis=0)):
        known = visible[:, joint]
        for axis in range(2):
            filled[:, joint, axis] = np.interp(time, time[known], keypoints[known, joint, axis])
    return filled
