"""A lifter's layers for inference on the CPU: all between two attentions is one native pass over the tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import is_

import numpy as np
import torch
from torch import Tensor, nn

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention
from olift_fast.nn.decoder import Decoder
from olift_fast.nn.hooks import has_hooks
from olift_fast.nn.layers import MotionLayer, SpaceLayer
from olift_fast.nn.native_layers import is_plain, is_plain_mlp, is_plain_norm
from olift_fast.nn.watched import Watched
from olift_fast.ops.native_module import PRODUCTS, why_not_native
from olift_fast.runtime.arrays import Array
from olift_fast.runtime.asked_backend import asked_backend
from olift_fast.runtime.fused import Attention, FusedLayers, LayerWeights, Norm, TwoLayers

Layer = MotionLayer | SpaceLayer


class ModuleLayers:
    """`olift_fast.runtime.fused.FusedLayers` with the parameters of modules: motion layers, space layers and decoder.

    The weights are packed once. So ask `current` before each call whether the modules still have these weights.

    Args:
        motion, space, decoder: modules with parameters in float32 on the CPU, as `why_not_plain` wants them.
        products: the dtype that the inputs and weights of the linear layers are rounded to: float32, bfloat16 or int16
            (`FusedLayers`).

    Equivalent to calling the modules one after the other without gradients, up to rounding.
    """

    def __init__(
        self, motion: nn.ModuleList, space: nn.ModuleList, decoder: Decoder, products: torch.dtype = torch.float32
    ) -> None:
        layers: list[Layer] = [*motion, *space]  # type: ignore[list-item]
        self._modules = [module for part in (motion, space, decoder) for module in part.modules()]
        parts = [part for module in self._modules for part in (module._modules, module._parameters, module._buffers)]
        self._parts = [part for part in parts if part]
        self._held = self._held_now()
        self._watched = Watched([x for x in self._held if isinstance(x, Tensor)])
        with torch.no_grad():
            own = [
                LayerWeights(
                    attention_of(layer),
                    _norm(layer.attention_norm),
                    _linear(layer.attention.qkv),
                    _linear(layer.attention.projection),
                    _two_layers(layer.mlp_norm, layer.mlp),
                )
                for layer in layers
            ]
            self.layers = FusedLayers(own, _two_layers(decoder.norm, decoder.mlp), PRODUCTS[products])

    layers: FusedLayers
    """The passes over NumPy arrays."""

    def current(self) -> bool:
        """Whether the modules, parameters and buffers are the same objects as when packed, with the same values."""
        held = self._held_now()
        same = len(held) == len(self._held) and all(map(is_, held, self._held))
        return same and self._watched.unchanged()

    def hooked(self) -> bool:
        """Whether a module has hooks, which a fused pass would not call."""
        return has_hooks(*self._modules)

    def __call__(self, tokens: Tensor, visible: Tensor, lengths: Tensor | None, graph: Tensor | None) -> Tensor:
        """The decoder's outputs ``(B, T, J, outputs)``.

        Args:
            tokens: ``(B, T, J, D)``, contiguous; overwritten.
            visible: bool ``(B, T, J)``, of keys in attention over time.
            lengths: int64 ``(B,)``.
            graph: bool ``(B, H, J, J)``.
        """
        parts = (None if x is None else x.numpy() for x in (visible, lengths, graph))
        return torch.from_numpy(self.layers(tokens.numpy(), *parts))  # type: ignore[arg-type]

    def _held_now(self) -> list[object]:
        """Children, parameters and buffers."""
        return [x for part in self._parts for x in part.values()]


def attention_of(layer: Layer) -> Attention:
    """The attention of a layer, with its bias computed once."""
    attention = layer.attention
    if isinstance(attention, JointAttention):
        return Attention(attention.heads, None, None)
    bias = None if attention.time_bias is None else copied(attention.time_bias())
    return Attention(attention.heads, attention.window, bias)


def copied(tensor: Tensor) -> Array:
    """A copy of a CPU tensor's values; later changes of the tensor don't change it."""
    array: Array = tensor.detach().clone(memory_format=torch.contiguous_format).numpy()
    return array


def _linear(layer: nn.Linear) -> tuple[Array, Array]:
    weight: Array = layer.weight.detach().contiguous().numpy()  # Not copied, because FusedLayers packs it at once.
    return weight, np.zeros(len(weight), np.float32) if layer.bias is None else copied(layer.bias)


def _two_layers(norm: nn.LayerNorm, mlp: nn.Sequential) -> TwoLayers:
    first, _, second = mlp
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    return _norm(norm), _linear(first), _linear(second)


def _norm(norm: nn.LayerNorm) -> Norm:
    return copied(norm.weight), copied(norm.bias), norm.eps


def why_not_fused(
    tokens: Tensor, motion: Iterable[nn.Module], space: Iterable[nn.Module], decoder: nn.Module
) -> str | None:
    """One line that says why `ModuleLayers` can't take these layers and tokens; None if it can."""
    if torch.is_grad_enabled():
        return "gradients are on: call it under torch.no_grad() or torch.inference_mode()"
    if torch.compiler.is_compiling() or type(tokens) is not Tensor or torch.is_autocast_enabled("cpu"):
        return "it is being traced, or autocast is on"
    if asked_backend() not in ("auto", "native"):
        return f"the backend asked for is {asked_backend()}"
    if tokens.device.type != "cpu" or tokens.dtype != torch.float32 or tokens.numel() == 0:
        found = f"{tokens.dtype} on {tokens.device} of shape {tuple(tokens.shape)}"
        return f"tokens must be float32 on the CPU and not empty, got {found}"
    return why_not_as_made(motion, space, decoder) or why_not_native()


