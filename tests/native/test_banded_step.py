"""`_native.banded_attention_step` against rows of whole sequences, query by query in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from native_calls import banded_attention_step, expected_attention, module, relative_error

# (B, T, J, H, Dh)
SHAPES = [
    (1, 1, 1, 1, 1),
    (3, 9, 5, 2, 20),
    (2, 40, 3, 4, 32),
    (2, 21, 26, 1, 13),
    (1, 50, 2, 1, 130),
    (40, 7, 9, 2, 64),
]
WINDOWS = [(8, 8), (0, 0), (3, 0), (0, 5), (16, 16), (100, 1)]


def inputs(shape: tuple[int, ...], window: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Whole sequences, and the frame at which each stands, with all frames of its window there."""
    random = np.random.default_rng(seed)
    batch, frames, joints, heads, _ = shape
    lengths = random.integers(1, frames + 1, batch)
    return {
        "qkv": random.standard_normal((*shape[:3], 3, *shape[3:]), np.float32),
        "bias": random.standard_normal((heads, sum(window) + 1), np.float32),
        "visible": random.random((batch, frames, joints)) > 0.3,
        "frames": random.integers(0, lengths),
        "lengths": lengths,
    }


def in_ring(whole: np.ndarray, lengths: np.ndarray, slots: int) -> np.ndarray:
    """The last frames of each sequence in their slots; what was never written is NaN, or visible."""
    ring = np.full((len(whole), slots, *whole.shape[2:]), True if whole.dtype == bool else np.nan, whole.dtype)
    for b, length in enumerate(lengths):
        for t in range(max(0, length - slots), length):
            ring[b, t % slots] = whole[b, t]
    return ring


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_float64(shape: tuple[int, ...], window: tuple[int, int]) -> None:
    data = inputs(shape, window)
    slots = shape[1] + 2
    ring = in_ring(data["qkv"], data["lengths"], slots)
    q, k, v = (ring[:, :, :, i] for i in range(3))
    whole = [data["qkv"][:, :, :, i] for i in range(3)]
    rows = np.arange(shape[0]), data["frames"]
    for options in ({}, {"bias": data["bias"], "visible": data["visible"]}):
        wanted = expected_attention(*whole, window, lengths=data["lengths"], **options)[0][rows]
        if options:
            options["visible"] = in_ring(data["visible"], data["lengths"], slots + 3)
        out = banded_attention_step(q, k, v, data["frames"], data["lengths"], window, **options)
        assert relative_error(out, wanted) < 1e-6


@pytest.mark.slow
def test_threads_do_not_change_a_bit() -> None:
    data = inputs((64, 20, 26, 4, 32), (8, 8))
    ring = in_ring(data["qkv"], data["lengths"], 20)
    call = (*(ring[:, :, :, i] for i in range(3)), data["frames"], data["lengths"], (8, 8))
    wanted = banded_attention_step(*call, bias=data["bias"])
    assert all(np.array_equal(banded_attention_step(*call, bias=data["bias"], threads=n), wanted) for n in (2, 3, 7))


def test_what_is_masked_is_never_read_into_arithmetic() -> None:
    data = inputs((5, 20, 3, 2, 24), (6, 3))
    ring = in_ring(data["qkv"], data["lengths"], 20)
    seen = in_ring(data["visible"], data["lengths"], 20)
    q, k, v = (ring[:, :, :, i] for i in range(3))
    call = {"frames": data["frames"], "lengths": data["lengths"], "window": (6, 3), "visible": seen}
    clean = banded_attention_step(q, k, v, **call)
    k[~seen], v[~seen] = np.nan, np.inf
    assert np.array_equal(banded_attention_step(q, k, v, **call), clean)
    assert np.isfinite(clean).all()


def test_query_without_any_key_or_frame_gives_zero() -> None:
    ring = np.random.default_rng(1).standard_normal((3, 12, 2, 3, 2, 8)).astype(np.float32)
    seen = np.ones((3, 12, 2), bool)
    seen[0, :, 1] = False
    frames, lengths = np.array([5, -1, 9]), np.array([7, 7, 9])
    out = banded_attention_step(*(ring[:, :, :, i] for i in range(3)), frames, lengths, (1, 1), visible=seen)
    assert (out[0, 1] == 0).all() and (out[1:] == 0).all() and (out[0, 0] != 0).all()


def test_nothing_is_read_outside_of_the_rings() -> None:
    """Rings of exact size at the end of their memory, as an address sanitizer sees them."""
    data = inputs((2, 17, 4, 2, 20), (8, 8))
    q, k, v = (np.array(in_ring(data["qkv"], data["lengths"], 17)[:, :, :, i]) for i in range(3))
    out = banded_attention_step(q, k, v, data["frames"], data["lengths"], (8, 8), bias=data["bias"])
    rows = np.arange(2), data["frames"]
    whole = [data["qkv"][:, :, :, i] for i in range(3)]
    wanted = expected_attention(*whole, (8, 8), lengths=data["lengths"], bias=data["bias"])[0][rows]
    assert relative_error(out, wanted) < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": torch.zeros(1, 3, 0, 1, 8)}, "every size of shape must be > 0, got 0"),
        ({"k": torch.zeros(1, 0, 1, 1, 8), "v": torch.zeros(1, 0, 1, 1, 8)}, "every ring must have slots, got 0"),
        ({"q": torch.zeros(1, 3, 1, 1, 8).double()}, "q must be float32 or bfloat16, got float64"),
        ({"left": -1}, r"window must be >= 0, got \(-1, 2\)"),
        ({"frames": torch.zeros(2, dtype=torch.int64)}, r"frames must have shape \(1\), got \(2\)"),
        ({"frames": torch.zeros(1)}, "frames must be int64, got float32"),
        ({"v": torch.zeros(1, 4, 1, 1, 8)}, r"v must have shape \(1, 3, 1, 1, 8\), got \(1, 4, 1, 1, 8\)"),
    ],
)
def test_wrong_sizes_are_named(change: dict[str, object], message: str) -> None:
    call: dict[str, object] = {name: torch.zeros(1, 3, 1, 1, 8) for name in "qkv"}
    call |= {name: torch.zeros(1, dtype=torch.int64) for name in ("frames", "lengths")}
    call |= {"out": torch.zeros(1, 1, 1, 8), "bias": None, "visible": None}
    call |= {"left": 2, "right": 2, "scale": 1.0, "threads": 1}
    with pytest.raises(ValueError, match=message):
        module().banded_attention_step(**(call | change))
