"""The Triton backend of the Fourier features; they stay in registers between points and product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_triton
from olift_fast.ops.rff.registration import register_encode, register_linear
from olift_fast.ops.triton_runtime import ceil_div, launch, power_of_two, stride_unit

_MOST_CHANNELS = 32
_RUNS = 64
"""A sum over all points is cut into so many runs: enough programs for the largest GPU, and few sums to add."""

# (points, frequencies, outputs) of a program, by whether its products are in float32. Such products use no tensor
# cores, and their operands stay in registers, so the blocks are smaller.
_ENCODE = (16, 64, 16)
_LINEAR = {True: (32, 64, 32), False: (64, 64, 64)}
_GRADIENT = {True: (32, 16, 32), False: (64, 32, 64)}


def refuse_triton_rff(x: Tensor, *others: Tensor | None) -> str | None:
    """Why the Triton backend can't run this call; None if it can."""
    if x.shape[-1] > _MOST_CHANNELS:
        return f"x must have at most {_MOST_CHANNELS} coordinates, got {x.shape[-1]}"
    return refuse_triton(x, *others)


def _encode_forward(x: Tensor, freqs: Tensor, visible: Tensor | None, out: Tensor) -> None:
    from olift_fast.ops.rff import triton_kernels

    points, (channels, frequencies) = x.shape[0], freqs.shape
    blocks = _blocks(_ENCODE, frequencies, 1)
    grid = (ceil_div(points, blocks["BLOCK_N"]), ceil_div(frequencies, blocks["BLOCK_F"]))
    del blocks["BLOCK_D"]
    launch(triton_kernels.encode_kernel, grid, x, freqs, visible, out, points, C=channels, F=frequencies, **blocks)


def _linear_forward(
    x: Tensor,
    freqs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    token: Tensor | None,
    out: Tensor,
) -> None:
    from olift_fast.ops.rff import triton_kernels

    points, (channels, frequencies), width = x.shape[0], freqs.shape, weight.shape[0]
    blocks = _blocks(_LINEAR[weight.dtype == torch.float32], frequencies, width)
    launch(
        triton_kernels.linear_kernel,
        (ceil_div(points, blocks["BLOCK_N"]),),
        *(x, freqs, weight, bias, visible, token, out, points, width),
        C=channels,
        F=frequencies,
        **blocks,
    )


def _encode_backward(
    grad: Tensor, x: Tensor, freqs: Tensor, visible: Tensor | None, dx: Tensor | None, dfreqs: Tensor | None
) -> None:
    _phase_backward(grad, x, freqs, None, visible, dx, dfreqs)


def _linear_backward(
    grad: Tensor,
    x: Tensor,
    freqs: Tensor,
    weight: Tensor,
    visible: Tensor | None,
    dx: Tensor | None,
    dfreqs: Tensor | None,
    dweight: Tensor | None,
    dbias: Tensor | None,
    dtoken: Tensor | None,
) -> None:
    _phase_backward(grad, x, freqs, weight, visible, dx, dfreqs)
    if dweight is not None or dbias is not None or dtoken is not None:
        _layer_backward(grad, x, freqs, weight, visible, dweight, dbias, dtoken)


def _phase_backward(
    grad: Tensor,
    x: Tensor,
    freqs: Tensor,
    weight: Tensor | None,
    visible: Tensor | None,
    dx: Tensor | None,
    dfreqs: Tensor | None,
) -> None:
    from olift_fast.ops.rff import triton_kernels

    points, (channels, frequencies), width = x.shape[0], freqs.shape, grad.shape[1]
    blocks = _blocks(_GRADIENT[weight is None or weight.dtype == torch.float32], frequencies, width)
    unit = stride_unit(grad)
    options: dict[str, Any] = {
        "C": channels,
        "F": frequencies,
        "CHANNELS": power_of_two(channels),
        "UNIT": unit,
        **blocks,
    }
    programs = ceil_div(points, blocks["BLOCK_N"])
    inputs, sizes = (grad, x, freqs, weight, visible), (points, grad.stride(0) // unit, width)
    if dx is not None:
        launch(triton_kernels.x_gradient_kernel, (programs,), *inputs, dx, *sizes, **options)
    if dfreqs is not None:
        partial = x.new_empty((min(_RUNS, programs), channels, frequencies))
        grid = (partial.shape[0], ceil_div(frequencies, blocks["BLOCK_F"]))
        launch(
            triton_kernels.freqs_gradient_kernel,
            grid,
            *inputs,
            partial,
            *sizes,
            **options,
            num_warps=_warps(grad if weight is None else weight),
        )
        _add_runs(partial, dfreqs, None, None)


def _layer_backward(
    grad: Tensor,
    x: Tensor,
    freqs: Tensor,
    weight: Tensor,
    visible: Tensor | None,
    dweight: Tensor | None,
    dbias: Tensor | None,
    dtoken: Tensor | None,
) -> None:
    import triton.language as tl

    from olift_fast.ops.rff import triton_kernels

    points, (channels, frequencies), width = x.shape[0], freqs.shape, grad.shape[1]
    blocks = _blocks(_GRADIENT[weight.dtype == torch.float32], frequencies, width)
    sizes = [0 if gradient is None else gradient.numel() for gradient in (dweight, dbias, dtoken)]
    unit = stride_unit(grad)
    partial = x.new_empty((min(_RUNS, ceil_div(points, blocks["BLOCK_N"])), sum(sizes)))
    columns = ceil_div(frequencies, blocks["BLOCK_F"]) if dweight is not None else 1
    launch(
        triton_kernels.layer_gradient_kernel,
        (partial.shape[0], ceil_div(width, blocks["BLOCK_D"]), columns),
        *(grad, x, freqs, visible, partial, points, grad.stride(0) // unit, width),
        C=channels,
        F=frequencies,
        OPERAND={torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}[weight.dtype],
        UNIT=unit,
        WEIGHT=dweight is not None,
        BIAS=dbias is not None,
        TOKEN=dtoken is not None,
        **blocks,
        num_warps=_warps(weight),
    )
    _add_runs(partial, dweight, dbias, dtoken)


def _warps(operand: Tensor) -> int:
    """Warps of a program that sums gradients. In half precision its products need the registers of eight warps."""
    return 4 if operand.dtype == torch.float32 else 8


def _add_runs(partial: Tensor, *totals: Tensor | None) -> None:
    from olift_fast.ops.rff import triton_kernels

    block = 128
    sizes = [0 if total is None else total.numel() for total in totals]
    grid = (ceil_div(sum(sizes), block),)
    launch(triton_kernels.add_runs_kernel, grid, partial, *totals, partial.shape[0], *sizes, BLOCK=block)


def _blocks(most: tuple[int, int, int], frequencies: int, width: int) -> dict[str, int]:
    """Block sizes: those of the table, or smaller if the sizes are smaller; at least 16, for matrix products."""
    points, columns, outputs = most
    return {
        "BLOCK_N": points,
        "BLOCK_F": max(16, min(columns, power_of_two(frequencies))),
        "BLOCK_D": max(16, min(outputs, power_of_two(width))),
    }


triton_encode = register_encode("rff_encode_triton", _encode_forward, _encode_backward, None)
triton_linear = register_linear("rff_linear_triton", _linear_forward, _linear_backward, None)
