"""A lifter as a module that exporters can trace, with tensors in and out: for whole clips, or frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from olift_fast.errors import InputError
from olift_fast.model.lifter import Lifter, deviations
from olift_fast.nn import MotionLayer
from olift_fast.nn.attention import dual_graph
from olift_fast.ops import banded_attention_step, use_backend

_MOST = {"clips": 2**16, "frames": 2**20, "joints": 2**12}


@dataclass(frozen=True)
class Traceable:
    """A module to trace, with its inputs and outputs.

    Args:
        module: takes `inputs` as positional arguments.
        inputs: an example of each input, by name.
        sizes: for each input, the names of the axes that may have any size: "clips", "frames", "joints".
        outputs: the names of the outputs.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    sizes: dict[str, dict[int, str]]
    outputs: tuple[str, ...]

    def dynamic_shapes(self) -> tuple[tuple[dict[int, Any], ...]]:
        """The axes of any size, as `torch.export` takes them for a module whose arguments are ``*inputs``."""
        free = {name: torch.export.Dim(name, min=1, max=most) for name, most in _MOST.items()}
        return (tuple({axis: free[size] for axis, size in self.sizes[name].items()} for name in self.inputs),)


@contextlib.contextmanager
def traceable(lifter: Lifter, stream: bool = False) -> Iterator[Traceable]:
    """The lifter to trace within the block. In the block it computes with plain PyTorch operations only.

    Args:
        lifter: in float32.
        stream: trace one frame, with a state in and out, instead of whole clips.

    Raises:
        InputError: with `stream`, a model that looks ahead or counts frames.
    """
    if stream:
        _refuse_no_stream(lifter)
    parts = _stream(lifter) if stream else _clips(lifter)
    training = lifter.training
    parts.module.eval()
    try:
        with use_backend("eager"), torch.no_grad():
            yield parts
    finally:
        lifter.train(training)


class LiftClips(nn.Module):
    """`Lifter.forward` with positional arguments, which returns joints and deviations separately."""

    def __init__(self, lifter: Lifter, names: tuple[str, ...]) -> None:
        super().__init__()
        self.lifter, self.names = lifter, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """joints and, if the model gives them, deviations."""
        lifted = self.lifter(**dict(zip(self.names, inputs, strict=True)), uncertainty=self.lifter.config.uncertainty)
        return (lifted[..., :3], lifted[..., 3:]) if self.lifter.config.uncertainty else (lifted,)


class LiftFrame(nn.Module):
    """Lifts a causal lifter's next frame, from the frame's keypoints and the state of the frames before.

    The state has each motion layer's keys and values of the last ``left`` frames, ``past (B, L, left, J, 2, D)``, and
    which keypoints were visible in them, bool ``seen (B, left, J)``. For a new track it is 0 and False everywhere.
    """

    def __init__(self, lifter: Lifter, names: tuple[str, ...]) -> None:
        super().__init__()
        self.lifter, self.names = lifter, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """joints ``(B, J, 3)``, deviations ``(B, J, 2)`` if the model gives them, and the next past and seen."""
        given = dict(zip(self.names, inputs, strict=True))
        visible, config = given["visible"], self.lifter.config
        told = (given["sides"], given.get("pitch"), given.get("kinds"))
        tokens = self.lifter.encoder(given["keypoints"][:, None], visible[:, None], *told)
        seen = torch.cat([given["seen"], visible[:, None]], dim=1)
        past = []
        for number, module in enumerate(self.lifter.motion):
            layer = cast(MotionLayer, module)
            attended, kept = _attended(layer, tokens, given["past"][:, number], seen)
            past.append(kept)
            tokens = tokens + layer.attention.projection(attended)
            tokens = tokens + layer.mlp(layer.mlp_norm(tokens))
        heads = dual_graph(given["graph"], None, config.heads)
        for space in self.lifter.space:
            tokens = space(tokens, heads)
        lifted = self.lifter.decoder(tokens)[:, 0]
        answer = (lifted[..., :3], deviations(lifted[..., 3:])) if config.uncertainty else (lifted,)
        return *answer, torch.stack(past, dim=1), seen[:, 1:]


