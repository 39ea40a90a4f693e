"""Fourier features through their linear layer, forward and with its gradients, beside the same formula compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import DEVICES

from olift_fast import reference
from olift_fast.ops import rff_encode, rff_linear
from olift_fast.ops.native_module import why_not_native

POINTS = [(1, 48, 26), (8, 243, 26)]
FREQUENCIES, WIDTH = 64, 128


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("points", POINTS, ids=lambda points: "x".join(map(str, points)))
def test_rff_linear(
    side_by_side: Callable[..., None], device: str, points: tuple[int, ...], masked: bool, backward: bool
) -> None:
    """`masked` is what the keypoint encoder does: hidden points, and a token in their place."""
    if device == "cpu" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    x, freqs = torch.randn(*points, 2, device=device), torch.randn(2, FREQUENCIES, device=device)
    layer = [torch.randn(*shape, device=device) for shape in ((WIDTH, 2 * FREQUENCIES), (WIDTH,), (WIDTH,))]
    weight, bias, token = (x.requires_grad_(backward) for x in layer)
    options: dict[str, Any] = {"visible": torch.rand(points, device=device) > 0.1, "token": token} if masked else {}
    upstream = torch.randn(*points, WIDTH, device=device)
    compiled = torch.compile(reference.rff_linear)

    def way(function: Callable[..., torch.Tensor]) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            out = function(x, freqs, weight, bias, **options)
            if backward:
                weight.grad = bias.grad = token.grad = None
                out.backward(upstream)
            return out

        return run

    ways = {"olift_fast": way(rff_linear), "compiled reference": way(compiled), "reference": way(reference.rff_linear)}
    first, *others = (run().detach() for run in ways.values())
    for other in others:
        torch.testing.assert_close(first, other, atol=1e-3, rtol=1e-3)
    count = x.numel() // 2
    traffic = (8 + 4 * WIDTH) * count * (2 if backward else 1)
    side_by_side(ways, device=device, traffic=traffic, points=points, masked=masked)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("points", POINTS, ids=lambda points: "x".join(map(str, points)))
def test_rff_encode(side_by_side: Callable[..., None], device: str, points: tuple[int, ...]) -> None:
    if device == "cpu" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    x, freqs = torch.randn(*points, 2, device=device), torch.randn(2, FREQUENCIES, device=device)
    compiled = torch.compile(reference.rff_encode)
    ways = {
        "olift_fast": lambda: rff_encode(x, freqs),
        "compiled reference": lambda: compiled(x, freqs),
        "reference": lambda: reference.rff_encode(x, freqs),
    }
    first, *others = (run() for run in ways.values())
    for other in others:
        torch.testing.assert_close(first, other, atol=1e-3, rtol=1e-3)
    side_by_side(ways, device=device, traffic=(8 + 8 * FREQUENCIES) * x.numel() // 2, points=points)
