"""The layers of a lifter as native passes over arrays: one before the first attention, and one after each attention."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from olift_fast.runtime.arrays import BFLOAT16, Array, Counts, Elements, Mask, Weights, contiguous, fresh
from olift_fast.runtime.native_module import Products, loaded_module
from olift_fast.runtime.threads import thread_count
from olift_fast.runtime.time_encoding import relative_time_bias

# The most bytes of a buffer that is kept for the next call. Mapping new memory takes time.
KEPT = 128 << 20

Layer = tuple[Array, Array]
"""A linear layer's weight ``(out, in)`` and bias."""
Norm = tuple[Array, Array, float]
"""A norm's weight, bias and epsilon."""
TwoLayers = tuple[Norm, Layer, Layer]

# As `token_block` takes them: a packed weight and a bias.
Packed = tuple[Elements, Array]
PackedMlp = tuple[Norm, Packed, Packed]
Head = tuple[Norm, Packed, Packed | None]


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """A pre-norm transformer layer: its attention, and the weights of its norms and linear layers."""

    attention: Attention
    norm: Norm
    qkv: Layer
    projection: Layer
    mlp: TwoLayers

    @classmethod
    def of(cls, weights: Weights, prefix: str, heads: int, window: tuple[int, int] | None, bias: bool) -> LayerWeights:
        """The layer with those of a lifter's weights whose names have this prefix, such as "motion.0.".

        Args:
            window: the frames that its attention sees; None for attention over joints.
            bias: whether attention over time has a bias for each offset.
        """
        told = relative_time_bias(weights, f"{prefix}attention.time_bias.", window) if window and bias else None
        return cls(
            attention=Attention(heads, window, told),
            norm=norm_of(weights, f"{prefix}attention_norm."),
            qkv=layer_of(weights, f"{prefix}attention.qkv."),
            projection=layer_of(weights, f"{prefix}attention.projection."),
            mlp=(
                norm_of(weights, f"{prefix}mlp_norm."),
                layer_of(weights, f"{prefix}mlp.0."),
                layer_of(weights, f"{prefix}mlp.2."),
            ),
        )


@dataclass(frozen=True, eq=False)
class Attention:
    """Attention over the frames of a window, or over joints if the window is None. bias ``(H, left + right + 1)``."""

    heads: int
    window: tuple[int, int] | None
    bias: Array | None

    def run(
        self,
        q: Elements,
        k: Elements,
        v: Elements,
        visible: Mask | None,
        lengths: Counts | None,
        graph: Mask | None,
        out: Elements,
    ) -> None:
        """Writes the attention of q, k, v ``(B, T, J, H, Dh)`` into `out`."""
        native, scale, threads = loaded_module(), q.shape[-1] ** -0.5, thread_count()
        if self.window is None:
            native.joint_attention_forward(q, k, v, graph, None, scale, out, None, threads)
        else:
            native.banded_attention_forward(
                q, k, v, *self.window, self.bias, visible, lengths, scale, out, None, threads
            )


@dataclass(frozen=True, eq=False)
class Pass:
    """All layers between two attentions; `token_block` in ``_native.pyi`` describes the parts."""

    projection: Packed | None
    mlp: PackedMlp | None
    head: Head

    def run(self, tokens: Array, attended: Elements | None, out: Elements, threads: int | None = None) -> None:
        """Changes the tokens in place, and writes `out`. The number of threads is `thread_count` by default."""
        given = (self.projection, self.mlp, self.head)
        loaded_module().token_block(tokens, attended, out, *given, threads or thread_count())


