"""Kernels over views of tensors and arrays: each reads and writes its arguments where they lie. A test holds these.

Results are written into the arguments that name them. The last stride is 1; "contiguous" is said where it is needed.
ValueError: dtypes, shapes or strides that do not fit together. TypeError: something else in a tensor's place.
RuntimeError: torch's own, of a tensor without memory.
Call the functions of `olift_fast.ops` instead: what tensors hold, such as lengths, is only checked there.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

Tensor: TypeAlias = torch.Tensor | npt.NDArray[np.generic]
"""A tensor of torch's, or an array of NumPy's; the bits of bfloat16 are uint16 there. Results need writable memory."""

def info() -> dict[str, Any]:
    """version, compiler, simd ("avx512" | "avx2" | "baseline"), bfloat16, int16 (products), openmp, cuda, cuda_arch."""

def set_openmp(gomp_parallel: int) -> None:
    """Run parallel loops through the GOMP_parallel at this address; 0: on threads of the module's own."""

def ask_for_huge_pages(memory: int, bytes: int) -> None:
    """Hint that the memory at this address, not touched yet, is best backed by pages of 2 MB (Linux only)."""

def packed_size(inputs: int, outputs: int, products: str) -> int:
    """How many elements a weight takes that `pack_weight` packs, in "float32", "bfloat16" or "int16".

    ValueError: a size is not positive, products is something else, or bfloat16 and not in `info`.
    """

def pack_weight(weight: Tensor, packed: Tensor) -> None:
    """A weight float32 (out, in), contiguous, in the form that `token_block` reads on this machine.

    packed has `packed_size` elements, float32, bfloat16 or int16: what the products are to be made in. int16 holds the
    scale of each output beside its integers.
    """

def token_block(
    tokens: Tensor,
    attended: Tensor | None,
    head_out: Tensor,
    projection: tuple[Tensor, Tensor] | None,
    mlp: tuple[
        tuple[Tensor, Tensor, float],
        tuple[Tensor, Tensor],
        tuple[Tensor, Tensor],
    ]
    | None,
    head: tuple[
        tuple[Tensor, Tensor, float],
        tuple[Tensor, Tensor],
        tuple[Tensor, Tensor] | None,
    ],
    threads: int,
) -> None:
    """tokens += attended · projection, tokens += mlp(norm(tokens)), head_out = head(norm(tokens)).

    projection and mlp may be left out. A linear layer is (packed weight, bias), a norm (weight, bias, epsilon), an mlp
    (norm, layer, layer) with GELU between the layers, a head the same with one layer or two.
    tokens float32 (..., D), contiguous, changed in place; attended (..., D) and head_out (..., out), contiguous. The
    packed weights' dtype is what factors of products are rounded to. Where it is bfloat16, attended has it, and what a
    head of one layer gives; sums and all else stay float32.
    """

def layers_forward(
    x: Tensor,
    added: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor | None,
    second_bias: Tensor | None,
    epsilon: float,
    hidden: Tensor,
    out: Tensor,
    threads: int,
) -> None:
    """out = second(gelu(first(norm(x)))) + added, of float32 parameters; norm, second and added where they are given.

    x (N, in), added and out (N, width); weights (out, in); hidden (..., inner) gets what the first of two layers gives,
    and is empty where there is one. All contiguous. Factors of products are rounded to the dtype of hidden; x has it
    where there is no norm, and out of one layer after a norm. Sums and all else are float32.
    Results are the same for any number of threads. ValueError: also where bfloat16 is not in `info`.
    """

def layers_backward(
    grad: Tensor,
    x: Tensor,
    hidden: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor | None,
    second_bias: Tensor | None,
    epsilon: float,
    residual: bool,
    dx: Tensor | None,
    dnorm_weight: Tensor | None,
    dnorm_bias: Tensor | None,
    dweight: Tensor | None,
    dbias: Tensor | None,
    dsecond_weight: Tensor | None,
    dsecond_bias: Tensor | None,
    threads: int,
) -> None:
    """The gradients of `layers_forward` that are given; with `residual`, x was added to out.

    grad is held as out was, dx as x was, the gradients of parameters in float32.
    """

