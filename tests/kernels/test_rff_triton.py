"""The Fourier features' Triton kernels compile for every GPU that is supported, and keep to their registers."""

from __future__ import annotations

import pytest
from compiling import compile_launches

from olift_fast.ops.triton_runtime import why_not_triton

NO_TRITON = str(why_not_triton())
pytestmark = pytest.mark.skipif("imported" in NO_TRITON or "at least" in NO_TRITON, reason=NO_TRITON)
SHARED_MEMORY = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "case", "dtypes"),
    [
        (80, "without_float16", 2),
        (90, "every_kernel", 3),
        (100, "without_float16", 2),
    ],
)
def test_kernels_compile_without_spills(architecture: int, case: str, dtypes: int) -> None:
    """Widths 128, 256 and 384 share one kernel a dtype: they are not specialized on the width."""
    kernels = compile_launches(f"rff_launches:{case}", architecture)
    names = [kernel.kernel for kernel in kernels]
    assert {name: names.count(name) for name in names} == {
        "encode_kernel": 1,
        "linear_kernel": dtypes,
        "x_gradient_kernel": dtypes + 1,
        "freqs_gradient_kernel": dtypes + 1,
        "layer_gradient_kernel": dtypes,
        "add_runs_kernel": dtypes + 1,
    }
    assert [kernel for kernel in kernels if kernel.spills] == []
    assert all(kernel.shared <= SHARED_MEMORY[architecture] // 2 for kernel in kernels)
