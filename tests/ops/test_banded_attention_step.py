"""`banded_attention_step` on every backend against rows of the float64 reference on whole sequences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import error, needs_native, needs_triton
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import banded_attention_step
from olift_fast.ops.triton_runtime import interpreted

BACKENDS = [
    pytest.param("native", torch.float32, 1e-5, marks=needs_native),
    pytest.param("native", torch.bfloat16, 1e-2, marks=needs_native),
    pytest.param("eager", torch.float32, 1e-5),
    pytest.param("eager", torch.float64, 1e-13),
    pytest.param("triton", torch.float32, 1e-5, marks=needs_triton),
]
HALVES = [
    pytest.param("triton", torch.float16, 2e-3, marks=pytest.mark.gpu),
    pytest.param("triton", torch.bfloat16, 1e-2, marks=pytest.mark.gpu),
]
# (B, T, J, H, Dh)
SHAPES = [
    (1, 1, 1, 1, 8),
    (3, 7, 5, 2, 20),
    (2, 30, 3, 4, 32),
    (1, 40, 26, 1, 16),
    (2, 12, 2, 1, 128),
    (1, 19, 1, 3, 13),
]
WINDOWS = [(8, 8), (0, 0), (3, 0), (0, 5), (2, 7), (20, 17)]


def device(backend: str) -> str:
    return "cuda" if backend == "triton" and not interpreted() else "cpu"


class Sequences:
    """Sequences, each standing at a frame of its own, and rings that hold their latest frames and NaN elsewhere.

    A frame's answer is due when the frames to its right have come, or at the end of its sequence.
    """

    def __init__(self, shape: tuple[int, ...], window: tuple[int, int], dtype: torch.dtype, spare: int = 0) -> None:
        generator = torch.Generator().manual_seed(sum(shape) + sum(window))
        batch, frames, joints, heads, width = shape
        left, right = window
        self.window = window
        self.qkv = torch.randn(batch, frames, joints, 3, heads, width, generator=generator).to(dtype).double()
        self.bias = torch.randn(heads, left + right + 1, generator=generator).double()
        self.visible = torch.rand(batch, frames, joints, generator=generator) > 0.3
        self.ends = torch.randint(1, frames + 1, (batch,), generator=generator)
        self.at = (self.ends * torch.rand(batch, generator=generator)).long()
        self.lengths = torch.minimum(self.at + right + 1, self.ends)
        self.ring = self.rings(self.qkv, left + right + 1 + spare).to(dtype)
        self.seen = self.rings(self.visible, left + right + 3 + spare)

    def rings(self, whole: Tensor, slots: int) -> Tensor:
        ring = whole.new_full((len(whole), slots, *whole.shape[2:]), True if whole.dtype == torch.bool else torch.nan)
        for b, length in enumerate(self.lengths.tolist()):
            for t in range(length):
                ring[b, t % slots] = whole[b, t]
        return ring

    def wanted(self, **options: Any) -> Tensor:
        q, k, v = self.qkv.unbind(dim=3)
        rows = reference.banded_attention(q, k, v, self.window, lengths=self.ends, **options)
        return rows[torch.arange(len(rows)), self.at]

    def got(self, backend: str, bias: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        place = device(backend)
        q, k, v = self.ring.to(place).unbind(dim=3)
        bias, visible = (None if x is None else x.to(place) for x in (bias, visible))
        counts = self.at.to(place), self.lengths.to(place)
        return banded_attention_step(q, k, v, *counts, self.window, bias=bias, visible=visible, backend=backend).cpu()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + HALVES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_is_a_row_of_the_whole_sequence(backend, dtype, tolerance, shape, window) -> None:
    sequences = Sequences(shape, window, dtype)
    plain, masked = sequences.got(backend), sequences.got(backend, sequences.bias.to(dtype), sequences.seen)
    assert error(plain, sequences.wanted()) < tolerance
    exact = sequences.bias.to(dtype).double()
    assert error(masked, sequences.wanted(bias=exact, visible=sequences.visible)) < tolerance
    assert plain.dtype == masked.dtype == dtype


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_hidden_keys_and_slots_that_hold_nothing_may_hold_nan(backend, dtype, tolerance) -> None:
    sequences = Sequences((3, 25, 4, 2, 24), (8, 4), dtype, spare=5)
    clean = sequences.got(backend, visible=sequences.seen)
    hidden = sequences.rings(~sequences.visible, sequences.ring.shape[1])
    sequences.ring[:, :, :, 1:][hidden] = torch.nan
    assert torch.equal(sequences.got(backend, visible=sequences.seen), clean)
    assert error(clean, sequences.wanted(visible=sequences.visible)) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_row_without_key_or_frame_is_zero(backend, dtype, tolerance) -> None:
    sequences = Sequences((4, 25, 3, 2, 16), (2, 2), dtype)
    sequences.seen[0, :, 1] = False
    sequences.at[1], sequences.at[2] = -1, sequences.lengths[2]
    sequences.ring[1:3] = torch.nan
    out = sequences.got(backend, visible=sequences.seen)
    assert not out[0, 1].any() and not out[1:3].any()
    assert out[0, [0, 2]].any() and out[3].any() and out.isfinite().all()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_frames_that_the_ring_holds_no_more_are_left_out(backend, dtype, tolerance) -> None:
    """With five slots, frame 9 of 11 frames sees 6 … 10 of its window 1 … 13."""
    sequences = Sequences((1, 30, 2, 1, 8), (8, 4), dtype)
    sequences.at[:], sequences.lengths[:], sequences.ends[:] = 9, 11, 11
    sequences.ring = sequences.rings(sequences.qkv, 5).to(dtype)
    kept = torch.zeros(1, 30, 2, dtype=torch.bool)
    kept[:, 6:11] = True
    assert error(sequences.got(backend), sequences.wanted(visible=kept)) < tolerance


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_visible_nan_reaches_its_own_joint_and_head_only(backend, dtype, tolerance) -> None:
    sequences = Sequences((1, 20, 3, 2, 8), (3, 3), dtype)
    clean = sequences.got(backend)
    sequences.ring[0, int(sequences.at[0]) % 7, 1, 1, 0] = torch.nan
    out = sequences.got(backend)
    assert out[0, 1, 0].isnan().all()
    out[0, 1, 0] = clean[0, 1, 0]
    assert torch.equal(out, clean)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_any_strides_and_a_query_by_itself(backend, dtype, tolerance) -> None:
    sequences = Sequences((2, 20, 5, 2, 24), (3, 4), dtype)
    wanted = sequences.got(backend)
    q, k, v = sequences.ring.to(device(backend)).unbind(dim=3)
    place = sequences.at % q.shape[1]
    query = q[torch.arange(2), place.to(q.device)][:, None]
    k = k.transpose(1, 3).contiguous().transpose(1, 3)
    wide = torch.full((2, 5, 2, 8, 40), torch.nan, dtype=dtype, device=q.device)
    wide[..., 5:29] = v.permute(0, 2, 3, 1, 4)
    counts = sequences.at.to(q.device), sequences.lengths.to(q.device)
    v = wide[..., 5:29].permute(0, 3, 1, 2, 4)
    out = banded_attention_step(query, k, v, *counts, (3, 4), backend=backend)
    assert torch.equal(out.cpu(), wanted)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_far_along_in_the_sequence(backend, dtype, tolerance) -> None:
    """Frame numbers beyond 32 bits: a stream may run for years."""
    sequences = Sequences((1, 7, 3, 2, 8), (3, 3), dtype)
    sequences.at[:], sequences.lengths[:], sequences.ends[:] = 3, 7, 7
    wanted = sequences.wanted()
    sequences.ring = sequences.rings(sequences.qkv, 7).to(dtype)
    sequences.at += 7 * 2**40
    sequences.lengths += 7 * 2**40
    assert error(sequences.got(backend), wanted) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_repeats_bit_for_bit(backend, dtype, tolerance) -> None:
    sequences = Sequences((3, 30, 26, 4, 32), (8, 8), dtype)
    first, second = (sequences.got(backend, sequences.bias.to(dtype), sequences.seen) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [pytest.param("", marks=needs_native), pytest.param("_triton", marks=needs_triton)])
@pytest.mark.parametrize("masked", [False, True])
def test_opcheck(backend, masked) -> None:
    sequences = Sequences((2, 9, 3, 2, 8), (3, 2), torch.float32)
    place = device(backend.removeprefix("_"))
    tensors = [x.to(place) for x in (*sequences.ring.unbind(dim=3), sequences.at, sequences.lengths)]
    options = [x.to(place) for x in (sequences.bias.float(), sequences.seen)] if masked else [None, None]
    op = getattr(torch.ops.olift, f"banded_attention_step{backend}").default
    torch.library.opcheck(op, (*tensors, 3, 2, *options, 0.3))


@pytest.mark.slow
@needs_native
def test_compiles_without_breaks() -> None:
    torch._dynamo.reset()
    sequences = Sequences((2, 9, 3, 2, 8), (3, 2), torch.float32)

    def function(ring: Tensor, at: Tensor, lengths: Tensor) -> Tensor:
        return banded_attention_step(*ring.unbind(dim=3), at, lengths, (3, 2))

    compiled = torch.compile(function, backend="eager", fullgraph=True)
    given = sequences.ring, sequences.at, sequences.lengths
    with torch.no_grad():
        assert torch.equal(compiled(*given), function(*given))


@pytest.mark.parametrize("backend", ["eager", pytest.param("native", marks=needs_native)])
def test_gradients_are_refused(backend) -> None:
    ring = torch.zeros(1, 3, 2, 1, 4, requires_grad=True)
    counts = torch.tensor([0]), torch.tensor([1])
    with pytest.raises(RuntimeError, match=r"no gradient: call it under torch.inference_mode\(\) or torch.no_grad\(\)"):
        banded_attention_step(ring, ring, ring, *counts, 1, backend=backend)
    with torch.no_grad():
        assert banded_attention_step(ring, ring, ring, *counts, 1, backend=backend).shape == (1, 2, 1, 4)


def test_empty_batch_gives_an_empty_result() -> None:
    ring, counts = torch.zeros(0, 5, 3, 2, 8), torch.zeros(0, dtype=torch.int64)
    assert banded_attention_step(ring, ring, ring, counts, counts, 2).shape == (0, 3, 2, 8)


def test_wrong_arguments_are_named() -> None:
    ring, counts = torch.zeros(2, 5, 3, 2, 8), torch.ones(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"window .* >= 0, got \(-1, 8\)"):
        banded_attention_step(ring, ring, ring, counts, counts, (-1, 8))
    with pytest.raises(ValueError, match=r"q must be \(B, slots >= 1, J, H, Dh\), got \(2, 3, 2, 8\)"):
        banded_attention_step(ring[:, 0], ring, ring, counts, counts, 2)
    with pytest.raises(ValueError, match=r"v must be \(2, 5, 3, 2, 8\), got \(2, 4, 3, 2, 8\)"):
        banded_attention_step(ring, ring, ring[:, :4], counts, counts, 2)
    with pytest.raises(ValueError, match=r"k must be \(2, 5, 3, 2, 8\), got \(2, 5, 2, 2, 8\)"):
        banded_attention_step(ring, ring[:, :, :2], ring, counts, counts, 2)
    with pytest.raises(TypeError, match=r"k must be torch.float32, got torch.float64"):
        banded_attention_step(ring, ring.double(), ring, counts, counts, 2)
    with pytest.raises(ValueError, match=r"frames must be \(2,\), got \(3,\)"):
        banded_attention_step(ring, ring, ring, torch.zeros(3, dtype=torch.int64), counts, 2)
    with pytest.raises(TypeError, match=r"lengths must be int64, got torch.int32"):
        banded_attention_step(ring, ring, ring, counts, counts.int(), 2)
    with pytest.raises(ValueError, match=r"bias must be \(2, 5\), got \(2, 4\)"):
        banded_attention_step(ring, ring, ring, counts, counts, 2, bias=torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"visible must be \(2, 1, 3\), got \(2, 3\)"):
        banded_attention_step(ring, ring, ring, counts, counts, 2, visible=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"visible must be bool, got torch.float32"):
        banded_attention_step(ring, ring, ring, counts, counts, 2, visible=torch.ones(2, 5, 3))
    with pytest.raises(ValueError, match=r"q must have a last stride of 1, got 2"):
        banded_attention_step(*[ring[..., ::2]] * 3, counts, counts, 2)


def test_backend_by_name_raises_where_it_can_not_run() -> None:
    ring, counts = torch.zeros(1, 5, 3, 2, 8, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(RuntimeError, match=r"banded_attention_step: backend 'native' can't run"):
        banded_attention_step(ring, ring, ring, counts, counts, 2, backend="native")
    assert banded_attention_step(ring, ring, ring, counts, counts, 2).dtype == torch.float64
