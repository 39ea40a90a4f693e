"""Functions of float32 by instructions of the GPU that Triton's language does not have.

Triton's interpreter can't run PTX, so there they are the functions of the language.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.triton_runtime import interpreted

_INTERPRETED = tl.constexpr(interpreted())


@triton.jit
def hardware_log2(x):
    """log2(x) with a relative error of at most 2^-22, or, for x between 1/2 and 2, an absolute one."""
    if _INTERPRETED:
        return tl.log2(x)
    else:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def hardware_cosine(x):
    """cos(x) with an error of at most 2^-20, for x between -π and π."""
    if _INTERPRETED:
        return tl.cos(x)
    else:
        return tl.inline_asm_elementwise("cos.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def hardware_sine(x):
    """sin(x) with an error of at most 2^-20, for x between -π and π."""
    if _INTERPRETED:
        return tl.sin(x)
    else:
        return tl.inline_asm_elementwise("sin.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)
