"""The Triton backend of `token_block`: one launch from the output of an attention to the input of the next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_triton
from olift_fast.ops.token_block.registration import Head, Linear, Mlp, register, tensors_of
from olift_fast.ops.triton_runtime import ceil_div, interpreted, launch, power_of_two

MOST_WIDTH, MOST_OUTPUTS = 256, 64
FEW = 4096
"""Up to this many rows, a program takes 16 of them. With more, many multiprocessors would have no work."""

# For each program: rows; chunks of the projection's inputs, of hidden channels and of outputs; warps; stages of loads.
# They fit into registers and shared memory. The key: whether the weights are of 16 bits, whether the width is over 128,
# and whether rows are few.
_BLOCKS = {
    (True, False, True): (16, 64, 64, 64, 4, 3),
    (True, False, False): (128, 64, 64, 64, 8, 2),
    (True, True, True): (16, 64, 32, 32, 8, 3),
    (True, True, False): (64, 64, 32, 32, 8, 2),
    (False, False, True): (16, 32, 32, 32, 8, 2),
    (False, False, False): (32, 16, 16, 16, 4, 2),
    (False, True, True): (16, 32, 32, 32, 8, 1),
    (False, True, False): (16, 32, 32, 32, 8, 1),
}


def refuse_triton_block(
    tokens: Tensor, attended: Tensor | None, projection: Linear | None, mlp: Mlp | None, head: Head
) -> str | None:
    """Why the Triton backend can't run this call; None if it can."""
    tensors = [tokens, attended, *tensors_of(projection, mlp, head)]
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors):
        return "it has no gradient: call it under torch.inference_mode() or torch.no_grad()"
    return refuse_sizes(tokens.shape[-1], 1 if head[2] is None else head[2][0].shape[0]) or refuse_triton(*tensors)


def refuse_sizes(width: int, outputs: int) -> str | None:
    """Why the kernel can't take tokens of this width, or a last layer of so many outputs; None if it can."""
    if width > MOST_WIDTH:
        return f"tokens must have a width of at most {MOST_WIDTH}, got {width}"
    return f"the last layer must have at most {MOST_OUTPUTS} outputs, got {outputs}" if outputs > MOST_OUTPUTS else None


def slower_than_eager(tokens: Tensor, dtype: torch.dtype) -> tuple[str, ...]:
    """("triton",) if the kernel should be slower than PyTorch's layers, else (); for `choose_backend`.

    It is slower for many wide tokens in float32. Only 16 of these fit into a program's registers, and for every 16 it
    reads all weights from the L2 cache, which takes longer than the products. An exported program may get any number
    of tokens, so it counts as many. `dtype` is that of the products.
    """
    width = tokens.shape[-1]
    if dtype != torch.float32 or width <= 128:
        return ()
    return ("triton",) if torch.compiler.is_exporting() or tokens.numel() > FEW * width else ()


def _forward(
    tokens: Tensor,
    attended: Tensor | None,
    parameters: Sequence[Tensor | None],
    epsilon: float,
    changed: Tensor | None,
    out: Tensor,
) -> None:
    from olift_fast.ops.token_block.triton_kernels import token_block_kernel

    rows, width = tokens.shape
    _, _, _, _, inner, _, _, _, _, _, head, _, last, _ = parameters
    assert head is not None
    hidden, outputs = (1 if weight is None else weight.shape[0] for weight in (inner, last))
    options = _options(head.dtype, width, max(hidden, 1 if last is None else head.shape[0]), rows)
    launch(
        token_block_kernel,
        (ceil_div(rows, options["BLOCK_N"]),),
        *(tokens, attended, *parameters, changed, out, rows, epsilon),
        D=width,
        HIDDEN=hidden,
        HEAD=head.shape[0],
        LAST=outputs,
        PRECISION="tf32x3" if head.dtype == torch.float32 else "ieee",
        BLOCK_L=_block(MOST_OUTPUTS, outputs),
        **options,
    )


def _options(dtype: torch.dtype, width: int, hidden: int, rows: int) -> dict[str, int]:
    """Block sizes, warps and stages; blocks are no larger than the sizes need."""
    half, wide = dtype != torch.float32, width > 128
    count, inputs, inner, outputs, warps, stages = _BLOCKS[half, wide, rows <= FEW]
    architecture = 0 if interpreted() else _architecture()
    if half and wide and count > 16 and architecture // 10 == 10:
        warps = 16  # With 8 warps there are too few registers, because products go through the tensor memory there.
    if not half and wide and architecture == 90:
        stages = 2  # Other GPUs have too few registers or too little shared memory for that.
    return {
        "BLOCK_N": count,
        "BLOCK_D": _block(MOST_WIDTH, width),
        "BLOCK_K": _block(inputs, width),
        "BLOCK_H": _block(inner, hidden),
        "BLOCK_E": outputs,
        "num_warps": warps,
        "num_stages": stages,
    }


def _block(most: int, size: int) -> int:
    """The smallest power of two that is at least the size; from 16, for matrix products, to `most`."""
    return max(16, min(most, power_of_two(size)))


def _architecture() -> int:
    """Ten times the compute capability of the GPU that kernels are compiled for."""
    from triton.runtime import driver

    return int(driver.active.get_current_target().arch)


triton_block = register("token_block_triton", _forward, None)
