"""Tokens to joints."""

from __future__ import annotations

from torch import Tensor, nn

from olift_fast.nn.native_layers import apply_norm_mlp


class Decoder(nn.Module):
    """LayerNorm, then a linear layer D → D, GELU and a linear layer D → outputs.

    Args:
        width: D.
        outputs: 3 for x, y, z; 5 with the logarithms of two standard deviations, that of x and y and that of z.

    Equivalent to `olift_fast.reference.Decoder`, same ``state_dict``.
    """

    def __init__(self, width: int, outputs: int = 3) -> None:
        super().__init__()
        self.outputs = outputs
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, T, J, D)`` → ``(B, T, J, outputs)``."""
        return apply_norm_mlp(x, self.norm, self.mlp, residual=False)
