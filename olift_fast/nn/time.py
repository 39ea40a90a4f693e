"""How a frame's place in time enters the model: as a vector of its frame number, or as a bias of its attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from olift_fast.runtime.time_encoding import TimeEncoding


def absolute_time(time_encoding: TimeEncoding, width: int, rows: int) -> AbsoluteTime | TimeTable | None:
    """What adds a vector of the frame number to the tokens; None where the time encoding adds nothing to them."""
    if time_encoding == "absolute":
        return AbsoluteTime(width)
    return TimeTable(width, rows) if time_encoding == "table" else None


class RelativeTimeBias(nn.Module):
    """A bias for each head and frame offset: Fourier features of the offset through a linear layer.

    The parameters do not depend on the window, so that a trained bias serves any window.

    Args:
        heads: H.
        window: ``(left, right)`` frames; may be changed at any time.
        frequencies: F.
        sigma: standard deviation of the frequencies, in turns per frame.

    Equivalent to `olift_fast.reference.RelativeTimeBias`, same ``state_dict``.
    """

    freqs: Tensor

    def __init__(self, heads: int, window: tuple[int, int], frequencies: int = 16, sigma: float = 0.1) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("freqs", torch.randn(1, frequencies) * sigma)
        self.projection = nn.Linear(2 * frequencies, heads)

    def forward(self) -> Tensor:
        """→ ``(H, left + right + 1)``, from offset ``-left`` to offset ``right``."""
        left, right = self.window
        return self.projection(_features(-left, right + 1, self.freqs)).T


class AbsoluteTime(nn.Module):
    """A vector for each frame number: Fourier features of the number through a linear layer.

    Args:
        width: D.
        frequencies: F.
        sigma: standard deviation of the frequencies, in turns per frame.

    Source: arXiv 2412.01166. Equivalent to `olift_fast.reference.AbsoluteTime`, same ``state_dict``.
    """

    freqs: Tensor

    def __init__(self, width: int, frequencies: int = 32, sigma: float = 0.05) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(1, frequencies) * sigma)
        self.projection = nn.Linear(2 * frequencies, width)

    def forward(self, frames: int) -> Tensor:
        """→ ``(T, D)``."""
        return self.projection(_features(0, frames, self.freqs))


class TimeTable(nn.Module):
    """A learned vector for each frame number.

    Args:
        width: D.
        rows: how many frame numbers it has; longer clips are refused.

    Source: MotionBERT, arXiv 2210.06551. Equivalent to `olift_fast.reference.TimeTable`, same ``state_dict``.
    """

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, width) * 0.02)

    def forward(self, frames: int) -> Tensor:
        """→ ``(T, D)``.

        Raises:
            ValueError: more frames than rows.
        """
        if frames > len(self.weight):
            raise ValueError(f"frames must be <= {len(self.weight)}, the rows of the time table, got {frames}")
        return self.weight[:frames]


def _features(start: int, stop: int, freqs: Tensor) -> Tensor:
    """Fourier features ``(stop - start, 2F)`` of the whole numbers from start to stop, for freqs ``(1, F)``."""
    turns = torch.arange(start, stop, device=freqs.device, dtype=freqs.dtype)[:, None] * freqs
    # Whole turns change neither cosine nor sine; without them the phase is small, and exact.
    phase = 2 * math.pi * (turns - turns.round())
    return torch.cat([phase.cos(), phase.sin()], dim=-1)
