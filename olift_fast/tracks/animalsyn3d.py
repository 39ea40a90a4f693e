"""A fact about the cameras of AnimalSyn3D, for the reader of its 2D keypoints and that of its training data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def y_is_up(rotation: npt.NDArray[np.float64]) -> bool:
    """Whether a camera's y axis points up, as in the data set's tooling, by its rotation (3, 3)."""
    return bool(rotation[1, 1] >= 0.999)
