"""The Triton kernel of `token_block`, compiled for GPUs; its results are checked in tests/ops."""

from __future__ import annotations

import pytest
from compiling import compile_launches

SHARED_MEMORY = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10, 120: 99 << 10}
"""The most that a program can get."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "dtype", "architecture"),
    [
        ("small", "float32", 80),
        ("small", "bfloat16", 90),
        ("base", "bfloat16", 80),
        ("base", "bfloat16", 90),
        ("base", "bfloat16", 100),
        ("base", "bfloat16", 120),
        ("base", "float32", 80),
        ("base", "float32", 90),
        ("base", "float32", 120),
    ],
)
def test_presets_compile_without_spills(preset: str, dtype: str, architecture: int) -> None:
    """For one clip and for many."""
    pytest.importorskip("triton")
    kernels = compile_launches(f"token_block_launches:{preset}_{dtype}", architecture)
    assert len(kernels) == (1 if (preset, dtype) == ("base", "float32") else 2)
    for kernel in kernels:
        assert kernel.kernel == "token_block_kernel"
        assert not kernel.spills, kernel
        assert kernel.shared <= SHARED_MEMORY[architecture], kernel


@pytest.mark.slow
def test_the_ends_compile_without_spills() -> None:
    pytest.importorskip("triton")
    kernels = compile_launches("token_block_launches:ends", 90)
    assert [x.spills for x in kernels] == [False] * 2


@pytest.mark.slow
def test_numbers_of_tokens_share_two_kernels() -> None:
    pytest.importorskip("triton")
    assert len(compile_launches("token_block_launches:many_sizes", 90)) == 2
