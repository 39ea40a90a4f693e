"""What both readers of AnimalSyn3D, that of 2D keypoints and that of training data, take from its cameras."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def y_is_up(rotation: npt.NDArray[np.float64]) -> bool:
    """Whether a camera's y axis points along the world's, up, as the data set's tooling has it; rotation (3, 3)."""
    return bool(rotation[1, 1] >= 0.999)
