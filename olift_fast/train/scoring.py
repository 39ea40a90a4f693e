"""The score that early stopping watches: SA-MPJPE on clips that are never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from olift_fast.data.generator import AnimalGenerator
from olift_fast.model import Lifter
from olift_fast.reference import sa_mpjpe
from olift_fast.train.batches import Batch, collate
from olift_fast.train.held_out import held_out

# Training's seeds of the generator are pairs.
GENERATED_SEED = (2412, 1166, 0)
GROUPS, CLIPS, FRAMES = 12, 4, 24
CLIPS_AT_ONCE = 32


def held_out_batches(folder: Path | None, hops: int) -> list[Batch]:
    """A batch for each held-out source of the folder; for each of 12 generated skeletons where there is no folder.

    Raises:
        InputError: the folder holds no recordings.
    """
    if folder is None:
        generator = AnimalGenerator(GENERATED_SEED)
        return [collate([generator.batch(CLIPS, FRAMES)], hops) for _ in range(GROUPS)]
    return [collate([clips], hops) for clips in held_out(folder).values()]


def mean_score(lifter: Lifter, batches: Sequence[Batch]) -> float:
    """Mean over the batches of the mean SA-MPJPE of their clips, in % of the clips' RMS 2D radius."""
    device = next(lifter.parameters()).device
    means = []
    with torch.inference_mode():
        for batch in batches:
            parts = [tensors.split(CLIPS_AT_ONCE) for tensors in (getattr(batch, f.name) for f in fields(batch))]
            errors = [_errors(lifter, Batch(*part).to(device)) for part in zip(*parts, strict=True)]
            means.append(float(torch.cat(errors).mean()))
    return 100 * sum(means) / len(means)


def _errors(lifter: Lifter, batch: Batch) -> torch.Tensor:
    joints = lifter(batch.keypoints, batch.visible, graph=batch.graph, sides=batch.sides, joint_mask=batch.joint_mask)
    return sa_mpjpe(joints, batch.joints, batch.labelled)
