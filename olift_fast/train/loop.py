"""The training loop: AdamW, warm-up and cosine, an average of the weights, and a log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from olift_fast.model import Lifter
from olift_fast.train.batches import Batch
from olift_fast.train.loss import lifting_loss

REPORT_EVERY = 100
SAVE_EVERY = 500


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: optimizer steps.
        learning_rate: its peak.
        warmup: steps of linear rise; a cosine falls to 1 % after it.
        weight_decay: of AdamW, on matrices only.
        clip: the largest gradient norm.
        average: the decay of the exponential average of the weights, which is what is kept.
        velocity_weight, reprojection_weight: of the loss (`olift_fast.train.loss.lifting_loss`).
        bfloat16: run linear layers in bfloat16; attention, loss and weights stay float32.
        look_ahead: frames to the right in the motion layers' window and how often a step is taken with each, for a
            lifter that is to serve streams of several delays; None keeps the lifter's window.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 300
    weight_decay: float = 0.02
    clip: float = 1.0
    average: float = 0.998
    velocity_weight: float = 1.0
    reprojection_weight: float = 0.1
    bfloat16: bool = False
    look_ahead: Mapping[int, float] | None = None

    def window(self, step: int, window: tuple[int, int]) -> tuple[int, int]:
        """The window of a step, given the lifter's own."""
        if self.look_ahead is None:
            return window
        shares = np.array(list(self.look_ahead.values()), dtype=np.float64)
        drawn = np.random.default_rng((2412, step)).choice(len(shares), p=shares / shares.sum())
        return window[0], list(self.look_ahead)[int(drawn)]

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def train(
    lifter: Lifter, batches: Iterator[Batch], schedule: Schedule, folder: Path, *, compiled: bool = False
) -> Lifter:
    """Train a lifter in place and return the average of its weights as a lifter of its own.

    Args:
        lifter: its weights are the start.
        batches: endless.
        schedule: how long and how fast.
        folder: every 100 steps a line of JSON goes to ``log.jsonl`` in it (step, loss, learning rate, clips a second),
            every 500 the average so far is saved there as a checkpoint.
        compiled: run forward and backward through `torch.compile`.
    """
    lifter.train()
    forward = torch.compile(lifter, dynamic=True, fullgraph=True) if compiled else lifter
    average = copy.deepcopy(lifter).eval()
    optimizer = torch.optim.AdamW(_parameter_groups(lifter, schedule.weight_decay), fused=True)
    device = next(lifter.parameters()).device
    begun, clips, losses = time.perf_counter(), 0, []
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        batch = next(batches).to(device)
        lifter.set_window(schedule.window(step, average.config.window))
        loss = training_loss(forward, batch, schedule)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(lifter.parameters(), schedule.clip)
        optimizer.step()
        _average(average, lifter, min(schedule.average, (step + 1) / (step + 10)))
        clips += len(batch.keypoints)
        losses.append(loss.detach())
        if (step + 1) % SAVE_EVERY == 0:
            average.save_pretrained(folder)
        if (step + 1) % REPORT_EVERY == 0:
            seconds = time.perf_counter() - begun
            line = {
                "step": step + 1,
                "loss": round(float(torch.stack(losses).mean()), 5),
                "learning_rate": schedule.rate(step),
                "clips_per_second": round(clips / seconds, 1),
            }
            with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            begun, clips, losses = time.perf_counter(), 0, []
    lifter.set_window(average.config.window)
    return average


def training_loss(lifter: Callable[..., Tensor], batch: Batch, schedule: Schedule) -> Tensor:
    """The loss of one batch."""
    with torch.autocast(batch.keypoints.device.type, dtype=torch.bfloat16, enabled=schedule.bfloat16):
        joints = lifter(
            batch.keypoints,
            batch.visible,
            graph=batch.graph,
            sides=batch.sides,
            joint_mask=batch.joint_mask,
        )
    return lifting_loss(
        joints.float(),
        batch.joints,
        batch.labelled,
        velocity_weight=schedule.velocity_weight,
        keypoints=batch.keypoints,
        visible=batch.visible,
        reprojection_weight=schedule.reprojection_weight,
    )


def _parameter_groups(lifter: Lifter, weight_decay: float) -> list[dict[str, object]]:
    parameters = list(lifter.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _average(average: Lifter, lifter: Lifter, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(lifter.parameters()), 1 - decay)
