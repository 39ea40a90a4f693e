"""The lifter on the CPU without torch: NumPy arrays and the native module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from olift_fast.errors import InputError
from olift_fast.model import checkpoints
from olift_fast.model.config import LifterConfig, latency_window
from olift_fast.runtime.arrays import Array, Counts, Mask, contiguous
from olift_fast.runtime.asked_backend import asked_backend
from olift_fast.runtime.encoder import Encoder
from olift_fast.runtime.fused import FusedLayers, fused_of
from olift_fast.runtime.native_module import Products, why_not_native, why_not_products


class NativeLifter:
    """A lifter for the CPU that takes NumPy arrays and does not import torch.

    `lift_tracks`, `lift_long`, `StreamingLifter` and `LiftingProcessor` accept it instead of a `Lifter`. Its layers are
    the native code that `Lifter` runs without gradients. The joints are the same up to float rounding, because the time
    encoding, the pitch and the uncertainty are rounded at other places.

    Args:
        config: the architecture.
        weights: by their names in ``Lifter.state_dict()``, float32. They are not copied; don't change them.
        name: the model's name, as results record it.
        dtype: of the linear layers' products, "float32", "bfloat16" (on CPUs with AVX512-BF16) or "int16" (on x86-64).

    Raises:
        InputError: the native module, or this dtype, does not run here; the message says why.
    """

    def __init__(
        self, config: LifterConfig, weights: Mapping[str, Array], name: str = "unnamed", dtype: Products = "float32"
    ) -> None:
        if (reason := why_not_here(dtype)) is not None:
            raise InputError(reason)
        self.config, self.name, self.dtype = config, name, dtype
        self.weights = {name: contiguous(array) for name, array in weights.items()}
        self.encoder = Encoder.of(self.weights, config.encoding, config.time_encoding)
        self.layers = self._layers()

    config: LifterConfig
    """The architecture."""
    encoder: Encoder
    """Keypoints to tokens."""
    layers: FusedLayers
    """Tokens to joints."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = "small", dtype: Products = "float32") -> NativeLifter:
        """Load a lifter from a checkpoint, as `Lifter.from_pretrained` does.

        Raises:
            InputError: as `Lifter.from_pretrained`, and as `NativeLifter`.
        """
        config, name, weights = checkpoints.load(name_or_path)
        return cls(config, weights, name, dtype)

    def lift_arrays(
        self,
        keypoints: Array,
        visible: Mask,
        *,
        graph: Mask | None = None,
        sides: Array | None = None,
        pitch: Array | None = None,
        kinds: Counts | None = None,
        lengths: Counts | None = None,
        uncertainty: bool = False,
    ) -> Array:
        """See `AnyLifter.lift_arrays`.

        Raises:
            ValueError, TypeError: an argument has the wrong shape or dtype, or the model does not support it.
            RuntimeError: `olift_fast.ops.use_backend` or ``OLIFT_BACKEND`` asks for another backend.
        """
        check_backend()
        batch, frames, joints = _check_points(keypoints, visible)
        _check("graph", graph, np.bool_, (joints, joints), (batch, joints, joints))
        _check("lengths", lengths, np.int64, (batch,))
        check_told(self.config, self.name, pitch=pitch is not None, kinds=kinds is not None, uncertainty=uncertainty)
        # The layers take float32: float64 would be rounded anyway.
        sides = None if sides is None else np.asarray(sides, np.float32)
        _check("sides", sides, np.float32, (joints,), (batch, joints))
        pitch = None if pitch is None else np.asarray(pitch, np.float32)
        _check("pitch", pitch, np.float32, (batch,))
        _check("kinds", kinds, np.int64, (joints,), (batch, joints))
        inside = None if lengths is None else (np.arange(frames) < lengths[:, None])[:, :, None]
        if inside is not None:
            visible = visible & inside
        given = (None if x is None else np.broadcast_to(x, (batch, joints)) for x in (sides, kinds))
        sides, kinds = given  # type: ignore[assignment]
        description = self.encoder.describe(sides, pitch, kinds)
        if visible.size:
            tokens = self.encoder(keypoints, visible, description)
            out = self.layers(tokens, visible, lengths, head_graphs(graph, batch, self.config.heads))
        else:
            out = np.empty((batch, frames, joints, self.layers.outputs), np.float32)
        lifted = out[..., :3]
        if uncertainty:
            lifted = np.concatenate([lifted, deviations(out[..., 3:])], axis=-1)
        return lifted if inside is None else np.where(inside[..., None], lifted, np.float32(0))

    def with_window(self, window: tuple[int, int]) -> NativeLifter:
        """The lifter with the same weights and another window: see `Lifter.with_window`."""
        return NativeLifter(replace(self.config, window=window), self.weights, self.name, self.dtype)

    def with_latency(self, frames: int) -> NativeLifter:
        """The lifter whose results depend on this many later frames: see `Lifter.with_latency`.

        Raises:
            InputError: `frames` is not a multiple >= 0 of the number of motion layers.
        """
        return self.with_window(latency_window(self.config, frames))

    def weight_bytes(self) -> Iterator[tuple[str, bytes]]:
        """See `AnyLifter.weight_bytes`."""
        for name, array in sorted(self.weights.items()):
            yield name, array.tobytes()

    def __repr__(self) -> str:
        return f"NativeLifter({self.name!r}, dtype={self.dtype}, {self.config})"

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the packed weights out of copies and pickles, because the packing depends on the machine."""
        return {**self.__dict__, "layers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.layers = self._layers()

    def _layers(self) -> FusedLayers:
        config = self.config
        return fused_of(
            self.weights,
            heads=config.heads,
            motion=config.motion_layers,
            space=config.space_layers,
            window=config.window,
            relative_time=config.time_encoding == "relative",
            products=self.dtype,
        )


def check_backend() -> None:
    """Raises RuntimeError if `use_backend` or ``OLIFT_BACKEND`` asks for a backend that `NativeLifter` doesn't have."""
    if (asked := asked_backend()) not in ("auto", "native"):
        raise RuntimeError(f"NativeLifter has no {asked} backend; a Lifter has")


