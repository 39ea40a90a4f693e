"""Bytes that must cross the memory once, and operations of the formula: the only place of ROOFLINE.md's formulas."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.records import Case

BYTES = {"torch.float32": 4, "torch.float64": 8, "torch.float16": 2, "torch.bfloat16": 2}
SPAN = 17
"""Frames of the widest band whose gradients Triton computes in one walk along time, without `out`."""


class Work(NamedTuple):
    """What a kernel can't do without; a multiply-add counts as two operations."""

    bytes: int
    operations: int

    def times(self, count: int) -> Work:
        """That of so many rows, tokens or problems."""
        return Work(count * self.bytes, count * self.operations)

    def plus(self, other: Work) -> Work:
        """Both, one after the other."""
        return Work(self.bytes + other.bytes, self.operations + other.operations)


def attention(pairs: int, width: int, element: int) -> Work:
    """A row of a joint and head: q, k, v read, out and the log-sum-exp written; two products a pair."""
    return Work(4 * width * element + 4, 4 * pairs * width)


def attention_backward(pairs: int, width: int, element: int, reads_out: bool = False) -> Work:
    """The same: q, k, v, grad and the log-sum-exp read, by some kernels `out`; dq, dk, dv written; five products."""
    return Work((7 + reads_out) * width * element + 4, 10 * pairs * width)


def encode(channels: int, features: int) -> Work:
    """A point, in float32: its channels read, sine and cosine of each feature written."""
    return Work(4 * channels + 8 * features, 40 * features)


def encode_linear(channels: int, features: int, width: int, element: int) -> Work:
    """A point's features through a layer, forward, or the layer's gradients; without the weights."""
    return Work(4 * channels + element * width, 4 * features * width + 40 * features)


def token_block(width: int, element: int) -> Work:
    """A token in float32 between two attentions, the MLP of twice its width; without the weights."""
    return Work((8 + 4 * element) * width, 16 * width**2)


def procrustes(points: int, of: str, backward: bool) -> Work | None:
    """A problem in float32, as benchmarks name what is computed; backward: and then the gradient of the source.

    Read and written are the points, the fit and what its gradient needs. None where the operations are not counted.
    """
    if of == "rotation" and not backward:
        return Work(24 * points + 56, 54 * points + 4000)
    if of == "error" and backward:
        return Work(60 * points + 92, 150 * points + 4000)
    if of == "moved" and backward:
        return Work(84 * points + 88, 200 * points + 4000)
    return None


def work_of(case: Case) -> Work | None:
    """All of a case, forward or forward + backward; None where its facts don't suffice."""
    return _attentions(case) if "attention" in case.function else _fits(case)


def operations_per_byte(case: Case) -> float | None:
    """The formula's operations over the bytes that must move; None if not derivable."""
    work = work_of(case)
    return None if work is None else work.operations / work.bytes


def _attentions(case: Case) -> Work | None:
    shape, window = case.facts.get("shape"), case.facts.get("window")
    # The suites that name no dtype run in float32.
    element = BYTES.get(str(case.facts.get("dtype", "torch.float32")))
    if not isinstance(shape, list) or len(shape) != 5 or element is None:
        return None
    batch, frames, joints, heads, width = shape
    triton = str(case.facts.get("device", "cpu")).startswith("cuda")
    if case.function.startswith("joint_attention"):
        pairs, reads_out = joints, triton and joints > 32
    elif case.function.startswith("banded_attention") and isinstance(window, int | list):
        left, right = (window, window) if isinstance(window, int) else window
        pairs = left + right + 1
        reads_out = triton and (pairs > SPAN or (element == 4 and width > 64))
    else:
        return None
    row = attention(pairs, width, element)
    if case.facts.get("backward"):
        row = row.plus(attention_backward(pairs, width, element, reads_out))
    return row.times(batch * frames * joints * heads)


def _fits(case: Case) -> Work | None:
    points, of, count = (case.facts.get(key) for key in ("points", "of", "count"))
    if case.function != "procrustes" or not isinstance(points, int) or not isinstance(count, int):
        return None
    problem = procrustes(points, str(of), bool(case.facts.get("backward")))
    return None if problem is None else problem.times(count)
