"""A lifter's layers for inference on a GPU: all between two attentions is one launch over the tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from olift_fast.nn.decoder import Decoder
from olift_fast.nn.fused import parts_of, why_not_as_made, why_not_plain
from olift_fast.nn.hooks import has_hooks
from olift_fast.nn.layers import MotionLayer, SpaceLayer
from olift_fast.ops import token_block
from olift_fast.ops.backends import asked_backend, choose_backend, refuse_triton
from olift_fast.ops.registration import autocast_dtype
from olift_fast.ops.token_block import Head, Linear, Mlp, Norm
from olift_fast.ops.token_block.registration import product_dtype
from olift_fast.ops.token_block.triton_launch import refuse_sizes, slower_than_eager

Layers = Iterable[nn.Module]


def run_passes(
    tokens: Tensor,
    motion: Layers,
    space: Layers,
    decoder: nn.Module,
    visible: Tensor,
    lengths: Tensor | None,
    graph: Tensor | None,
) -> Tensor:
    """The decoder's outputs ``(B, T, J, outputs)``. Call it only if `why_not_passes` returns None.

    Args:
        tokens: ``(B, T, J, D)``.
        motion, space, decoder: the modules.
        visible: bool ``(B, T, J)``, of keys in attention over time.
        lengths: ``(B,)``.
        graph: bool ``(B, H, J, J)``.

    Equivalent to calling the modules one after the other without gradients, up to rounding.
    """
    first, *rest = passes_of(motion, space, decoder)
    layers = cast(Sequence[MotionLayer | SpaceLayer], [*motion, *space])
    x, out = first.run(tokens)
    for layer, after in zip(layers, rest, strict=True):
        attended = layer.attention.attend(out, *((visible, lengths) if isinstance(layer, MotionLayer) else (graph,)))
        x, out = after.run(x, attended)
    return out


class Pass(NamedTuple):
    """The layers between two attentions, as arguments of `token_block`. Before the first attention, only a head."""

    projection: Linear | None
    mlp: Mlp | None
    head: Head
    epsilon: float

    def run(self, tokens: Tensor | None, attended: Tensor | None = None) -> tuple[Tensor | None, Tensor]:
        """The new tokens ``(..., D)`` and the head's output, from the tokens and the attention's output ``(..., D)``.

        A head gives queries, keys and values, ``(..., 3D)``. The last head gives the decoder's output, and None in
        place of the tokens, which nobody needs.
        """
        assert tokens is not None
        keep = self.head[2] is None
        return token_block(tokens, attended, *self[:3], epsilon=self.epsilon, keep=keep, backend="triton")


def passes_of(motion: Layers, space: Layers, decoder: nn.Module) -> list[Pass]:
    """One pass before the first attention and one after each. Call it only if `why_not_passes` returns None."""
    decoder = cast(Decoder, decoder)
    layers = cast(Sequence[MotionLayer | SpaceLayer], [*motion, *space])
    heads: list[Head] = [(_norm(layer.attention_norm), _linear(layer.attention.qkv), None) for layer in layers]
    heads.append(_mlp(decoder.norm, decoder.mlp))
    own = [(_linear(layer.attention.projection), _mlp(layer.mlp_norm, layer.mlp)) for layer in layers]
    return [Pass(*before, head, decoder.norm.eps) for before, head in zip([(None, None), *own], heads, strict=True)]


def why_not_passes(tokens: Tensor, motion: Layers, space: Layers, decoder: nn.Module) -> str | None:
    """One line that says why `run_passes` can't take these layers and tokens; None if it can."""
    if torch.is_grad_enabled():
        return "gradients are on: call it under torch.no_grad() or torch.inference_mode()"
    if asked_backend() not in ("auto", "triton"):
        return f"the backend asked for is {asked_backend()}"
    refusal = refuse_triton(tokens) or why_not_as_made(motion, space, decoder)
    if refusal is not None:
        return refusal
    layers = cast(Sequence[MotionLayer | SpaceLayer], [*motion, *space])
    if has_hooks(decoder, *layers, *(layer.attention for layer in layers)):
        return "a layer has hooks"
    refusal = why_not_plain(layers, cast(Decoder, decoder))
    if refusal is not None:
        return refusal
    norms, linears, mlps = parts_of(layers, cast(Decoder, decoder))
    refusal = refuse_sizes(tokens.shape[-1], linears[-1].out_features)
    if refusal is not None:
        return refusal
    if len({norm.eps for norm in norms}) > 1:
        return "norms must have one epsilon"
    dtypes = {linear.weight.dtype for linear in linears}
    if dtypes != {tokens.dtype} and autocast_dtype(tokens.device) is None:
        return f"weights must be {tokens.dtype}, as the tokens are, got {', '.join(sorted(map(str, dtypes)))}"
    pairs = [*map(_norm, norms), *map(_linear, linears)]
    refusal = refuse_triton(*(parameter for pair in pairs for parameter in pair))
    slower = slower_than_eager(tokens, product_dtype(_mlp(norms[-1], mlps[-1])))
    if refusal is None and choose_backend("token_block", None, {"triton": None}, slower) == "eager":
        return "PyTorch's layers should be faster here, or Triton's interpreter runs: ask for triton by name"
    return refusal


def _linear(linear: nn.Linear) -> Linear:
    return linear.weight, linear.bias


def _norm(norm: nn.LayerNorm) -> Norm:
    return norm.weight, norm.bias


def _mlp(norm: nn.LayerNorm, mlp: nn.Sequential) -> Mlp:
    first, _, second = mlp
    return _norm(norm), _linear(cast(nn.Linear, first)), _linear(cast(nn.Linear, second))
