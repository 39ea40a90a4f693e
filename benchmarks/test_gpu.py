"""What a GPU is asked first, the most telling first: kernels as the model calls them, lifters, a stream, training.

Without a GPU the suite runs only as a test that it still works (`--benchmark-disable`), on small shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from side_by_side import Way, max_error, stopwatch
from test_streaming import facts as facts_of_stream
from test_streaming import recording, streaming
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from whole_models import clip, operations, with_fused_attention_of_torch

from benchmarks import floors
from benchmarks.thresholds import FEW_TOKENS, many_problems
from olift_fast import ops, reference
from olift_fast.model import Lifter, LifterConfig
from olift_fast.ops.backends import Backend
from olift_fast.ops.token_block import triton_launch
from olift_fast.train.loss import lifting_loss

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
JOINTS, WINDOW = 26, 8
SHAPES = {
    torch.bfloat16: (16, 1024, JOINTS, 8, 32) if GPU else (1, 20, JOINTS, 2, 32),
    torch.float32: (4, 1024, JOINTS, 8, 32) if GPU else (1, 20, JOINTS, 2, 32),
}
TOLERANCE = {torch.bfloat16: 2e-2, torch.float32: 1e-4}
POINTS = 16 * 1024 * JOINTS if GPU else 500
PROBLEMS = 1_000_000 if GPU else 50
PRESETS = ["small", *(["base"] if GPU else [])]
ROUNDS = 25

dtypes = pytest.mark.parametrize("dtype", list(SHAPES), ids=lambda dtype: str(dtype)[6:])
passes = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])


@pytest.fixture(autouse=True)
def only_on_a_gpu(request: pytest.FixtureRequest) -> None:
    if not GPU and not request.config.getoption("benchmark_disable"):
        pytest.skip("times of these small shapes on a CPU tell nothing")


@passes
@dtypes
def test_band(side_by_side: Callable[..., None], dtype: torch.dtype, backward: bool) -> None:
    """With a bias and a mask, as the model calls it. The others get the band and the bias ready made, and no mask."""
    batch, frames, joints, heads, width = shape = SHAPES[dtype]
    qkv, upstream = inputs(shape, dtype)
    bias = torch.randn(heads, 2 * WINDOW + 1, device=DEVICE)
    visible = torch.ones(batch, frames, joints, dtype=torch.bool, device=DEVICE)
    time = torch.arange(frames, device=DEVICE)
    offset = time[None, :] - time[:, None]
    dense = [x.permute(0, 2, 3, 1, 4).flatten(0, 1).contiguous() for x in qkv.unbind(dim=3)]
    mask = bias[:, (offset + WINDOW).clamp(0, 2 * WINDOW)].masked_fill(offset.abs() > WINDOW, -torch.inf).to(dtype)
    ways = {
        "olift_fast": way(
            lambda qkv, bias: ops.banded_attention_packed(qkv, WINDOW, bias=bias, visible=visible),
            [qkv, bias], upstream, backward,
        ),
        "SDPA, masked": way(
            lambda *qkv: functional.scaled_dot_product_attention(*qkv, attn_mask=mask),
            dense, moved(upstream), backward,
        ),
    }  # fmt: skip
    if GPU and dtype == torch.bfloat16:
        ways["FlexAttention, compiled"] = way(flex_over(frames, bias), dense, moved(upstream), backward)
    if not backward:
        agree({name: (lambda run=run: as_ours(run(), batch)) for name, run in ways.items()}, TOLERANCE[dtype])
    row = floors.attention_backward if backward else floors.attention
    traffic = row(2 * WINDOW + 1, width, dtype.itemsize).bytes * upstream.numel() // width
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, traffic=traffic, shape=shape, dtype=str(dtype), window=WINDOW)


@passes
@dtypes
def test_joints(side_by_side: Callable[..., None], dtype: torch.dtype, backward: bool) -> None:
    """With a graph for each head, as the model calls it."""
    batch, _, joints, heads, width = shape = SHAPES[dtype]
    qkv, upstream = inputs(shape, dtype)
    graph = torch.rand(heads, joints, joints, device=DEVICE) > 0.4
    graph[..., 0] = True
    graphs = graph.expand(batch, -1, -1, -1)
    dense = [x.flatten(0, 1).transpose(1, 2).contiguous() for x in qkv.unbind(dim=3)]

    def over_dense(*qkv: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(*qkv, attn_mask=graph[None])

    ways = {
        "olift_fast": way(lambda qkv: ops.joint_attention_packed(qkv, graph=graphs), [qkv], upstream, backward),
        "SDPA, masked": way(over_dense, dense, upstream.flatten(0, 1).transpose(1, 2).contiguous(), backward),
    }
    if not backward:
        ours, theirs = (run() for run in ways.values())
        agree({"olift_fast": lambda: ours.flatten(0, 1).transpose(1, 2), "SDPA": lambda: theirs}, TOLERANCE[dtype])
    row = floors.attention_backward if backward else floors.attention
    traffic = row(joints, width, dtype.itemsize).bytes * upstream.numel() // width
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, traffic=traffic, shape=shape, dtype=str(dtype))


@passes
def test_procrustes(side_by_side: Callable[..., None], backward: bool) -> None:
    """The rotations of many small fits; and the gradients of their errors."""
    source, target = (torch.randn(PROBLEMS, JOINTS, 3, device=DEVICE) for _ in range(2))
    if backward:
        upstream = torch.ones(PROBLEMS, device=DEVICE)
        run = way(lambda source: ops.procrustes_mse(source, target), [source], upstream, backward)
    else:
        run = way(lambda source: ops.procrustes(source, target).rotation, [source], None, backward)
    forward = floors.procrustes(JOINTS, "rotation", False)
    assert forward is not None
    traffic = PROBLEMS * (36 * JOINTS + 48 if backward else forward.bytes)
    side_by_side({"olift_fast": run}, rounds=ROUNDS, device=DEVICE, traffic=traffic, count=PROBLEMS, points=JOINTS)


def test_encode(side_by_side: Callable[..., None]) -> None:
    x, freqs = torch.randn(POINTS, 2, device=DEVICE), torch.randn(2, 64, device=DEVICE)
    ways = {"olift_fast": lambda: ops.rff_encode(x, freqs)}
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, traffic=POINTS * floors.encode(2, 64).bytes, count=POINTS)


@passes
@dtypes
def test_linear(side_by_side: Callable[..., None], dtype: torch.dtype, backward: bool) -> None:
    """With hidden points and a token, as the keypoint encoder calls it."""
    x, freqs = torch.randn(POINTS, 2, device=DEVICE), torch.randn(2, 64, device=DEVICE)
    weight, bias = (torch.randn(*shape, device=DEVICE, dtype=dtype) for shape in ((128, 128), (128,)))
    token, visible = torch.randn(128, device=DEVICE), torch.rand(POINTS, device=DEVICE) > 0.1
    upstream = torch.randn(POINTS, 128, device=DEVICE)
    run = way(
        lambda *layer: ops.rff_linear(x, freqs, *layer[:2], visible=visible, token=layer[2]),
        [weight, bias, token], upstream, backward,
    )  # fmt: skip
    side_by_side(
        {"olift_fast": run}, rounds=ROUNDS, device=DEVICE, traffic=POINTS * (8 + 512), count=POINTS, dtype=str(dtype)
    )


@dtypes
@pytest.mark.parametrize("width", [128, *([256] if GPU else [])])
def test_pass(side_by_side: Callable[..., None], width: int, dtype: torch.dtype) -> None:
    """All between two attentions, with tokens in float32; the others are PyTorch's layers, in bfloat16 by autocast."""
    given = of_a_pass(POINTS, width, dtype)

    def by(block: Callable[..., tuple[Tensor | None, Tensor]]) -> Way:
        def run() -> Tensor:
            with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled=dtype != torch.float32):
                return block(*given)[1]

        return run

    ways = {"olift_fast": by(ops.token_block), "PyTorch": by(reference.token_block)}
    if GPU:
        ways["PyTorch, compiled"] = by(torch.compile(reference.token_block))
    agree(ways, TOLERANCE[dtype])
    work = floors.token_block(width, dtype.itemsize).times(POINTS)
    facts = {"operations": work.operations, "count": POINTS, "width": width, "dtype": str(dtype)}
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, traffic=work.bytes, **facts)


