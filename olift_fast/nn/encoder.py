"""Keypoints to tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from olift_fast.ops import rff_linear
from olift_fast.reference import Encoding, TimeEncoding, absolute_time, encoding_frequencies


class KeypointEncoder(nn.Module):
    """Random Fourier features of a keypoint through a linear layer; a learned token for a hidden one; the joint's side.

    Args:
        width: D.
        encoding: "rff", "learnable_rff", "sinusoidal" (octaves along each axis) or "linear" (the keypoint itself).
        frequencies: F.
        sigma: standard deviation of the frequencies, in turns per unit of the keypoints.
        time_encoding: "absolute" adds Fourier features of the frame number, "table" a learned vector for each number
            below `time_rows`; "relative" and "none" leave time to the attention.
        time_rows: the longest clip, with "table".

    Equivalent to `olift_fast.reference.KeypointEncoder`, same ``state_dict``.
    """

    def __init__(
        self,
        width: int,
        encoding: Encoding = "rff",
        frequencies: int = 64,
        sigma: float = 0.5,
        time_encoding: TimeEncoding = "relative",
        time_rows: int = 243,
    ) -> None:
        super().__init__()
        self.encoding = encoding
        freqs = encoding_frequencies(encoding, frequencies, sigma)
        if encoding == "learnable_rff":
            self.freqs = nn.Parameter(freqs)
        else:
            self.register_buffer("freqs", freqs)
        self.projection = nn.Linear(2 if encoding == "linear" else 2 * frequencies, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.side = nn.Parameter(torch.randn(width) * 0.02)
        self.time = absolute_time(time_encoding, width, time_rows)

    def forward(self, keypoints: Tensor, visible: Tensor, sides: Tensor | None = None) -> Tensor:
        """keypoints ``(B, T, J, 2)``, visible bool ``(B, T, J)``, sides ``(B, J)`` of ±1, 0 → ``(B, T, J, D)``."""
        weight, bias = self.projection.weight, self.projection.bias
        if self.encoding == "linear":
            seen = functional.linear(torch.where(visible[..., None], keypoints, 0.0), weight, bias)
            tokens = torch.where(visible[..., None], seen, self.token)
        else:
            tokens = rff_linear(keypoints, self.freqs, weight, bias, visible=visible, token=self.token)
        if sides is not None:
            tokens = tokens + sides[:, None, :, None] * self.side
        return tokens if self.time is None else tokens + self.time(tokens.shape[1])[None, :, None, :]
