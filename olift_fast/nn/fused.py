"""A lifter's layers for inference on the CPU: between two attentions, one native pass over the tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention
from olift_fast.nn.decoder import Decoder
from olift_fast.nn.hooks import has_hooks
from olift_fast.nn.layers import MotionLayer, SpaceLayer
from olift_fast.ops.backends import asked_backend
from olift_fast.ops.banded_attention.native import attend_into as attend_frames
from olift_fast.ops.joint_attention.native import attend_into as attend_joints
from olift_fast.ops.native_module import ask_for_huge_pages, loaded_module, why_not_native

# Bytes of a buffer that is kept for the next call, at most: fresh memory takes time to map.
KEPT = 128 << 20

Signature = tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]
Layer = MotionLayer | SpaceLayer

# Parameters as `token_block` takes them: a packed weight and a bias; a norm's weight, bias and epsilon.
Linear = tuple[Tensor, Tensor]
Norm = tuple[Tensor, Tensor, float]
Mlp = tuple[Norm, Linear, Linear]
Head = tuple[Norm, Linear, Linear | None]


class FusedLayers:
    """Motion layers, space layers and decoder as native passes: one before the first attention, one after each.

    A pass takes 48 tokens at a time through ``tokens + projection(attended)``, ``tokens + mlp(norm(tokens))`` and the
    next layer's ``qkv(norm(tokens))``, or the decoder. Intermediate results stay in the cache; layer by layer they
    would be written to memory and read back ten times. Weights are packed once: before each call, ask `current` whether
    they are still those of the modules.

    Args:
        motion, space, decoder: whose parameters to use, float32 on the CPU.
        products: float32, or bfloat16: then the inputs and weights of the linear layers, and queries, keys and values,
            are rounded to it, and all else is float32. `why_not_bfloat16` tells where it runs.

    Equivalent to calling the modules one after the other without gradients, up to rounding.
    """

    def __init__(
        self, motion: nn.ModuleList, space: nn.ModuleList, decoder: Decoder, products: torch.dtype = torch.float32
    ) -> None:
        layers: list[Layer] = [*motion, *space]  # type: ignore[list-item]
        self._modules = [module for part in (motion, space, decoder) for module in part.modules()]
        self.signature, self.outputs = self._sign(), decoder.outputs
        self._bfloat16 = products == torch.bfloat16
        self._free_buffers: list[Tensor] = []
        with torch.no_grad():
            heads = [*(self._head(layer.attention_norm, layer.attention.qkv) for layer in layers)]
            heads.append(self._two_layers(decoder.norm, decoder.mlp))
            self._first = Pass(None, None, heads[0])
            self._passes = [
                Pass(self._linear(layer.attention.projection), self._two_layers(layer.mlp_norm, layer.mlp), head)
                for layer, head in zip(layers, heads[1:], strict=True)
            ]
            self._attentions = [Attention.of(layer) for layer in layers]

    @property
    def dtype(self) -> torch.dtype:
        """Of queries, keys, values and the attention's output; tokens are float32."""
        return torch.bfloat16 if self._bfloat16 else torch.float32

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The pass before the first attention and the one after each attention, for callers with their own buffers."""
        return (self._first, *self._passes)

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """The attentions between the passes: those of the motion layers, then those of the space layers."""
        return tuple(self._attentions)

    def current(self) -> bool:
        """Whether modules, parameters and buffers are still those that were packed, and hold the same values."""
        return self.signature == self._sign()

    def hooked(self) -> bool:
        """Whether a module has hooks, which a fused pass would not call."""
        return has_hooks(*self._modules)

    def __call__(self, tokens: Tensor, visible: Tensor, lengths: Tensor | None, graph: Tensor | None) -> Tensor:
        """tokens ``(B, T, J, D)``, contiguous, overwritten → the decoder's ``(B, T, J, outputs)``.

        visible bool ``(B, T, J)`` (keys over time), lengths int64 ``(B,)``, graph bool ``(B, H, J, J)``.
        """
        batch, frames, joints, width = tokens.shape
        heads = self._attentions[0].heads if self._attentions else 1
        size = tokens.numel()
        buffer = self._take_buffer(4 * size)  # queries, keys, values and the attention's output
        qkv = buffer[: 3 * size].view(batch, frames, joints, 3, heads, width // heads)
        attended = buffer[3 * size : 4 * size].view(batch, frames, joints, heads, width // heads)
        out = tokens.new_empty(batch, frames, joints, self.outputs)
        q, k, v = qkv.unbind(dim=3)
        lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
        self._first.run(tokens, None, qkv if self._passes else out)
        for attention, step in zip(self._attentions, self._passes, strict=True):
            attention.run(q, k, v, visible, lengths, graph, attended)
            step.run(tokens, attended, out if step is self._passes[-1] else qkv)
        if buffer.nbytes <= KEPT:
            self._free_buffers.append(buffer)
        return out

    def _take_buffer(self, size: int) -> Tensor:
        """A buffer of `size` numbers or more: one that an earlier call left, if it is large enough, or a new one."""
        # Not asked first whether there is one: another thread might take it in between.
        with contextlib.suppress(IndexError):
            buffer = self._free_buffers.pop()
            if buffer.numel() >= size:
                return buffer
        buffer = torch.empty(size, dtype=self.dtype)
        ask_for_huge_pages(buffer)
        return buffer

    def _sign(self) -> Signature:
        """Changes when a module, parameter or buffer is replaced, or a value is changed in place."""
        children = tuple(id(child) for module in self._modules for child in module._modules.values())
        held = [x for module in self._modules for x in (*module._parameters.values(), *module._buffers.values())]
        tensors = [x for x in held if x is not None]
        return children, tuple((id(x), 0 if x.is_inference() else x._version, x.data_ptr()) for x in tensors)

    def _linear(self, layer: nn.Linear) -> Linear:
        native = loaded_module()
        size = native.packed_size(layer.in_features, layer.out_features, self._bfloat16)
        packed = torch.empty(size, dtype=self.dtype)
        native.pack_weight(layer.weight.contiguous(), packed)
        return packed, _copied(layer.bias)

    def _head(self, norm: nn.LayerNorm, layer: nn.Linear) -> Head:
        return _norm(norm), self._linear(layer), None

    def _two_layers(self, norm: nn.LayerNorm, mlp: nn.Sequential) -> Mlp:
        first, _, second = mlp
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        return _norm(norm), self._linear(first), self._linear(second)


def _norm(norm: nn.LayerNorm) -> Norm:
    return _copied(norm.weight), _copied(norm.bias), norm.eps


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class Pass:
    """What is done to the tokens between two attentions, see `token_block` in ``_native.pyi``."""

    projection: Linear | None
    mlp: Mlp | None
    head: Head

    def run(self, tokens: Tensor, attended: Tensor | None, out: Tensor, threads: int | None = None) -> None:
        """Changes the tokens in place and writes `out`; `threads` are torch's, by default."""
        native = loaded_module()
        native.token_block(
            tokens, attended, out, self.projection, self.mlp, self.head, threads or torch.get_num_threads()
        )


