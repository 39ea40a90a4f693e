"""Lift a clip and its mirror image: the mean of both is more accurate, and how far they are apart tells of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from olift_fast.model.any_lifter import AnyLifter
from olift_fast.runtime.arrays import Array

if TYPE_CHECKING:
    from torch import Tensor

Points = TypeVar("Points", Array, "Tensor")
"""Arrays, or tensors of torch's."""


def lift_mirrored(model: AnyLifter, keypoints: Points, visible: Any, *, sides: Any, **told: Any) -> Points:
    """The mean of what the model gives for a clip and for its mirror image, mirrored back, ``(B, T, J, 3)`` or more.

    x turns to -x, left to right. It takes a model whose output stands in the camera's frame, as training with a
    reprojection weight makes it. Arguments as `Lifter.forward`'s: tensors, or arrays where it gives arrays.
    """
    straight, mirrored = _straight_and_mirrored(model, keypoints, visible, sides, told)
    return 0.5 * (straight + mirrored)


@dataclass
class MirrorDisagreement:
    """How far a lift and that of the mirror image are apart, summed up while both are lifted."""

    squares: float = 0.0
    joints: int = 0

    def lift(self, model: AnyLifter, keypoints: Points, visible: Any, *, sides: Any, **told: Any) -> Points:
        """`lift_mirrored`, which also counts how far the two are apart."""
        straight, mirrored = _straight_and_mirrored(model, keypoints, visible, sides, told)
        self.add(straight[..., :3], mirrored[..., :3], visible)
        return 0.5 * (straight + mirrored)

    def add(self, straight: Points, mirrored: Points, visible: Any) -> None:
        """Counts joints ``(B, T, J, 3)`` and their mirror image's, mirrored back, where they are visible.

        Each frame is centered on its visible joints first: a lifter does not tell where the body is.
        """
        one, other, visible = (array_of(x) for x in (straight, mirrored, visible))
        apart = np.where(visible[..., None], one - other, np.float32(0)).astype(np.float64)
        counts = visible.sum(axis=-1, keepdims=True)[..., None]
        apart -= apart.sum(axis=-2, keepdims=True) / np.maximum(counts, 1)
        self.squares += float(np.square(apart[visible]).sum())
        self.joints += int(counts.sum())

    @property
    def share(self) -> float | None:
        """RMS distance from one to the other in model units, the RMS radius of the keypoints; None before any."""
        return (self.squares / self.joints) ** 0.5 if self.joints else None


def _straight_and_mirrored(
    model: AnyLifter, keypoints: Points, visible: Any, sides: Any, told: dict[str, Any]
) -> tuple[Points, Points]:
    straight = lift_straight(model, keypoints, visible, sides=sides, **told)
    return straight, _turned(lift_straight(model, _turned(keypoints), visible, sides=-sides, **told))


def lift_straight(model: AnyLifter, keypoints: Points, visible: Any, **told: Any) -> Points:
    """The clip as it is: arrays by `AnyLifter.lift_arrays`, tensors by the call of a `Lifter`."""
    if isinstance(keypoints, np.ndarray):
        return model.lift_arrays(keypoints, visible, **told)
    return model(keypoints, visible, **told)  # type: ignore[operator]


def _turned(points: Points) -> Points:
    """Points with x turned to -x."""
    turned = points.copy() if isinstance(points, np.ndarray) else points.clone()
    turned[..., 0] = -turned[..., 0]
    return turned


def array_of(values: Any) -> Any:
    """The values of an array, or of a tensor wherever it is."""
    return values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