@dtypes
@pytest.mark.parametrize("preset", PRESETS)
def test_one_clip(side_by_side: Callable[..., None], preset: str, dtype: torch.dtype) -> None:
    """48 frames of 26 joints, from the call to the result on the device, by the wall clock."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset(preset)).eval()
    keypoints, given = clip(48 if GPU else 5, JOINTS, device=DEVICE)
    model = optimized(lifter, dtype)
    exact = model(keypoints, **given)
    ways = {"olift_fast": synchronized(lambda: model(keypoints, **given))}
    if GPU:
        ways["olift_fast, in a graph"] = synchronized(replayed(lambda: model(keypoints, **given)))
        if dtype == torch.bfloat16 and preset == "small":
            compiled = lifter.optimize(DEVICE, dtype, compile=True)
            ways["olift_fast, compiled"] = synchronized(lambda: compiled(keypoints, **given))
    for name, run in ways.items():
        assert max_error(run(), exact) < 5 * TOLERANCE[dtype], name
    facts = {"operations": operations(lifter.config, keypoints.numel() // 2)}
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, wall=True, preset=preset, dtype=str(dtype), frames=48, **facts)


@dtypes
@pytest.mark.parametrize("preset", PRESETS)
def test_many_clips(side_by_side: Callable[..., None], preset: str, dtype: torch.dtype) -> None:
    """16 clips of 243 frames; `matmul_TFLOPs` is what a large product of PyTorch reaches here in this dtype."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset(preset)).eval()
    batch, frames = (16, 243) if GPU else (2, 5)
    keypoints, given = clip(frames, JOINTS, batch, DEVICE)
    given["graph"] = given["graph"].expand(batch, -1, -1)
    model = optimized(lifter, dtype)
    ways = {"olift_fast": lambda: model(keypoints, **given)}
    if GPU:
        ways["olift_fast, in a graph"] = replayed(ways["olift_fast"])
        fused = with_fused_attention_of_torch(lifter).optimize(DEVICE, dtype)
        ways["SDPA, masked"] = lambda: fused(keypoints, **given)
    agree(ways, 5 * TOLERANCE[dtype])
    facts = {
        "operations": operations(lifter.config, keypoints.numel() // 2),
        "matmul_TFLOPs": matmul_rate(dtype) / 1e12,
    }
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, preset=preset, dtype=str(dtype), **facts)


