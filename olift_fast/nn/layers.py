"""Pre-norm transformer layers over time and over joints."""

from __future__ import annotations

from torch import Tensor, nn

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention
from olift_fast.nn.dense import is_unheard, through_linear_residual, through_norm_linear, through_norm_mlp
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
        attention = self.attention
        if type(attention) is TemporalProximityAttention and is_unheard(attention):
            qkv = through_norm_linear(x, self.attention_norm, attention.qkv)
            x = through_linear_residual(attention.attend(qkv, visible, lengths), attention.projection, x)
        else:
            x = x + attention(self.attention_norm(x), visible, lengths)
        return through_norm_mlp(x, self.mlp_norm, self.mlp)


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
        attention = self.attention
        if type(attention) is JointAttention and is_unheard(attention):
            qkv = through_norm_linear(x, self.attention_norm, attention.qkv)
            x = through_linear_residual(attention.attend(qkv, graph, visible), attention.projection, x)
        else:
            x = x + attention(self.attention_norm(x), graph, visible)
        return through_norm_mlp(x, self.mlp_norm, self.mlp)
