"""A matrix product in Triton, whose compiled form is compared with NumPy's."""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def multiply_kernel(
    a_ptr, b_ptr, out_ptr, a_row, a_column, b_row, b_column, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile, (ROWS, DEPTH) by (DEPTH, COLUMNS), on a grid of one program."""
    rows, columns, depth = tl.arange(0, ROWS), tl.arange(0, COLUMNS), tl.arange(0, DEPTH)
    a = tl.load(a_ptr + rows[:, None] * a_row + depth[None, :] * a_column)
    b = tl.load(b_ptr + depth[:, None] * b_row + columns[None, :] * b_column)
    product = tl.dot(a, b, input_precision=PRECISION)
    tl.store(out_ptr + rows[:, None] * COLUMNS + columns[None, :], product)


def multiply(a: Tensor, b: Tensor, out: Tensor, precision: str, warps: int) -> None:
    """out = a @ b in one program."""
    sizes = {"ROWS": a.shape[0], "COLUMNS": b.shape[1], "DEPTH": a.shape[1]}
    multiply_kernel[(1,)](a, b, out, *a.stride(), *b.stride(), **sizes, PRECISION=precision, num_warps=warps)
