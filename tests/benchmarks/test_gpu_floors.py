"""Floors of the GPU kernels: the page has them, and they are those of the benchmarks' own formulas."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.floors import attention, attention_backward, operations_per_byte
from benchmarks.gpu_floors import JOINTS, POINTS, WINDOW, Floor, floors, table, with_table
from benchmarks.records import Case

PAGE = Path(__file__).resolve().parents[2] / "benchmarks" / "ROOFLINE.md"
FLOORS = list(floors())


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page
    assert table() in page


@pytest.mark.parametrize("floor", FLOORS, ids=lambda floor: f"{floor.kernel}, {floor.rate}")
def test_a_floor_is_the_larger_of_two_times(floor: Floor) -> None:
    by_bytes, by_operations = floor.nanoseconds
    assert floor.bytes > 0 and floor.operations > 0
    # An H100 moves 3.35 bytes a picosecond, and multiplies no faster than its bf16 tensor cores.
    assert by_bytes == pytest.approx(floor.bytes / 3350) and by_operations >= floor.operations / 989_000


def find(kernel: str, rate: str) -> Floor:
    (floor,) = (floor for floor in FLOORS if (floor.kernel, floor.rate) == (kernel, rate))
    return floor


@pytest.mark.parametrize("rate", ["float32", "bfloat16"])
def test_forward_floors_are_those_of_the_plots(rate: str) -> None:
    facts = {"shape": [8, 243, JOINTS, 8, 32], "window": WINDOW, "dtype": f"torch.{rate}", "backward": False}
    for function, kernel in (("banded_attention", "band, forward"), ("joint_attention", "joints, forward")):
        products = "three of TF32" if (kernel, rate) == ("band, forward", "float32") else rate
        floor = find(kernel, products)
        made = Case("", function, facts, (), 1)
        assert floor.operations / floor.bytes == pytest.approx(operations_per_byte(made))
    fit = find("Procrustes, a fit", "float32")
    made = Case("", "procrustes", {"points": POINTS, "count": 5, "of": "rotation"}, (), 1)
    assert fit.operations / fit.bytes == pytest.approx(operations_per_byte(made))
    both = find("Procrustes, an error, and its gradient", "float32")
    made = Case("", "procrustes", {"points": POINTS, "count": 5, "of": "error", "backward": True}, (), 1)
    assert both.operations / both.bytes == pytest.approx(operations_per_byte(made))


@pytest.mark.parametrize("width", [32, 128])
def test_backward_floors_are_the_bytes_of_the_tensors(width: int) -> None:
    """Those of a launch: q, k, v, do and the log-sum-exp, and dq, dk, dv; of the forward four and the log-sum-exp."""
    shape, rows = (2, 9, 5, 3, width), 2 * 9 * 5 * 3
    moved = [torch.empty(shape, dtype=torch.bfloat16, device="meta").nbytes for _ in range(7)]
    lse = torch.empty(shape[:-1], device="meta").nbytes
    assert attention_backward(17, width, 2).times(rows).bytes == sum(moved) + lse
    assert attention_backward(17, width, 2, reads_out=True).times(rows).bytes == sum(moved) + moved[0] + lse
    assert attention(17, width, 2).times(rows).bytes == sum(moved[:4]) + lse
