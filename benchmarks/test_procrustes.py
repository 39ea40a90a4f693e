"""Procrustes fits of many small point sets, forward and with gradients, beside the SVD and roma."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import roma
import torch
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import procrustes
from olift_fast.ops._native import why_not_native

COUNT, POINTS = 20_000, 26

WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "native": lambda source, target: procrustes(source, target, backend="native").rotation,
    "svd": lambda source, target: reference.procrustes(source, target)[0],
    "roma": lambda source, target: roma.rigid_points_registration(source, target)[0],
}


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("way", list(WAYS))
def test_procrustes(benchmark: Any, way: str, backward: bool) -> None:
    if way == "native" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    source = torch.randn(COUNT, POINTS, 3)
    target = source @ torch.linalg.qr(torch.randn(3, 3))[0].T + 0.1 * torch.randn(COUNT, POINTS, 3)
    source.requires_grad_(backward)
    function = WAYS[way]
    with torch.no_grad():
        wanted = reference.procrustes(source[:100].double(), target[:100].double())[0]
        torch.testing.assert_close(function(source[:100], target[:100]).double(), wanted, atol=1e-4, rtol=1e-4)
    upstream = torch.randn(COUNT, 3, 3)

    def run() -> None:
        rotation = function(source, target)
        if backward:
            source.grad = None
            rotation.backward(upstream)

    benchmark.pedantic(run, rounds=10, warmup_rounds=2)
    benchmark.extra_info.update(count=COUNT, points=POINTS, way=way)
