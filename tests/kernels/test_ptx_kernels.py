"""The compiled form of the Triton kernels, run by the machine for PTX: their numbers, and what they do to memory.

An access outside of a tensor's storage or off its alignment, a race, a barrier that is never reached: the machine
refuses them, and the test fails with the line of the kernel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from compiling import ROOT, run_beside

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


def test_every_operation_equals_the_float64_reference(runs) -> None:
    assert wrong(runs["every"].result()) == []


def test_what_is_masked_may_hold_nan(runs) -> None:
    """With bias and masks, rows that see nothing, short clips, wide heads, skeletons of several tiles."""
    assert wrong(runs["masks"].result()) == []


def test_every_kernel_is_run(runs) -> None:
    missing = [set(json.loads(runs[name].result()[-1])) for name in ("every", "masks")]
    assert set.intersection(*missing) == set(), "kernels that neither every_op.py nor ptx_cases.py launches"


def test_on_the_oldest_gpu(runs) -> None:
    """sm_80 has no asynchronous products of four warps: other instructions take their place."""
    assert wrong(runs["sm_80"].result()) == []


def test_products_of_every_layout_and_precision(runs) -> None:
    """What the machine takes tensor cores to do is what Triton's compiler takes them to do."""
    lines = runs["products"].result()
    assert wrong(lines) == []
    assert json.loads(lines[-2]) == ["ptx_products.multiply_kernel"]


def test_tests_of_an_operation_run_on_it() -> None:
    """As CONTRIBUTING.md says, by a plugin of pytest."""
    chosen = "tests/ops/test_banded_attention_step.py", "-k", "test_row_without_key_or_frame_is_zero and triton"
    command = [sys.executable, "-m", "pytest", "-p", "running_ptx", "-p", "no:cacheprovider", "-q", *chosen]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'kernels'}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert "1 launch of step_kernel" in done.stdout


def test_a_wrong_kernel_is_caught_at_its_line() -> None:
    """A mask that is too wide, memory that is not aligned as the compiler was told, barriers that are left out."""
    told = dict(map(json.loads, run_beside("ptx_mistakes.py")))
    assert set(told) == {"good", "too wide", "again", "misaligned", "no barrier"}
    assert told["good"] == told["again"] == ""
    assert "OutOfBounds" in told["too wide"] and "buffer out_ptr" in told["too wide"]
    assert "Misaligned" in told["misaligned"] and "buffer x_ptr" in told["misaligned"]
    assert "Race" in told["no barrier"] and "shared memory" in told["no barrier"]
    assert all("ptx_mistakes.py:" in text for text in told.values() if text)
