"""Steps of a stream with the model's modules, on any device and in any dtype. On a GPU a step is one CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.nn import KeypointEncoder, MotionLayer, SpaceLayer, TemporalProximityAttention
from olift_fast.nn.fused import copied
from olift_fast.nn.hooks import has_hooks
from olift_fast.nn.passes import passes_of, why_not_passes
from olift_fast.ops import banded_attention_step
from olift_fast.ops.registration import autocast_dtype
from olift_fast.runtime.arrays import Array, Mask
from olift_fast.runtime.encoder import Encoder
from olift_fast.streaming.rings import Indices, MotionRings, visibility_ring
from olift_fast.streaming.staging import Staging
from olift_fast.streaming.steps import Answers, Inputs, Steps, Told
from olift_fast.streaming.steps_native import Encode, NativeSteps, encode_by


def steps_of_modules(model: Lifter, graph: Mask | None, told: Told, tracks: int) -> Steps:
    """Native steps if the model's layers can be fused, else steps with its modules.

    Args:
        model: the lifter.
        graph: ``(1, H, J, J)`` or None.
        told: sides ``(1, J)`` and so on, arrays.
        tracks: the number of slots.

    Raises:
        InputError: a motion layer is not one that the lifter makes.
    """
    for layer in model.motion:
        if not isinstance(layer, MotionLayer) or not isinstance(layer.attention, TemporalProximityAttention):
            raise InputError(f"a motion layer must be a MotionLayer as the lifter makes it, got {type(layer).__name__}")
    like = next(model.parameters()).detach()
    with torch.inference_mode():
        fused = model.fused_layers(like.new_zeros(1))
        if fused is not None:
            encode = _encode_of(model, told)
            return NativeSteps(model.config, encode, fused.layers, graph, told.sides.shape[1], tracks)
        sides, pitch, kinds = (None if x is None else torch.from_numpy(x).to(like.device) for x in told)
        assert sides is not None
        held = None if graph is None else torch.from_numpy(graph).to(like.device)
        return ModuleSteps(model, held, Told(sides.to(like), pitch, kinds), tracks)


def _encode_of(model: Lifter, told: Told) -> Encode:
    """The model's encoder for `NativeSteps`. If it is of another class or has hooks, the module itself is called."""
    encoder = model.encoder
    if type(encoder) is KeypointEncoder and not has_hooks(*encoder.modules()):
        weights = {f"encoder.{name}": copied(tensor) for name, tensor in encoder.state_dict().items()}
        return encode_by(Encoder.of(weights, encoder.encoding, model.config.time_encoding), told)
    parts = tuple(None if x is None else torch.from_numpy(x) for x in told)

    def encode(keypoints: Array, visible: Mask, tokens: Array) -> None:
        points, seen = (torch.from_numpy(x)[:, None] for x in (keypoints, visible))
        given = (None if x is None else x.expand(len(points), *x.shape[1:]) for x in parts)
        with torch.inference_mode():
            tokens[...] = encoder(points, seen, *given).numpy()

    return encode


