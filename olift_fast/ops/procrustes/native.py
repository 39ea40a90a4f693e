"""The native backends of Procrustes alignment on the CPU and on CUDA devices, from one source, csrc/geometry.

Orthographic Procrustes has kernels for the CPU only.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from olift_fast.ops.native_module import loaded_module
from olift_fast.ops.registration import contiguous


def launch(
    step: str,
    points: tuple[Tensor, Tensor, Tensor | None],
    kind: str,
    reflection: bool = False,
    *,
    fit: tuple[Tensor | None, ...],
    error: Tensor | None = None,
    moved: Tensor | None = None,
    upstream: tuple[Tensor | None, ...] = (None,) * 5,
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
    call = (step, (*_in_rows(source, target), weights), contiguous(*fit), error, moved, contiguous(*upstream))
    if source.device.type == "cpu":
        if step in ("fit", "error", "align"):
            _check_weights(weights)
        native.procrustes(*call, gradients, kind, reflection, torch.get_num_threads())
        return
    with torch.cuda.device(source.device):
        size = native.procrustes_workspace(count, places)
        workspace = source.new_empty(size, dtype=torch.float64)
        stream = torch.cuda.current_stream().cuda_stream
        native.procrustes_cuda(*call, gradients, kind, reflection, workspace, stream)


def launch_orthographic(
    step: str,
    points: tuple[Tensor, Tensor, Tensor | None],
    *,
    fit: tuple[Tensor | None, ...],
    upstream: tuple[Tensor | None, ...] = (None,) * 3,
    gradients: Sequence[Tensor | None] = (None,) * 3,
) -> None:
    """Runs a step of `_native.orthographic`, which ``_native.pyi`` describes.

    Raises:
        ValueError: a weight is negative.
    """
    source, target, weights = points
    if not source.shape[0]:
        return
    if step == "fit":
        _check_weights(weights)
    call = (step, (*_in_rows(source, target), weights), contiguous(*fit), contiguous(*upstream), gradients)
    loaded_module().orthographic(*call, torch.get_num_threads())


def _in_rows(*points: Tensor) -> list[Tensor]:
    """Each with a unit last stride."""
    return [x if x.stride(-1) == 1 else x.contiguous() for x in points]


def _check_weights(weights: Tensor | None) -> None:
    if weights is not None and (least := float(weights.min())) < 0:
        raise ValueError(f"weights must be >= 0, got {least:g}")
