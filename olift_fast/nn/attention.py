"""Attention modules over tokens ``(B, T, J, D)``: over the frames of each joint, and over the joints of each frame."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from olift_fast.nn.multihead import refuse_multihead
from olift_fast.nn.time import RelativeTimeBias
from olift_fast.ops import banded_attention_packed, joint_attention_packed
from olift_fast.ops.banded_attention import check_window


class TemporalProximityAttention(nn.Module):
    """Multi-head attention of each joint's frame t over its frames t-left … t+right.

    Args:
        width: D, a multiple of `heads`.
        heads: H.
        window: ``(left, right)`` frames, or α for ``(α, α)``.
        relative_time: add a bias for each head and frame offset to the scores, see `RelativeTimeBias`.

    Equivalent to `olift_fast.reference.TemporalProximityAttention`, same ``state_dict``.
    """

    def __init__(self, width: int, heads: int, window: int | tuple[int, int] = 8, relative_time: bool = True) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads, self.window = heads, check_window(window)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.time_bias = RelativeTimeBias(heads, self.window) if relative_time else None

    def forward(self, x: Tensor, visible: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """x ``(B, T, J, D)``, visible bool ``(B, T, J)`` (keys), lengths ``(B,)`` → ``(B, T, J, D)``."""
        _check_tokens(x)
        return self.projection(self.attend(self.qkv(x), visible, lengths))

    def attend(self, qkv: Tensor, visible: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """The attention alone, without the linear layers around it: qkv ``(B, T, J, 3D)`` → ``(B, T, J, D)``."""
        bias = None if self.time_bias is None else self.time_bias()
        heads = qkv.unflatten(-1, (3, self.heads, -1))
        return banded_attention_packed(heads, self.window, bias=bias, visible=visible, lengths=lengths).flatten(-2)

    def set_window(self, window: int | tuple[int, int]) -> None:
        """Change the window. The weights stay, because none depends on the window."""
        self.window = check_window(window)
        if self.time_bias is not None:
            self.time_bias.window = self.window

    @classmethod
    def from_multihead(
        cls, attention: nn.MultiheadAttention, window: int | tuple[int, int] = 8
    ) -> TemporalProximityAttention:
        """Attention over time with a copy of PyTorch's weights. Outputs are the same if the window covers the clip.

        Args:
            attention: its weights are copied. The new module takes ``(B, T, J, D)``, whatever `batch_first` is.
            window: ``(left, right)`` frames, or α for ``(α, α)``.

        Raises:
            ValueError: kdim or vdim is not embed_dim, or `attention` has add_bias_kv, add_zero_attn or hooks.

        Warns:
            UserWarning: `attention` has dropout of its attention weights, which is left out.

        To change a whole model in place, on the same parameters: `olift_fast.nn.swap_attention`.
        """
        refusal = refuse_multihead(attention)
        if refusal is not None:
            raise ValueError(f"attention {refusal}")
        if attention.dropout:
            message = f"the dropout of attention weights ({attention.dropout:g}) is left out in training"
            warnings.warn(message, stacklevel=2)
        module = cls(attention.embed_dim, attention.num_heads, window, relative_time=False)
        for linear, weight, bias in (
            (module.qkv, attention.in_proj_weight, attention.in_proj_bias),
            (module.projection, attention.out_proj.weight, attention.out_proj.bias),
        ):
            linear.weight = _copy(weight)
            linear.register_parameter("bias", None if bias is None else _copy(bias))
        return module.train(attention.training)


class JointAttention(nn.Module):
    """Multi-head attention over the joints of each frame; each head may have a graph of its own.

    Args:
        width: D, a multiple of `heads`.
        heads: H.

    Equivalent to `olift_fast.reference.JointAttention`, same ``state_dict``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor, graph: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """x ``(B, T, J, D)``, graph bool (see `joint_attention`), visible (keys) → ``(B, T, J, D)``."""
        _check_tokens(x)
        return self.projection(self.attend(self.qkv(x), graph, visible))

    def attend(self, qkv: Tensor, graph: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """The attention alone, without the linear layers around it: qkv ``(B, T, J, 3D)`` → ``(B, T, J, D)``."""
        heads = qkv.unflatten(-1, (3, self.heads, -1))
        return joint_attention_packed(heads, graph=graph, visible=visible).flatten(-2)


def dual_graph(graph: Tensor | None, joint_mask: Tensor | None, heads: int) -> Tensor | None:
    """The graph of each head, bool ``(B, H, J, J)``: the first half of the heads use `graph`, the others all joints.

    Args:
        graph: bool ``(B, J, J)``, True where a query (row) may attend a key (column). If None, all heads attend all
            joints.
        joint_mask: bool ``(B, J)``, False for joints that only pad the batch; no head attends them.
        heads: H.

    Returns:
        None if both are None.
    """
    if graph is None and joint_mask is None:
        return None
    if graph is None:
        assert joint_mask is not None
        everything = joint_mask[:, None, None, :]
        return everything.expand(-1, heads, joint_mask.shape[1], -1)
    everything = torch.ones_like(graph)
    local = heads // 2
    stacked = torch.stack([graph] * local + [everything] * (heads - local), dim=1)
    return stacked if joint_mask is None else stacked & joint_mask[:, None, None, :]


def check_heads(width: int, heads: int) -> None:
    """Raises ValueError unless the width splits evenly over the heads."""
    if heads < 1 or width % heads:
        raise ValueError(f"width must be a multiple of heads, got width {width} and {heads} heads")


def _check_tokens(x: Tensor) -> None:
    if x.dim() != 4:
        raise ValueError(f"x must be (B, T, J, D), got {tuple(x.shape)}")


def _copy(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
