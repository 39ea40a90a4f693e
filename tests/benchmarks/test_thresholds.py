"""Where kernels for few and for many begin: one place each, and the page says how the numbers are reckoned."""

from __future__ import annotations

import pytest

from benchmarks.gpu_floors import RATES
from benchmarks.thresholds import (
    FEW_TOKENS,
    HEADER,
    L2_BANDWIDTH,
    MULTIPROCESSORS,
    many_problems,
    problems_of_equal_time,
    tokens_of_equal_time,
    with_table,
)

PAGE = HEADER.parents[2] / "benchmarks" / "ROOFLINE.md"


def test_the_page_has_the_table_and_the_numbers_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page
    told = " ".join(page.split())
    assert (
        f"So {FEW_TOKENS:,} tokens are right" in told
        and f"in float32, and 33 % at D = 256; {many_problems():,} problems" in told
    )


@pytest.mark.parametrize(
    ("rows", "element", "rate"), [(128, 2, "bfloat16"), (64, 2, "bfloat16"), (32, 4, "three of TF32")]
)
def test_tokens_of_equal_time_take_as_long_either_way(rows: int, element: int, rate: str) -> None:
    """By the times themselves, of both widths; and these tokens leave some multiprocessors without a program."""
    for width in (128, 256):
        tokens = tokens_of_equal_time(rows, element, rate, 0.5, width)
        few = tokens / 16 * 8 * width**2 * element / L2_BANDWIDTH
        many = 16 * width**2 * rows / (0.5 * RATES[rate] / MULTIPROCESSORS)
        assert few == pytest.approx(many)
        assert tokens < rows * MULTIPROCESSORS


def test_shares_and_cycles_of_the_page_give_the_numbers_of_the_code() -> None:
    for rows, element, rate, share in (
        (128, 2, "bfloat16", 0.67),
        (64, 2, "bfloat16", 0.33),
        (32, 4, "three of TF32", 0.50),
    ):
        assert tokens_of_equal_time(rows, element, rate, share) == pytest.approx(FEW_TOKENS, rel=0.03)
    assert problems_of_equal_time(2.9) == pytest.approx(many_problems(), rel=0.03)
