"""The native kernels on NumPy arrays, through `ops/*/native.py`, and the same mathematics in plain float64 NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from olift_fast.ops.banded_attention.native import _backward as banded_backward
from olift_fast.ops.banded_attention.native import attend_into
from olift_fast.ops.banded_attention_step.native import step_into
from olift_fast.ops.native_module import loaded_module
from olift_fast.ops.procrustes.native import launch

Array = np.ndarray
NONE = (None,) * 5
module = loaded_module


def tensor(array: Array | None) -> Tensor | None:
    """The same memory as a tensor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return None if array is None else torch.from_numpy(array)


def tensors(*arrays: Array | None) -> list[Any]:
    return [tensor(array) for array in arrays]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for the kernels, which take as many as torch does."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def banded_attention(
    q: Array,
    k: Array,
    v: Array,
    window: tuple[int, int],
    *,
    bias: Array | None = None,
    visible: Array | None = None,
    lengths: Array | None = None,
    scale: float | None = None,
    out: Array | None = None,
    threads: int = 1,
) -> tuple[Array, Array]:
    """(out ``(B, T, J, H, Dh)``, lse ``(B, T, J, H)``) of the native kernel; fresh outputs start as NaN."""
    out = np.full(q.shape, np.nan, np.float32) if out is None else out
    lse = np.full(q.shape[:4], np.nan, np.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with torch_threads(threads):
        attend_into(*tensors(q, k, v), *window, *tensors(bias, visible, lengths), scale, *tensors(out, lse))
    return out, lse


def banded_attention_step(
    q: Array,
    k: Array,
    v: Array,
    frames: Array,
    lengths: Array,
    window: tuple[int, int],
    *,
    bias: Array | None = None,
    visible: Array | None = None,
    threads: int = 1,
) -> Array:
    """out ``(B, J, H, Dh)`` of the native kernel, from rings ``(B, slots, J, H, Dh)``; it starts as NaN."""
    out = np.full((len(q), *q.shape[2:]), np.nan, np.float32)
    with torch_threads(threads):
        masks = tensors(bias, visible)
        step_into(*tensors(q, k, v, frames, lengths), *window, *masks, q.shape[-1] ** -0.5, *tensors(out))
    return out


def banded_attention_gradients(
    grad_out: Array,
    q: Array,
    k: Array,
    v: Array,
    window: tuple[int, int],
    *,
    bias: Array | None = None,
    visible: Array | None = None,
    lengths: Array | None = None,
    grads: Array | None = None,
    threads: int = 1,
) -> dict[str, Array]:
    """Gradients of q, k, v and bias by the native kernel; `grads` ``(B, T, J, 3, H, Dh)`` takes the first three."""
    masks = {"bias": bias, "visible": visible, "lengths": lengths}
    out, lse = banded_attention(q, k, v, window, **masks)
    grads = np.full((*q.shape[:3], 3, *q.shape[3:]), np.nan, np.float32) if grads is None else grads
    outputs = {name: grads[:, :, :, i] for i, name in enumerate("qkv")}
    if bias is not None:
        outputs["bias"] = np.full(bias.shape, np.nan, np.float32)
    with torch_threads(threads):
        given = tensors(grad_out, q, k, v, out, lse)
        written = tensors(*(outputs.get(name) for name in ("q", "k", "v", "bias")))
        banded_backward(*given, *window, *tensors(*masks.values()), q.shape[-1] ** -0.5, *written)
    return outputs


def expected_attention(
    q: Array,
    k: Array,
    v: Array,
    window: tuple[int, int],
    *,
    bias: Array | None = None,
    visible: Array | None = None,
    lengths: Array | None = None,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """Query by query, over the keys that it has and no others."""
    batch, frames, joints, heads, width = q.shape
    scale = width**-0.5 if scale is None else scale
    out = np.zeros(q.shape)
    lse = np.full(q.shape[:4], -np.inf)
    for b, t, j in np.ndindex(batch, frames, joints):
        length = frames if lengths is None else int(lengths[b])
        near = range(max(0, t - window[0]), min(length, t + window[1] + 1))
        keys = [s for s in near if visible is None or visible[b, s, j]]
        if t >= length or not keys:
            continue
        for h in range(heads):
            scores = k[b, keys, j, h].astype(np.float64) @ q[b, t, j, h].astype(np.float64) * scale
            if bias is not None:
                scores = scores + bias[h, [s - t + window[0] for s in keys]]
            highest = scores.max()
            weights = np.exp(scores - highest)
            out[b, t, j, h] = weights @ v[b, keys, j, h].astype(np.float64) / weights.sum()
            lse[b, t, j, h] = (highest + np.log(weights.sum())) / np.log(2)
    return out, lse


def expected_attention_gradients(
    grad_out: Array,
    q: Array,
    k: Array,
    v: Array,
    window: tuple[int, int],
    *,
    bias: Array | None = None,
    visible: Array | None = None,
    lengths: Array | None = None,
    scale: float | None = None,
) -> dict[str, Array]:
    """The textbook gradients, query by query, scattered to the keys in float64."""
    batch, frames, joints, heads, width = q.shape
    scale = width**-0.5 if scale is None else scale
    grads = {name: np.zeros(q.shape) for name in "qkv"}
    grad_bias = np.zeros((heads, sum(window) + 1))
    for b, t, j in np.ndindex(batch, frames, joints):
        length = frames if lengths is None else int(lengths[b])
        near = range(max(0, t - window[0]), min(length, t + window[1] + 1))
        keys = [s for s in near if visible is None or visible[b, s, j]]
        if t >= length or not keys:
            continue
        offsets = [s - t + window[0] for s in keys]
        for h in range(heads):
            query, rows, values = (x.astype(np.float64) for x in (q[b, t, j, h], k[b, keys, j, h], v[b, keys, j, h]))
            upstream = grad_out[b, t, j, h].astype(np.float64)
            scores = rows @ query * scale + (0 if bias is None else bias[h, offsets])
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            dp = values @ upstream
            ds = weights * (dp - weights @ dp)
            grads["q"][b, t, j, h] = scale * ds @ rows
            grads["k"][b, keys, j, h] += scale * np.outer(ds, query)
            grads["v"][b, keys, j, h] += np.outer(weights, upstream)
            grad_bias[h, offsets] += ds
    return grads if bias is None else grads | {"bias": grad_bias}


def procrustes(
    source: Array,
    target: Array,
    weights: Array | None = None,
    kind: str = "rigid",
    reflection: bool = False,
    threads: int = 1,
    on: ModuleType | None = None,
) -> dict[str, Array]:
    """rotation ``(N, 3, 3)``, scale ``(N,)``, translation ``(N, 3)``, conditioning ``(N,)`` of the native kernel.

    `on`: a module whose CUDA kernels take host memory, instead of the native module's CPU kernels.
    """
    count = len(source)
    shapes = {"rotation": (3, 3), "scale": (), "translation": (3,), "conditioning": ()}
    fit = {name: np.full((count, *shape), np.nan, source.dtype) for name, shape in shapes.items()}
    points = (source, target, weights)
    run_procrustes("fit", points, (*fit.values(),), None, NONE, NONE[:3], kind, reflection, threads, on)
    return fit


def procrustes_gradients(
    upstream: tuple[Array, Array, Array],
    source: Array,
    target: Array,
    weights: Array | None = None,
    kind: str = "rigid",
    threads: int = 1,
    on: ModuleType | None = None,
) -> dict[str, Array]:
    """Gradients of source, target and weights, given those of rotation, scale and translation."""
    fit = (*procrustes(source, target, weights, kind).values(),)
    points, gradients = (source, target, weights), fresh_gradients(source, weights)
    written = (*gradients.values(),)
    run_procrustes("fit_gradient", points, fit, None, (*upstream, *NONE[:2]), written, kind, False, threads, on)
    return {name: x for name, x in gradients.items() if x is not None}


def procrustes_error(
    source: Array,
    target: Array,
    weights: Array | None = None,
    kind: str = "rigid",
    threads: int = 1,
    on: ModuleType | None = None,
    upstream: Array | None = None,
) -> dict[str, Array]:
    """error ``(N,)`` with rotation and scale; with `upstream` ``(N,)`` the gradients of the points too."""
    count = len(source)
    rotation, scale, error = (np.full((count, *shape), np.nan, source.dtype) for shape in ((3, 3), (), ()))
    points, fit = (source, target, weights), (rotation, scale, None, None)
    run_procrustes("error", points, fit, error, NONE, NONE[:3], kind, False, threads, on)
    outputs = {"error": error, "rotation": rotation, "scale": scale}
    if upstream is None:
        return outputs
    gradients = fresh_gradients(source, weights)
    of_fit, written = (*NONE[:3], upstream, None), (*gradients.values(),)
    run_procrustes("error_gradient", points, fit, error, of_fit, written, kind, False, threads, on)
    return outputs | {name: x for name, x in gradients.items() if x is not None}


def fresh_gradients(source: Array, weights: Array | None) -> dict[str, Array | None]:
    names = {"grad_source": source, "grad_target": source, "grad_weights": weights}
    return {name: None if x is None else np.full(x.shape, np.nan, x.dtype) for name, x in names.items()}


def run_procrustes(step: str, *arguments: Any) -> None:
    """One step of `_native.procrustes`, whose arguments these are, arrays in place of tensors; or of `on`'s kernels."""
    *given, threads, on = arguments
    given = [tuple(tensors(*x)) if isinstance(x, tuple) else tensor(x) if isinstance(x, Array) else x for x in given]
    points, fit, error, upstream, gradients, kind, reflection = given
    if on is None:
        with torch_threads(threads):
            launch(step, points, kind, reflection, fit=fit, error=error, upstream=upstream, gradients=gradients)
        return
    workspace = torch.full((on.procrustes_workspace(*points[0].shape[:2]),), torch.nan, dtype=torch.float64)
    on.procrustes_cuda(step, points, fit, error, None, upstream, gradients, kind, reflection, workspace, 0)


def expected_procrustes(
    source: Array, target: Array, weights: Array | None = None, kind: str = "rigid", reflection: bool = False
) -> dict[str, Array]:
    """The same by singular value decomposition (Kabsch 1976, Umeyama 1991), in float64."""
    s, t = source.astype(np.float64), target.astype(np.float64)
    w = np.ones(s.shape[:2]) if weights is None else weights.astype(np.float64)
    w = w / w.sum(axis=1, keepdims=True)
    source_centre, target_centre = np.einsum("np,npi->ni", w, s), np.einsum("np,npi->ni", w, t)
    if kind == "rotation":
        source_centre, target_centre = np.zeros_like(source_centre), np.zeros_like(target_centre)
    s, t = s - source_centre[:, None], t - target_centre[:, None]
    u, sizes, vt = np.linalg.svd(np.einsum("np,npi,npj->nij", w, t, s))
    signs = np.ones_like(sizes)
    if not reflection:
        signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = u @ (signs[:, :, None] * vt)
    total = (signs * sizes).sum(axis=1)
    scale = np.ones(len(s))
    if kind == "similarity":
        scale = total / np.einsum("np,npi->n", w, s**2)
    translation = target_centre - scale[:, None] * np.einsum("nij,nj->ni", rotation, source_centre)
    conditioning = (sizes[:, 1] + signs[:, 2] * sizes[:, 2]) / total
    return {"rotation": rotation, "scale": scale, "translation": translation, "conditioning": conditioning}


def relative_error(got: Array, wanted: Array) -> float:
    difference: Any = np.linalg.norm(got.astype(np.float64) - wanted)
    return float(difference / max(float(np.linalg.norm(wanted)), 1e-3))


def disturbed_sets(count: int, points: int, dtype: type, weighted: bool) -> tuple[Array, Array, Array | None]:
    """Point sets beside disturbed copies of them; some weights are 0, the first point's among them, over NaN."""
    random = np.random.default_rng(points)
    source = random.standard_normal((count, points, 3)) + 3
    target = source + 0.3 * random.standard_normal(source.shape) + 5
    source, target = source.astype(dtype), target.astype(dtype)
    if not weighted:
        return source, target, None
    weights = random.random((count, points)).astype(dtype) + dtype(0.1)
    weights[:, 5::7] = 0
    weights[::2, 0] = 0
    source[weights == 0] = np.nan
    return source, target, weights
