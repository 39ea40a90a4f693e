"""The least time that each GPU kernel needs on an H100, by its bytes and by its operations: no GPU is needed.

The formulas are those at the top of ROOFLINE.md. ``python -m benchmarks.compile_facts`` writes the table there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

BEGIN, END = "<!-- floors: python -m benchmarks.compile_facts -->", "<!-- end of floors -->"
BANDWIDTH = 3.35e12
"""Bytes a second, of an H100 SXM's data sheet."""
RATES = {"float32": 67e12, "three of TF32": 494.5e12 / 3, "bfloat16": 989e12}
"""Operations a second, of the same: outside of the tensor cores; on them, dense."""
WINDOW, JOINTS, HEAD, CHANNELS, FEATURES, POINTS = 8, 26, 32, 2, 64, 26


class Floor(NamedTuple):
    """What a kernel can't do without.

    Args:
        kernel: which.
        work: what the numbers are for.
        bytes: that must cross the memory once.
        operations: of the formula; a multiply-add counts as two.
        rate: in which type products are made (`RATES`).
    """

    kernel: str
    work: str
    bytes: int
    operations: int
    rate: str

    @property
    def nanoseconds(self) -> tuple[float, float]:
        """By bytes, and by operations."""
        return 1e9 * self.bytes / BANDWIDTH, 1e9 * self.operations / RATES[self.rate]


def floors() -> Iterator[Floor]:
    """The floors of all kernels, for a thousand rows, tokens or problems."""
    row, pairs = "rows of a joint and head", 2 * WINDOW + 1
    for element, band_rate in ((4, "three of TF32"), (2, "bfloat16")):
        rate = "bfloat16" if element == 2 else "float32"
        forward, backward = 1000 * (4 * HEAD * element + 4), 1000 * (7 * HEAD * element + 4)
        yield Floor("band, forward", row, forward, 4000 * pairs * HEAD, band_rate)
        yield Floor("band, backward", row, backward, 10_000 * pairs * HEAD, band_rate)
        yield Floor("joints, forward", row, forward, 4000 * JOINTS * HEAD, rate)
        yield Floor("joints, backward", row, backward, 10_000 * JOINTS * HEAD, rate)
    tokens = "tokens"
    encoded = 1000 * (4 * CHANNELS + 8 * FEATURES)
    yield Floor(f"Fourier features, encode, F = {FEATURES}", tokens, encoded, 40_000 * FEATURES, "float32")
    for width in (128, 256):
        for element, rate in ((4, "float32"), (2, "bfloat16")):
            linear = 1000 * (4 * CHANNELS + element * width), 1000 * (4 * FEATURES * width + 40 * FEATURES)
            yield Floor(f"Fourier features, linear, D = {width}", tokens, *linear, rate)
            yield Floor(f"Fourier features, gradients of the layer, D = {width}", tokens, *linear, rate)
        for element, rate in ((4, "three of TF32"), (2, "bfloat16")):
            moved, products = 1000 * (8 + 4 * element) * width, 16_000 * width**2
            yield Floor(f"pass between two attentions, D = {width}", tokens, moved, products, rate)
    problems = f"problems of {POINTS} points"
    yield Floor("Procrustes, a fit", problems, 1000 * (24 * POINTS + 56), 1000 * (54 * POINTS + 4000), "float32")
    both = 1000 * 84 * POINTS, 1000 * (150 * POINTS + 4000)
    yield Floor("Procrustes, an error and its gradients", problems, *both, "float32")


def table() -> str:
    """The table of the page, in Markdown."""
    head = ("kernel", "a thousand", "products in", "bytes", "operations", "ns by bytes", "ns by operations", "bound by")
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * 4 + "---|"]
    for floor in floors():
        by_bytes, by_operations = floor.nanoseconds
        bound = "memory" if by_bytes >= by_operations else "operations"
        numbers = (f"{floor.bytes:,}", f"{floor.operations:,}", f"{by_bytes:.0f}", f"{by_operations:.0f}", bound)
        lines.append("| " + " | ".join((floor.kernel, floor.work, floor.rate, *numbers)) + " |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table between its markers."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"