def _attended(layer: MotionLayer, tokens: Tensor, past: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The attention of the newest frame, ``(B, 1, J, D)``, and the keys and values that the next frame needs."""
    attention, left = layer.attention, past.shape[1]
    q, k, v = attention.qkv(layer.attention_norm(tokens)).chunk(3, dim=-1)
    held = torch.cat([past, torch.stack([k, v], dim=3)], dim=1)
    bias = None if attention.time_bias is None else attention.time_bias()
    newest = q.new_full((q.shape[0],), left, dtype=torch.int64)
    queries, keys, values = (
        x.unflatten(-1, (attention.heads, -1)) for x in (q.expand(-1, left + 1, -1, -1), *held.unbind(dim=3))
    )
    out = banded_attention_step(queries, keys, values, newest, newest + 1, (left, 0), bias=bias, visible=seen)
    return out.flatten(-2)[:, None], held[:, 1:]


def _clips(lifter: Lifter) -> Traceable:
    clips, frames, joints = 2, 20, 7
    of_frames = {0: "clips", 1: "frames", 2: "joints"}
    inputs = {
        "keypoints": torch.zeros(clips, frames, joints, 2),
        "visible": torch.ones(clips, frames, joints, dtype=torch.bool),
    }
    told, sizes = _told(lifter, clips, joints)
    inputs, sizes = inputs | told, {"keypoints": of_frames, "visible": of_frames} | sizes
    return Traceable(LiftClips(lifter, tuple(inputs)), inputs, sizes, _answers(lifter))


def _stream(lifter: Lifter) -> Traceable:
    clips, joints = 2, 7
    config = lifter.config
    of_joints = {0: "clips", 1: "joints"}
    told, sizes = _told(lifter, clips, joints)
    inputs = {
        "keypoints": torch.zeros(clips, joints, 2),
        "visible": torch.ones(clips, joints, dtype=torch.bool),
        **told,
        "past": torch.zeros(clips, config.motion_layers, config.window[0], joints, 2, config.width),
        "seen": torch.zeros(clips, config.window[0], joints, dtype=torch.bool),
    }
    sizes |= {"keypoints": of_joints, "visible": of_joints}
    sizes |= {"past": {0: "clips", 3: "joints"}, "seen": {0: "clips", 2: "joints"}}
    outputs = (*_answers(lifter), "next_past", "next_seen")
    return Traceable(LiftFrame(lifter, tuple(inputs)), inputs, sizes, outputs)


def _told(lifter: Lifter, clips: int, joints: int) -> tuple[dict[str, Tensor], dict[str, dict[int, str]]]:
    """Examples of the inputs beside the keypoints, and their axes of any size."""
    of_joints = {0: "clips", 1: "joints"}
    inputs = {"graph": torch.ones(clips, joints, joints, dtype=torch.bool), "sides": torch.zeros(clips, joints)}
    sizes = {"graph": of_joints | {2: "joints"}, "sides": of_joints}
    if lifter.config.pitch:
        inputs["pitch"], sizes["pitch"] = torch.zeros(clips), {0: "clips"}
    if lifter.config.kinds:
        inputs["kinds"], sizes["kinds"] = torch.zeros(clips, joints, dtype=torch.int64), of_joints
    return inputs, sizes


def _answers(lifter: Lifter) -> tuple[str, ...]:
    return ("joints", "deviations") if lifter.config.uncertainty else ("joints",)


def _refuse_no_stream(lifter: Lifter) -> None:
    config = lifter.config
    if config.window[1]:
        wanted = "a model that looks ahead by 0 frames (small-causal, or Lifter.with_latency(0))"
        raise InputError(f"a stream's file must be of {wanted}, got {lifter.name!r} with {config.window[1]}")
    if config.counts_frames:
        raise InputError(f"a stream's file can't be of a model that counts frames, got {lifter.name!r}")
    if not config.motion_layers or not config.window[0]:
        raise InputError(f"a stream's file must be of a model with memory, got {lifter.name!r}, which has none")
