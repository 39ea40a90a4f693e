"""The encoder on arrays: it makes a token of each keypoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from olift_fast.runtime.arrays import Array, Mask, Weights, contiguous, fresh
from olift_fast.runtime.native_module import loaded_module
from olift_fast.runtime.threads import thread_count
from olift_fast.runtime.time_encoding import TimeEncoding, absolute_time, table_of_time

Encoding = Literal["rff", "learnable_rff", "sinusoidal", "linear"]
"""A keypoint's encoding: random Fourier features, fixed or trained; octaves along each axis; or the keypoint itself."""


@dataclass(frozen=True, eq=False)
class Encoder:
    """`olift_fast.nn.KeypointEncoder` without gradients, on arrays.

    Args:
        encoding: how the numbers of a keypoint become features.
        freqs: ``(2, F)``, the frequencies of the features.
        weight, bias: the layer after the features, ``(D, 2F)`` and ``(D,)``; for "linear" the weight is ``(D, 2)``.
        token: ``(D,)``, the token of a hidden keypoint.
        side: ``(D,)``, added for a joint on the left, subtracted for one on the right.
        pitch: weight ``(D, 2)`` and bias ``(D,)`` for the pitch; None if the model does not take it.
        kind: ``(kinds, D)``, a row for each kind of joint; None if the model does not take kinds.
        time: a function of the number of frames that returns ``(T, D)``; None if the model does not count frames.
    """

    encoding: Encoding
    freqs: Array
    weight: Array
    bias: Array
    token: Array
    side: Array
    pitch: tuple[Array, Array] | None
    kind: Array | None
    time: Callable[[int], Array] | None

    @classmethod
    def of(cls, weights: Weights, encoding: Encoding, time_encoding: TimeEncoding) -> Encoder:
        """The encoder with those of a lifter's weights whose names begin with "encoder."."""
        own = {name.removeprefix("encoder."): array for name, array in weights.items() if name.startswith("encoder.")}
        time: Callable[[int], Array] | None = None
        if time_encoding == "absolute":
            time = partial(absolute_time, own, "time.")
        elif time_encoding == "table":
            time = partial(table_of_time, own["time.weight"])
        layer = own["projection.weight"], own["projection.bias"]
        pitch = (own["pitch.weight"], own["pitch.bias"]) if "pitch.weight" in own else None
        return cls(encoding, own["freqs"], *layer, own["token"], own["side"], pitch, own.get("kind.weight"), time)

    def __call__(self, keypoints: Array, visible: Mask, description: Array | None = None) -> Array:
        """Tokens ``(B, T, J, D)`` of keypoints ``(B, T, J, 2)`` and visible ``(B, T, J)``, which may have any strides.

        `description` is the result of `describe`.
        """
        tokens: Array = fresh((*visible.shape, len(self.bias)))
        self.encode_into(keypoints, visible, tokens)
        if description is not None:
            tokens += description[:, None]
        if self.time is not None:
            tokens += self.time(tokens.shape[1])[None, :, None, :]
        return tokens

    def encode_into(self, keypoints: Array, visible: Mask, tokens: Array) -> None:
        """Writes the tokens of keypoints, without description and time, into `tokens` ``(..., D)``, contiguous."""
        if self.encoding == "linear":
            x, y = np.moveaxis(np.where(visible[..., None], keypoints, np.float32(0)), -1, 0)[..., None]
            tokens[...] = np.where(visible[..., None], _through(x, y, self.weight, self.bias), self.token)
            return
        points = contiguous(keypoints).reshape(-1, 2)
        rows = tokens.reshape(-1, tokens.shape[-1])
        seen = contiguous(visible, np.bool_).reshape(-1)
        layer = (self.freqs, self.weight, self.bias)
        loaded_module().rff_forward(points, *layer, seen, self.token, rows, thread_count())

    def describe(self, sides: Array | None = None, pitch: Array | None = None, kinds: Any = None) -> Array | None:
        """The vectors added to the tokens of every frame, ``(B, J, D)`` or ``(B, 1, D)``; None if there are none.

        Args:
            sides: ``(B, J)``, +1 left, -1 right, 0 middle or unknown.
            pitch: ``(B,)`` degrees, NaN where unknown.
            kinds: int64 ``(B, J)``, 0 where unknown; numbers without a row in the table count as unknown.
        """
        parts: list[Array] = []
        if sides is not None:
            parts.append(sides[..., None] * self.side)
        if pitch is not None and self.pitch is not None:
            weight, bias = self.pitch
            known = ~np.isnan(pitch)
            radians = np.deg2rad(np.where(known, pitch, 0).astype(np.float64))
            seen = _through(np.sin(radians)[:, None], np.cos(radians)[:, None], weight, bias).astype(np.float32)
            parts.append(np.where(known[:, None], seen, np.float32(0))[:, None])
        if kinds is not None and self.kind is not None:
            parts.append(self.kind[np.where(kinds < len(self.kind), kinds, 0)])
        return sum(parts[1:], parts[0]) if parts else None


def _through(first: Any, second: Any, weight: Array, bias: Array) -> Any:
    """Two numbers ``(..., 1)`` through a linear layer ``(D, 2)``: ``(..., D)``.

    It is no product of matrices, whose rounding can depend on the number of rows.
    """
    return first * weight[:, 0] + second * weight[:, 1] + bias
