"""Every operation once, forward and backward, on one device: what graphs, sanitizers and exports are tried on.

``python tests/kernels/every_op.py cuda`` runs them all in every dtype, or in those that are named after the device, and
compares them with plain PyTorch in float64. It ends with an error where one is wrong; compute-sanitizer may watch it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan

import torch
from torch import Tensor

from olift_fast import ops


@dataclass(frozen=True)
class Case:
    """An operation of fixed options on tensors, which get gradients, where it has some."""

    function: Callable[..., Tensor | tuple[Tensor, ...]]
    leaves: tuple[Tensor, ...]
    differentiable: bool = True

    def step(self) -> list[Tensor]:
        """Outputs, then the gradients of the leaves for an upstream gradient of the outputs' own cosines."""
        leaves = [x.detach().requires_grad_(self.differentiable) for x in self.leaves]
        outputs = self.function(*leaves)
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        if not self.differentiable:
            return outputs
        differentiable = [x for x in outputs if x.requires_grad]
        gradients = torch.autograd.grad(differentiable, leaves, [x.detach().cos() for x in differentiable])
        return [x.detach() for x in outputs] + list(gradients)


def cases(device: torch.device | str, dtype: torch.dtype = torch.float32) -> dict[str, Case]:
    """By name; small, odd shapes with masks."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, of: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, of)

    batch, frames, joints, heads, width = 2, 21, 5, 2, 20
    qkv = draw(batch, frames, joints, 3, heads, width)
    bias = draw(heads, 9, of=torch.float32)
    visible = (torch.rand(batch, frames, joints, generator=generator) > 0.3).to(device)
    lengths = torch.tensor([21, 13], device=device)
    graph = (torch.rand(heads, joints, joints, generator=generator) > 0.4).to(device)
    x, freqs = draw(batch, frames, joints, 2, of=torch.float32), draw(2, 12, of=torch.float32)
    weight, offset, token = draw(24, 24) / 5, draw(24), draw(24)
    source, target = (draw(7, 31, 3, of=torch.float32) for _ in range(2))
    weights = torch.rand(7, 31, generator=generator).to(device)

    def band(qkv: Tensor, bias: Tensor) -> Tensor:
        return ops.banded_attention_packed(qkv, (3, 5), bias=bias, visible=visible, lengths=lengths)

    at = torch.tensor([20, 4], device=device)

    def step(qkv: Tensor, bias: Tensor) -> Tensor:
        return ops.banded_attention_step(*qkv.unbind(dim=3), at, lengths, (3, 5), bias=bias, visible=visible)

    def space(qkv: Tensor) -> Tensor:
        return ops.joint_attention_packed(qkv, graph=graph, visible=visible)

    def encode(x: Tensor, freqs: Tensor) -> Tensor:
        return ops.rff_encode(x, freqs, visible=visible)

    def linear(x: Tensor, freqs: Tensor, weight: Tensor, offset: Tensor, token: Tensor) -> Tensor:
        return ops.rff_linear(x, freqs, weight, offset, visible=visible, token=token)

    tokens, scale, shift = draw(batch, frames, joints, 24), draw(24), draw(24)
    second, second_offset = draw(24, 24) / 5, draw(24)

    def block(tokens: Tensor, attended: Tensor, weight: Tensor, offset: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        norm, layer = (scale.to(tokens.dtype), shift.to(tokens.dtype)), (weight, offset)
        changed, out = ops.token_block(tokens, attended, layer, (norm, layer, (second, None)), (norm, layer, None))
        assert changed is not None
        return changed, out, ops.token_block(tokens, None, None, None, (norm, layer, (second[:5], None)))[1]

    picture = draw(7, 31, 2, of=torch.float32)

    def camera(source: Tensor, picture: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        return ops.orthographic_procrustes(source, picture, weights=weights)

    def fit(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        return tuple(ops.procrustes(source, target, weights=weights, kind="similarity"))

    def align(source: Tensor, target: Tensor) -> Tensor:
        return ops.procrustes_align(source, target)

    def mse(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        return ops.procrustes_mse(source, target, weights=weights)

    return {
        "banded_attention": Case(band, (qkv, bias)),
        "banded_attention_step": Case(step, (qkv, bias), differentiable=False),
        "joint_attention": Case(space, (qkv,)),
        "rff_encode": Case(encode, (x, freqs)),
        "rff_linear": Case(linear, (x, freqs, weight, offset, token)),
        "norm_linear": Case(ops.norm_linear, (tokens, scale, shift, weight, offset)),
        "linear_residual": Case(ops.linear_residual, (tokens, weight, offset, tokens.cos())),
        "norm_mlp": Case(ops.norm_mlp, (tokens, scale, shift, weight, offset, second, second_offset)),
        "token_block": Case(block, (tokens, tokens.sin(), weight, offset, second), differentiable=False),
        "procrustes": Case(fit, (source, target, weights)),
        "procrustes_align": Case(align, (source, target)),
        "procrustes_mse": Case(mse, (source, target, weights)),
        "orthographic_procrustes": Case(camera, (source, picture, weights)),
    }


TOLERANCE = {torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
"""The largest relative error of an output or a gradient, against float64 on the same numbers."""


def names(dtype: torch.dtype) -> list[str]:
    """The operations that take it: Procrustes alignment has no half precision."""
    return [name for name in cases("cpu") if dtype == torch.float32 or "procrustes" not in name]


def worst_error(name: str, device: torch.device | str, dtype: torch.dtype) -> float:
    """The largest relative error of an operation's outputs and gradients; NaN where one is not finite."""
    here, exact = cases(device, dtype)[name], cases("cpu", dtype)[name]
    got = here.step()
    with ops.use_backend("eager"):
        wanted = replace(exact, leaves=tuple(leaf.double() for leaf in exact.leaves)).step()
    errors = [_error(a.cpu().double(), b.double()) for a, b in zip(got, wanted, strict=True)]
    return max(errors, key=lambda error: (isnan(error), error))


def _error(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm().clamp(min=1e-3))


def main(device: str, *only: str) -> int:
    """Prints a line for each operation and dtype; 1 where a result is wrong."""
    wrong = 0
    for dtype, tolerance in TOLERANCE.items():
        if only and str(dtype)[6:] not in only:
            continue
        for name in names(dtype):
            error = worst_error(name, device, dtype)
            good = error <= tolerance
            wrong += not good
            print(f"{name:24} {str(dtype)[6:]:9} error {error:.1e} {'' if good else 'WRONG'}", flush=True)
    print(f"every operation on {device}: {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