@dataclass(frozen=True)
class Attention:
    """Attention over the frames of a window; over joints where the window is None."""

    heads: int
    window: tuple[int, int] | None
    bias: Tensor | None

    @classmethod
    def of(cls, layer: Layer) -> Attention:
        """That of a layer, with its bias computed once."""
        attention = layer.attention
        if isinstance(attention, JointAttention):
            return cls(attention.heads, None, None)
        bias = None if attention.time_bias is None else attention.time_bias().contiguous()
        return cls(attention.heads, attention.window, bias)

    def run(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        visible: Tensor,
        lengths: Tensor | None,
        graph: Tensor | None,
        out: Tensor,
    ) -> None:
        """Writes the attention of q, k, v into `out`."""
        if self.window is None:
            attend_joints(q, k, v, graph, None, out, None)
        else:
            attend_frames(q, k, v, *self.window, self.bias, visible, lengths, q.shape[-1] ** -0.5, out, None)


def why_not_fused(
    tokens: Tensor, motion: Iterable[nn.Module], space: Iterable[nn.Module], decoder: nn.Module
) -> str | None:
    """One line: why `FusedLayers` can't take these layers and tokens; None where it can."""
    if torch.is_grad_enabled():
        return "gradients are on: call it under torch.no_grad() or torch.inference_mode()"
    if torch.compiler.is_compiling() or type(tokens) is not Tensor or torch.is_autocast_enabled("cpu"):
        return "it is being traced, or autocast is on"
    if asked_backend() not in ("auto", "native"):
        return f"the backend asked for is {asked_backend()}"
    if tokens.device.type != "cpu" or tokens.dtype != torch.float32 or tokens.numel() == 0:
        return f"tokens must be float32 on the CPU, and some, got {tokens.dtype} on {tokens.device}"
    for layers, kind, attention in (
        (motion, MotionLayer, TemporalProximityAttention),
        (space, SpaceLayer, JointAttention),
    ):
        for layer in layers:
            if type(layer) is not kind or type(layer.attention) is not attention:
                return f"a layer is a {type(layer).__name__}, and must be a {kind.__name__} as it was made"
    if type(decoder) is not Decoder:
        return f"the decoder is a {type(decoder).__name__}"
    return why_not_native()
