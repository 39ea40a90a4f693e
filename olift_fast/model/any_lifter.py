"""The interface that lifting needs. `Lifter` (a torch module) and `NativeLifter` (NumPy arrays) both have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from olift_fast.model.config import LifterConfig
from olift_fast.runtime.arrays import Array, Counts, Mask


class AnyLifter(Protocol):
    """A lifter of recordings and streams."""

    @property
    def config(self) -> LifterConfig:
        """The architecture."""
        ...

    @property
    def name(self) -> str:
        """The model's name, as results record it."""
        ...

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
        """Lift normalized keypoints without gradients.

        Args:
            keypoints: ``(B, T, J, 2)``; hidden ones may hold anything, NaN too.
            visible: bool ``(B, T, J)``.
            graph, sides, pitch, kinds, lengths, uncertainty: as `Lifter.forward` takes them.

        Returns:
            joints ``(B, T, J, 3)``, or ``(B, T, J, 5)``, as `Lifter.forward` returns them.

        Raises:
            ValueError, TypeError: as `Lifter.forward`.
        """
        ...

    def with_latency(self, frames: int) -> AnyLifter:
        """The lifter whose results depend on this many frames after their own: see `Lifter.with_latency`."""
        ...

    def weight_bytes(self) -> Iterator[tuple[str, bytes]]:
        """Pairs of a weight's name and its bytes, sorted by name. Their hash identifies a lifter."""
        ...
