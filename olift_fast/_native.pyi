"""Kernels over raw addresses. Addresses are ints (0: absent), strides count elements, the last stride is always 1.

The caller answers for memory, types and sizes. Call the functions of `olift_fast.ops` instead, which do.
"""

from typing import Any

def info() -> dict[str, Any]:
    """version, compiler, simd ("avx512" | "avx2" | "baseline"), openmp, cuda (bool), cuda_arch."""

def set_openmp(gomp_parallel: int) -> None:
    """Run parallel loops through this GOMP_parallel; 0: start threads for each loop."""

def banded_attention_forward(
    q: int,
    k: int,
    v: int,
    out: int,
    lse: int,
    bias: int,
    visible: int,
    lengths: int,
    shape: tuple[int, int, int, int, int],
    q_strides: tuple[int, int, int, int],
    k_strides: tuple[int, int, int, int],
    v_strides: tuple[int, int, int, int],
    out_strides: tuple[int, int, int, int],
    visible_strides: tuple[int, int, int],
    left: int,
    right: int,
    scale: float,
    threads: int,
) -> None:
    """softmax(q·k·scale + bias) v over the frames t-left … t+right of the same joint, into `out` (and `lse`).

    q, k, v, out float32 (B, T, J, H, Dh), strides of (b, t, j, h); bias float32 (H, left+right+1), bias[h, s-t+left];
    visible bool (B, T, J); lengths int64 (B,); lse float32 (B, T, J, H), contiguous. shape is (B, T, J, H, Dh).
    Hidden keys never enter the arithmetic; a query with no key, and one at t >= lengths[b], gives out 0 and lse -inf.
    Results are the same for any number of threads. ValueError: a size that is not positive, a negative window.
    """

def banded_attention_backward(
    q: int,
    k: int,
    v: int,
    lse: int,
    grad_out: int,
    grad_q: int,
    grad_k: int,
    grad_v: int,
    bias: int,
    grad_bias: int,
    visible: int,
    lengths: int,
    shape: tuple[int, int, int, int, int],
    q_strides: tuple[int, int, int, int],
    k_strides: tuple[int, int, int, int],
    v_strides: tuple[int, int, int, int],
    grad_out_strides: tuple[int, int, int, int],
    grad_q_strides: tuple[int, int, int, int],
    grad_k_strides: tuple[int, int, int, int],
    grad_v_strides: tuple[int, int, int, int],
    visible_strides: tuple[int, int, int],
    left: int,
    right: int,
    scale: float,
    threads: int,
) -> None:
    """Gradients of `banded_attention_forward`'s q, k, v (and bias) from grad_out (B, T, J, H, Dh) and its lse.

    Everything as in the forward; lse float32 (B, T, J, H), contiguous, as the forward wrote it. grad_q, grad_k, grad_v
    float32 (B, T, J, H, Dh) are written everywhere, with 0 where a key is hidden, where a query has no key, and from
    lengths[b] on; they may be views of one buffer. grad_bias float32 (H, left+right+1), contiguous; 0: not wanted.
    Each gradient is gathered, so results are the same every time and for any number of threads.
    ValueError: a size that is not positive, a negative window, grad_bias without bias.
    """

def procrustes_forward(
    source: int,
    target: int,
    weights: int,
    rotation: int,
    scale: int,
    translation: int,
    conditioning: int,
    count: int,
    points: int,
    dtype: int,
    source_strides: tuple[int, int],
    target_strides: tuple[int, int],
    weights_strides: tuple[int, int],
    kind: int,
    reflection: bool,
    threads: int,
) -> None:
    """Weighted fit target ≈ scale · rotation · source + translation of `count` sets of `points` points.

    source, target (N, P, 3), weights (N, P); dtype is the size of their elements, 4 (float32) or 8 (float64);
    strides of (problem, point). kind: 0 rigid, 1 similarity, 2 rotation only (no centring).
    Outputs, contiguous: rotation (N, 3, 3), scale (N,), translation (N, 3), and conditioning (N,) =
    (λ1 - λ2) / (2 λ1) of Davenport's matrix, 0 where the rotation is ambiguous or every weight is 0.
    ValueError: sizes that are not positive, an unknown dtype or kind.
    """

def procrustes_forward_cuda(
    source: int,
    target: int,
    weights: int,
    rotation: int,
    scale: int,
    translation: int,
    conditioning: int,
    count: int,
    points: int,
    dtype: int,
    source_strides: tuple[int, int],
    target_strides: tuple[int, int],
    weights_strides: tuple[int, int],
    kind: int,
    reflection: bool,
    stream: int,
) -> None:
    """`procrustes_forward` on the current device, on the CUDA stream `stream`; returns without waiting for it.

    Only in a build where info()["cuda"]. RuntimeError: the launch failed.
    """
