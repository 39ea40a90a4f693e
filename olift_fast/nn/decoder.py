"""Tokens to joints."""

from __future__ import annotations

from torch import Tensor, nn

from olift_fast.nn.native_layers import apply_norm_mlp


class Decoder(nn.Module):
    """LayerNorm, then a linear layer D → D, GELU and a linear layer D → 3.

    Args:
        width: D.

    Equivalent to `olift_fast.reference.Decoder`, same ``state_dict``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, T, J, D)`` → joints ``(B, T, J, 3)``."""
        return apply_norm_mlp(x, self.norm, self.mlp, residual=False)