class FusedLayers:
    """Motion layers, space layers and decoder as native passes: one before the first attention, one after each.

    A pass takes 48 tokens at a time through ``tokens + projection(attended)``, ``tokens + mlp(norm(tokens))`` and the
    next layer's ``qkv(norm(tokens))``, or the decoder. So intermediate results stay in the cache. Layer by layer, they
    would be written to memory and read back ten times. Weights are packed once.

    Args:
        layers: those over time, then those over joints.
        decoder: a norm and two layers.
        products: the type that the linear layers' inputs and weights are rounded to. "bfloat16" also rounds queries,
            keys and values. "int16" rounds to integers: each token is scaled by its largest value, and the weights of
            each output so that no sum of 256 products overflows. All else is float32. `why_not_products` says why a
            machine can't use them.

    Several threads may call it at once.
    """

    def __init__(self, layers: Sequence[LayerWeights], decoder: TwoLayers, products: Products = "float32") -> None:
        self.products = products
        self.dtype = BFLOAT16 if products == "bfloat16" else np.dtype(np.float32)
        self.outputs = len(decoder[2][1])
        self.attentions = tuple(layer.attention for layer in layers)
        heads: list[Head] = [(layer.norm, self._packed(layer.qkv), None) for layer in layers]
        heads.append(self._packed_mlp(decoder))
        first = Pass(None, None, heads[0])
        rest = [
            Pass(self._packed(layer.projection), self._packed_mlp(layer.mlp), head)
            for layer, head in zip(layers, heads[1:], strict=True)
        ]
        self.passes = (first, *rest)
        self._free_buffers: list[Elements] = []

    products: Products
    """The type that the factors of products are rounded to."""
    dtype: np.dtype[np.generic]
    """The dtype of queries, keys, values and the attention's output: float32 or `BFLOAT16`. Tokens are float32."""
    passes: tuple[Pass, ...]
    """The pass before the first attention and the one after each attention, for callers with their own buffers."""
    attentions: tuple[Attention, ...]
    """The attentions between the passes: those of the motion layers, then those of the space layers."""

    def __call__(self, tokens: Array, visible: Mask, lengths: Counts | None, graph: Mask | None) -> Array:
        """tokens ``(B, T, J, D)``, contiguous, overwritten → the decoder's ``(B, T, J, outputs)``.

        visible bool ``(B, T, J)`` (keys over time), lengths int64 ``(B,)``, graph bool ``(B, H, J, J)``.
        """
        batch, frames, joints, width = tokens.shape
        heads = self.attentions[0].heads if self.attentions else 1
        size = tokens.size
        buffer = self._take_buffer(4 * size)  # queries, keys, values and the attention's output
        qkv = buffer[: 3 * size].reshape(batch, frames, joints, 3, heads, width // heads)
        attended = buffer[3 * size : 4 * size].reshape(batch, frames, joints, heads, width // heads)
        out: Array = fresh((batch, frames, joints, self.outputs))
        q, k, v = (qkv[:, :, :, part] for part in range(3))
        lengths = None if lengths is None else contiguous(lengths, np.int64)
        first, *rest = self.passes
        first.run(tokens, None, qkv if rest else out)
        for attention, step in zip(self.attentions, rest, strict=True):
            attention.run(q, k, v, visible, lengths, graph, attended)
            step.run(tokens, attended, out if step is rest[-1] else qkv)
        if buffer.nbytes <= KEPT:
            self._free_buffers.append(buffer)
        return out

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_free_buffers": []}

    def _take_buffer(self, size: int) -> Elements:
        """A buffer of `size` numbers or more: one of an earlier call, if it is large enough, or a new one."""
        # Pop without looking first: another thread might take the buffer in between.
        with contextlib.suppress(IndexError):
            buffer = self._free_buffers.pop()
            if buffer.size >= size:
                return buffer
        return fresh((size,), self.dtype)

    def _packed(self, layer: Layer) -> Packed:
        weight, bias = layer
        native = loaded_module()
        outputs, inputs = weight.shape
        dtype = np.dtype(np.int16) if self.products == "int16" else self.dtype
        packed = fresh((native.packed_size(inputs, outputs, self.products),), dtype)
        native.pack_weight(contiguous(weight), packed)
        return packed, bias

    def _packed_mlp(self, mlp: TwoLayers) -> PackedMlp:
        norm, first, second = mlp
        return norm, self._packed(first), self._packed(second)


def fused_of(
    weights: Weights,
    *,
    heads: int,
    motion: int,
    space: int,
    window: tuple[int, int],
    relative_time: bool,
    products: Products = "float32",
) -> FusedLayers:
    """The layers of a lifter with these weights and these numbers of motion and space layers."""
    layers = [LayerWeights.of(weights, f"motion.{number}.", heads, window, relative_time) for number in range(motion)]
    layers += [LayerWeights.of(weights, f"space.{number}.", heads, None, False) for number in range(space)]
    parts = layer_of(weights, "decoder.mlp.0."), layer_of(weights, "decoder.mlp.2.")
    return FusedLayers(layers, (norm_of(weights, "decoder.norm."), *parts), products)


def layer_of(weights: Weights, prefix: str) -> Layer:
    """The weight and the bias with this prefix."""
    return weights[f"{prefix}weight"], weights[f"{prefix}bias"]


def norm_of(weights: Weights, prefix: str, epsilon: float = 1e-5) -> Norm:
    """The norm with this prefix; PyTorch's epsilon by default."""
    return *layer_of(weights, prefix), epsilon
