"""Steps of a stream on the CPU with fused passes and native kernels, in buffers that are allocated once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from olift_fast.model import LifterConfig
from olift_fast.runtime.arrays import Array, Elements, Mask, zeros
from olift_fast.runtime.encoder import Encoder
from olift_fast.runtime.fused import FusedLayers, Pass
from olift_fast.runtime.native_module import loaded_module
from olift_fast.runtime.threads import thread_count
from olift_fast.streaming.rings import Indices, MotionRings, visibility_ring
from olift_fast.streaming.steps import Answers, Inputs, Told

Encode = Callable[[Array, Mask, Array], None]
"""Keypoints ``(N, J, 2)`` and visible ``(N, J)`` → tokens, written into ``(N, 1, J, D)``."""


def encode_by(encoder: Encoder, told: Told) -> Encode:
    """The encoder with the same inputs for every track: sides ``(1, J)`` and so on."""
    description = encoder.describe(*told)

    def encode(keypoints: Array, visible: Mask, tokens: Array) -> None:
        encoder.encode_into(keypoints, visible, tokens)
        if description is not None:
            tokens += description

    return encode


class NativeSteps:
    """Each step computes only the tracks that have a new frame or a result that is due.

    Args:
        config: of the model.
        encode: the model's encoder.
        layers: with packed weights.
        graph: bool ``(1, H, J, J)``, the joints that each head sees, or None.
        joints, tracks: their numbers.
    """

    def __init__(
        self, config: LifterConfig, encode: Encode, layers: FusedLayers, graph: Mask | None, joints: int, tracks: int
    ) -> None:
        self._config, self._encode, self._graph = config, encode, graph
        self._first, *rest = layers.passes
        self._motion = list(zip(layers.attentions, rest, strict=False))[: config.motion_layers]
        self._space = list(zip(layers.attentions, rest, strict=True))[config.motion_layers :]
        projected = partial(zeros, dtype=layers.dtype)
        self._rings = [MotionRings(config, tracks, joints, zeros, projected) for _ in self._motion]
        self._visible = visibility_ring(config, tracks, joints, partial(zeros, dtype=np.bool_))
        head = (config.heads, config.width // config.heads)
        self._tokens = zeros((tracks, 1, joints, config.width))
        self._qkv = projected((tracks, 1, joints, 3, *head))
        self._attended = projected((tracks, 1, joints, *head))
        self._answered = projected((tracks, joints, *head))
        self._decoded = zeros((tracks, 1, joints, layers.outputs))
        self._counts = zeros((2, tracks), np.int64)
        self._views: dict[int, _Views] = {}

    @property
    def together(self) -> int:
        """32 for each thread: with so many, the fixed cost of a step is a twentieth of it."""
        return 32 * thread_count()

    def warmup(self) -> None:
        """Does nothing: weights were packed when this was made."""

    def step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> Answers | None:
        """See `Steps.step`."""
        given = times < lengths
        own, at = tracks[given], times[given]
        views = self._of(len(own))
        if inputs is not None:
            self._encode(inputs.keypoints, inputs.visible, views.tokens)
            self._visible.rows[self._visible.places(own, at)] = inputs.visible
            self._run(self._first, views, None, views.qkv if self._motion or self._space else views.decoded)
        for rings, (attention, step) in zip(self._rings, self._motion, strict=True):
            if len(own):
                rings.qkv.rows[rings.qkv.places(own, at)] = views.qkv[:, 0]
                rings.tokens.rows[rings.tokens.places(own, at)] = views.tokens[:, 0]
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
        for attention, step in self._space:
            attention.run(*views.projection, None, None, views.graph, views.attended)
            self._run(step, views, views.attended, views.decoded if step is self._space[-1][1] else views.qkv)
        return Answers(own, at, views.decoded[:, 0].copy())

    def _attend(
        self, rings: MotionRings, bias: Array | None, own: Indices, at: Indices, held: Indices, views: _Views
    ) -> None:
        """Puts the attention of frames `at` over the rings, of `held` frames so far, and their tokens into `views`."""
        frames, lengths = self._counts
        frames.fill(-1)
        frames[own] = at
        lengths[own] = held
        options = (*self._config.window, bias, self._visible.held, rings.q.shape[-1] ** -0.5)
        step = loaded_module().banded_attention_step
        step(rings.q, rings.k, rings.v, frames, lengths, *options, self._answered, thread_count())
        views.attended[:, 0] = self._answered[own]
        views.tokens[:, 0] = rings.tokens.rows[rings.tokens.places(own, at)]

    def _run(self, step: Pass, views: _Views, attended: Elements | None, out: Elements) -> None:
        """One thread for every 96 tokens: threads with fewer wait for each other longer than they compute."""
        tokens = views.tokens.shape[0] * views.tokens.shape[2]
        step.run(views.tokens, attended, out, min(thread_count(), max(1, tokens // 96)))

    def _of(self, count: int) -> _Views:
        """The buffers of the first `count` tracks."""
        if count not in self._views:
            qkv = self._qkv[:count]
            self._views[count] = _Views(
                self._tokens[:count],
                qkv,
                (qkv[:, :, :, 0], qkv[:, :, :, 1], qkv[:, :, :, 2]),
                self._attended[:count],
                self._decoded[:count],
                None if self._graph is None else np.broadcast_to(self._graph, (count, *self._graph.shape[1:])),
            )
        return self._views[count]


class _Views(NamedTuple):
    tokens: Array
    qkv: Elements
    projection: tuple[Elements, Elements, Elements]
    attended: Elements
    decoded: Array
    graph: Mask | None
