"""Runs the Triton kernels' compiled form, and prints how far each result is from the float64 reference.

``python ptx_cases.py GROUP ARCHITECTURE [DTYPE …]``, in a process with Triton's interpreter off. A line of JSON for
each result, then one that names the kernels that were run, and one for those that were not.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from itertools import product

import every_op
import torch
from compiling import take_cpu_tensors
from running_ptx import KERNELS, take_launches
from torch import Tensor
from torch.utils._pytree import tree_map_only

from olift_fast import ops, reference
from olift_fast.ops.token_block import triton_launch

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""The largest relative error of a result, as in `tests/ops`; twice that of a gradient."""

Results = Iterator[tuple[str, Tensor, Tensor, float]]
"""What it is, what came out, what should have, and the tolerance."""


def error(got: Tensor, wanted: Tensor) -> float:
    got, wanted = got.detach().double(), wanted.detach().double()
    return float((got - wanted).norm() / wanted.norm().clamp(min=1e-3))


def draw(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    """Numbers that the type holds."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def some(*shape: int, seed: int, share: float = 0.7) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def gradients(outputs: Tensor, upstream: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(outputs, leaves, upstream.to(outputs.dtype))


def band(dtype: torch.dtype) -> Results:
    """Masks, bias, NaN in what is hidden, rows that see nothing; without masks: one side, short clips, wide heads."""
    qkv = draw(2, 35, 3, 3, 2, 32, dtype=dtype, seed=1)
    bias, upstream = draw(2, 17, dtype=dtype, seed=2), draw(2, 35, 3, 2, 32, dtype=dtype, seed=3)
    visible, lengths = some(2, 35, 3, seed=4), torch.tensor([35, 22])
    visible[:, 3:30, 1] = False
    keys = visible & (torch.arange(35) < lengths[:, None])[:, :, None]
    poisoned = qkv.clone()
    poisoned[:, :, :, 1:][~keys] = torch.nan
    options = {"visible": visible, "lengths": lengths}
    yield from of_band(dtype, qkv, poisoned, (8, 8), bias, upstream, **options)
    got = ops.banded_attention_packed(poisoned, (8, 8), bias=bias, visible=visible, lengths=lengths)
    yield "band: rows that see nothing", 1 + got[:, 11:22, 1].float(), torch.ones(2, 11, 2, 32), 0.0

    shape, window = {
        torch.float32: ((2, 33, 2, 3, 20), (3, 0)),
        torch.float16: ((1, 5, 1, 1, 16), (9, 9)),
        torch.bfloat16: ((1, 20, 1, 1, 128), (8, 8)),
    }[dtype]
    plain = draw(*shape[:3], 3, *shape[3:], dtype=dtype, seed=5)
    yield from of_band(dtype, plain, plain, window, None, draw(*shape, dtype=dtype, seed=6))
    if dtype == torch.bfloat16:
        shape = (1, 37, 2, 1, 24)
        plain, offsets = draw(*shape[:3], 3, *shape[3:], dtype=dtype, seed=7), draw(1, 22, dtype=dtype, seed=8)
        yield from of_band(dtype, plain, plain, (12, 9), offsets, draw(*shape, dtype=dtype, seed=9))


def of_band(
    dtype: torch.dtype,
    clean: Tensor,
    given: Tensor,
    window: tuple[int, int],
    bias: Tensor | None,
    upstream: Tensor,
    **options: Tensor,
) -> Results:
    leaf, exact = given.clone().requires_grad_(), clean.double().requires_grad_()
    biases = [] if bias is None else [bias.clone().requires_grad_(), bias.double().requires_grad_()]
    out = ops.banded_attention_packed(leaf, window, bias=biases[0] if biases else None, **options)
    wanted = reference.banded_attention(*exact.unbind(3), window, bias=biases[1] if biases else None, **options)
    yield f"band {tuple(upstream.shape)}", out, wanted, TOLERANCE[dtype]
    found, right = (gradients(*x) for x in ((out, upstream, leaf, *biases[:1]), (wanted, upstream, exact, *biases[1:])))
    for name, a, b in zip(("qkv", "bias"), found, right, strict=False):
        yield f"band {tuple(upstream.shape)}: gradient of {name}", a, b, 2 * TOLERANCE[dtype]


def step(dtype: torch.dtype) -> Results:
    """Rings that are not full and rings that have turned, NaN in what is hidden or never written."""
    qkv, bias = draw(2, 40, 5, 3, 2, 24, dtype=dtype, seed=1), draw(2, 11, dtype=dtype, seed=2)
    visible, at, ends = some(2, 40, 5, seed=3), torch.tensor([33, 2]), torch.tensor([37, 40])
    visible[0, 25:, 2] = False
    lengths, slots = torch.minimum(at + 5, ends), 12
    ring, seen = (
        torch.full((2, slots, *qkv.shape[2:]), torch.nan, dtype=dtype),
        torch.ones(2, slots, 5, dtype=torch.bool),
    )
    for clip in range(2):
        for frame in range(int(lengths[clip])):
            ring[clip, frame % slots] = qkv[clip, frame]
            ring[clip, frame % slots, :, 1:][~visible[clip, frame]] = torch.nan
            seen[clip, frame % slots] = visible[clip, frame]
    q, k, v = ring.unbind(3)
    got = ops.banded_attention_step(q, k, v, at, lengths, (6, 4), bias=bias, visible=seen)
    options = {"bias": bias.double(), "visible": visible, "lengths": ends}
    wanted = reference.banded_attention(*qkv.double().unbind(3), (6, 4), **options)[torch.arange(2), at]
    yield "step", got, wanted, TOLERANCE[dtype]


def joints(dtype: torch.dtype) -> Results:
    """Masks with NaN under them, frames of which nothing is visible; several tiles, or several frames in a tile."""
    yield from of_joints(dtype, (2, 3, 26, 2, 32), masked=True)
    other, masked = {
        torch.float32: ((1, 2, 35, 2, 20), True),
        torch.float16: ((2, 5, 7, 1, 16), True),
        torch.bfloat16: ((2, 5, 7, 1, 32), False),
    }[dtype]
    yield from of_joints(dtype, other, masked)


def of_joints(dtype: torch.dtype, shape: tuple[int, int, int, int, int], masked: bool) -> Results:
    clips, frames, count, heads, _ = shape
    qkv, upstream = draw(*shape[:3], 3, *shape[3:], dtype=dtype, seed=1), draw(*shape, dtype=dtype, seed=2)
    given, given_upstream, options = qkv.clone(), upstream.clone(), {}
    if masked:
        graph, visible = some(clips, heads, count, count, seed=3), some(clips, frames, count, seed=4)
        visible[0, -1] = False
        graph[:, 0, 3] = False
        seen = graph[:, None] & visible[:, :, None, None, :]
        unread, keyless = (~seen.any(dim=axis).transpose(2, 3) for axis in (-2, -1))
        given[:, :, :, 0][keyless] = torch.nan
        given[:, :, :, 1][unread] = torch.inf
        given[:, :, :, 2][unread] = torch.nan
        given_upstream[keyless] = torch.nan
        options = {"graph": graph, "visible": visible}
    leaf, exact = given.requires_grad_(), qkv.double().requires_grad_()
    out = ops.joint_attention_packed(leaf, **options)
    wanted = reference.joint_attention(*exact.unbind(3), **options)
    yield f"joints {shape}", out, wanted, TOLERANCE[dtype]
    (found,), (right,) = gradients(out, given_upstream, leaf), gradients(wanted, upstream, exact)
    yield f"joints {shape}: gradient", found, right, 2 * TOLERANCE[dtype]


def features(dtype: torch.dtype) -> Results:
    """More points, frequencies and outputs than a tile has; NaN in hidden points; a token in float32."""
    x, freqs = draw(2, 75, 3, dtype=torch.float32, seed=1), draw(3, 70, dtype=torch.float32, seed=2)
    visible = some(2, 75, seed=3)
    visible[1, 5:] = False
    weight, offset = draw(40, 140, dtype=dtype, seed=4) / 8, draw(40, dtype=dtype, seed=5)
    token, hidden = draw(40, dtype=torch.float32, seed=6), x.clone()
    hidden[~visible] = torch.nan
    given, clean = [hidden, freqs, weight, offset, token], [x, freqs, weight, offset, token]
    ways = [("features", ops.rff_encode, reference.rff_encode, 2, 140)] if dtype == torch.float32 else []
    ways.append(("layer", ops.rff_linear, reference.rff_linear, 4, 40))
    for name, fast, plain, count, width in ways:
        upstream = draw(2, 75, width, dtype=torch.float32, seed=7)
        leaves, exact = [y.clone().requires_grad_() for y in given], [y.double().requires_grad_() for y in clean]
        more, exact_more = ({"token": y[4]} if count == 4 else {} for y in (leaves, exact))
        out, wanted = (
            fast(*leaves[:count], visible=visible, **more),
            plain(*exact[:count], visible=visible, **exact_more),
        )
        yield name, out, wanted, TOLERANCE[dtype]
        used = [*range(count), *([4] if count == 4 else [])]
        found, right = (
            gradients(out, upstream, *(leaves[k] for k in used)),
            gradients(wanted, upstream, *(exact[k] for k in used)),
        )
        for k, a, b in zip(used, found, right, strict=True):
            yield f"{name}: gradient {k}", a, b, 2 * TOLERANCE[dtype]


def blocks(dtype: torch.dtype) -> Results:
    """All between two attentions and after the last, for few and for many tokens; half precision meets float32."""
    width, rows, few = {
        torch.float32: (24, 40, 0),
        torch.float16: (40, 17, triton_launch.FEW),
        torch.bfloat16: (128, 130, 0),
    }[dtype]

    def layer(inputs: int, outputs: int, seed: int) -> tuple[Tensor, Tensor]:
        weight = draw(outputs, inputs, dtype=torch.float32, seed=seed) / inputs**0.5
        return weight.to(dtype), draw(outputs, dtype=dtype, seed=seed + 1)

    def norm(seed: int) -> tuple[Tensor, Tensor]:
        return draw(width, dtype=torch.float32, seed=seed), draw(width, dtype=torch.float32, seed=seed + 1)

    tokens, attended = draw(rows, width, dtype=torch.float32, seed=1), draw(rows, width, dtype=dtype, seed=2)
    mlp = norm(5), layer(width, 2 * width + 8, 7), layer(2 * width + 8, width, 9)
    heads = (norm(11), layer(width, 3 * width, 13), None), (norm(11), layer(width, width, 15), layer(width, 5, 17))
    before, triton_launch.FEW = triton_launch.FEW, few
    for head in heads[: 1 if width == 128 else 2]:
        given = tokens, attended, layer(width, width, 3), mlp, head
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            found = ops.token_block(*given)
        right = reference.token_block(*tree_map_only(Tensor, Tensor.double, given))
        for name, a, b in zip(("tokens", "head"), found, right, strict=True):
            yield f"{name} of a pass, D = {width}, {'last' if head[2] else 'between'}", a, b, TOLERANCE[dtype]
    triton_launch.FEW = before


def products(dtype: torch.dtype) -> Results:
    """What Triton makes of a matrix product: each shape of a tile, each layout, each precision that it has."""
    from ptx_products import multiply

    precisions = ["ieee", "tf32", "tf32x3"] if dtype == torch.float32 else ["ieee"]
    for (rows, columns, depth), warps, turns in (
        ((64, 32, 64), 4, range(4)),
        ((16, 16, 16), 1, (0, 3)),
        ((128, 64, 32), 8, (2,)),
    ):
        a, b = draw(rows, depth, dtype=dtype, seed=1), draw(depth, columns, dtype=dtype, seed=2)
        for precision, turned in product(precisions, turns):
            left = a.T.contiguous().T if turned & 1 else a
            right = b.T.contiguous().T if turned & 2 else b
            out = torch.empty(rows, columns)
            multiply(left, right, out, precision, warps)
            tolerance = 1e-3 if precision == "tf32" else 2e-6
            yield f"{rows} × {columns} × {depth}, {precision}, {turned}", out, a.double() @ b.double(), tolerance


def every(dtype: torch.dtype) -> Results:
    """`every_op`: what CUDA graphs, sanitizers and exports are tried on."""
    for name in every_op.names(dtype):
        worst = torch.tensor([every_op.worst_error(name, "cpu", dtype)])
        yield name, 1 + worst, torch.ones(1), every_op.TOLERANCE[dtype]


GROUPS: dict[str, list[Callable[[torch.dtype], Results]]] = {
    "every": [every],
    "masks": [band, step, joints, features, blocks],
    "products": [products],
}


def kernels_of_the_package() -> set[str]:
    """Each Triton kernel of the operations, by its module and its name."""
    from triton.runtime.jit import JITFunction

    found = set()
    for info in pkgutil.walk_packages(ops.__path__, "olift_fast.ops."):
        if info.name.rpartition(".")[2].startswith("triton_kernels"):
            values = vars(importlib.import_module(info.name)).values()
            found |= {f"{x.module}.{x.__name__}" for x in values if isinstance(x, JITFunction)}
    return {name for name in found if name.endswith("_kernel")}


def main(group: str, architecture: str, *dtypes: str) -> None:
    take_launches(int(architecture))
    take_cpu_tensors()
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    for dtype, case in product((getattr(torch, name) for name in dtypes), GROUPS[group]):
        for name, got, wanted, tolerance in case(dtype):
            told = [f"{name}, {str(dtype)[6:]}", error(got, wanted), tolerance]
            print(json.dumps(told), flush=True)
    print(json.dumps(sorted(KERNELS)))
    print(json.dumps(sorted(kernels_of_the_package() - set(KERNELS))))


if __name__ == "__main__":
    main(*sys.argv[1:])