@dtypes
@pytest.mark.parametrize("preset", ["small-causal", "small"])
def test_stream_step(side_by_side: Callable[..., None], preset: str, dtype: torch.dtype) -> None:
    """A frame of one animal, from pixels to joints in NumPy, by the wall clock."""
    torch.manual_seed(0)
    lifter = optimized(Lifter(LifterConfig.preset(preset)).eval(), dtype)
    ways = {"olift_fast": streaming(lifter, recording(1))}
    told = facts_of_stream(lifter.config, 1)
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, wall=True, preset=preset, dtype=str(dtype), **told)


@pytest.mark.parametrize("preset", PRESETS)
def test_training_step(side_by_side: Callable[..., None], preset: str) -> None:
    """Forward, loss and backward in bfloat16, by the wall clock."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset(preset)).to(DEVICE)
    batch, frames = (32, 48) if GPU else (1, 3)
    keypoints, given = clip(frames, JOINTS, batch, DEVICE)
    given["graph"] = given["graph"].expand(batch, -1, -1)
    target = torch.randn(batch, frames, JOINTS, 3, device=DEVICE)

    def step(model: torch.nn.Module) -> Way:
        def run() -> Tensor:
            model.zero_grad()
            with torch.autocast(DEVICE, torch.bfloat16):
                lifted = model(keypoints, **given)
            loss = lifting_loss(lifted.float(), target, given["visible"])
            loss.backward()
            return loss.detach()

        return synchronized(run)

    ways = {"olift_fast": step(lifter), "SDPA, masked": step(with_fused_attention_of_torch(lifter))}
    agree(ways, 5e-2)
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, wall=True, preset=preset, batch=batch, frames=frames)


@pytest.mark.parametrize("sixteenths", [4, 8, 16, 32])
@dtypes
@pytest.mark.parametrize("width", [128, *([256] if GPU else [])])
def test_few_and_many_tokens(
    side_by_side: Callable[..., None], width: int, dtype: torch.dtype, sixteenths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass over so many sixteenths of `FEW`, by the programs for few tokens, and by those for many.

    Wide tokens in float32 have one form of programs: there the other way is PyTorch's layers.
    """
    count = FEW_TOKENS * sixteenths // 16 if GPU else sixteenths
    given = of_a_pass(count, width, dtype)

    def by(few: int, backend: Backend) -> Way:
        def run() -> Tensor:
            with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled=dtype != torch.float32):
                return ops.token_block(*given, backend=backend)[1]

        monkeypatch.setattr(triton_launch, "FEW", few)
        return replayed(run) if GPU else run

    one_form = width > 128 and dtype == torch.float32
    ways = {
        "few": by(count, "triton" if GPU else "auto"),
        "many": by(0, "triton" if GPU and not one_form else "eager"),
    }
    agree(ways, TOLERANCE[dtype])
    work = floors.token_block(width, dtype.itemsize).times(count)
    facts = {"operations": work.operations, "count": count, "width": width, "dtype": str(dtype)}
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, traffic=work.bytes, **facts)


