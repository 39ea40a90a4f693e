"""Procrustes fits, errors and moved points of small sets, forward and with gradients, beside the SVD and roma."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from side_by_side import FULL, max_error
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import orthographic_procrustes, procrustes, procrustes_align, procrustes_mse
from olift_fast.ops.backends import Backend
from olift_fast.ops.native_module import native_module, why_not_native

CASES = [("cpu", 1), ("cpu", 20_000)]
if FULL:
    CASES += [("cpu", 1_000_000)]
if torch.cuda.is_available():
    CASES += [("cuda", 20_000), ("cuda", 1_000_000)]
POINTS = 26

Fit = Callable[[Tensor, Tensor], Tensor]


def roma_fit(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    import roma

    return roma.rigid_points_registration(source, target)


def roma_align(source: Tensor, target: Tensor) -> Tensor:
    rotation, translation = roma_fit(source, target)
    return source @ rotation.mT + translation[:, None]


def roma_error(source: Tensor, target: Tensor) -> Tensor:
    return (roma_align(source, target) - target).square().sum(dim=-1).mean(dim=-1)


def ways(of: str, device: str) -> dict[str, Fit]:
    """Each way to rotations, mean squared errors after the fit, or moved points; roma's where it is installed."""
    backend: Backend = "cuda" if device == "cuda" else "native"
    fits: dict[str, Fit] = {
        backend: lambda source, target: procrustes(source, target, backend=backend).rotation,
        "svd": lambda source, target: reference.procrustes(source, target)[0],
        "roma": lambda source, target: roma_fit(source, target)[0],
    }
    errors: dict[str, Fit] = {
        backend: lambda source, target: procrustes_mse(source, target, backend=backend),
        "svd": reference.procrustes_mse,
        "roma": roma_error,
    }
    moved: dict[str, Fit] = {
        backend: lambda source, target: procrustes_align(source, target, backend=backend),
        "svd": reference.procrustes_align,
        "roma": roma_align,
    }
    chosen = {"rotation": fits, "error": errors, "moved": moved}[of]
    return {name: way for name, way in chosen.items() if name != "roma" or find_spec("roma")}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("of", ["rotation", "error", "moved"])
@pytest.mark.parametrize(("device", "count"), CASES)
def test_procrustes(side_by_side: Any, device: str, count: int, of: str, backward: bool) -> None:
    native = native_module()
    if native is None or (device == "cuda" and not native.info()["cuda"]):
        pytest.skip(why_not_native() or "the native module was built without CUDA")
    torch.manual_seed(0)
    source = torch.randn(count, POINTS, 3, device=device)
    turn = torch.linalg.qr(torch.randn(3, 3))[0].to(device)
    target = source @ turn.T + 0.1 * torch.randn_like(source)
    source.requires_grad_(backward)
    functions = ways(of, device)
    with torch.no_grad():
        few = (source[:100], target[:100])
        for function in functions.values():
            assert max_error(function(*few), functions["svd"](*(x.double() for x in few))) < 1e-5
    upstream = torch.randn_like(next(iter(functions.values()))(source, target))

    def call(function: Fit) -> object:
        value = function(source, target)
        if backward:
            return torch.autograd.grad(value, source, upstream)
        return value

    # Points are read; a fit, or an error or the moved points with what the gradient needs, is written. Then points are
    # read again, those moved with their gradients, and the gradients of the source written.
    traffic = count * {"rotation": 24 * POINTS + 56, "error": 24 * POINTS + 44, "moved": 36 * POINTS + 44}[of]
    if backward:
        traffic += count * {"rotation": 36 * POINTS + 96, "error": 36 * POINTS + 48, "moved": 48 * POINTS + 44}[of]
    calls = {name: lambda function=function: call(function) for name, function in functions.items()}
    side_by_side(calls, device=device, traffic=traffic, count=count, points=POINTS)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("count", [1, 2_000])
def test_orthographic_procrustes(side_by_side: Any, count: int, backward: bool) -> None:
    """The camera of each set, beside plain PyTorch's 64 fits of a completed target."""
    if native_module() is None:
        pytest.skip(why_not_native() or "")
    torch.manual_seed(0)
    source = torch.randn(count, POINTS, 3)
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turn *= torch.linalg.det(turn)
    target = 0.7 * (source @ turn.T)[..., :2] + 0.05 * torch.randn(count, POINTS, 2)
    source.requires_grad_(backward)

    def call(backend: Backend) -> Tensor:
        rotation, scale, _ = orthographic_procrustes(source, target, backend=backend)
        value = rotation.sum(dim=(-2, -1)) + scale
        return torch.autograd.grad(value.sum(), source)[0] if backward else value

    ways: dict[str, Callable[[], Tensor]] = {"native": lambda: call("native"), "eager": lambda: call("eager")}
    assert max_error(ways["native"](), ways["eager"]()) < 1e-3  # the eager gradient through 64 steps in float32
    side_by_side(ways, device="cpu", traffic=count * 20 * POINTS, count=count, points=POINTS)
