"""The compiled form of the Triton kernels, run by the machine for PTX: their numbers, and what they do to memory.

An access outside of a tensor's storage or off its alignment, a race, a barrier that is never reached: the machine
refuses them, and the test fails with the line of the kernel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from compiling import run_beside

pytest.importorskip("triton")
pytestmark = pytest.mark.slow

DTYPES = ("float32", "bfloat16", "float16")
RUNS = {
    "every": ("every", "90", *DTYPES),
    "masks": ("masks", "90", *DTYPES),
    "sm_80": ("every", "80", "bfloat16"),
    "products": ("products", "90", "float32", "bfloat16"),
}
"""What `ptx_cases.py` is asked: a group of cases, an architecture, types."""


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[list[str]]]]:
    """Two at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run_beside, "ptx_cases.py", *asked) for name, asked in RUNS.items()}


def wrong(lines: list[str]) -> list[str]:
    """The results that are not within their tolerance."""
    results = [json.loads(line) for line in lines[:-2]]
    assert results
    return [f"{name}: {error:.1e}" for name, error, tolerance in results if not error <= tolerance]


def test_every_operation_equals_the_float64_reference_and_every_kernel_is_run(runs) -> None:
    lines = runs["every"].result()
    assert wrong(lines) == []
    assert json.loads(lines[-1]) == [], "kernels that no case of every_op.py launches"


def test_what_is_masked_may_hold_nan(runs) -> None:
    """With bias and masks, rows that see nothing, short clips, wide heads, skeletons of several tiles."""
    assert wrong(runs["masks"].result()) == []


def test_on_the_oldest_gpu(runs) -> None:
    """sm_80 has no asynchronous products of four warps: other instructions take their place."""
    assert wrong(runs["sm_80"].result()) == []


def test_products_of_every_layout_and_precision(runs) -> None:
    """What the machine takes tensor cores to do is what Triton's compiler takes them to do."""
    lines = runs["products"].result()
    assert wrong(lines) == []
    assert json.loads(lines[-2]) == ["ptx_products.multiply_kernel"]


def test_a_wrong_kernel_is_caught_at_its_line() -> None:
    """A mask that is too wide, memory that is not aligned as the compiler was told, barriers that are left out."""
    told = dict(map(json.loads, run_beside("ptx_mistakes.py")))
    assert set(told) == {"good", "too wide", "again", "misaligned", "no barrier"}
    assert told["good"] == told["again"] == ""
    assert "OutOfBounds" in told["too wide"] and "buffer out_ptr" in told["too wide"]
    assert "Misaligned" in told["misaligned"] and "buffer x_ptr" in told["misaligned"]
    assert "Race" in told["no barrier"] and "shared memory" in told["no barrier"]
    assert all("ptx_mistakes.py:" in text for text in told.values() if text)