@pytest.mark.parametrize("of", ["rotation", "error"])
def test_few_and_many_problems(side_by_side: Callable[..., None], of: str) -> None:
    """One fit fewer than those from which each has a lane of its own, by 8 lanes each; and so many, by one."""
    many = many_problems() if GPU else 20

    def fits(count: int) -> Way:
        source, target = (torch.randn(count, JOINTS, 3, device=DEVICE) for _ in range(2))
        if of == "rotation":
            return lambda: ops.procrustes(source, target).rotation
        return lambda: ops.procrustes_mse(source, target)

    ways = {name: replayed(run) if GPU else run for name, run in (("few", fits(many - 1)), ("many", fits(many)))}
    side_by_side(ways, rounds=ROUNDS, device=DEVICE, of=of, count=many, points=JOINTS)


def of_a_pass(count: int, width: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """So many tokens in float32 and all weights between two attentions, as `ops.token_block` takes them."""
    tokens, attended = (torch.randn(count, width, device=DEVICE) for _ in range(2))

    def layer(inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        weight = torch.randn(outputs, inputs, device=DEVICE) / inputs**0.5
        return weight.to(dtype), torch.randn(outputs, device=DEVICE, dtype=dtype)

    norm = (torch.randn(width, device=DEVICE), torch.randn(width, device=DEVICE))
    mlp = norm, layer(width, 2 * width), layer(2 * width, width)
    return tokens, attended.to(dtype), layer(width, width), mlp, (norm, layer(width, 3 * width), None)


def inputs(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A packed projection, and an upstream gradient."""
    torch.manual_seed(0)
    batch, frames, joints, heads, width = shape
    qkv = torch.randn(batch, frames, joints, 3, heads, width, device=DEVICE, dtype=dtype)
    return qkv, torch.randn(shape, device=DEVICE, dtype=dtype)


def way(function: Callable[..., Any], inputs: list[Tensor], upstream: Tensor | None, backward: bool) -> Way:
    """A call of the function; or of its backward alone."""
    leaves = [x.detach().requires_grad_(backward) for x in inputs]
    if not backward:
        return lambda: function(*leaves)
    out = function(*leaves)
    return lambda: torch.autograd.grad(out, leaves, upstream, retain_graph=True)


def flex_over(frames: int, bias: Tensor) -> Callable[..., Tensor]:
    """FlexAttention, compiled, with the band as blocks and the bias added to the scores."""
    blocks = create_block_mask(
        lambda b, h, i, j: (i - j).abs() <= WINDOW, None, None, frames, frames, device=bias.device
    )
    torch._dynamo.reset()
    flex = torch.compile(flex_attention)
    span = 2 * WINDOW

    def add_bias(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return score + bias[h, (j - i + WINDOW).clamp(0, span)]

    return lambda *qkv: flex(*qkv, score_mod=add_bias, block_mask=blocks)


def moved(x: Tensor) -> Tensor:
    """(B, T, J, H, Dh) as PyTorch's attention takes it, (B·J, H, T, Dh)."""
    return x.permute(0, 2, 3, 1, 4).flatten(0, 1).contiguous()


def as_ours(x: Any, batch: int) -> Tensor:
    """The inverse of `moved`; what has five dimensions is left as it is."""
    assert isinstance(x, Tensor)
    return x if x.dim() == 5 else x.unflatten(0, (batch, -1)).permute(0, 3, 1, 2, 4)


def agree(ways: dict[str, Way], tolerance: float) -> None:
    (_, ours), *others = ways.items()
    wanted = ours()
    assert isinstance(wanted, Tensor)
    wanted = wanted.clone()
    for name, run in others:
        got = run()
        assert isinstance(got, Tensor) and max_error(got, wanted) < tolerance, name


def optimized(lifter: Lifter, dtype: torch.dtype) -> Lifter:
    return lifter.optimize(DEVICE, dtype if GPU else torch.float32)


def synchronized(run: Way) -> Way:
    """The call and the wait for its end."""

    def wait() -> object:
        result = run()
        if GPU:
            torch.cuda.synchronize()
        return result

    return wait


def replayed(run: Way) -> Way:
    """The call as one CUDA graph: each replay writes to the same result."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()

    def replay() -> object:
        graph.replay()
        return result

    return replay


def matmul_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large product of random numbers."""
    size = 8192 if GPU else 64
    a, b = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    measure = stopwatch(torch.device(DEVICE))
    seconds = [measure(lambda: a @ b) for _ in range(8)][3:]
    return 2 * size**3 / float(np.median(seconds))
