"""A lifter like MotionBERT, trained with its own attention over time, and with windowed attention in its place.

    python examples/swap_motionbert.py                  # on the CPU
    python examples/swap_motionbert.py --device cuda
    python examples/swap_motionbert.py --frames 972     # four times MotionBERT's clips
    python examples/swap_motionbert.py --torch          # the model's attention is PyTorch's, not a class of its own

With a window over all frames, the losses of the training are the same, and the memory is no longer that of a matrix of
frames by frames. With a window of 8 frames it is another model: each layer sees 8 frames to either side, and its cost
grows with the number of frames, not with their square.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from olift_fast import ops
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.nn import ProcrustesLoss, swap_attention

HEADS = 4
JOINTS = 17


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    """Trains the three side by side, prints the table, and returns the losses of each."""
    options = parse(arguments)
    torch.manual_seed(0)
    keypoints, joints = (x.to(options.device) for x in clips(options.clips, options.frames))
    original = Lifter(options.width, options.layers, options.frames, not options.torch).to(options.device)
    models = {"as it was": original}
    for window in (options.frames, options.window):
        # The swap changes a model in place and keeps its parameters; copies let all be trained side by side.
        models[f"window {window}"] = model = copy.deepcopy(original)
        swapped = swap(model, window, not options.torch)
    print(f"{JOINTS} joints, {options.frames} frames, {options.clips} clips, width {options.width}, {options.device}")
    print("swapped:", ", ".join(swapped))

    losses, seconds = train(models, keypoints, joints, options.steps)
    peaks = {
        name: peak_memory(lambda model=model: loss_of(model, keypoints, joints).backward(), options.device)
        for name, model in models.items()
    }
    print(f"\n{'':<12} {'first loss':>10} {'last loss':>10} {'apart by':>9} {'ms a step':>10} {'peak MiB':>9}")
    for name, peak in peaks.items():
        apart = max(abs(x - y) / y for x, y in zip(losses[name], losses["as it was"], strict=True))
        milliseconds = statistics.median(seconds[name]) * 1e3
        first, last = losses[name][0], losses[name][-1]
        print(f"{name:<12} {first:>10.5f} {last:>10.5f} {apart:>9.1e} {milliseconds:>10.1f} {peak / 2**20:>9.1f}")
    return losses


def swap(model: nn.Module, window: int, own: bool) -> tuple[str, ...]:
    """The swap itself: one call for PyTorch's attention; for a class of your own it takes a `convert` as well."""
    if own:
        picked = swap_attention(
            model,
            window,
            predicate=lambda name, module: isinstance(module, Attention) and "temporal" in name,
            convert=WindowedAttention,
        )
    else:
        picked = swap_attention(model, window, predicate=lambda name, _: "temporal" in name)
    return picked.names


class Lifter(nn.Module):
    """Keypoints and their visibility ``(B, T, J, 3)`` → joints ``(B, T, J, 3)``; over joints and frames in turn."""

    def __init__(self, width: int, layers: int, frames: int, own: bool) -> None:
        super().__init__()
        self.embedding = nn.Linear(3, width)
        self.joint = nn.Parameter(torch.randn(JOINTS, width) * 0.02)
        self.frame = nn.Parameter(torch.randn(frames, 1, width) * 0.02)
        make = Layer if own else torch_layer
        self.spatial = nn.ModuleList(make(width) for _ in range(layers))
        self.temporal = nn.ModuleList(make(width) for _ in range(layers))
        self.head = nn.Linear(width, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """``(B, T, J, 3)`` → ``(B, T, J, 3)``."""
        batch = len(keypoints)
        x = self.embedding(keypoints) + self.joint + self.frame
        for spatial, temporal in zip(self.spatial, self.temporal, strict=True):
            x = spatial(x.flatten(0, 1)).unflatten(0, (batch, -1))
            x = temporal(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, -1)).transpose(1, 2)
        return self.head(x)


def torch_layer(width: int) -> nn.Module:
    """PyTorch's own layer, which `swap_attention` knows."""
    return nn.TransformerEncoderLayer(
        width, HEADS, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )


class Layer(nn.Module):
    """The same layer with attention of a class of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, D)`` → the same."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Full attention over ``(N, T, D)``, as most lifters write it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, D)`` → the same."""
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(-2))


class WindowedAttention(nn.Module):
    """Takes the place of `Attention`: the same two linear layers, with windowed attention between them."""

    def __init__(self, attention: Attention, window: int) -> None:
        super().__init__()
        self.qkv, self.proj, self.window = attention.qkv, attention.proj, window

    def forward(self, x: Tensor) -> Tensor:
        """``(N, T, D)`` → the same: N clips of one joint."""
        qkv = self.qkv(x).unflatten(-1, (3, HEADS, -1))[:, :, None]
        return self.proj(ops.banded_attention_packed(qkv, self.window)[:, :, 0].flatten(-2))


def clips(count: int, frames: int) -> tuple[Tensor, Tensor]:
    """Generated people with 17 joints: keypoints with visibility, and joints, in units of the clip's size."""
    generator = AnimalGenerator(0, families=["human"], corruption=Corruption())
    batch = next(batch for batch in generator.stream(count, frames) if batch.skeleton.num_joints == JOINTS)
    keypoints, visible = torch.from_numpy(batch.keypoints), torch.from_numpy(batch.visible)[..., None]
    center = (keypoints * visible).sum(dim=2, keepdim=True) / visible.sum(dim=2, keepdim=True).clamp(min=1)
    keypoints = torch.where(visible, keypoints - center, 0.0)
    size = keypoints.square().sum(dim=-1).mean(dim=(1, 2)).sqrt()[:, None, None, None]
    return torch.cat([keypoints / size, visible], dim=-1), torch.from_numpy(batch.joints) / size


def loss_of(model: nn.Module, keypoints: Tensor, joints: Tensor) -> Tensor:
    """Squared error after one rigid fit a clip."""
    return ProcrustesLoss()(model(keypoints), joints)


def train(
    models: dict[str, nn.Module], keypoints: Tensor, joints: Tensor, steps: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Losses and seconds of each model's steps; the models take turns, so that a busy machine slows all equally."""
    optimizers = {name: torch.optim.AdamW(model.parameters(), lr=3e-4) for name, model in models.items()}
    losses: dict[str, list[float]] = {name: [] for name in models}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(steps):
        for name, model in models.items():
            start = time.perf_counter()
            optimizers[name].zero_grad()
            loss = loss_of(model, keypoints, joints)
            loss.backward()
            optimizers[name].step()
            losses[name].append(loss.item())  # waits for a GPU
            seconds[name].append(time.perf_counter() - start)
    return losses, seconds


def peak_memory(run, device: str) -> int:
    """Most bytes of PyTorch's allocator that were in use at once, over those in use at the start."""
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    with without_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    in_use = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        in_use += event["args"]["Bytes"]
        peak = max(peak, in_use)
    return peak


@contextlib.contextmanager
def without_stderr():
    """Keeps the lines from the screen that the profiler's C++ part writes."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--torch", action="store_true", help="a model with PyTorch's own attention")
    for name, value in {"frames": 486, "clips": 1, "width": 64, "layers": 2, "steps": 5, "window": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
