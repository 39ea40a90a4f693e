"""The compiled form of the Triton kernels, run by the machine for PTX: their numbers, and what they do to memory."""

from __future__ import annotations

import json

import pytest
from compiling import run_beside

pytest.importorskip("triton")


@pytest.mark.slow
@pytest.mark.parametrize("group", ["every", "masks"])
def test_results_are_those_of_the_float64_reference(group: str) -> None:
    """Compiled for sm_90. No access outside of a buffer or off its alignment, no race: the machine refuses them."""
    *results, ran, missing = map(json.loads, run_beside("ptx_cases.py", group, "90", "float32", "bfloat16", "float16"))
    assert [result for result in results if not result[1] <= result[2]] == []
    assert len(results) >= 3 * 5 and ran
    assert group != "every" or missing == [], "a kernel that no case of every_op launches"


@pytest.mark.slow
def test_results_on_the_oldest_gpu() -> None:
    """sm_80 has no asynchronous products of four warps: other instructions take their place."""
    *results, ran, _ = map(json.loads, run_beside("ptx_cases.py", "every", "80", "bfloat16"))
    assert [result for result in results if not result[1] <= result[2]] == []
    assert ran


@pytest.mark.slow
def test_products_of_every_layout_and_precision() -> None:
    """What the machine takes tensor cores to do is what Triton's compiler takes them to do."""
    *results, ran, _ = map(json.loads, run_beside("ptx_cases.py", "products", "90", "float32", "bfloat16"))
    assert [result for result in results if not result[1] <= result[2]] == []
    assert ran == ["ptx_products.multiply_kernel"]


@pytest.mark.slow
def test_a_wrong_kernel_is_caught_at_its_line() -> None:
    """A mask that is too wide, rows that are not aligned as the compiler was told, a barrier that is left out."""
    told = dict(map(json.loads, run_beside("ptx_mistakes.py")))
    assert set(told) == {"good", "too wide", "again", "misaligned", "no barrier"}
    assert told["good"] == told["again"] == ""
    assert "OutOfBounds" in told["too wide"] and "buffer out_ptr" in told["too wide"]
    assert "Misaligned" in told["misaligned"] and "buffer x_ptr" in told["misaligned"]
    assert "Race" in told["no barrier"] and "shared memory" in told["no barrier"]
    assert all("ptx_mistakes.py:" in text for name, text in told.items() if text)
