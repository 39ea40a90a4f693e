"""The least time that each GPU kernel needs on an H100, by its bytes and by its operations: no GPU is needed.

The formulas are those of `floors`. ``python -m benchmarks.compile_facts`` writes the table in ROOFLINE.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.floors import Work, attention, attention_backward, encode, encode_linear, procrustes, token_block

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
        yield _thousand("band, forward", row, attention(pairs, HEAD, element), band_rate)
        yield _thousand("band, backward", row, attention_backward(pairs, HEAD, element), band_rate)
        yield _thousand("joints, forward", row, attention(JOINTS, HEAD, element), rate)
        yield _thousand("joints, backward", row, attention_backward(JOINTS, HEAD, element), rate)
    tokens = "tokens"
    yield _thousand(f"Fourier features, encode, F = {FEATURES}", tokens, encode(CHANNELS, FEATURES), "float32")
    for width in (128, 256):
        for element, rate in ((4, "float32"), (2, "bfloat16")):
            linear = encode_linear(CHANNELS, FEATURES, width, element)
            yield _thousand(f"Fourier features, linear, D = {width}", tokens, linear, rate)
            yield _thousand(f"Fourier features, gradients of the layer, D = {width}", tokens, linear, rate)
        for element, rate in ((4, "three of TF32"), (2, "bfloat16")):
            yield _thousand(f"pass between two attentions, D = {width}", tokens, token_block(width, element), rate)
    problems = f"problems of {POINTS} points"
    for of, backward, kernel in (("rotation", False, "a fit"), ("error", True, "an error, and its gradient")):
        work = procrustes(POINTS, of, backward)
        assert work is not None
        yield _thousand(f"Procrustes, {kernel}", problems, work, "float32")


def _thousand(kernel: str, unit: str, work: Work, rate: str) -> Floor:
    return Floor(kernel, unit, *work.times(1000), rate)


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
