"""The modules by themselves: against the float64 reference, over processes, compiled and exported."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from helpers import error
from torch import Tensor, nn

from olift_fast import reference
from olift_fast.nn import (
    JointAttention,
    ProcrustesLoss,
    RandomFourierFeatures,
    TemporalProximityAttention,
    dual_graph,
)
from olift_fast.train.loss import lifting_loss

B, T, J, D, H = 2, 19, 7, 24, 4


def matches(module: nn.Module, twin: nn.Module, x: Tensor, *options: Tensor | None) -> None:
    """Output and all gradients of the module against its float64 twin's."""
    twin.load_state_dict(module.state_dict())
    twin = twin.double()
    x = x.clone().requires_grad_()
    exact = x.detach().double().requires_grad_()
    out, wanted = module(x, *options), twin(exact, *options)
    upstream = torch.randn(out.shape)
    out.backward(upstream)
    wanted.backward(upstream.double())
    assert error(out, wanted) < 1e-5
    assert error(x.grad, exact.grad) < 2e-5
    gradients = {name: parameter.grad for name, parameter in twin.named_parameters()}
    scale = max(float(gradient.norm()) for gradient in gradients.values())
    for name, parameter in module.named_parameters():
        # The key's bias shifts all scores alike: its gradient is 0, a sum of terms that cancel.
        difference = (parameter.grad.double() - gradients[name]).norm()
        assert difference < 2e-5 * max(float(gradients[name].norm()), 1e-2 * scale), name


def hidden(*shape: int) -> Tensor:
    return torch.rand(*shape) > 0.3


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("relative_time", [False, True])
@pytest.mark.parametrize("window", [(4, 2), (0, 0), (40, 40)])
def test_temporal_proximity_attention_alone(window, relative_time, masked) -> None:
    torch.manual_seed(0)
    module = TemporalProximityAttention(D, H, window, relative_time)
    twin = reference.TemporalProximityAttention(D, H, window, relative_time)
    masks = (hidden(B, T, J), torch.tensor([T, 11])) if masked else (None, None)
    matches(module, twin, torch.randn(B, T, J, D), *masks)


class ExactJointAttention(reference.JointAttention):
    """The reference's, with the mask of each head and frame given."""

    def forward(self, x: Tensor, graph: Tensor | None, visible: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, H, -1)).unbind(dim=-3)
        return self.projection(reference.joint_attention(q, k, v, graph=graph, visible=visible).flatten(-2))


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_joint_attention_alone(per_sample, masked) -> None:
    torch.manual_seed(0)
    graph = torch.rand(B, H, J, J) > 0.4 if per_sample else torch.rand(H, J, J) > 0.4
    masks = (graph, hidden(B, T, J)) if masked else (None, None)
    matches(JointAttention(D, H), ExactJointAttention(D, H), torch.randn(B, T, J, D), *masks)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("token", [False, True])
def test_random_fourier_features_alone(channels, learnable, token) -> None:
    torch.manual_seed(0)
    module = RandomFourierFeatures(channels, D, 20, sigma=0.8, learnable=learnable, token=token)
    assert ("freqs" in dict(module.named_parameters())) == learnable
    assert "freqs" in module.state_dict()
    visible = hidden(B, T, J)
    points = torch.where(visible[..., None], torch.randn(B, T, J, channels), torch.nan)
    exact = copy.deepcopy(module).double()
    wanted = reference.rff_linear(
        points.double(),
        exact.freqs,
        exact.projection.weight,
        exact.projection.bias,
        visible=visible,
        token=exact.token,
    )
    out = module(points, visible)
    upstream = torch.randn(out.shape)
    out.backward(upstream)
    wanted.backward(upstream.double())
    assert error(out, wanted) < 1e-5
    for (name, got), want in zip(module.named_parameters(), exact.parameters(), strict=True):
        assert error(got.grad, want.grad) < 2e-5, name
    assert error(module(points[visible]), wanted[visible]) < 1e-5