def banded_attention_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
    out: Tensor,
    lse: Tensor | None,
    threads: int,
) -> None:
    """softmax(q·k·scale + bias) v over the frames t-left … t+right of the same joint, into `out` (and `lse`).

    q, k, v, out (B, T, J, H, Dh), all float32 or all bfloat16; bias float32 (H, left+right+1), contiguous,
    bias[h, s-t+left]; visible bool (B, T, J), any strides; lengths int64 (B,), contiguous; lse float32 (B, T, J, H),
    contiguous, to base 2.
    Hidden keys never enter the arithmetic; a query with no key, and one at t >= lengths[b], gives out 0 and lse -inf.
    Results are the same for any number of threads.
    """

def banded_attention_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lse: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    dbias: Tensor | None,
    threads: int,
) -> None:
    """Gradients of `banded_attention_forward`'s q, k, v (and bias) from dout (B, T, J, H, Dh) and its lse.

    Everything as in the forward. dq, dk, dv (B, T, J, H, Dh) are written everywhere, with 0 where a key is
    hidden, where a query has no key, and from lengths[b] on; they may be views of one buffer. dbias float32
    (H, left+right+1), contiguous; None: not wanted.
    Each gradient is gathered, so results are the same every time and for any number of threads.
    """

def banded_attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: Tensor,
    lengths: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
    out: Tensor,
    threads: int,
) -> None:
    """One query of `banded_attention_forward` for each (b, j, h), against rings: frame s lies in slot s % slots.

    q, k, v (B, slots, J, H, Dh), visible bool (B, slots, J); k and v have the same slots, q and visible their own.
    frames, lengths int64 (B,), contiguous: the query's frame, and how many frames there have been, of which k and v
    hold the last ones. out (B, J, H, Dh), contiguous.
    Hidden keys never enter the arithmetic; a query with no key, and one at no frame of 0 … lengths[b] - 1, gives 0.
    """

def rff_forward(
    x: Tensor,
    freqs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    visible: Tensor | None,
    token: Tensor | None,
    out: Tensor,
    threads: int,
) -> None:
    """[cos 2πxB, sin 2πxB] weightᵀ + bias, token at hidden points, into `out`; without a weight the features, 0 there.

    x float32 (N, C), freqs (C, F), weight (D, 2F), bias and token (D,), visible bool (N,), out (N, D), or (N, 2F)
    without a weight; all contiguous. Phases are exact products, reduced in turns in float64.
    Hidden points never enter the arithmetic. Results are the same for any number of threads.
    """

def rff_backward(
    dout: Tensor,
    x: Tensor,
    freqs: Tensor,
    weight: Tensor | None,
    visible: Tensor | None,
    dx: Tensor | None,
    dfreqs: Tensor | None,
    dweight: Tensor | None,
    dbias: Tensor | None,
    dtoken: Tensor | None,
    threads: int,
) -> None:
    """The gradients of `rff_forward` that are given, from dout, whose rows may lie apart.

    The features are computed again. dx is 0 at hidden points, dtoken the sum of dout over them. Sums over
    points are made in an order that depends on nothing but the shapes.
    """

def joint_attention_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    scale: float,
    out: Tensor,
    lse: Tensor | None,
    threads: int,
) -> None:
    """softmax(q_i·k_j·scale) v_j over the joints j of the frame that query i may see, into `out` (and `lse`).

    q, k, v, out (B, T, J, H, Dh), all float32 or all bfloat16; graph bool (B, H, J, J), any strides, query by key;
    visible bool (B, T, J), any strides; lse float32 (B, T, J, H), contiguous, to base e.
    A key that is hidden, or that no query sees, never enters the arithmetic; a query with no key gives out 0 and lse
    -inf. Results are the same for any number of threads.
    """

