"""The Triton kernels of `joint_attention`, compiled for GPUs that need not be here."""

from __future__ import annotations

import pytest
from compiling import compile_launches

pytest.importorskip("triton")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [80, 90, 100, 120])
def test_presets_fit_in_registers(architecture: int) -> None:
    kernels = compile_launches("joint_launches:presets", architecture)
    assert {kernel.kernel for kernel in kernels} == {"whole_forward_kernel", "whole_backward_kernel"}
    assert [kernel for kernel in kernels if kernel.spills] == []
    half = [kernel for kernel in kernels if kernel.dtype != "fp32"]
    assert {kernel.warps for kernel in half} == {1}
    assert all(kernel.instructions < 1700 for kernel in half), half


@pytest.mark.slow
def test_small_and_unmasked_skeletons_fit_in_registers() -> None:
    kernels = compile_launches("joint_launches:others", 90)
    assert [kernel for kernel in kernels if kernel.spills] == []


@pytest.mark.slow
def test_wide_heads_fit_in_registers() -> None:
    kernels = compile_launches("joint_launches:wide_heads", 90)
    assert [kernel for kernel in kernels if kernel.spills] == []


@pytest.mark.slow
@pytest.mark.parametrize(("case", "stack"), [("lengths", 0), ("several_tiles", 32)])
def test_clips_frames_and_joints_do_not_compile_anew(case: str, stack: int) -> None:
    """Skeletons beyond a tile, larger than any preset's, may spill a few bytes: ptxas 12.8 does, later ones do not."""
    kernels = compile_launches(f"joint_launches:{case}", 90)
    names = [kernel.kernel.removeprefix("whole_") for kernel in kernels]
    assert sorted(names) == ["backward_kernel", "forward_kernel"]
    assert all(kernel.stack <= stack and kernel.local == 0 for kernel in kernels), kernels
