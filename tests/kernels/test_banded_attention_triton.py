"""The Triton kernels of `banded_attention`: through the interpreter where there is no GPU, and compiled for GPUs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from compiling import compile_launches
from helpers import error, needs_interpreter, needs_triton
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import banded_attention, banded_attention_packed
from olift_fast.ops.banded_attention import triton_launch
from olift_fast.ops.triton_runtime import interpreted, why_not_triton

DEVICE = "cpu" if interpreted() else "cuda"


def compare(
    shape: tuple[int, int, int, int, int],
    window: tuple[int, int],
    *,
    masked: bool,
    seed: int = 0,
) -> None:
    """Output, and gradients of a packed projection and a bias, against the float64 reference."""
    batch, frames, joints, heads, width = shape
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn(batch, frames, joints, 3, heads, width, generator=generator)
    bias = torch.randn(heads, sum(window) + 1, generator=generator)
    upstream = torch.randn(batch, frames, joints, heads, width, generator=generator)
    visible = torch.rand(batch, frames, joints, generator=generator) > 0.3 if masked else None
    lengths = torch.randint(1, frames + 1, (batch,), generator=generator) if masked else None

    exact, exact_bias = qkv.double().requires_grad_(), bias.double().requires_grad_()
    options = {"visible": visible, "lengths": lengths}
    wanted = reference.banded_attention(*exact.unbind(3), window, bias=exact_bias, **options)
    wanted.backward(upstream.double())

    leaf, leaf_bias = qkv.to(DEVICE).requires_grad_(), bias.to(DEVICE).requires_grad_()
    options = {name: None if x is None else x.to(DEVICE) for name, x in options.items()}
    out = banded_attention_packed(leaf, window, bias=leaf_bias, backend="triton", **options)
    out.backward(upstream.to(DEVICE))
    assert error(out, wanted) < 1e-5
    assert error(leaf.grad, exact.grad) < 2e-5
    # The softmax of a single key ignores the bias: its gradient is 0, a sum of terms that cancel.
    assert error(leaf_bias.grad, exact_bias.grad, least=0.1 * float(upstream.norm())) < 2e-5


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((2, 1, 1, 1, 8), (8, 8)),
        ((1, 7, 5, 1, 20), (8, 8)),
        ((1, 16, 3, 1, 32), (3, 0)),
        ((1, 17, 1, 2, 8), (0, 5)),
        ((2, 18, 2, 1, 13), (0, 0)),
        ((1, 48, 2, 1, 32), (8, 8)),
        ((1, 17, 1, 1, 64), (8, 8)),
        ((1, 5, 1, 1, 128), (2, 4)),
        ((1, 63, 1, 1, 8), (20, 30)),
        ((1, 18, 2, 1, 8), (300, 300)),
    ],
)
def test_matches_the_reference(shape, window, masked) -> None:
    compare(shape, window, masked=masked)


@pytest.mark.slow
@needs_triton
def test_long_clip_of_many_blocks() -> None:
    compare((1, 243, 1, 1, 8), (8, 8), masked=True)


@pytest.mark.slow
@needs_triton
def test_many_joints() -> None:
    compare((1, 7, 26, 1, 8), (8, 8), masked=True)


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("window", [(16, 0), (0, 16), (3, 12), (0, 0)])
def test_every_place_of_a_narrow_band(window) -> None:
    """In several spans, of which the last one ends inside a block."""
    compare((1, 117, 1, 1, 8), window, masked=True)


@pytest.mark.slow
@needs_triton
def test_spans_of_several_lengths_give_the_same(monkeypatch) -> None:
    """A whole clip a program, or the fewest blocks; rows far apart, or near."""
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(1, 117, 2, 3, 1, 8, generator=generator)
    bias = torch.randn(1, 17, generator=generator)
    upstream = torch.randn(1, 117, 2, 1, 8, generator=generator)

    def step() -> list[Tensor]:
        leaves = [qkv.to(DEVICE).requires_grad_(), bias.to(DEVICE).requires_grad_()]
        banded_attention_packed(leaves[0], 8, bias=leaves[1], backend="triton").backward(upstream.to(DEVICE))
        return [x.grad for x in leaves]

    wanted = step()
    monkeypatch.setattr(triton_launch, "FARTHEST", 0)
    assert all(torch.equal(a, b) for a, b in zip(step(), wanted, strict=True))
    monkeypatch.setattr(triton_launch, "PROGRAMS", 1)
    gradient, bias_gradient = step()
    assert torch.equal(gradient, wanted[0])
    torch.testing.assert_close(bias_gradient, wanted[1], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@needs_interpreter
@pytest.mark.parametrize("loud", [1.0, 4.0])
def test_float32_on_tensor_cores_is_exact_enough(monkeypatch, loud) -> None:
    """Cores read 10 bits of each factor: here the interpreter cuts them off, too. Scores of loud queries reach 100."""
    from triton._C.libtriton.ir import INPUT_PRECISION
    from triton.runtime.interpreter import InterpreterBuilder

    product = InterpreterBuilder.create_dot
    cut = 0

    def cutting(self, a, b, acc, precision, imprecise):
        nonlocal cut
        if precision == INPUT_PRECISION.TF32 and a.data.dtype == np.float32:
            cut += 1
            a, b = (type(x)((x.data.view(np.int32) & ~0x1FFF).view(np.float32), x.dtype) for x in (a, b))
        return product(self, a, b, acc, precision, imprecise)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", cutting)
    generator = torch.Generator().manual_seed(5)
    qkv = torch.randn(1, 33, 1, 3, 1, 32, generator=generator)
    qkv[:, :, :, :2] *= loud
    upstream = torch.randn(1, 33, 1, 1, 32, generator=generator)
    leaf, exact = qkv.clone().requires_grad_(), qkv.double().requires_grad_()
    banded_attention_packed(leaf, 8, backend="triton").backward(upstream)
    reference.banded_attention(*exact.unbind(3), (8, 8)).backward(upstream.double())
    assert cut > 0
    assert error(leaf.grad, exact.grad) < 2e-5


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("window", [(0, 33), (33, 0)])
def test_one_sided_window_that_ends_inside_a_tile(window) -> None:
    compare((1, 50, 1, 1, 8), window, masked=False)


@pytest.mark.slow
@needs_triton
def test_repeats_bit_for_bit() -> None:
    qkv = torch.randn(1, 20, 5, 3, 1, 8, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    bias = torch.randn(1, 7, generator=torch.Generator().manual_seed(1)).to(DEVICE)

    def step() -> list[Tensor]:
        leaves = [qkv.clone().requires_grad_(), bias.clone().requires_grad_()]
        out = banded_attention_packed(leaves[0], 3, bias=leaves[1], backend="triton")
        out.backward(out.detach().cos())
        return [out.detach(), *(x.grad for x in leaves)]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


@pytest.mark.slow
@needs_triton
def test_row_without_key_writes_what_the_backward_can_read() -> None:
    """The log-sum-exp of such a row is -inf, and NaN in its query and upstream gradient reaches nothing."""
    generator = torch.Generator().manual_seed(3)
    qkv = torch.randn(1, 20, 1, 3, 1, 8, generator=generator)
    visible = torch.ones(1, 20, 1, dtype=torch.bool)
    visible[:, 4:10] = False
    upstream = torch.randn(1, 20, 1, 1, 8, generator=generator)
    blind = [5, 6, 7, 8]
    poisoned, poison = qkv.clone(), upstream.clone()
    poisoned[:, blind] = torch.nan
    poison[:, blind] = torch.nan
    poisoned[:, 4:10, :, 1:] = torch.nan

    results = []
    for values, gradient in ((qkv, upstream), (poisoned, poison)):
        leaf = values.to(DEVICE).requires_grad_()
        out, lse = torch.ops.olift.banded_attention_triton([leaf], 1, 1, None, visible.to(DEVICE), None, 0.3)
        out.backward(gradient.to(DEVICE))
        assert (lse[0, blind] == -torch.inf).all() and lse[0, [0, 4, 9, 19]].isfinite().all()
        assert (out[0, blind] == 0).all() and (leaf.grad[0, blind] == 0).all()
        results.append((out.detach(), leaf.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.slow
@needs_triton
def test_log_sum_exp_is_of_the_scores() -> None:
    q = torch.randn(1, 9, 1, 1, 4, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    _, lse = torch.ops.olift.banded_attention_triton([q, q, q], 2, 0, None, None, None, 0.5)
    scores = 0.5 * q[0, :, 0, 0] @ q[0, :, 0, 0].T
    wanted = torch.stack([scores[t, max(t - 2, 0) : t + 1].logsumexp(0) for t in range(9)])
    torch.testing.assert_close(lse[0, :, 0, 0], wanted / math.log(2), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@needs_triton
def test_joints_are_alike() -> None:
    """Permuting the joints permutes the output, in whichever program they land."""
    qkv = torch.randn(1, 9, 6, 3, 1, 8, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    out = banded_attention_packed(qkv, 2, backend="triton")
    permuted = banded_attention_packed(qkv[:, :, order], 2, backend="triton")
    assert torch.equal(permuted, out[:, :, order])


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("masked", [False, True])
def test_opcheck(masked) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 5, 2, 1, 4, generator=generator).to(DEVICE).requires_grad_() for _ in range(3))
    bias = torch.randn(1, 4, generator=generator).to(DEVICE).requires_grad_()
    visible = (torch.rand(1, 5, 2, generator=generator) > 0.3).to(DEVICE)
    options = (bias, visible, torch.tensor([4], device=DEVICE)) if masked else (None, None, None)
    torch.library.opcheck(torch.ops.olift.banded_attention_triton.default, ([q, k, v], 1, 2, *options, 0.3))


@pytest.mark.slow
@needs_triton
def test_compiles_without_breaks_or_a_recompile_per_length() -> None:
    torch._dynamo.reset()
    compiles = 0

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]):
        nonlocal compiles
        compiles += 1
        return graph.forward

    def function(qkv: Tensor) -> Tensor:
        return banded_attention_packed(qkv, 1, backend="triton")

    compiled = torch.compile(function, backend=counting, fullgraph=True, dynamic=None)
    for frames in (2, 3, 5, 6, 7, 9, 11, 13, 15, 16):
        qkv = torch.randn(1, frames, 1, 3, 1, 4, device=DEVICE)
        assert torch.equal(compiled(qkv), function(qkv))
    assert compiles <= 2


def test_refuses_what_it_can_not_run() -> None:
    reason = why_not_triton()
    q = torch.zeros(1, 2, 1, 1, 8, dtype=torch.float64, device=DEVICE if reason is None else "cpu")
    with pytest.raises(RuntimeError, match=r"banded_attention: backend 'triton' can't run"):
        banded_attention(q, q, q, 1, backend="triton")
    wide = torch.zeros(1, 2, 1, 1, 129)
    with pytest.raises(RuntimeError, match=r"Dh must be at most 128, got 129"):
        banded_attention(wide, wide, wide, 1, backend="triton")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "dtype", "architecture"),
    [
        ("small", "float32", 80),
        ("small", "bfloat16", 80),
        ("base", "float32", 90),
        ("base", "float16", 90),
        ("base", "bfloat16", 90),
        ("large", "float32", 100),
        ("large", "bfloat16", 100),
        ("base", "float32", 120),
        ("base", "bfloat16", 120),
    ],
)
def test_presets_compile_without_spills(preset: str, dtype: str, architecture: int) -> None:
    pytest.importorskip("triton")
    kernels = compile_launches(f"banded_launches:{preset}_{dtype}", architecture)
    assert [x.kernel for x in kernels] == ["forward_kernel", "backward_kernel"]
    for kernel in kernels:
        assert not kernel.spills, kernel
        assert kernel.shared <= 48 * 1024, kernel


@pytest.mark.slow
def test_variants_compile_without_spills() -> None:
    pytest.importorskip("triton")
    kernels = compile_launches("banded_launches:variants", 90)
    assert [x.spills for x in kernels] == [False] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "most"), [(80, 0), (90, 0), (100, 16), (120, 24)])
def test_wide_heads_compile_without_spills(architecture: int, most: int) -> None:
    """But for some registers of the gradients in float32 on sm_100 and sm_120: `most` bytes."""
    pytest.importorskip("triton")
    kernels = compile_launches("banded_launches:wide_heads", architecture)
    assert [x.kernel for x in kernels] == [
        "forward_kernel",
        "backward_kernel",
        "forward_kernel",
        "wide_backward_kernel",
    ]
    assert not any(x.spills for x in kernels[:3]), kernels
    assert kernels[3].stack <= most and kernels[3].local == 0, kernels[3]


@pytest.mark.slow
def test_batch_frames_and_joints_do_not_compile_anew() -> None:
    pytest.importorskip("triton")
    assert len(compile_launches("banded_launches:many_sizes", 90)) == 2
