"""The Triton kernel of `banded_attention_step`, compiled for GPUs; its results are checked in tests/ops."""

from __future__ import annotations

import pytest
import torch
from compiling import compile_launches

from olift_fast.ops import banded_attention_step


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "architecture"),
    [("small_float32", 80), ("base_float32", 90), ("base_bfloat16", 90), ("large_bfloat16", 100)],
)
def test_presets_compile_without_spills(case: str, architecture: int) -> None:
    pytest.importorskip("triton")
    (kernel,) = compile_launches(f"step_launches:{case}", architecture)
    assert kernel.kernel == "step_kernel"
    assert not kernel.spills, kernel
    assert kernel.shared <= 48 * 1024, kernel


@pytest.mark.slow
def test_variants_compile_without_spills() -> None:
    pytest.importorskip("triton")
    kernels = compile_launches("step_launches:variants", 90)
    assert [x.spills for x in kernels] == [False] * 3


@pytest.mark.slow
def test_tracks_and_joints_do_not_compile_anew() -> None:
    pytest.importorskip("triton")
    assert len(compile_launches("step_launches:many_sizes", 90)) == 1


def test_refuses_what_it_can_not_run() -> None:
    wide, counts = torch.zeros(1, 3, 1, 1, 129), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(RuntimeError, match=r"Dh must be at most 128, got 129"):
        banded_attention_step(wide, wide, wide, counts, counts, 1, backend="triton")
