"""Copies for inference: as exact as their precision allows, and free of the lifter that they were made from."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from helpers import ROUNDED, error, needs_bfloat16, needs_int16
from torch import Tensor, nn

from olift_fast.model import Lifter, LifterConfig, lift_in_chunks, lift_mirrored
from olift_fast.tracks.rigs import rig

SMALL = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)
DTYPES = [
    torch.float32,
    pytest.param(torch.bfloat16, marks=needs_bfloat16),
    pytest.param(torch.int16, marks=needs_int16),
]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.int16: 2e-3, torch.float16: 5e-3}


def clip(batch: int = 2, frames: int = 19, joints: int = 5, device: str = "cpu") -> tuple[Tensor, dict[str, Any]]:
    visible = torch.rand(batch, frames, joints) > 0.2
    keypoints = torch.randn(batch, frames, joints, 2).masked_fill(~visible[..., None], torch.nan)
    graph = torch.rand(batch, joints, joints) > 0.5
    graph = graph | graph.mT | torch.eye(joints, dtype=torch.bool)
    given = {"visible": visible, "graph": graph, "sides": torch.randint(-1, 2, (joints,)).float()}
    return keypoints.to(device), {name: value.to(device) for name, value in given.items()}


def lifter_of(seed: int = 0) -> Lifter:
    torch.manual_seed(seed)
    return Lifter(SMALL, "test")


def error_of(got: Tensor, lifter: Lifter, keypoints: Tensor, given: dict[str, Any]) -> float:
    """Against the lifter in float64."""
    return error(got, copy.deepcopy(lifter).double()(keypoints.double(), **given))


@pytest.mark.parametrize("dtype", DTYPES)
def test_matches_the_lifter_in_float64(dtype: torch.dtype) -> None:
    lifter = lifter_of()
    optimized = lifter.optimize(dtype=dtype)
    for shape in [(1, 1, 1), (2, 19, 5), (3, 70, 13)]:
        keypoints, given = clip(*shape)
        got = optimized(keypoints, **given)
        assert got.dtype == torch.float32 and not got.requires_grad
        assert error_of(got, lifter, keypoints, given) < TOLERANCE[dtype]
        assert torch.equal(got, optimized(keypoints, **given))


@pytest.mark.parametrize("dtype", ROUNDED)
def test_the_dtype_is_really_taken(dtype: str) -> None:
    lifter = lifter_of()
    keypoints, given = clip()
    exact, rounded = (lifter.optimize(dtype=getattr(torch, name))(keypoints, **given) for name in ("float32", dtype))
    assert (exact - rounded).norm() / exact.norm() > {"bfloat16": 1e-4, "int16": 1e-5}[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_with_changing_lengths(dtype: torch.dtype) -> None:
    lifter = lifter_of()
    optimized = lifter.optimize(dtype=dtype, compile=True)
    torch._dynamo.reset()
    first = None
    for frames in (19, 20, 33):
        keypoints, given = clip(2, frames)
        got = optimized(keypoints, **given)
        assert got.dtype == torch.float32 and not got.requires_grad
        assert error_of(got, lifter, keypoints, given) < (1e-5 if dtype == torch.float32 else 5e-2)
        first = got if first is None else first
    assert first is not None and first.isfinite().all()


def test_is_apart_from_what_it_was_made_from() -> None:
    lifter = lifter_of().train()
    optimized = lifter.optimize()
    keypoints, given = clip()
    before = optimized(keypoints, **given)
    with torch.no_grad():
        lifter.decoder.mlp[2].bias.add_(1.0)
    assert torch.equal(optimized(keypoints, **given), before)
    assert lifter.training and all(parameter.requires_grad for parameter in lifter.parameters())
    assert not any(parameter.requires_grad for parameter in optimized.parameters())
    assert optimized.name == "test" and optimized.config == lifter.config


def test_random_numbers_go_on_as_without_it() -> None:
    lifter = lifter_of()
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    lifter.optimize()
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_copies_and_pickles(compiled: bool) -> None:
    lifter = lifter_of()
    keypoints, given = clip()
    optimized = lifter.optimize(compile=compiled)
    wanted = optimized(keypoints, **given)
    for twin in (copy.deepcopy(optimized), pickle.loads(pickle.dumps(optimized)), optimized.optimize()):
        torch.testing.assert_close(twin(keypoints, **given), wanted, rtol=1e-5, atol=1e-5)


def test_lifts_recordings_too() -> None:
    lifter, skeleton = lifter_of(), rig("animalsyn3d_dog")
    keypoints = torch.randn(40, skeleton.num_joints, 2)
    visible = torch.ones(keypoints.shape[:2], dtype=torch.bool)
    wanted = lift_in_chunks(lifter, keypoints, visible, skeleton, chunk=16)
    torch.testing.assert_close(lift_in_chunks(lifter.optimize(), keypoints, visible, skeleton, chunk=16), wanted)
    sides = torch.tensor(skeleton.sides, dtype=torch.float32)
    mirrored = lift_mirrored(lifter.optimize(), keypoints[None], visible[None], graph=None, sides=sides)
    assert not mirrored.requires_grad


def test_swapped_layers_are_kept() -> None:
    class Twice(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, *inputs: Any) -> Any:
            return 2 * self.layer(*inputs)

    lifter = lifter_of()
    lifter.motion[0] = Twice(lifter.motion[0])
    keypoints, given = clip()
    assert error_of(lifter.optimize()(keypoints, **given), lifter, keypoints, given) < 1e-5


def test_refuses_what_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lifter = lifter_of()
    with pytest.raises(ValueError, match=r"dtype must be torch\.float32, .* got torch\.float64"):
        lifter.optimize(dtype=torch.float64)
    with pytest.raises(ValueError, match=r"float16 is for GPUs"):
        lifter.optimize("cpu", torch.float16)
    monkeypatch.setattr("olift_fast.model.lifter.why_not_products", lambda dtype: "an old processor")
    with pytest.raises(ValueError, match=r"bfloat16 does not run on this CPU: an old processor; torch\.float32 does"):
        lifter.optimize(dtype=torch.bfloat16)
    monkeypatch.setattr("olift_fast.model.lifter.why_not_products", lambda dtype: "another kind")
    with pytest.raises(ValueError, match=r"int16 does not run on this CPU: another kind; torch\.float32 does"):
        lifter.optimize(dtype=torch.int16)
    for where, options in (("cuda", {}), ("cpu", {"compile": True})):
        with pytest.raises(ValueError, match=r"int16 is for the native passes on the CPU"):
            lifter.optimize(where, torch.int16, **options)


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_gpu(dtype: torch.dtype, compiled: bool) -> None:
    lifter = lifter_of()
    optimized = lifter.optimize("cuda", dtype, compile=compiled)
    kept = []
    for frames in (19, 33, 19, 19, 33):
        keypoints, given = clip(2, frames)
        on_gpu = {name: value.cuda() for name, value in given.items()}
        kept.append((optimized(keypoints.cuda(), **on_gpu), keypoints, given))
    for got, keypoints, given in kept:
        assert got.device.type == "cuda" and got.dtype == torch.float32
        assert error_of(got.cpu(), lifter, keypoints, given) < TOLERANCE[dtype]
