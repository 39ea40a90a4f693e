"""The kernels read NumPy arrays where they lie, as they read tensors: the same bits come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from native_calls import module

RANDOM = np.random.default_rng(0)
SHAPE = (2, 13, 5, 3, 8)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def attend(q: Any, k: Any, v: Any, out: Any, visible: Any = None, bias: Any = None, lengths: Any = None) -> Any:
    module().banded_attention_forward(q, k, v, 3, 2, bias, visible, lengths, 0.3, out, None, 2)
    return out


def test_arrays_give_the_bits_that_tensors_give() -> None:
    """Views of one projection, a mask that is spread over the joints, and what is told of times."""
    qkv = normal(2, 13, 5, 3, 3, 8)
    visible = np.broadcast_to(RANDOM.random((2, 13, 1)) < 0.8, SHAPE[:3])
    bias, lengths = normal(3, 6), np.array([13, 7])
    parts = [qkv[:, :, :, part] for part in range(3)]
    got = attend(*parts, np.full(SHAPE, np.nan, np.float32), visible, bias, lengths)
    tensors = torch.from_numpy(qkv).unbind(dim=3)
    told = (torch.from_numpy(x) for x in (visible.copy(), bias, lengths))
    wanted = attend(*tensors, torch.empty(SHAPE), *told)
    assert np.isfinite(got).all() and got.tobytes() == wanted.numpy().tobytes()


def test_uint16_is_the_bits_of_bfloat16() -> None:
    q, k, v = (torch.from_numpy(normal(*SHAPE)).bfloat16() for _ in range(3))
    wanted = attend(q, k, v, torch.empty(SHAPE, dtype=torch.bfloat16))
    bits = [x.view(torch.uint16).numpy() for x in (q, k, v)]
    got = attend(*bits, np.empty(SHAPE, np.uint16))
    np.testing.assert_array_equal(got, wanted.view(torch.uint16).numpy())


def test_arrays_and_tensors_may_come_together() -> None:
    q, k, v = (normal(*SHAPE) for _ in range(3))
    wanted = attend(q, k, v, np.empty(SHAPE, np.float32))
    got = attend(torch.from_numpy(q), k, torch.from_numpy(v), np.empty(SHAPE, np.float32))
    np.testing.assert_array_equal(got, wanted)


def test_backward_of_joint_attention_takes_arrays() -> None:
    q, k, v, dout = (normal(*SHAPE) for _ in range(4))
    found = []
    for make in (np.asarray, torch.from_numpy):
        out, lse, *gradients = (make(np.zeros(shape, np.float32)) for shape in (SHAPE, SHAPE[:4], *[SHAPE] * 3))
        module().joint_attention_forward(make(q), make(k), make(v), None, None, 0.3, out, lse, 1)
        module().joint_attention_backward(make(dout), make(q), make(k), make(v), lse, None, None, 0.3, *gradients, 1)
        found.append(np.stack([np.asarray(x) for x in gradients]))
    assert np.abs(found[0]).max() > 0.1
    np.testing.assert_array_equal(*found)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def shifted(*shape: int) -> np.ndarray:
    """float32 that begins a byte after where it should: NumPy gives such elements another format."""
    size = int(np.prod(shape)) * 4
    return np.zeros(size + 1, np.uint8)[1:].view(np.float32).reshape(shape)


RECORDS = np.zeros(SHAPE, np.dtype([("x", "<f4"), ("flag", "u1")]))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"out": read_only(normal(*SHAPE))}, ValueError, "out must be writable, got a read-only array"),
        ({"q": normal(*SHAPE).astype(np.float16)}, ValueError, "an array must be float32, .*, got the format e"),
        ({"q": normal(*SHAPE).astype(">f4")}, ValueError, "an array must be float32, .*, got the format >f"),
        ({"lengths": np.array([1, 2], np.int32)}, ValueError, "an array must be .*, got the format i"),
        ({"k": shifted(*SHAPE)}, ValueError, "an array must be float32, .*, got the format =f"),
        ({"k": RECORDS["x"]}, ValueError, "an array must be float32, .*, got the format =f"),
        ({"k": normal(*SHAPE)[..., ::-1]}, ValueError, "k must have a last stride of 1"),
        ({"v": normal(1, 1, *SHAPE)}, ValueError, "a tensor must have at most 6 axes, got 7"),
        ({"q": [1.0]}, TypeError, "must be torch.Tensor or numpy.ndarray, got list"),
        ({"visible": np.ones((2, 0, 5), np.bool_)}, ValueError, "visible must not be empty: None leaves it out"),
    ],
)
def test_impossible_arrays_are_refused(change: dict[str, Any], error: type, message: str) -> None:
    given = {name: normal(*SHAPE) for name in ("q", "k", "v", "out")}
    with pytest.raises(error, match=message):
        attend(**(given | change))


def test_inputs_may_be_read_only() -> None:
    visible = read_only(np.ones(SHAPE[:3], np.bool_))
    bias = read_only(normal(3, 6))
    q, k, v = (normal(*SHAPE) for _ in range(3))
    got = attend(q, k, v, np.empty(SHAPE, np.float32), visible, bias)
    np.testing.assert_array_equal(got, attend(q, k, v, np.empty(SHAPE, np.float32), visible.copy(), bias.copy()))