def joint_attention_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lse: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    scale: float,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    threads: int,
) -> None:
    """Gradients of `joint_attention_forward`'s q, k, v from dout (B, T, J, H, Dh) and its lse.

    Everything as in the forward; dq, dk, dv have the dtype of q and are written everywhere, with 0 where a
    key is not read and where a query has none; they may be views of one buffer. Results are the same every time and for
    any number of threads.
    """

def procrustes(
    step: str,
    points: tuple[Tensor, Tensor, Tensor | None],
    fit: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    error: Tensor | None,
    moved: Tensor | None,
    upstream: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None],
    kind: str,
    reflection: bool,
    threads: int,
) -> None:
    """One step of the weighted fit target ≈ scale · rotation · source + translation of N sets of P points.

    points: source, target (N, P, 3) and weights (N, P), any strides; a point of weight 0 never enters the arithmetic.
    All the rest is contiguous, and everything of one dtype, float32 or float64.
    fit: rotation (N, 3, 3), scale (N,), translation (N, 3), conditioning (N,) = (λ1 - λ2) / (2 λ1) of Davenport's
    matrix, 0 where the rotation is ambiguous or every weight is 0. error (N,): Σ w |residual|² / Σ w. moved (N, P, 3).
    upstream: the gradients of rotation, scale, translation, error and moved. gradients: of points; None: not wanted.
    kind: "rigid", "similarity" or "rotation" (no centering). Results are the same for any number of threads.

    step, what it reads besides points, and what it writes (what it does neither with may be None):
        "fit": writes the fit. "fit_gradient": reads rotation, scale, conditioning and their upstream, writes gradients.
        "error": writes rotation, scale, error. "error_gradient": reads these and upstream's error, writes gradients.
        "align": writes rotation, scale, conditioning, moved: every point of source by the fit, also one of weight 0.
        "align_gradient": reads these but moved, and upstream's moved; writes gradients.
    ValueError: also an unknown step or kind, and what the step needs and does not get.
    """

def orthographic(
    step: str,
    points: tuple[Tensor, Tensor, Tensor | None],
    fit: tuple[Tensor, Tensor, Tensor | None],
    upstream: tuple[Tensor | None, Tensor | None, Tensor | None],
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None],
    threads: int,
) -> None:
    """One step of the weighted fit target ≈ scale · (rotation · source)_xy + translation of N sets of P points.

    points: source (N, P, 3), target (N, P, 2), weights (N, P), as in `procrustes`. fit: rotation (N, 3, 3), scale (N,),
    translation (N, 2). upstream: their gradients. gradients: of points; None: not wanted.

    step: "fit" writes the fit. "fit_gradient" reads rotation, scale and upstream, and writes gradients.
    """

def orthographic_moments(spread: Tensor, cross: Tensor, rotation: Tensor, scale: Tensor, threads: int) -> None:
    """Rotation (N, 3, 3) and scale (N,) of `orthographic`, written, from the moments of points about their centroids.

    spread (N, 3, 3) = Σ w source sourceᵀ and cross (N, 3, 2) = Σ w source targetᵀ. All contiguous, of one dtype,
    float32 or float64.
    """

def procrustes_workspace(count: int, points: int) -> int:
    """How many float64 `procrustes_cuda` needs for (N, P) point sets. Only in a build where info()["cuda"]."""

def procrustes_cuda(
    step: str,
    points: tuple[Tensor, Tensor, Tensor | None],
    fit: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    error: Tensor | None,
    moved: Tensor | None,
    upstream: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None],
    kind: str,
    reflection: bool,
    workspace: Tensor,
    stream: int,
) -> None:
    """`procrustes` on the current device, on the CUDA stream `stream`; returns without waiting for it. No "align".

    workspace: float64, as many as `procrustes_workspace` says. RuntimeError: a launch failed.
    Only in a build where info()["cuda"].
    """