@pytest.mark.parametrize("kind", [TemporalProximityAttention, JointAttention])
def test_attention_refuses_tokens_without_joints(kind) -> None:
    with pytest.raises(ValueError, match=r"x must be \(B, T, J, D\), got \(2, 9, 16\)"):
        kind(16, 2)(torch.zeros(2, 9, 16))


def test_random_fourier_features_refuse_bad_input() -> None:
    with pytest.raises(ValueError, match="must be >= 1, got 2, 0 and 64"):
        RandomFourierFeatures(2, 0)
    with pytest.raises(ValueError, match=r"x must be \(5, 2\), got \(5, 3\)"):
        RandomFourierFeatures(2, D)(torch.randn(5, 3))
    with pytest.raises(TypeError, match="x must be a floating-point"):
        RandomFourierFeatures(2, D)(torch.zeros(5, 2, dtype=torch.long))


@pytest.mark.parametrize("kind", ["rigid", "similarity", "rotation"])
@pytest.mark.parametrize("alignment", ["sequence", "frame"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighting", [None, "mask", "weights"])
def test_procrustes_loss_alone(kind, alignment, reduction, weighting) -> None:
    torch.manual_seed(0)
    target = torch.randn(B, T, J, 3)
    joints = target @ torch.linalg.qr(torch.randn(3, 3))[0] + 0.2 * torch.randn(B, T, J, 3)
    weights = {None: None, "mask": hidden(B, T, J), "weights": torch.rand(B, T, J) * hidden(B, T, J)}[weighting]
    exact = joints.double().requires_grad_()
    joints.requires_grad_()
    if weights is not None:
        target = torch.where(weights[..., None] > 0, target, torch.nan)
    loss = ProcrustesLoss(kind, alignment, reduction)(joints, target, weights)

    full = torch.ones(B, T, J, dtype=torch.float64) if weights is None else weights.double()
    problems = (exact, torch.where(full[..., None] > 0, target.double(), 0.0), full)
    if alignment == "sequence":
        problems = tuple(x.flatten(1, 2) for x in problems)
    wanted = reference.procrustes_mse(*problems, kind=kind)
    if reduction != "none":
        wanted = (wanted * problems[2].sum(dim=-1)).sum()
        wanted = wanted / full.sum() if reduction == "mean" else wanted
    assert loss.shape == wanted.shape
    assert error(loss, wanted) < 1e-5
    loss.sum().backward()
    wanted.sum().backward()
    assert error(joints.grad, exact.grad) < 5e-5


def test_procrustes_loss_is_the_lifting_loss_without_velocity() -> None:
    torch.manual_seed(0)
    joints, target, labelled = torch.randn(B, T, J, 3), torch.randn(B, T, J, 3), hidden(B, T, J)
    for alignment in ("sequence", "frame"):
        wanted = lifting_loss(joints, target, labelled, alignment=alignment, velocity_weight=0.0)
        centered = (reference.center(x, labelled) for x in (joints, target))
        assert error(ProcrustesLoss("rigid", alignment)(*centered, labelled), wanted.double()) < 1e-5


def test_procrustes_loss_of_nothing_and_of_flat_joints_is_finite() -> None:
    joints = torch.zeros(B, T, J, 3, requires_grad=True)
    loss = ProcrustesLoss()(joints, torch.randn(B, T, J, 3), torch.zeros(B, T, J, dtype=torch.bool))
    assert loss == 0
    flat = ProcrustesLoss(alignment="frame")(joints, torch.randn(B, T, J, 3))
    flat.backward()
    assert joints.grad.isfinite().all() and joints.grad.any()


def test_procrustes_loss_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, none, got 'max'"):
        ProcrustesLoss(reduction="max")
    with pytest.raises(ValueError, match="alignment must be one of sequence, frame, got 'clip'"):
        ProcrustesLoss(alignment="clip")
    with pytest.raises(ValueError, match=r"joints must be \(..., T, J, 3\), got \(5, 3\)"):
        ProcrustesLoss()(torch.randn(5, 3), torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"target must be \(4, 5, 3\), got \(5, 3\)"):
        ProcrustesLoss()(torch.randn(4, 5, 3), torch.randn(5, 3))
    with pytest.raises(ValueError, match=r"weights must be \(4, 5\), got \(4, 1\)"):
        ProcrustesLoss()(torch.randn(4, 5, 3), torch.randn(4, 5, 3), torch.ones(4, 1))


class Stack(nn.Module):
    """Every module once."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = RandomFourierFeatures(2, D, 16)
        self.time = TemporalProximityAttention(D, H, (3, 2))
        self.joints = JointAttention(D, H)
        self.decode = nn.Linear(D, 3)

    def forward(self, keypoints: Tensor, visible: Tensor, graph: Tensor) -> Tensor:
        tokens = self.encode(keypoints, visible)
        tokens = tokens + self.time(tokens, visible)
        tokens = tokens + self.joints(tokens, dual_graph(graph, None, H))
        return self.decode(tokens)


def clip(batch: int = B, frames: int = T, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """keypoints, visible, graph and the target joints."""
    generator = torch.Generator().manual_seed(seed)
    keypoints = torch.randn(batch, frames, J, 2, generator=generator)
    visible = torch.rand(batch, frames, J, generator=generator) > 0.3
    graph = torch.eye(J, dtype=torch.bool).expand(batch, J, J)
    return keypoints, visible, graph, torch.randn(batch, frames, J, 3, generator=generator)


def stack() -> Stack:
    torch.manual_seed(0)
    return Stack()


@pytest.mark.slow
def test_compiles_without_a_break() -> None:
    model, loss = stack(), ProcrustesLoss()

    def step(keypoints: Tensor, visible: Tensor, graph: Tensor, target: Tensor) -> Tensor:
        return loss(model(keypoints, visible, graph), target, visible)

    wanted = step(*clip())
    expected = torch.autograd.grad(wanted, list(model.parameters()))
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    got = compiled(*clip())
    assert error(got, wanted.double()) < 1e-5
    for one, other in zip(torch.autograd.grad(got, list(model.parameters())), expected, strict=True):
        assert (one - other).norm() < 1e-4 * max(float(other.norm()), 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_exports_with_any_number_of_frames_and_loads_again(backend, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OLIFT_BACKEND", backend)
    model = stack().eval()
    frames = torch.export.Dim("frames", min=2, max=4096)
    shapes = ({1: frames}, {1: frames}, None)
    with torch.no_grad():
        program = torch.export.export(model, clip()[:3], dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "stack.pt2")
        loaded = torch.export.load(tmp_path / "stack.pt2").module()
        for frames in (T, 5, 64):
            arguments = clip(frames=frames, seed=frames)[:3]
            assert error(loaded(*arguments), model(*arguments).double()) < 1e-5


def gradients_of_one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = stack()
    parallel = nn.parallel.DistributedDataParallel(model)
    keypoints, visible, graph, target = (x[2 * rank : 2 * rank + 2] for x in clip(batch=4))
    ProcrustesLoss(reduction="none")(parallel(keypoints, visible, graph), target).mean().backward()
    torch.save({name: x.grad for name, x in model.named_parameters()}, f"{folder}/{rank}.pt")
    # What holds the group keeps gloo's threads: one that wakes up after the interpreter's end aborts the process.
    del parallel
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_get_the_gradients_of_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(gradients_of_one_process, args=(str(tmp_path),), nprocs=2)
    model = stack()
    keypoints, visible, graph, target = clip(batch=4)
    ProcrustesLoss(reduction="none")(model(keypoints, visible, graph), target).mean().backward()
    wanted = {name: x.grad for name, x in model.named_parameters()}
    scale = max(float(x.norm()) for x in wanted.values())
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    assert list(ranks[0]) == list(wanted)
    for name, gradient in wanted.items():
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        assert (ranks[0][name] - gradient).norm() < 1e-5 * max(float(gradient.norm()), 1e-2 * scale), name
