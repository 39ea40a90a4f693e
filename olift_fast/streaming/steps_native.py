"""Steps of a stream on the CPU by fused passes and native kernels, on buffers that are made once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from olift_fast.model import Lifter
from olift_fast.nn import KeypointEncoder
from olift_fast.nn.fused import FusedLayers, Pass
from olift_fast.nn.hooks import has_hooks
from olift_fast.ops.banded_attention_step.native import step_into
from olift_fast.ops.joint_attention.native import attend_into as attend_joints
from olift_fast.ops.registration import split_projection
from olift_fast.ops.rff.native import linear_into
from olift_fast.streaming.rings import Indices, MotionRings, visibility_ring
from olift_fast.streaming.steps import Answers, Array, Inputs, Told


class NativeSteps:
    """Each step computes only the tracks that have a frame to take in or a result that is due.

    Args:
        model: float32 on the CPU; its encoder is called.
        fused: its layers with packed weights.
        graph: bool ``(1, H, J, J)``, the joints that each head sees, or None.
        told: sides ``(1, J)`` and so on.
        tracks: how many.
    """

    def __init__(self, model: Lifter, fused: FusedLayers, graph: Tensor | None, told: Told, tracks: int) -> None:
        config = model.config
        joints = told.sides.shape[1]
        self._config, self._encoder, self._graph, self._told = config, model.encoder, graph, told
        self._first, *rest = fused.passes
        self._motion = list(zip(fused.attentions, rest, strict=False))[: config.motion_layers]
        self._space = rest[config.motion_layers :]
        self._fused = fused
        floats = torch.zeros(())
        projected = torch.zeros((), dtype=fused.dtype)
        self._rings = [MotionRings(config, tracks, joints, floats, projected) for _ in self._motion]
        self._visible = visibility_ring(config, tracks, joints, floats)
        head = (config.heads, config.width // config.heads)
        self._tokens = floats.new_zeros(tracks, 1, joints, config.width)
        self._qkv = projected.new_zeros(tracks, 1, joints, 3, *head)
        self._attended = projected.new_zeros(tracks, 1, joints, *head)
        self._answered = projected.new_zeros(tracks, joints, *head)
        self._decoded = floats.new_zeros(tracks, 1, joints, fused.outputs)
        self._counts = torch.zeros(2, tracks, dtype=torch.int64)
        self._points = _plain_encoder(model.encoder, told)
        self._views: dict[int, _Views] = {}

    @property
    def together(self) -> int:
        """32 for each thread: by then the fixed part of a step is a twentieth of it."""
        return 32 * torch.get_num_threads()

    def warmup(self) -> None:
        """Does nothing: weights were packed when this was made."""

    def step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> Answers | None:
        """See `Steps.step`."""
        given = times < lengths
        own, at = tracks[given], times[given]
        views = self._of(len(own))
        if inputs is not None:
            visible = torch.from_numpy(inputs.visible)
            self._encode(inputs.keypoints, visible, views)
            self._visible.rows.index_copy_(0, torch.from_numpy(self._visible.places(own, at)), visible)
            self._run(self._first, views, None, views.qkv if self._motion or self._space else views.decoded)
        for rings, (attention, step) in zip(self._rings, self._motion, strict=True):
            if len(own):
                rings.qkv.rows.index_copy_(0, torch.from_numpy(rings.qkv.places(own, at)), views.qkv[:, 0])
                rings.tokens.rows.index_copy_(0, torch.from_numpy(rings.tokens.places(own, at)), views.tokens[:, 0])
            held = np.minimum(times + 1, lengths)
            times = times - self._config.window[1]
            ready = (times >= 0) & (times < lengths)
            own, at = tracks[ready], times[ready]
            if len(own):
                views = self._of(len(own))
                self._attend(rings, attention.bias, own, at, held[ready], views)
                last = rings is self._rings[-1] and not self._space
                self._run(step, views, views.attended, views.decoded if last else views.qkv)
        if not len(own):
            return None
        for step in self._space:
            attend_joints(*views.projection, views.graph, None, views.attended, None)
            self._run(step, views, views.attended, views.decoded if step is self._space[-1] else views.qkv)
        return Answers(own, at, views.decoded[:, 0].numpy().copy())

    def _attend(
        self, rings: MotionRings, bias: Tensor | None, own: Indices, at: Indices, held: Indices, views: _Views
    ) -> None:
        """Puts the attention of frames `at` over the rings, of `held` frames so far, and their tokens into `views`."""
        frames, lengths = self._counts
        frames.fill_(-1)
        frames.numpy()[own] = at
        lengths.numpy()[own] = held
        options = (*self._config.window, bias, self._visible.held, rings.q.shape[-1] ** -0.5)
        step_into(rings.q, rings.k, rings.v, frames, lengths, *options, self._answered)
        torch.index_select(self._answered, 0, torch.from_numpy(own), out=views.attended[:, 0])
        place = torch.from_numpy(rings.tokens.places(own, at))
        torch.index_select(rings.tokens.rows, 0, place, out=views.tokens[:, 0])

    def _encode(self, keypoints: Array, visible: Tensor, views: _Views) -> None:
        points = torch.from_numpy(keypoints)
        if self._points is None:
            told = self._told.expand(len(points))
            views.tokens.copy_(self._encoder(points[:, None], visible[:, None], *told))
            return
        freqs, weight, bias, token, description = self._points
        rows, points, seen = (
            views.tokens.flatten(0, 2),
            points.flatten(0, 1).contiguous(),
            visible.flatten().contiguous(),
        )
        linear_into(points, freqs, weight, bias, seen, token, rows)
        views.tokens.add_(description)

    def _run(self, step: Pass, views: _Views, attended: Tensor | None, out: Tensor) -> None:
        """One thread for every 96 tokens: threads with fewer wait for each other longer than they compute."""
        tokens = views.tokens.shape[0] * views.tokens.shape[2]
        step.run(views.tokens, attended, out, min(torch.get_num_threads(), max(1, tokens // 96)))

    def _of(self, count: int) -> _Views:
        """The buffers of the first `count` tracks."""
        if count not in self._views:
            qkv = self._qkv[:count]
            self._views[count] = _Views(
                self._tokens[:count],
                qkv,
                split_projection([qkv]),
                self._attended[:count],
                self._decoded[:count],
                None if self._graph is None else self._graph.expand(count, -1, -1, -1),
            )
        return self._views[count]


def _plain_encoder(encoder: KeypointEncoder, told: Told) -> tuple[Tensor, ...] | None:
    """The tensors that `_encode` computes with; None where the encoder itself must be called.

    They are its frequencies, weight, bias and learned token, and what is added to the tokens of every frame ``(J, D)``.
    """
    if type(encoder) is not KeypointEncoder or encoder.encoding == "linear":
        return None
    if has_hooks(*encoder.modules()):
        return None
    layer = encoder.projection
    description = encoder.describe(*told)
    assert description is not None
    parts = (encoder.freqs, layer.weight, layer.bias, encoder.token, description[0])
    return tuple(part.detach().clone(memory_format=torch.contiguous_format) for part in parts)


class _Views(NamedTuple):
    tokens: Tensor
    qkv: Tensor
    projection: tuple[Tensor, Tensor, Tensor]
    attended: Tensor
    decoded: Tensor
    graph: Tensor | None
