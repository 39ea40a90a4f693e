"""Transformer layers: norms and linear layers run as one operation, unless they were replaced or have hooks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from helpers import needs_native
from torch import Tensor, nn

from olift_fast import reference
from olift_fast.model import Lifter, LifterConfig
from olift_fast.nn import MotionLayer, SpaceLayer

pytestmark = needs_native
D, H = 24, 4
INNER = [
    "attention_norm",
    "attention",
    "attention.qkv",
    "attention.projection",
    "mlp_norm",
    "mlp",
    "mlp.0",
    "mlp.1",
    "mlp.2",
]


@pytest.fixture(params=["motion", "space"])
def layer(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    made = MotionLayer(D, H, (3, 2)) if request.param == "motion" else SpaceLayer(D, H)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture
def layer_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Which operations were called."""
    calls: list[str] = []
    import olift_fast.ops.layers as layers

    for name in ("norm_linear", "linear_residual", "norm_mlp"):
        run: Callable[..., Tensor] = getattr(layers, name)

        def counted(*args: object, name: str = name, run: Callable[..., Tensor] = run, **options: object) -> Tensor:
            calls.append(name)
            return run(*args, **options)

        monkeypatch.setattr(f"olift_fast.nn.native_layers.{name}", counted)
    yield calls


def tokens() -> Tensor:
    return torch.randn(2, 9, 5, D, generator=torch.Generator().manual_seed(1))


def results(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output and the gradients of x and all parameters."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    if isinstance(layer, reference.MotionLayer):
        out = layer(x, torch.ones(x.shape[:-1], dtype=torch.bool), None)
    elif isinstance(layer, reference.SpaceLayer):
        out = layer(x, None, torch.ones(x.shape[0], x.shape[2], dtype=torch.bool))
    else:
        out = layer(x)
    out.square().sum().backward()
    return [out.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def close(got: list[Tensor], wanted: list[Tensor], tolerance: float = 2e-5) -> bool:
    scale = max(float(x.norm()) for x in wanted[2:])
    return all(
        float((a.double() - b.double()).norm()) < tolerance * max(float(b.norm()), 1e-2 * scale)
        for a, b in zip(got, wanted, strict=True)
    )


def twin_of(layer: nn.Module) -> nn.Module:
    twin: nn.Module = (
        reference.MotionLayer(D, H, (3, 2), 2, True)
        if isinstance(layer, MotionLayer)
        else reference.SpaceLayer(D, H, 2)
    )
    twin.load_state_dict(layer.state_dict())
    return twin.double()


def test_a_layer_is_three_operations_and_equals_the_reference(layer, layer_calls) -> None:
    assert close(results(layer, tokens()), results(twin_of(layer), tokens().double()))
    assert layer_calls == ["norm_linear", "linear_residual", "norm_mlp"]


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
@pytest.mark.parametrize("name", INNER)
def test_hooks_are_called_and_change_nothing_else(layer, name, kind) -> None:
    wanted = results(layer, tokens())
    seen = []
    module = layer.get_submodule(name)
    register = getattr(module, f"register_{kind}_hook")
    hook = register(lambda *given: seen.append(len(given)))
    assert close(results(layer, tokens()), wanted)
    assert len(seen) == 1
    hook.remove()
    assert close(results(layer, tokens()), wanted) and len(seen) == 1


def test_hooks_of_all_modules_are_called_for_each(layer) -> None:
    wanted = results(layer, tokens())
    seen = []
    hook = nn.modules.module.register_module_forward_hook(lambda module, *given: seen.append(module))
    try:
        assert close(results(layer, tokens()), wanted)
    finally:
        hook.remove()
    assert {layer.get_submodule(name) for name in INNER} <= set(seen)


@pytest.mark.parametrize("name", [name for name in INNER if name != "mlp"])
def test_modules_put_in_their_place_are_called(layer, name) -> None:
    class Other(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *given: Tensor) -> Tensor:
            return 2 * self.inner(*given)

    changed = copy.deepcopy(layer)
    parent, _, own = name.rpartition(".")
    setattr(changed.get_submodule(parent), own, Other(changed.get_submodule(name)))
    with torch.no_grad():
        assert (changed(tokens()) - layer(tokens())).abs().max() > 1e-3
    assert all(gradient is not None for gradient in results(changed, tokens()))


def test_an_mlp_of_other_parts_is_called(layer) -> None:
    for mlp in (
        nn.Sequential(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, D)),
        nn.Sequential(nn.Linear(D, D), nn.GELU(approximate="tanh"), nn.Linear(D, D)),
        nn.Sequential(nn.Linear(D, D), nn.GELU()),
        nn.Sequential(nn.Linear(D, D), nn.GELU(), nn.Linear(D, D), nn.Dropout(0.0)),
        nn.Linear(D, D),
    ):
        layer.mlp = mlp
        x = tokens()
        with torch.no_grad():
            through = x + layer.attention(layer.attention_norm(x))
            assert torch.allclose(layer(x), through + mlp(layer.mlp_norm(through)), atol=1e-4)


def test_norms_without_parameters_and_layers_without_biases(layer) -> None:
    layer.attention_norm = nn.LayerNorm(D, elementwise_affine=False)
    layer.mlp_norm = nn.LayerNorm(D, bias=False)
    layer.attention.qkv = nn.Linear(D, 3 * D, bias=False)
    layer.attention.projection = nn.Linear(D, D, bias=False)
    x = tokens()
    with torch.no_grad():
        through = x + layer.attention(layer.attention_norm(x))
        assert torch.allclose(layer(x), through + layer.mlp(layer.mlp_norm(through)), atol=1e-4)


def test_frozen_parameters_get_no_gradient_and_the_others_the_same(layer) -> None:
    wanted = {
        name: gradient
        for (name, _), gradient in zip(layer.named_parameters(), results(layer, tokens())[2:], strict=True)
    }
    layer.zero_grad()
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_("norm" in name or name.endswith("bias"))
    layer(tokens()).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert (parameter.grad is None) != parameter.requires_grad
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, wanted[name], rtol=1e-4, atol=1e-4), name


def test_a_lifter_trains_through_operations_alone_and_calls_hooks_of_its_decoder(layer_calls) -> None:
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig(width=D, heads=H, motion_layers=1, space_layers=2, frequencies=4))
    keypoints = torch.randn(2, 6, 5, 2)
    out = lifter(keypoints)
    assert layer_calls == ["norm_linear", "linear_residual", "norm_mlp"] * 3 + ["norm_mlp"]
    for module in (lifter.decoder, lifter.decoder.norm, lifter.decoder.mlp, lifter.decoder.mlp[2]):
        seen: list[Tensor] = []
        hook = module.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output))
        assert torch.allclose(lifter(keypoints), out, atol=1e-5) and len(seen) == 1
        hook.remove()


@pytest.mark.parametrize("backend", ["reference", "triton", "cuda"])
def test_where_another_backend_is_forced_the_modules_are_called(layer, layer_calls, monkeypatch, backend) -> None:
    """The norms and linear layers have no other fast backend: for them, PyTorch's modules are what is meant."""
    layer.attention.attend = lambda qkv, *options: qkv[..., :D]
    wanted = layer(tokens())
    assert len(layer_calls) == 3
    monkeypatch.setenv("OLIFT_BACKEND", backend)
    assert torch.allclose(layer(tokens()), wanted, atol=1e-4)
    assert len(layer_calls) == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_left_to_the_modules(layer, layer_calls, dtype) -> None:
    out = layer.to(dtype)(tokens().to(dtype))
    assert out.dtype == dtype and not layer_calls
