"""Time and memory of training a whole lifter: forward, loss and backward, and the full step, beside the reference."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from side_by_side import FULL, max_error
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from whole_models import as_in_the_paper, clip, with_fused_attention_of_torch

from olift_fast import reference
from olift_fast.model import Lifter, LifterConfig
from olift_fast.ops.backends import Backend, use_backend
from olift_fast.ops.native_module import why_not_native, why_not_products
from olift_fast.train import Mixture, Schedule, fitting
from olift_fast.train.loss import lifting_loss
from olift_fast.train.state import State

JOINTS = 26
CLIPS = [(8, 48), *([(1, 1000)] if FULL else [])]


@pytest.mark.parametrize(("batch", "frames"), CLIPS)
def test_training_step(side_by_side: Callable[..., None], batch: int, frames: int) -> None:
    """Of `small`. Recorded as well: the peak memory of PyTorch's allocator in a step, without parameters and batch."""
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    config = LifterConfig.preset("small")
    lifter = Lifter(config)
    keypoints, given = clip(frames, JOINTS, batch)
    target = torch.randn(batch, frames, JOINTS, 3)
    plain = as_in_the_paper(lifter)

    def way(model: nn.Module, loss: Callable[..., Tensor], compiled: bool) -> Callable[[], Tensor]:
        parameters = list(model.parameters())
        forward = torch.compile(model) if compiled else model

        def run() -> Tensor:
            for parameter in parameters:
                parameter.grad = None
            found = loss(forward(keypoints, **given), target, given["visible"])
            found.backward()
            return found.detach()

        return run

    torch._dynamo.reset()
    ways = {"olift_fast": way(lifter, lifting_loss, False)}
    if FULL:
        ways["olift_fast, compiled"] = way(lifter, lifting_loss, True)
    ways["SDPA, masked"] = way(with_fused_attention_of_torch(lifter), lifting_loss, False)
    ways["reference"] = way(plain, reference.lifting_loss, False)
    if FULL:
        ways["reference, compiled"] = way(plain, reference.lifting_loss, True)
    wanted = ways["olift_fast"]()
    for name, step in ways.items():
        assert max_error(step(), wanted) < 1e-4, name
    peaks = {name: peak_memory(step) / 2**20 for name, step in ways.items()}
    side_by_side(ways, rounds=5, batch=batch, frames=frames, joints=JOINTS, peak_MiB=peaks)


def peak_memory(step: Callable[[], Any]) -> int:
    """The largest number of bytes in use in PyTorch's allocator, above the number at the start."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    in_use = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        in_use += event["args"]["Bytes"]
        peak = max(peak, in_use)
    return peak


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("frames", [24, 48, *([243] if FULL else [])])
def test_training_throughput(side_by_side: Callable[..., None], frames: int, precision: str) -> None:
    """A step of `olift train` for `small`: clips of four generated skeletons, optimizer and average included.

    "eager backend" is the same step in plain PyTorch.
    """
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    if (reason := why_not_products(getattr(torch, precision))) is not None:
        pytest.skip(reason)
    fabric = pytest.importorskip("lightning_fabric").Fabric(accelerator="cpu")
    batch = next(Mixture(seed=1, frames=frames, skeletons=4, clips=max(144 // frames, 1)).batches())
    schedule = Schedule(steps=10**9)

    def way(backend: Backend) -> Callable[[], Tensor]:
        torch.manual_seed(0)
        lifter = Lifter(LifterConfig.preset("small")).train()
        state = State(lifter, copy.deepcopy(lifter), fitting.optimizers_of(lifter, schedule))
        forward = fabric.setup_module(lifter)

        def run() -> Tensor:
            with use_backend(backend):
                return fitting.training_step(state, forward, batch, schedule, fabric, precision)

        return run

    ways = {"olift_fast": way("auto"), "eager backend": way("eager")}
    losses = [run() for run in ways.values()]
    assert max_error(*losses) < (1e-4 if precision == "float32" else 2e-2)
    clips, joints = batch.keypoints.shape[0], batch.keypoints.shape[2]
    side_by_side(ways, rounds=5, clips=clips, frames=frames, joints=joints, precision=precision)
