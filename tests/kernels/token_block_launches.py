"""Launches of `token_block` at the presets' shapes, for `compiling.compile_launches`."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.token_block import triton_launch

CLIP, MANY = 48 * 26, 16 * 243 * 26


def small_bfloat16() -> None:
    launch(torch.bfloat16, 128, (CLIP, MANY))


def small_float32() -> None:
    launch(torch.float32, 128, (CLIP, MANY))


def base_bfloat16() -> None:
    launch(torch.bfloat16, 256, (CLIP, MANY))


def base_float32() -> None:
    launch(torch.float32, 256, (CLIP, MANY))


def ends() -> None:
    """Before the first attention and after the last, of many tokens."""
    launch(torch.bfloat16, 128, (MANY,), kind="first")
    launch(torch.bfloat16, 128, (MANY,), kind="last")


def many_sizes() -> None:
    """Numbers of tokens on both sides of the one from which programs take more of them."""
    few = triton_launch.FEW
    launch(torch.bfloat16, 128, (1, 16, 26, few - 1, few, few + 1, 1_000_000))


def launch(dtype: torch.dtype, width: int, counts: tuple[int, ...], kind: str = "middle") -> None:
    """A pass over each number of tokens, as `Lifter.optimize` launches it, on memory that nothing ever touches."""
    first, last = kind == "first", kind == "last"
    parameters = [None] * 8 if first else [*layer(dtype, width, width), *norm(width), *mlp(dtype, width)]
    parameters += [*norm(width), *layer(dtype, width, width if last else 3 * width)]
    parameters += layer(dtype, width, 3) if last else [None, None]
    for rows in counts:
        tokens, changed = (torch.empty(rows, width) for _ in range(2))
        attended = None if first else torch.empty(rows, width, dtype=dtype)
        out = torch.empty(rows, 3) if last else torch.empty(rows, 3 * width, dtype=dtype)
        kept = changed if kind == "middle" else None
        triton_launch._forward(tokens, attended, parameters, 1e-5, kept, out)


def layer(dtype: torch.dtype, inputs: int, outputs: int) -> list[Tensor | None]:
    return [torch.empty(outputs, inputs, dtype=dtype), torch.empty(outputs, dtype=dtype)]


def mlp(dtype: torch.dtype, width: int) -> list[Tensor | None]:
    return [*layer(dtype, width, 2 * width), *layer(dtype, 2 * width, width)]


def norm(width: int) -> list[Tensor | None]:
    return [torch.empty(width), torch.empty(width)]
