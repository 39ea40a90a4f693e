"""Keypoints to tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from olift_fast.nn.time import absolute_time
from olift_fast.ops import rff_linear
from olift_fast.runtime.encoder import Encoding
from olift_fast.runtime.time_encoding import TimeEncoding


class KeypointEncoder(nn.Module):
    """A token for each keypoint: its random Fourier features through a linear layer; a learned token if it is hidden.

    Four vectors are added to it: the joint's side (+1, -1 or 0) times a learned vector, a learned vector for its kind,
    a linear map of sin p and cos p for the camera's pitch p, and the time encoding of the frame. An unknown side, kind
    or pitch adds nothing.

    Args:
        width: D.
        encoding: "rff", "learnable_rff", "sinusoidal" (octaves along each axis) or "linear" (the keypoint itself).
        frequencies: F.
        sigma: standard deviation of the frequencies, in turns per unit of the keypoints.
        time_encoding: "absolute" adds Fourier features of the frame number, "table" a learned vector for each number
            below `time_rows`; "relative" and "none" leave time to the attention.
        time_rows: frames of the longest clip that a "table" can take.
        pitch: whether it takes the camera's pitch.
        kinds: whether it takes kinds of joints: rows of their table; 0 for no.

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
        pitch: bool = False,
        kinds: int = 0,
    ) -> None:
        super().__init__()
        self.encoding = encoding
        freqs = _frequencies(encoding, frequencies, sigma)
        if encoding == "learnable_rff":
            self.freqs = nn.Parameter(freqs)
        else:
            self.register_buffer("freqs", freqs)
        self.projection = nn.Linear(2 if encoding == "linear" else 2 * frequencies, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.side = nn.Parameter(torch.randn(width) * 0.02)
        self.time = absolute_time(time_encoding, width, time_rows)
        self.pitch = nn.Linear(2, width) if pitch else None
        self.kind = nn.Embedding(kinds, width, padding_idx=0) if kinds else None

    def forward(
        self,
        keypoints: Tensor,
        visible: Tensor,
        sides: Tensor | None = None,
        pitch: Tensor | None = None,
        kinds: Tensor | None = None,
    ) -> Tensor:
        """Tokens ``(B, T, J, D)``.

        Args:
            keypoints: ``(B, T, J, 2)``.
            visible: bool ``(B, T, J)``.
            sides: ``(B, J)``, +1 left, -1 right, 0 middle or unknown.
            pitch: ``(B,)`` degrees, NaN where unknown.
            kinds: int64 ``(B, J)``, 0 where unknown. A number without a row in the table counts as unknown.
        """
        weight, bias = self.projection.weight, self.projection.bias
        if self.encoding == "linear":
            seen = functional.linear(torch.where(visible[..., None], keypoints, 0.0), weight, bias)
            tokens = torch.where(visible[..., None], seen, self.token)
        else:
            tokens = rff_linear(keypoints, self.freqs, weight, bias, visible=visible, token=self.token)
        description = self.describe(sides, pitch, kinds)
        if description is not None:
            tokens = tokens + description[:, None]
        return tokens if self.time is None else tokens + self.time(tokens.shape[1])[None, :, None, :]

    def describe(
        self, sides: Tensor | None = None, pitch: Tensor | None = None, kinds: Tensor | None = None
    ) -> Tensor | None:
        """The sum of side, pitch and kind, added to the tokens of every frame: ``(B, J, D)`` or ``(B, 1, D)``, or None.

        The arguments are as for `forward`.
        """
        parts = []
        if sides is not None:
            parts.append(sides[..., None] * self.side)
        if pitch is not None and self.pitch is not None:
            known = ~pitch.isnan()
            radians = torch.where(known, pitch, 0.0).deg2rad()
            # Elementwise, because the rounding of a matrix product depends on the number of rows, here of clips.
            of_sine, of_cosine = self.pitch.weight.unbind(dim=1)
            seen = radians.sin()[:, None] * of_sine + radians.cos()[:, None] * of_cosine + self.pitch.bias
            parts.append(torch.where(known[:, None], seen, 0.0)[:, None])
        if kinds is not None and self.kind is not None:
            parts.append(self.kind(torch.where(kinds < self.kind.num_embeddings, kinds, 0)))
        return sum(parts[1:], parts[0]) if parts else None


def _frequencies(encoding: Encoding, count: int, sigma: float) -> Tensor:
    """``(2, count)``: drawn from ``N(0, sigma²)``, or for "sinusoidal" from sigma / 16 to 16 sigma along each axis."""
    if encoding == "sinusoidal":
        octaves = sigma * 2.0 ** torch.linspace(-4, 4, count // 2)
        return functional.pad(torch.block_diag(octaves, octaves), (0, count % 2))
    return torch.randn(2, count) * sigma
