"""How far the motion layers need to look, on clips of different lengths and speeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from olift_fast.model import Lifter
from olift_fast.train.batches import Batch, collate
from olift_fast.train.evaluate import lifted_by
from olift_fast.train.held_out import held_out
from olift_fast.train.metrics import sa_mpjpe, sa_mpve
from olift_fast.train.studies.rows import Row

WINDOWS = (0, 1, 2, 4, 8, 16, 32)
LENGTHS = (24, 48, 96, 144, 1000)
SPEEDS = ("slow", "middling", "fast")


def windows(lifter: Lifter, data: Path) -> Iterator[Row]:
    """Rows of SA-MPJPE and SA-MPVE, in % of the clips' RMS 2D radius, by window α, clip length T and the clips' speed.

    The weights are the same for every window (`Lifter.with_window`). The clips are held-out motion with a detector's
    faults, each seen by one random upright camera. A clip's speed is the mean distance that its joints move from frame
    to frame, in RMS 2D radii. The clips of a source are divided into thirds by speed. A clip without a label counts as
    an error of 0.
    """
    for frames in LENGTHS:
        for source, clips in held_out(data, noise=True, frames=frames, cameras=1, paired=False).items():
            if clips.visible.shape[1] != frames:
                continue
            batch = collate([clips], lifter.config.hops)
            groups = _by_speed(batch)
            for window in WINDOWS:
                joints = lifted_by(lifter.with_window(window))(batch)
                errors = torch.stack([metric(joints, batch.joints, batch.labelled) for metric in (sa_mpjpe, sa_mpve)])
                errors = errors.nan_to_num(nan=0.0)
                for speed, chosen in groups.items():
                    means = (100 * errors[:, torch.from_numpy(chosen)]).mean(dim=1)
                    yield {
                        "source": source,
                        "frames": frames,
                        "window": window,
                        "speed": speed,
                        "clips": int(chosen.sum()),
                        "sa_mpjpe": round(float(means[0]), 2),
                        "sa_mpve": round(float(means[1]), 3),
                    }


def _by_speed(batch: Batch) -> dict[str, NDArray[np.bool_]]:
    """Masks ``(B,)`` of all clips and, if there are at least 6, of the slow, the middling and the fast third."""
    steps = batch.joints.diff(dim=1).norm(dim=-1).mean(dim=(1, 2)).numpy()
    groups = {"all": np.full(len(steps), True)}
    if len(steps) >= 6:
        third = np.searchsorted(np.quantile(steps, (1 / 3, 2 / 3)), steps)
        groups |= {name: np.asarray(third == number) for number, name in enumerate(SPEEDS)}
    return groups
