"""Lift a clip and its mirror image. Their mean is more accurate, and a large distance between them means errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from olift_fast.model.any_lifter import AnyLifter
from olift_fast.runtime.arrays import Array

if TYPE_CHECKING:
    from torch import Tensor

Points = TypeVar("Points", Array, "Tensor")
"""NumPy arrays, or torch tensors."""


def lift_mirrored(model: AnyLifter, keypoints: Points, visible: Any, *, sides: Any, **told: Any) -> Points:
    """The mean of the results for a clip and for its mirror image, mirrored back: ``(B, T, J, 3)`` or ``(B, T, J, 5)``.

    In the mirror image x is -x, and left is right. The model's output must be in the camera's frame, as it is after
    training with a reprojection weight. Arguments as in `Lifter.forward`: tensors give tensors, arrays give arrays.
    """
    straight, mirrored = _straight_and_mirrored(model, keypoints, visible, sides, told)
    return 0.5 * (straight + mirrored)


@dataclass
class MirrorDisagreement:
    """The distance between the lift of a clip and that of its mirror image, summed while both are lifted."""

    squares: float = 0.0
    joints: int = 0

    def lift(self, model: AnyLifter, keypoints: Points, visible: Any, *, sides: Any, **told: Any) -> Points:
        """`lift_mirrored`, which also adds the distance between the two."""
        straight, mirrored = _straight_and_mirrored(model, keypoints, visible, sides, told)
        self.add(straight[..., :3], mirrored[..., :3], visible)
        return 0.5 * (straight + mirrored)

    def add(self, straight: Points, mirrored: Points, visible: Any) -> None:
        """Adds the distances between joints ``(B, T, J, 3)`` and those of the mirror image, mirrored back, if visible.

        Each frame is centered on its visible joints first, because a lifter does not find the body's position.
        """
        one, other, visible = (array_of(x) for x in (straight, mirrored, visible))
        apart = np.where(visible[..., None], one - other, np.float32(0)).astype(np.float64)
        counts = visible.sum(axis=-1, keepdims=True)[..., None]
        apart -= apart.sum(axis=-2, keepdims=True) / np.maximum(counts, 1)
        self.squares += float(np.square(apart[visible]).sum())
        self.joints += int(counts.sum())

    @property
    def share(self) -> float | None:
        """RMS distance between the two in model units (RMS radii of the keypoints); None before anything is added."""
        return (self.squares / self.joints) ** 0.5 if self.joints else None


def _straight_and_mirrored(
    model: AnyLifter, keypoints: Points, visible: Any, sides: Any, told: dict[str, Any]
) -> tuple[Points, Points]:
    straight = lift_straight(model, keypoints, visible, sides=sides, **told)
    return straight, _turned(lift_straight(model, _turned(keypoints), visible, sides=-sides, **told))


def lift_straight(model: AnyLifter, keypoints: Points, visible: Any, **told: Any) -> Points:
    """Lifts the clip as it is: arrays by `AnyLifter.lift_arrays`, tensors by calling a `Lifter`."""
    if isinstance(keypoints, np.ndarray):
        return model.lift_arrays(keypoints, visible, **told)
    return model(keypoints, visible, **told)  # type: ignore[operator]


def _turned(points: Points) -> Points:
    """Points with x turned to -x."""
    turned = points.copy() if isinstance(points, np.ndarray) else points.clone()
    turned[..., 0] = -turned[..., 0]
    return turned


def array_of(values: Any) -> Any:
    """The values of an array, or of a tensor on any device, as an array."""
    return values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