def why_not_here(dtype: str = "float32") -> str | None:
    """One line on why `NativeLifter` can't compute in this dtype here; None if it can."""
    if (reason := why_not_native()) is not None:
        return reason
    if dtype not in get_args(Products):
        return f"dtype must be 'float32', 'bfloat16' or 'int16', got {dtype!r}"
    reason = why_not_products(cast(Products, dtype))
    return reason and f"dtype {dtype} does not run on this CPU: {reason}; float32 does"


def check_told(config: LifterConfig, name: str, **told: bool) -> None:
    """Raises ValueError if an argument (pitch, kinds, uncertainty) is used that the model does not support."""
    for what, asked in told.items():
        if asked and not getattr(config, what):
            raise ValueError(f"the model {name!r} was made without {what} (see its config), so leave it out")


def deviations(logarithms: Array) -> Array:
    """Standard deviations from the decoder's logarithms, clamped to e⁻⁸ … e⁴ model units."""
    return np.exp(np.clip(logarithms, np.float32(-8), np.float32(4)))


def head_graphs(graph: Mask | None, batch: int, heads: int) -> Mask | None:
    """The graph of each head ``(B, H, J, J)``: the first half of the heads use `graph`, the others attend all joints.

    Args:
        graph: bool ``(J, J)`` or ``(B, J, J)``. With None all heads attend all joints.
        batch, heads: B and H.

    Equivalent to `olift_fast.nn.dual_graph` without a mask of joints.
    """
    if graph is None:
        return None
    graphs = np.ones((batch, heads, *graph.shape[-2:]), dtype=np.bool_)
    graphs[:, : heads // 2] = np.broadcast_to(graph, (batch, *graph.shape[-2:]))[:, None]
    return graphs


def _check_points(keypoints: Array, visible: Mask) -> tuple[int, int, int]:
    """B, T and J; raises ValueError or TypeError if the arrays have the wrong shape or dtype."""
    if keypoints.ndim != 4 or keypoints.shape[-1] != 2:
        raise ValueError(f"keypoints must be (B, T, J, 2), got {keypoints.shape}")
    if keypoints.dtype.kind != "f":
        raise TypeError(f"keypoints must be floating-point, got {keypoints.dtype}")
    _check("visible", visible, np.bool_, keypoints.shape[:3])
    batch, frames, joints, _ = keypoints.shape
    return batch, frames, joints


def _check(name: str, array: Any, dtype: type, *shapes: tuple[int, ...]) -> None:
    """Raises unless the array is None, or of this dtype and one of these shapes."""
    if array is None:
        return
    if array.shape not in shapes:
        raise ValueError(f"{name} must be {' or '.join(map(str, shapes))}, got {array.shape}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {np.dtype(dtype)}, got {array.dtype}")
