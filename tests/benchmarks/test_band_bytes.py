"""The count of the rows that the band's kernels load is that of the loads which Triton's interpreter does."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from helpers import needs_interpreter, needs_triton

from benchmarks import band_bytes
from benchmarks.band_bytes import PAGE, reads, with_table
from olift_fast.ops.banded_attention import triton_launch

WIDTH = 16


def counted(monkeypatch: pytest.MonkeyPatch, frames: int, left: int, right: int, backward: bool) -> dict[str, float]:
    """Loads of each tensor in rows of WIDTH, while one joint and head is attended or differentiated."""
    from triton.runtime.interpreter import InterpreterBuilder

    names = ("q", "k", "v", "do")
    q, k, v, grad = (torch.randn(1, frames, 1, 1, WIDTH) for _ in names)
    out, lse = torch.empty_like(q), torch.empty(1, frames, 1, 1)
    options = (left, right, None, None, None, 1.0)
    triton_launch._forward(q, k, v, *options, out, lse)
    found: Counter[str] = Counter()
    load = InterpreterBuilder.create_masked_load

    def counting(self, pointers, mask, *rest):
        read = pointers.data[mask.data]
        for name, tensor in zip(names, (q, k, v, grad), strict=True):
            begin = tensor.data_ptr()
            found[name] += int(((read >= begin) & (read < begin + tensor.nbytes)).sum())
        return load(self, pointers, mask, *rest)

    monkeypatch.setattr(InterpreterBuilder, "create_masked_load", counting)
    if backward:
        gradients = (torch.empty_like(q) for _ in range(3))
        triton_launch._backward(grad, q, k, v, out, lse, *options, *gradients, None)
    else:
        triton_launch._forward(q, k, v, *options, out, lse)
    return {name: count / WIDTH for name, count in found.items() if count}


@needs_triton
@needs_interpreter
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("frames", "left", "right"), [(1, 8, 8), (48, 8, 8), (50, 3, 0), (117, 2, 14), (33, 0, 16)])
def test_rows_are_loaded_as_often_as_counted(monkeypatch, frames, left, right, backward) -> None:
    found = counted(monkeypatch, frames, left, right, backward)
    q = torch.empty(1, frames, 1, 1, WIDTH)
    span = triton_launch.span_configuration(q, left, right)[1][2] if backward else None
    assert found == reads(frames, left, right, span)


@needs_triton
@needs_interpreter
def test_a_clip_of_one_span_is_read_once(monkeypatch) -> None:
    assert counted(monkeypatch, 48, 8, 8, backward=True) == dict.fromkeys(("q", "k", "v", "do"), 48)


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page


def test_wide_bands_are_not_counted() -> None:
    with pytest.raises(ValueError, match="at most 17 frames, got 18"):
        band_bytes.reads(48, 8, 9, None)
