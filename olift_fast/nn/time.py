"""Time encodings: a vector for each frame number, or a bias of the attention for each offset in time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from olift_fast.nn.hooks import has_hooks
from olift_fast.nn.watched import Watched
from olift_fast.ops.registration import autocast_dtype
from olift_fast.runtime.time_encoding import TimeEncoding


def absolute_time(time_encoding: TimeEncoding, width: int, rows: int) -> AbsoluteTime | TimeTable | None:
    """The module whose vectors for frame numbers are added to the tokens; None if the time encoding adds none."""
    if time_encoding == "absolute":
        return AbsoluteTime(width)
    return TimeTable(width, rows) if time_encoding == "table" else None


class RelativeTimeBias(nn.Module):
    """A bias for each head and frame offset: Fourier features of the offset through a linear layer.

    The parameters do not depend on the window, so a trained bias works with any window.

    Args:
        heads: H.
        window: ``(left, right)`` frames; may be changed at any time.
        frequencies: F.
        sigma: standard deviation of the frequencies, in turns per frame.

    In eval mode and without gradients the bias is computed once and kept. It is computed again after a change of the
    parameters, the window, the device or the dtype. A kept bias of half precision is in float32, as the attentions take
    it. PyTorch does not count some changes, such as ``parameter.data.add_(…)``; they take effect at the next
    ``eval()``. The kept values change in place, so a CUDA graph reads those of the last call outside of the graph.

    Equivalent to `olift_fast.reference.RelativeTimeBias`, same ``state_dict``.
    """

    freqs: Tensor

    def __init__(self, heads: int, window: tuple[int, int], frequencies: int = 16, sigma: float = 0.1) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("freqs", torch.randn(1, frequencies) * sigma)
        self.projection = nn.Linear(2 * frequencies, heads)
        self._held: dict[tuple[object, ...], tuple[Tensor, Watched]] = {}

    def forward(self) -> Tensor:
        """→ ``(H, left + right + 1)``, from offset ``-left`` to offset ``right``; not to be written to."""
        sources = self._sources()
        if sources is None:
            return self._computed()
        device = self.freqs.device
        dtype = autocast_dtype(device) or self.projection.weight.dtype
        key = (tuple(self.window), device, dtype)
        held, watched = self._held.get(key, (None, None))
        if held is None or watched is None or not watched.are((held, *sources)):
            # A tensor made in inference mode could not be used later with gradients.
            with torch.inference_mode(False), torch.no_grad():
                bias = self._computed()
                bias = bias.to(torch.promote_types(bias.dtype, torch.float32)).contiguous()
                if type(bias) is not Tensor or (bias.is_cuda and torch.cuda.is_current_stream_capturing()):
                    return bias
                held = bias if held is None else held.copy_(bias)
            if held.is_cuda:  # Other streams may read it next.
                torch.cuda.current_stream(held.device).synchronize()
            self._held[key] = held, Watched((held, *sources))
        return held

    def train(self, mode: bool = True) -> RelativeTimeBias:
        """See `nn.Module.train`. The bias is computed again at the next call."""
        for key, (held, _) in tuple(self._held.items()):
            self._held[key] = held, Watched(())
        return super().train(mode)

    def __getstate__(self) -> dict[str, object]:
        """Without the kept bias: a copy computes its own."""
        return {**self.__dict__, "_held": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__({"_held": {}, **state})

    def _sources(self) -> tuple[Tensor, ...] | None:
        """The tensors that the bias is computed from, to be watched; None if it must be computed at every call."""
        linear = self.projection
        traced = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
        if self.training or traced or torch.jit.is_tracing():  # type: ignore[attr-defined]
            return None
        if type(linear) is not nn.Linear or has_hooks(linear):
            return None
        sources = (self.freqs, linear.weight, linear.bias)
        if [type(x) for x in sources] != [Tensor, nn.Parameter, nn.Parameter] or any(x.is_inference() for x in sources):
            return None
        return None if torch.is_grad_enabled() and any(x.requires_grad for x in sources) else sources

    def _computed(self) -> Tensor:
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
    # Whole turns change neither cosine nor sine. Without them the phase is small and has little rounding error.
    phase = 2 * math.pi * (turns - turns.round())
    return torch.cat([phase.cos(), phase.sin()], dim=-1)
