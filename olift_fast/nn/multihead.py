"""Attention over a window of time with the parameters and the call of `nn.MultiheadAttention`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from olift_fast.ops import banded_attention_packed
from olift_fast.ops.banded_attention import check_window


class BandedMultihead(nn.Module):
    """Replaces an `nn.MultiheadAttention`: self-attention of each frame t over the frames t-left … t+right.

    It has the parameters of the module that it replaces: the same objects under the same names. So optimizers keep
    working, and a ``state_dict`` fits both. The attention weights are never written to memory. So they are not
    returned, and dropout of them is left out.

    Args:
        attention: the module to replace; `refuse_multihead` says why a module can't be.
        window: ``(left, right)`` frames, or α for ``(α, α)``.

    Raises:
        ValueError: the module can't be replaced, or the window is negative.

    Equivalent to the replaced module with an ``attn_mask`` that leaves each frame the keys in its window.
    """

    # Read by nn.TransformerEncoderLayer: True would let its fused inference path compute full attention instead.
    _qkv_same_embed_dim = False
    in_proj_bias: nn.Parameter | None

    def __init__(self, attention: nn.MultiheadAttention, window: int | tuple[int, int]) -> None:
        super().__init__()
        refusal = refuse_multihead(attention)
        if refusal is not None:
            raise ValueError(f"attention {refusal}")
        self.window = check_window(window)
        self.embed_dim, self.num_heads, self.head_dim = attention.embed_dim, attention.num_heads, attention.head_dim
        self.batch_first = attention.batch_first
        self.in_proj_weight = attention.in_proj_weight
        self.register_parameter("in_proj_bias", attention.in_proj_bias)
        self.out_proj = attention.out_proj
        self.train(attention.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """Self-attention, with the arguments of `nn.MultiheadAttention`. The returned weights are always None.

        Args:
            query, key, value: the same tensor: ``(N, T, D)``, or ``(T, N, D)`` without batch_first; ``(T, D)``; or
                ``(B, T, J, D)``, where each joint is a sequence of its own.
            key_padding_mask: ``(N, T)``, ``(T,)`` or ``(B, T, J)``: True, or -inf, where a key is left out. Such a key
                is never read into arithmetic. A query without any key gives 0, not NaN, before the output projection.
            attn_mask: allowed only with `is_causal`, and not read, because the window is the mask.
            is_causal: allowed only with a window ``(left, 0)``.

        Raises:
            ValueError, TypeError: an argument has the wrong shape or dtype, or attention over a window can't do what
                it asks for.
        """
        if key is not query or value is not query:
            raise ValueError("query, key and value must be one tensor: a window is for self-attention")
        if is_causal and self.window[1]:
            raise ValueError(f"is_causal needs a window (left, 0), got {self.window}")
        if attn_mask is not None and not is_causal:
            raise ValueError(f"attn_mask must be None: the window masks, got {tuple(attn_mask.shape)}")
        if query.is_nested or query.dim() not in (2, 3, 4) or (query.dim() == 4 and not self.batch_first):
            wanted = "(N, T, D) or (B, T, J, D)" if self.batch_first else "(T, N, D)"
            raise ValueError(f"query must be {wanted}, got {'nested' if query.is_nested else tuple(query.shape)}")
        qkv = functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        qkv = self._clips(qkv).unflatten(-1, (3, self.num_heads, self.head_dim))
        visible = None if key_padding_mask is None else self._visible(key_padding_mask, query)
        out = banded_attention_packed(qkv, self.window, visible=visible).flatten(-2)
        return self.out_proj(out.reshape(query.shape)), None

    def _clips(self, x: Tensor) -> Tensor:
        """A view ``(B, T, J, …)`` of an input in any layout; ``(T, N, …)`` becomes one clip of N joints."""
        if x.dim() == 2:
            return x[None, :, None]
        if x.dim() == 3:
            return x[:, :, None] if self.batch_first else x[None]
        return x

    def _visible(self, mask: Tensor, query: Tensor) -> Tensor:
        """``(B, T, J)``, False where the mask leaves a key out."""
        shape = query.shape[:-1] if query.dim() != 3 or self.batch_first else query.shape[1::-1]
        if mask.shape != shape:
            raise ValueError(f"key_padding_mask must be {tuple(shape)}, got {tuple(mask.shape)}")
        if mask.dtype == torch.bool:
            visible = ~mask
        elif mask.is_floating_point():
            # nn.TransformerEncoderLayer turns a bool mask into this form. Its values are checked on the CPU only,
            # because a check elsewhere needs a synchronization.
            visible = ~mask.isneginf()
            if mask.device.type == "cpu" and not torch.compiler.is_compiling() and bool((mask[visible] != 0).any()):
                raise ValueError("key_padding_mask must be bool, or hold 0 and -inf alone, got other values")
        else:
            raise TypeError(f"key_padding_mask must be bool or floating point, got {mask.dtype}")
        if mask.dim() == 1:
            return visible[None, :, None]
        if mask.dim() == 2:
            return visible[:, :, None] if self.batch_first else visible.mT[None]
        return visible


def refuse_multihead(attention: nn.Module) -> str | None:
    """Why `BandedMultihead` can't replace this module; None if it can."""
    if type(attention) is not nn.MultiheadAttention:
        return f"must be an nn.MultiheadAttention itself, got {type(attention).__name__}"
    if not attention._qkv_same_embed_dim:
        sizes = (attention.embed_dim, attention.kdim, attention.vdim)
        return f"must have one width for queries, keys and values, got embed_dim, kdim, vdim = {sizes}"
    if attention.bias_k is not None or attention.add_zero_attn:
        name = "add_zero_attn" if attention.add_zero_attn else "add_bias_kv"
        return f"must attend the sequence alone, got {name}=True"
    if attention._forward_hooks or attention._forward_pre_hooks or attention._backward_hooks:
        return "must have no hooks: they would be lost"
    return None
