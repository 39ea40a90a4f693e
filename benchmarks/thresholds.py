"""Where kernels for few and for many begin, and how that is reckoned for an H100: no GPU is needed, and none was asked.

Each number is in one place, which this module reads. ``python -m benchmarks.compile_facts`` writes the table in
ROOFLINE.md; `test_gpu.py` times both sides of each.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.floors import token_block
from benchmarks.gpu_floors import RATES
from olift_fast.ops.token_block import triton_launch

BEGIN, END = "<!-- thresholds: python -m benchmarks.compile_facts -->", "<!-- end of thresholds -->"
HEADER = Path(__file__).resolve().parent.parent / "csrc" / "geometry" / "rows_cuda.cuh"
MULTIPROCESSORS, SCHEDULERS, L2_BANDWIDTH = 132, 4, 10e12
"""Of an H100 SXM and an H200; the bytes a second of an H200, by gpu-benches (`gpu-l2-cache/h200.txt`)."""
FEW_TOKENS = triton_launch.FEW
"""Tokens up to which a program takes few of them."""
FEW_ROWS = 16
"""Tokens of a program where there are few."""
OF_A_WARP, OF_LANES = 4600, 1704
"""Instructions of a warp of 32 fits, a problem a lane; the least of a warp of 4 fits, 8 lanes a problem (26 points)."""


def many_problems() -> int:
    """From how many problems on each has a lane of its own: what the CUDA code says."""
    found = re.search(r"kManyProblems = 1 << (\d+);", HEADER.read_text(encoding="utf-8"))
    assert found is not None, HEADER
    return 1 << int(found[1])


def tokens_of_equal_time(rows: int, element: int, rate: str, share: float, width: int = 128) -> float:
    """Tokens at which programs of 16 take as long as programs of `rows`: there are fewer of these than multiprocessors.

    With 16 in each, all programs read all weights from the L2 cache, whose bandwidth bounds them. One program of many
    takes as long as its products take a multiprocessor, at this share of its rate. The width cancels.
    """
    weights = 8 * width**2 * element
    of_a_token = weights / FEW_ROWS / L2_BANDWIDTH
    of_a_program = rows * token_block(width, element).operations / (share * RATES[rate] / MULTIPROCESSORS)
    return of_a_program / of_a_token


def problems_of_equal_time(cycles: float) -> float:
    """Problems at which 8 lanes each take as long as one lane each, whose few warps wait `cycles` an instruction.

    8 lanes a problem fill the schedulers: each issues an instruction in every cycle.
    """
    of_a_problem = OF_LANES / 4 / (MULTIPROCESSORS * SCHEDULERS)
    return OF_A_WARP * cycles / of_a_problem


def table() -> str:
    """The table of the page, in Markdown."""
    rows = []
    for name, count, element, rate in (
        ("D ≤ 128, half precision", 128, 2, "bfloat16"),
        ("D ≤ 256, half precision", 64, 2, "bfloat16"),
        ("D ≤ 128, float32", 32, 4, "three of TF32"),
    ):
        found = " … ".join(f"{tokens_of_equal_time(count, element, rate, share):,.0f}" for share in (0.7, 0.5, 0.3))
        rows.append(
            (f"tokens, {name}", f"16; {count} tokens a program", "70 % … 50 % … 30 % of the rate", found, FEW_TOKENS)
        )
    found = " … ".join(f"{problems_of_equal_time(cycles):,.0f}" for cycles in (1, 2, 3, 4))
    rows.append(("fits of 26 points", "8 lanes; 1 lane a problem", "1 … 2 … 3 … 4 cycles", found, many_problems()))
    lines = ["| what | few; many | with | as fast with | in the code |", "|---|---|---|---|---:|"]
    return "\n".join([*lines, *("| " + " | ".join((*row[:4], f"{row[4]:,}")) + " |" for row in rows)])


def with_table(page: str) -> str:
    """The page with the table between its markers."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"
