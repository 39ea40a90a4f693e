"""Pre-norm transformer layers over time and over joints."""

from __future__ import annotations

from torch import Tensor, nn

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention
from olift_fast.nn.hooks import has_hooks
from olift_fast.nn.native_layers import apply_linear_residual, apply_norm_linear, apply_norm_mlp


class MotionLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``, attending over the frames of each joint.

    Args:
        width: D, a multiple of `heads`.
        heads: H.
        window: ``(left, right)`` frames that each frame attends, or α for ``(α, α)``.
        mlp_ratio: width of the MLP's hidden layer over D.
        relative_time: adds a learned bias for each offset in time.

    Equivalent to `olift_fast.reference.MotionLayer`, same ``state_dict``.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        window: int | tuple[int, int] = 8,
        mlp_ratio: int = 2,
        relative_time: bool = True,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = TemporalProximityAttention(width, heads, window, relative_time)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = _mlp(width, mlp_ratio)

    def forward(self, x: Tensor, visible: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """x ``(B, T, J, D)``, visible bool ``(B, T, J)``, lengths ``(B,)`` → ``(B, T, J, D)``."""
        return _layer(self, TemporalProximityAttention, x, visible, lengths)


class SpaceLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``, attending over the joints of each frame.

    Args:
        width: D, a multiple of `heads`.
        heads: H.
        mlp_ratio: width of the MLP's hidden layer over D.

    Equivalent to `olift_fast.reference.SpaceLayer`, same ``state_dict``.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int = 2) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = JointAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = _mlp(width, mlp_ratio)

    def forward(self, x: Tensor, graph: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """x ``(B, T, J, D)``, graph bool (see `joint_attention`), visible (keys) → ``(B, T, J, D)``."""
        return _layer(self, JointAttention, x, graph, visible)


def _mlp(width: int, ratio: int) -> nn.Sequential:
    """A linear layer D → ratio · D, GELU, and a linear layer back to D."""
    return nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))


def _layer(
    layer: MotionLayer | SpaceLayer, kind: type[nn.Module], x: Tensor, first: Tensor | None, second: Tensor | None
) -> Tensor:
    """The forward pass of a layer; its attention takes `first` and `second`.

    If the attention is of class `kind` and has no hooks, its linear layers are computed together with the norm before
    and the sum after them. If not, the module is called.
    """
    attention = layer.attention
    if type(attention) is kind and not has_hooks(attention):
        qkv = apply_norm_linear(x, layer.attention_norm, attention.qkv)
        x = apply_linear_residual(attention.attend(qkv, first, second), attention.projection, x)
    else:
        x = x + attention(layer.attention_norm(x), first, second)
    return apply_norm_mlp(x, layer.mlp_norm, layer.mlp)
