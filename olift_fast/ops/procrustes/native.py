"""The native backends of Procrustes alignment, on the CPU and on CUDA devices: one source, csrc/geometry."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from olift_fast.ops.native_module import loaded_module


def launch(
    step: str,
    points: tuple[Tensor, Tensor, Tensor | None],
    kind: str,
    reflection: bool = False,
    *,
    fit: tuple[Tensor | None, ...],
    error: Tensor | None = None,
    upstream: tuple[Tensor | None, ...] = (None,) * 4,
    gradients: Sequence[Tensor | None] = (None,) * 3,
) -> None:
    """Runs a step of `_native.procrustes`, which ``_native.pyi`` describes, on the device of the points.

    Raises:
        ValueError: a weight is negative (on the CPU).
    """
    source, target, weights = points
    count, places = source.shape[:2]
    if not count:
        return
    native = loaded_module()
    source, target = (x if x.stride(-1) == 1 else x.contiguous() for x in (source, target))
    fit = tuple(None if x is None else x.contiguous() for x in fit)
    upstream = tuple(None if x is None else x.contiguous() for x in upstream)
    call = (step, (source, target, weights), fit, error, upstream, gradients, kind, reflection)
    if source.device.type == "cpu":
        if weights is not None and step in ("fit", "error") and float(weights.min()) < 0:
            raise ValueError(f"weights must be >= 0, got {float(weights.min()):g}")
        native.procrustes(*call, torch.get_num_threads())
        return
    with torch.cuda.device(source.device):
        size = native.procrustes_workspace(count, places)
        workspace = source.new_empty(size, dtype=torch.float64)
        native.procrustes_cuda(*call, workspace, torch.cuda.current_stream().cuda_stream)
