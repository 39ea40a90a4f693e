"""Procrustes fits and errors of many small point sets, forward and with gradients, beside the SVD and roma."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from side_by_side import max_error
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import procrustes, procrustes_mse
from olift_fast.ops.native_module import native_module, why_not_native

CASES = [("cpu", 20_000)]
if torch.cuda.is_available():
    CASES += [("cuda", 20_000), ("cuda", 1_000_000)]
POINTS = 26

Fit = Callable[[Tensor, Tensor], Tensor]


def roma_fit(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    import roma

    return roma.rigid_points_registration(source, target)


def roma_error(source: Tensor, target: Tensor) -> Tensor:
    rotation, translation = roma_fit(source, target)
    return (source @ rotation.mT + translation[:, None] - target).square().sum(dim=-1).mean(dim=-1)


def ways(of: str, device: str) -> dict[str, Fit]:
    """Each way to the rotations, or to the mean squared errors after the fit; roma's where it is installed."""
    backend = "cuda" if device == "cuda" else "native"
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
    chosen = fits if of == "rotation" else errors
    return {name: way for name, way in chosen.items() if name != "roma" or find_spec("roma")}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("of", ["rotation", "error"])
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

    # Points are read; a fit is written, or an error with what its gradient needs; then points read, gradients written.
    traffic = count * (24 * POINTS + (56 if of == "rotation" else 44))
    if backward:
        traffic += count * (36 * POINTS + (96 if of == "rotation" else 48))
    calls = {name: lambda function=function: call(function) for name, function in functions.items()}
    side_by_side(calls, device=device, traffic=traffic, count=count, points=POINTS)