class ModuleSteps:
    """Each step computes all tracks. Tracks that rest write into a slot that is never read (`Ring`).

    A CUDA graph needs this: every step does the same work on the same memory. Only the places in the rings vary, and
    they are read from a tensor on the device.

    Args:
        model: its modules are called.
        graph: bool ``(1, H, J, J)``, the joints that each head sees, or None.
        told: sides ``(1, J)`` and so on.
        tracks: the number of slots.
    """

    together = None

    def __init__(self, model: Lifter, graph: Tensor | None, told: Told, tracks: int) -> None:
        config, joints = model.config, told.sides.shape[1]
        self._model, self._config = model, config
        like = next(model.parameters()).detach()
        self._told = Told(*(None if x is None else x.expand(tracks, *x.shape[1:]) for x in told))
        self._graph = None if graph is None else graph.expand(tracks, -1, -1, -1)
        self._visible = visibility_ring(config, tracks, joints, partial(like.new_zeros, dtype=torch.bool))
        biases = (_layer(module).attention.time_bias for module in model.motion)
        with model.autocast():
            products = autocast_dtype(like.device) or like.dtype
            self._biases = [None if bias is None else bias().to(torch.float32, copy=True) for bias in biases]
        projected = partial(like.new_zeros, dtype=products)
        self._rings = [MotionRings(config, tracks, joints, like.new_zeros, projected) for _ in model.motion]
        floats = torch.promote_types(like.dtype, torch.float32)
        self._staging = Staging(
            [
                ((tracks, joints, 2), floats),
                ((tracks, joints), torch.bool),
                ((1 + 5 * len(self._rings), tracks), torch.int64),
            ],
            like.device,
        )
        self._tracks, self._device = tracks, like.device
        self._captured: tuple[torch.cuda.CUDAGraph, Tensor] | None = None

    @torch.inference_mode()
    def warmup(self) -> None:
        """Captures the step on a GPU; elsewhere runs it once. No track changes."""
        nobody = np.full(self._tracks, -1)
        self._stage(nobody, nobody, None)
        device = self._device
        if device.type != "cuda":
            self._run()
            return
        with torch.cuda.device(device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self._run()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                decoded = self._run()
            self._captured = graph, decoded

    @torch.inference_mode()
    def step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> Answers | None:
        """See `Steps.step`."""
        time, length = np.full(self._tracks, -1), np.zeros(self._tracks, dtype=np.int64)
        time[tracks], length[tracks] = times, lengths
        self._stage(time, length, inputs, tracks[times < lengths])
        if self._device.type == "cuda" and self._captured is None:
            self.warmup()
            self._stage(time, length, inputs, tracks[times < lengths])
        if self._captured is None:
            decoded = self._run()
        else:
            graph, decoded = self._captured
            graph.replay()
        answered = times - self._config.receptive_field[1]
        ready = (answered >= 0) & (answered < lengths)
        if not ready.any():
            return None
        own = tracks[ready]
        return Answers(own, answered[ready], decoded[:, 0].float().cpu().numpy()[own])

    def _stage(self, time: Indices, length: Indices, inputs: Inputs | None, given: Indices | None = None) -> None:
        """Copies the inputs of a step of all tracks to the device: keypoints, masks and places in the rings."""
        keypoints, visible, places = self._staging.arrays()
        visible[:] = False
        if inputs is not None:
            keypoints[given], visible[given] = inputs
        right = self._config.window[1]
        there = (time >= 0) & (time < length)
        places[0] = self._visible.places_or_none(time, there)
        for rings, rows in zip(self._rings, places[1:].reshape(-1, 5, len(time)), strict=True):
            rows[0] = rings.qkv.places_or_none(time, there)
            rows[1] = rings.tokens.places_or_none(time, there)
            rows[4] = np.minimum(time + 1, length)
            time = time - right
            there = (time >= 0) & (time < length)
            rows[2] = rings.tokens.places_or_none(time, there)
            rows[3] = np.where(there, time, -1)
        self._staging.send()

    def _run(self) -> Tensor:
        """The step of all tracks → the decoder's output ``(B, 1, J, outputs)``."""
        with self._model.autocast():
            return self._lift(*self._staging.tensors)

    def _lift(self, keypoints: Tensor, visible: Tensor, places: Tensor) -> Tensor:
        model = self._model
        tokens = model.encoder(keypoints[:, None], visible[:, None], *self._told)
        self._visible.rows.index_copy_(0, places[0], visible)
        plan = list(zip(self._rings, self._biases, places[1:].unflatten(0, (-1, 5)), strict=True))
        if why_not_passes(tokens, model.motion, model.space, model.decoder) is None:
            return self._by_passes(tokens, plan)
        for module, (rings, bias, at) in zip(model.motion, plan, strict=True):
            layer = _layer(module)
            qkv = layer.attention.qkv(layer.attention_norm(tokens))
            tokens, attended = self._over_time(tokens, qkv, rings, bias, at)
            tokens = tokens + layer.attention.projection(attended)
            tokens = tokens + layer.mlp(layer.mlp_norm(tokens))
        for space in model.space:
            tokens = space(tokens, self._graph)
        return model.decoder(tokens)

    def _by_passes(self, tokens: Tensor, plan: Sequence[tuple[MotionRings, Tensor | None, Tensor]]) -> Tensor:
        """The layers, with one launch between two attentions."""
        model = self._model
        first, *rest = passes_of(model.motion, model.space, model.decoder)
        x, out = first.run(tokens)
        for (rings, bias, at), after in zip(plan, rest, strict=False):
            assert x is not None
            x, out = after.run(*self._over_time(x, out, rings, bias, at))
        for space, after in zip(model.space, rest[len(plan) :], strict=True):
            x, out = after.run(x, cast(SpaceLayer, space).attention.attend(out, self._graph))
        return out

    def _over_time(
        self, tokens: Tensor, qkv: Tensor, rings: MotionRings, bias: Tensor | None, at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Puts a frame into the rings; returns the tokens and the attention of the due frame, ``(B, 1, J, D)`` both.

        tokens ``(B, 1, J, D)``, qkv ``(B, 1, J, 3D)``, at ``(5, B)``: places in the rings, frame and length.
        """
        qkv_at, tokens_at, asked_at, frames, held = at
        rows = rings.qkv.rows
        rows.index_copy_(0, qkv_at, qkv.to(rows.dtype).reshape(-1, *rows.shape[1:]))
        window = self._config.window
        if window[1]:
            rings.tokens.rows.index_copy_(0, tokens_at, tokens[:, 0])
            tokens = rings.tokens.rows.index_select(0, asked_at)[:, None]
        visible = self._visible.held
        attended = banded_attention_step(rings.q, rings.k, rings.v, frames, held, window, bias=bias, visible=visible)
        return tokens, attended.flatten(-2)[:, None]


def _layer(module: torch.nn.Module) -> MotionLayer:
    assert isinstance(module, MotionLayer)
    return module
