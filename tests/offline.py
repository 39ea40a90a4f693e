"""What streams are compared with: the whole recording, lifted at once."""

from __future__ import annotations

import numpy as np
import torch

from olift_fast import Lifter, Skeleton
from olift_fast.model import Normalization, lift_in_chunks


def lifted_offline(
    lifter: Lifter,
    keypoints: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    normalization: Normalization,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Joints ``(T, J, 3)`` in model units, centered on each frame's joints; the lifter takes keypoints in `dtype`."""
    normalized, _ = normalization.apply(keypoints, visible)
    given = torch.from_numpy(normalized).to(dtype)
    joints = lift_in_chunks(lifter, given, torch.from_numpy(visible), skeleton)
    return (joints - joints.mean(dim=1, keepdim=True)).numpy()
