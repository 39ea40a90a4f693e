"""Random Fourier features of points through a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from olift_fast.ops import rff_linear
from olift_fast.ops.checks import check_floating, check_shape


class RandomFourierFeatures(nn.Module):
    """``[cos 2πxB, sin 2πxB] @ weight.T + bias`` with random frequencies B.

    Args:
        channels: C of the points: 2 for keypoints.
        width: D.
        frequencies: F.
        sigma: standard deviation of the frequencies, in turns per unit of the points.
        learnable: train the frequencies. By default they are fixed; they are saved in both cases.
        token: learn a vector that is the result for a hidden point. Without it, the result is zeros.

    Raises:
        ValueError: a size is less than 1.

    Equivalent to `olift_fast.reference.rff_linear`. Source: Rahimi & Recht 2007; Tancik et al. 2020.
    """

    freqs: Tensor

    def __init__(
        self,
        channels: int,
        width: int,
        frequencies: int = 64,
        sigma: float = 0.5,
        learnable: bool = False,
        token: bool = True,
    ) -> None:
        super().__init__()
        if min(channels, width, frequencies) < 1:
            raise ValueError(f"channels, width and frequencies must be >= 1, got {channels}, {width} and {frequencies}")
        freqs = torch.randn(channels, frequencies) * sigma
        if learnable:
            self.freqs = nn.Parameter(freqs)
        else:
            self.register_buffer("freqs", freqs)
        self.projection = nn.Linear(2 * frequencies, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02) if token else None

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Points ``(..., C)``, visible bool ``(...)`` → ``(..., D)``. The coordinates of a hidden point may be NaN."""
        check_floating("x", x)
        check_shape("x", x, (*x.shape[:-1], self.freqs.shape[0]))
        weight, bias = self.projection.weight, self.projection.bias
        return rff_linear(x, self.freqs, weight, bias, visible=visible, token=self.token)
