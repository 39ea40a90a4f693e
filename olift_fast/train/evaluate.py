"""``python -m olift_fast.train.evaluate``: scores on held-out real recordings, beside the flat guess."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from olift_fast.data.clips import ClipBatch
from olift_fast.model import Lifter, lift_mirrored
from olift_fast.train.batches import Batch, collate
from olift_fast.train.held_out import held_out
from olift_fast.train.metrics import Scores, fa_mpjpe, sa_mpjpe, sa_mpve

Method = Callable[[Batch], Tensor]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Score:
    """Mean errors of a method on a source, in % of the clips' RMS 2D radius, after similarity alignment.

    sa_mpve is 0 for a source of single frames, in which nothing moves.
    """

    source: str
    method: str
    clips: int
    sa_mpjpe: float
    fa_mpjpe: float
    sa_mpve: float


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
    """One row: a method's errors on clips of one source."""
    scores = Scores({"sa_mpjpe": sa_mpjpe, "fa_mpjpe": fa_mpjpe, "sa_mpve": sa_mpve})
    for start in range(0, len(clips), 32):
        batch = collate([_rows(clips, slice(start, start + 32))], hops)
        scores.update(method(batch), batch.joints, batch.labelled, source)
    errors = {metric: round(100 * mean, 2) for metric, mean in scores.compute()[source].items()}
    if clips.visible.shape[1] == 1:
        errors["sa_mpve"] = 0.0
    return Score(source, name, len(clips), **errors)


def main(
    model: Annotated[list[str], typer.Option(help="Name or folder of a checkpoint; may be given more than once.")],
    data: Annotated[Path, typer.Option(help="Folder of real recordings (motion3d/, paired/).")],
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="Rounding of the products: float32 by default; may be given more than once."),
    ] = None,
    delay: Annotated[
        list[int] | None,
        typer.Option(help="Frames to look ahead, the model's own by default; may be given more than once."),
    ] = None,
    noise: Annotated[bool, typer.Option(help="Detector-like faults on the 2D of the motion recordings.")] = False,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the scores here, too.")] = None,
) -> None:
    """Score checkpoints on the held-out real recordings, beside the flat guess."""
    dtypes = dtype or ["float32"]
    if unknown := set(dtypes) - set(DTYPES):
        raise typer.BadParameter(f"--dtype must be among {', '.join(DTYPES)}, got {', '.join(sorted(unknown))}")
    methods: dict[str, tuple[Method, int]] = {"flat guess": (flat, 1)}
    for lifter in (Lifter.from_pretrained(name) for name in model):
        hops = lifter.config.hops
        for frames in delay or []:
            methods[f"{lifter.name}, {frames} frames later"] = (lifted_by(lifter.with_delay(frames)), hops)
        if delay:
            continue
        for name in dtypes:
            shown = lifter.name if name == "float32" else f"{lifter.name}, {name}"
            methods[shown] = lifted_by(lifter.optimize(dtype=DTYPES[name])), hops
        methods[f"{lifter.name}, with its mirror image"] = (lifted_by(lifter, mirror=True), hops)
        methods[f"{lifter.name}, sides hidden"] = (lifted_by(lifter, sides=False), hops)
        methods[f"{lifter.name}, one frame at a time"] = (lifted_by(lifter, alone=True), hops)
    scores = [
        score(source, clips, name, method, hops)
        for source, clips in held_out(data, noise).items()
        for name, (method, hops) in methods.items()
    ]
    _print(scores)
    if json_out is not None:
        json_out.parent.mkdir(parents=True, exist_ok=True)
        json_out.write_text(json.dumps([asdict(row) for row in scores], indent=1) + "\n", encoding="utf-8")


def _print(scores: Sequence[Score]) -> None:
    table = Table(title="errors in % of the clip's RMS 2D radius, after similarity alignment")
    for column in ("source", "clips", "method", "SA-MPJPE", "vs flat", "FA-MPJPE", "SA-MPVE"):
        table.add_column(column, justify="left" if column in ("source", "method") else "right")
    flat_errors = {row.source: row.sa_mpjpe for row in scores if row.method == "flat guess"}
    previous = ""
    for row in scores:
        change = 100 * (row.sa_mpjpe / flat_errors[row.source] - 1)
        name = (row.source, str(row.clips)) if row.source != previous else ("", "")
        previous = row.source
        table.add_row(
            *name, row.method, f"{row.sa_mpjpe:.1f}", f"{change:+.0f} %", f"{row.fa_mpjpe:.1f}", f"{row.sa_mpve:.2f}"
        )
    Console(width=120).print(table)


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


if __name__ == "__main__":
    typer.run(main)
