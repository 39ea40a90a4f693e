"""Kernels over raw addresses. Addresses are ints (0: absent), strides count elements, the last stride is always 1.

The caller answers for memory, types and sizes. Call the functions of `olift_fast.ops` instead, which do.
"""

from typing import Any

def info() -> dict[str, Any]:
    """version, compiler, simd ("avx512" | "avx2" | "baseline"), bfloat16 (products in it), openmp, cuda, cuda_arch."""

def set_openmp(gomp_parallel: int) -> None:
    """Run parallel loops through this GOMP_parallel; 0: start threads for each loop."""

def ask_for_huge_pages(memory: int, bytes: int) -> None:
    """Hint that this memory, not touched yet, is best backed by pages of 2 MB (Linux; elsewhere nothing happens)."""

def packed_size(inputs: int, outputs: int, bfloat16: bool) -> int:
    """How many bytes `pack_weight` writes. ValueError: a size is not positive, or bfloat16 is not in `info`."""

def pack_weight(weight: int, inputs: int, outputs: int, packed: int, bfloat16: bool) -> None:
    """A weight float32 (out, in), contiguous, in the form that `token_block` reads on this machine."""

def token_block(
    tokens: int,
    attended: int,
    head_out: int,
    rows: int,
    widths: tuple[int, int, int, int],
    projection: tuple[int, int],
    mlp: tuple[int, int, int, int, int, int],
    head: tuple[int, int, int, int, int, int],
    epsilons: tuple[float, float],
    bfloat16: bool,
    threads: int,
) -> None:
    """What is given of tokens += attended · projection, tokens += mlp(norm(tokens)), head_out = head(norm(tokens)).

    tokens, attended float32 (rows, D), contiguous, tokens in place; head_out (rows, out). widths is D, the inner width
    of the mlp, that of a head of two layers, and out. A layer is the addresses of a packed weight and of a bias; mlp
    and head are norm weight, norm bias, layer, layer, with GELU between the two; a head may have one layer only. With
    `bfloat16` the factors of every product are rounded to it, as the weights were; attended and what a head of one
    layer gives are held in it; sums and all else stay float32.
    ValueError: a size that is not positive, a part that lacks what it needs, or bfloat16 is not in `info`.
    """

def dense_forward(
    x: int,
    added: int,
    norm: tuple[int, int],
    first: tuple[int, int],
    second: tuple[int, int],
    hidden: int,
    out: int,
    rows: int,
    widths: tuple[int, int, int],
    epsilon: float,
    bfloat16: bool,
    threads: int,
) -> None:
    """out = second(gelu(first(norm(x)))) + added, of float32 parameters; norm, second and added where they are given.

    norm and the layers are (weight, bias), weights (out, in); widths is those of x, of what the first layer gives and
    of out; hidden, where two layers are to be differentiated, gets what the first one gives. All contiguous. With
    `bfloat16` the factors of every product are rounded to it and the sums float32; hidden is held in it, x where there
    is no norm, and out of one layer after a norm. Results are the same for any number of threads.
    ValueError: a size that is not positive, a part that lacks what it needs, or bfloat16 is not in `info`.
    """

