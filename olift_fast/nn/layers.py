"""Pre-norm transformer layers over time and over joints."""

from __future__ import annotations

from torch import Tensor, nn

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention
from olift_fast.nn.hooks import is_unheard
from olift_fast.nn.native_layers import through_linear_residual, through_norm_linear, through_norm_mlp
from olift_fast.reference import mlp


class MotionLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``, attending over the frames of each joint.

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
        self.mlp = mlp(width, mlp_ratio)

    def forward(self, x: Tensor, visible: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """x ``(B, T, J, D)``, visible bool ``(B, T, J)``, lengths ``(B,)`` → ``(B, T, J, D)``."""
        return _layer(self, TemporalProximityAttention, x, visible, lengths)


class SpaceLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``, attending over the joints of each frame.

    Equivalent to `olift_fast.reference.SpaceLayer`, same ``state_dict``.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: int = 2) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = JointAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = mlp(width, mlp_ratio)

    def forward(self, x: Tensor, graph: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """x ``(B, T, J, D)``, graph bool ``(H, J, J)`` or ``(B, H, J, J)``, visible (keys) → ``(B, T, J, D)``."""
        return _layer(self, JointAttention, x, graph, visible)


def _layer(
    layer: MotionLayer | SpaceLayer, kind: type[nn.Module], x: Tensor, first: Tensor | None, second: Tensor | None
) -> Tensor:
    """The layer's forward pass; `kind` is what its attention was made as, `first` and `second` that one's options."""
    attention = layer.attention
    if type(attention) is kind and is_unheard(attention):
        qkv = through_norm_linear(x, layer.attention_norm, attention.qkv)
        x = through_linear_residual(attention.attend(qkv, first, second), attention.projection, x)
    else:
        x = x + attention(layer.attention_norm(x), first, second)
    return through_norm_mlp(x, layer.mlp_norm, layer.mlp)