def why_not_as_made(motion: Iterable[nn.Module], space: Iterable[nn.Module], decoder: nn.Module) -> str | None:
    """One line that names a part whose class is not the one that the lifter makes; None if there is none."""
    for layers, kind, attention in (
        (motion, MotionLayer, TemporalProximityAttention),
        (space, SpaceLayer, JointAttention),
    ):
        for layer in layers:
            if type(layer) is not kind or type(layer.attention) is not attention:
                own = getattr(layer, "attention", None)
                found = type(layer).__name__ + ("" if own is None else f" with {type(own).__name__}")
                return f"a layer must be a {kind.__name__} with {attention.__name__}, got a {found}"
    return None if type(decoder) is Decoder else f"the decoder must be a Decoder, got a {type(decoder).__name__}"


Parts = tuple[list[nn.LayerNorm], list[nn.Linear], list[nn.Sequential]]


def parts_of(layers: Sequence[Layer], decoder: Decoder) -> Parts:
    """The norms, linear layers and MLPs, each list with the decoder's at the end."""
    norms = [norm for layer in layers for norm in (layer.attention_norm, layer.mlp_norm)]
    mlps = [*(layer.mlp for layer in layers), decoder.mlp]
    linears = [linear for layer in layers for linear in (layer.attention.qkv, layer.attention.projection)]
    linears += [part for mlp in mlps for part in mlp.children() if isinstance(part, nn.Linear)]
    return [*norms, decoder.norm], linears, mlps


def why_not_plain(layers: Sequence[Layer], decoder: Decoder) -> str | None:
    """One line that says which part of the layers is not as the lifter makes it, or has hooks; None if all are.

    A part of another class, such as a linear layer with an adapter, computes something else from the same weights.
    """
    norms, linears, mlps = parts_of(layers, decoder)
    if not all(is_plain_norm(norm) for norm in norms):
        return "a norm is not an nn.LayerNorm as the lifter makes it, or has hooks"
    if not all(is_plain(linear, nn.Linear) for linear in linears) or not all(is_plain_mlp(mlp) for mlp in mlps):
        return "a linear layer or an MLP is not as the lifter makes it, or has hooks"
    return None