def dense_backward(
    grad: int,
    x: int,
    hidden: int,
    norm: tuple[int, int],
    first: tuple[int, int],
    second: tuple[int, int],
    residual: bool,
    grad_x: int,
    grad_norm: tuple[int, int],
    grad_first: tuple[int, int],
    grad_second: tuple[int, int],
    rows: int,
    widths: tuple[int, int, int],
    epsilon: float,
    bfloat16: bool,
    threads: int,
) -> None:
    """The gradients of `dense_forward` that have an address; with `residual`, x was added to out.

    grad is held as out was, grad_x as x was, the gradients of parameters in float32. ValueError: as `dense_forward`.
    """

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
    element: int,
    threads: int,
) -> None:
    """softmax(q·k·scale + bias) v over the frames t-left … t+right of the same joint, into `out` (and `lse`).

    q, k, v, out (B, T, J, H, Dh), all float32 (element 0) or all bfloat16 (element 1), strides of (b, t, j, h).
    bias float32 (H, left+right+1), bias[h, s-t+left]; visible bool (B, T, J); lengths int64 (B,); lse float32
    (B, T, J, H), contiguous. shape is (B, T, J, H, Dh).
    Hidden keys never enter the arithmetic; a query with no key, and one at t >= lengths[b], gives out 0 and lse -inf.
    Results are the same for any number of threads. ValueError: a size that is not positive, a negative window,
    an unknown element.
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
    element: int,
    threads: int,
) -> None:
    """Gradients of `banded_attention_forward`'s q, k, v (and bias) from grad_out (B, T, J, H, Dh) and its lse.

    Everything as in the forward; lse float32 (B, T, J, H), contiguous, as the forward wrote it. grad_q, grad_k, grad_v
    (B, T, J, H, Dh) are written everywhere, with 0 where a key is hidden, where a query has no key, and from
    lengths[b] on; they may be views of one buffer. grad_bias float32 (H, left+right+1), contiguous; 0: not wanted.
    Each gradient is gathered, so results are the same every time and for any number of threads.
    ValueError: a size that is not positive, a negative window, an unknown element, grad_bias without bias.
    """

def banded_attention_step(
    q: int,
    k: int,
    v: int,
    out: int,
    bias: int,
    visible: int,
    frames: int,
    lengths: int,
    shape: tuple[int, int, int, int],
    slots: tuple[int, int, int],
    q_strides: tuple[int, int, int, int],
    k_strides: tuple[int, int, int, int],
    v_strides: tuple[int, int, int, int],
    visible_strides: tuple[int, int, int],
    left: int,
    right: int,
    scale: float,
    element: int,
    threads: int,
) -> None:
    """One query of `banded_attention_forward` for each (b, j, h), against rings: frame s lies in slot s % slots.

    q (B, slots[0], J, H, Dh), k, v (B, slots[1], J, H, Dh), out all float32 (element 0) or all bfloat16 (element 1),
    strides of (b, slot, j, h); visible bool (B, slots[2], J); bias float32 (H, left+right+1), contiguous; frames,
    lengths int64 (B,): the query's frame, and how many frames there have been, of which k and v hold the last slots[1].
    shape is (B, J, H, Dh); out is contiguous.
    Hidden keys never enter the arithmetic; a query with no key, and one at no frame of 0 … lengths[b] - 1, gives 0.
    ValueError: a size that is not positive, a negative window, a missing address, an unknown element.
    """

def rff_forward(
    x: int,
    freqs: int,
    weight: int,
    bias: int,
    token: int,
    visible: int,
    out: int,
    shape: tuple[int, int, int, int],
    threads: int,
) -> None:
    """[cos 2πxB, sin 2πxB] weightᵀ + bias, token at hidden points, into `out`; without a weight the features, 0 there.

    shape is (N, C, F, D); x float32 (N, C), freqs (C, F), weight (D, 2F), bias and token (D,), visible bool (N,),
    out (N, D), or (N, 2F) without a weight; all contiguous. Phases are exact products, reduced in turns in float64.
    Hidden points never enter the arithmetic. Results are the same for any number of threads.
    ValueError: a size that is not positive.
    """

def rff_backward(
    x: int,
    freqs: int,
    weight: int,
    visible: int,
    grad_out: int,
    grad_x: int,
    grad_freqs: int,
    grad_weight: int,
    grad_bias: int,
    grad_token: int,
    shape: tuple[int, int, int, int],
    grad_stride: int,
    threads: int,
) -> None:
    """Gradients of `rff_forward`'s inputs from grad_out, whose rows lie grad_stride apart; 0: not wanted.

    Everything as in the forward; the features are computed again. grad_x is 0 at hidden points, grad_token the sum of
    grad_out over them. Sums over points are made in an order that depends on nothing but shape.
    ValueError: a size that is not positive, a gradient of the layer without its weight.
    """

def joint_attention_forward(
    q: int,
    k: int,
    v: int,
    out: int,
    lse: int,
    graph: int,
    visible: int,
    shape: tuple[int, int, int, int, int],
    q_strides: tuple[int, int, int, int],
    k_strides: tuple[int, int, int, int],
    v_strides: tuple[int, int, int, int],
    out_strides: tuple[int, int, int, int],
    graph_strides: tuple[int, int, int, int],
    visible_strides: tuple[int, int, int],
    scale: float,
    bfloat16: bool,
    threads: int,
) -> None:
    """softmax(q_i·k_j·scale) v_j over the joints j of the same frame that query i may see, into `out` (and `lse`).

    q, k, v, out (B, T, J, H, Dh) float32, or bfloat16 where `bfloat16`, strides of (b, t, j, h); lse float32
    (B, T, J, H), contiguous; graph bool (B, H, J, J), any strides, 0 too; visible bool (B, T, J). shape is
    (B, T, J, H, Dh). A key that is hidden, or that no query sees, never enters the arithmetic; a query with no key
    gives out 0 and lse -inf. Results are the same for any number of threads. ValueError: a size that is not positive.
    """

def joint_attention_backward(
    q: int,
    k: int,
    v: int,
    lse: int,
    grad_out: int,
    grad_q: int,
    grad_k: int,
    grad_v: int,
    graph: int,
    visible: int,
    shape: tuple[int, int, int, int, int],
    q_strides: tuple[int, int, int, int],
    k_strides: tuple[int, int, int, int],
    v_strides: tuple[int, int, int, int],
    grad_out_strides: tuple[int, int, int, int],
    grad_q_strides: tuple[int, int, int, int],
    grad_k_strides: tuple[int, int, int, int],
    grad_v_strides: tuple[int, int, int, int],
    graph_strides: tuple[int, int, int, int],
    visible_strides: tuple[int, int, int],
    scale: float,
    bfloat16: bool,
    threads: int,
) -> None:
    """Gradients of `joint_attention_forward`'s q, k, v from grad_out (B, T, J, H, Dh) and its lse.

    Everything as in the forward; grad_q, grad_k, grad_v have the type of q and are written everywhere, with 0 where a
    key is not read and where a query has none; they may be views of one buffer. Results are the same every time and for
    any number of threads. ValueError: a size that is not positive.
    """

def procrustes(
    step: str,
    points: tuple[int, int, int],
    fit: tuple[int, int, int, int],
    error: int,
    upstream: tuple[int, int, int, int],
    gradients: tuple[int, int, int],
    shape: tuple[int, int],
    dtype: int,
    strides: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    kind: str,
    reflection: bool,
    threads: int,
) -> None:
    """One step of the weighted fit target ≈ scale · rotation · source + translation of N sets of P points.

    points: source, target (N, P, 3) and weights (N, P) or 0; dtype is the size of all elements, 4 (float32) or 8
    (float64); strides of (problem, point); a point of weight 0 never enters the arithmetic. All the rest is contiguous.
    fit: rotation (N, 3, 3), scale (N,), translation (N, 3), conditioning (N,) = (λ1 - λ2) / (2 λ1) of Davenport's
    matrix, 0 where the rotation is ambiguous or every weight is 0. error (N,): Σ w |residual|² / Σ w.
    upstream: the gradients of rotation, scale, translation and error. gradients: of points; 0: not wanted.
    kind: "rigid", "similarity" or "rotation" (no centring). Results are the same for any number of threads.

    step, what it reads besides points, and what it writes (what it does neither with may be 0):
        "fit": writes the fit. "fit_gradient": reads rotation, scale, conditioning and their upstream, writes gradients.
        "error": writes rotation, scale, error. "error_gradient": reads these and upstream's error, writes gradients.
    ValueError: sizes that are not positive, an unknown step, dtype or kind, a missing address.
    """

def procrustes_workspace(count: int, points: int) -> int:
    """How many doubles `procrustes_cuda` needs for (N, P) point sets. Only in a build where info()["cuda"]."""

def procrustes_cuda(
    step: str,
    points: tuple[int, int, int],
    fit: tuple[int, int, int, int],
    error: int,
    upstream: tuple[int, int, int, int],
    gradients: tuple[int, int, int],
    shape: tuple[int, int],
    dtype: int,
    strides: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
    kind: str,
    reflection: bool,
    workspace: int,
    stream: int,
) -> None:
    """`procrustes` on the current device, on the CUDA stream `stream`; returns without waiting for it.

    Only in a build where info()["cuda"]. RuntimeError: a launch failed.
    """
