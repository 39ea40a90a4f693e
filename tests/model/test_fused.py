"""Without gradients, a lifter on the CPU runs in fused native passes: same results, whatever happens to its layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from helpers import error, needs_native
from torch import Tensor, nn
from torch.nn.utils import prune

from olift_fast.model import Lifter, LifterConfig
from olift_fast.nn import MotionLayer
from olift_fast.nn.fused import why_not_fused

pytestmark = needs_native

SMALL = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)


def clip(batch: int = 2, frames: int = 19, joints: int = 5) -> tuple[Tensor, dict[str, Any]]:
    visible = torch.rand(batch, frames, joints) > 0.2
    keypoints = torch.randn(batch, frames, joints, 2).masked_fill(~visible[..., None], torch.nan)
    graph = torch.rand(batch, joints, joints) > 0.5
    graph = graph | graph.mT | torch.eye(joints, dtype=torch.bool)
    return keypoints, {"visible": visible, "graph": graph, "sides": torch.randint(-1, 2, (joints,)).float()}


def fused(lifter: Lifter, keypoints: Tensor, **given: Any) -> Tensor:
    with torch.inference_mode():
        out = lifter(keypoints, **given)
    assert lifter._fused is not None, "the layers were not fused"
    return out


def wanted_of(lifter: Lifter, keypoints: Tensor, **given: Any) -> Tensor:
    """Layer by layer in float64."""
    return copy.deepcopy(lifter).double()(keypoints.double(), **given).detach()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 19, 5), (1, 70, 13), (3, 7, 26)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"width": 20, "heads": 1, "mlp_ratio": 3},
        {"motion_layers": 0},
        {"space_layers": 0},
        {"motion_layers": 0, "space_layers": 0},
        {"time_encoding": "none", "encoding": "linear"},
        {"time_encoding": "absolute", "width": 128, "heads": 4},
    ],
)
def test_matches_the_layers_in_float64(changes: dict[str, Any], shape: tuple[int, int, int]) -> None:
    torch.manual_seed(sum(shape))
    lifter = Lifter(LifterConfig(**{**SMALL.__dict__, **changes})).eval()
    keypoints, given = clip(*shape)
    assert error(fused(lifter, keypoints, **given), wanted_of(lifter, keypoints, **given)) < 1e-5


def test_padding_of_frames_and_joints() -> None:
    torch.manual_seed(1)
    lifter = Lifter(SMALL).eval()
    keypoints, given = clip()
    given |= {"lengths": torch.tensor([19, 8], dtype=torch.int32), "joint_mask": torch.ones(2, 5, dtype=torch.bool)}
    given["joint_mask"][0, 3:] = False
    got = fused(lifter, keypoints, **given)
    assert error(got, wanted_of(lifter, keypoints, **given)) < 1e-5
    assert not got[1, 8:].any() and not got[0, :, 3:].any()


def changed_in_place(lifter: Lifter) -> None:
    with torch.no_grad():
        lifter.space[0].mlp[0].weight.mul_(1.5)


def loaded(lifter: Lifter) -> None:
    lifter.load_state_dict(Lifter(SMALL).state_dict())


def replaced(lifter: Lifter) -> None:
    lifter.motion[1].attention.projection.bias = nn.Parameter(torch.randn(24))


def swapped_data(lifter: Lifter) -> None:
    lifter.decoder.norm.weight.data = torch.randn(24)


def swapped_data_again_and_again(lifter: Lifter) -> None:
    """Memory that was let go may be taken again."""
    weight = lifter.motion[0].mlp[0].weight
    before = weight.data_ptr()
    for _ in range(1000):
        weight.data = 0.2 * torch.randn(48, 24)
        if weight.data_ptr() == before:
            break


def stepped(lifter: Lifter) -> None:
    optimizer = torch.optim.SGD(lifter.parameters(), lr=0.1)
    lifter(torch.randn(1, 4, 5, 2)).square().sum().backward()
    optimizer.step()


def another_layer(lifter: Lifter) -> None:
    lifter.motion[1] = MotionLayer(24, 3, (3, 2), relative_time=True)


def another_linear(lifter: Lifter) -> None:
    lifter.space[0].mlp[2] = nn.Linear(48, 24)


def other_frequencies_of_time(lifter: Lifter) -> None:
    lifter.motion[0].attention.time_bias.freqs.mul_(3.0)


def without_a_bias(lifter: Lifter) -> None:
    lifter.space[0].attention.qkv.bias = None


def assigned(lifter: Lifter) -> None:
    lifter.load_state_dict(Lifter(SMALL).state_dict(), assign=True)


def pruned(lifter: Lifter) -> None:
    prune.l1_unstructured(lifter.motion[0].mlp[0], "weight", 0.5)
    prune.remove(lifter.motion[0].mlp[0], "weight")


def one_layer_less(lifter: Lifter) -> None:
    del lifter.motion[0]


def stretched_time(lifter: Lifter) -> None:
    with torch.no_grad():
        for parameter in lifter.motion[0].attention.time_bias.parameters():
            parameter.add_(1.0)


@pytest.mark.parametrize(
    "change",
    [
        changed_in_place,
        loaded,
        replaced,
        swapped_data,
        swapped_data_again_and_again,
        stepped,
        another_layer,
        another_linear,
        other_frequencies_of_time,
        stretched_time,
        without_a_bias,
        assigned,
        pruned,
        one_layer_less,
    ],
)
def test_follows_its_parameters(change: Callable[[Lifter], None]) -> None:
    torch.manual_seed(2)
    lifter = Lifter(SMALL).eval()
    keypoints, given = clip()
    before = fused(lifter, keypoints, **given)
    change(lifter)
    after = fused(lifter, keypoints, **given)
    assert not torch.allclose(before, after)
    assert error(after, wanted_of(lifter, keypoints, **given)) < 1e-5


class Doubled(nn.Module):
    """A linear layer within another module that has its weights, as adapters wrap it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.weight, self.bias = base, base.weight, base.bias

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.base(x)


def a_wrapped_projection(lifter: Lifter) -> None:
    lifter.motion[0].attention.qkv = Doubled(lifter.motion[0].attention.qkv)


def a_wrapped_layer_of_an_mlp(lifter: Lifter) -> None:
    lifter.decoder.mlp[2] = Doubled(lifter.decoder.mlp[2])


def a_subclass_of_linear(lifter: Lifter) -> None:
    class Negated(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    lifter.space[0].mlp[0] = Negated(24, 48)


def another_activation(lifter: Lifter) -> None:
    lifter.motion[1].mlp[1] = nn.GELU(approximate="tanh")


def a_norm_without_bias(lifter: Lifter) -> None:
    lifter.motion[0].mlp_norm = nn.RMSNorm(24)


def a_longer_mlp(lifter: Lifter) -> None:
    lifter.motion[0].mlp.append(nn.Tanh())


@pytest.mark.parametrize(
    "change",
    [
        a_wrapped_projection,
        a_wrapped_layer_of_an_mlp,
        a_subclass_of_linear,
        another_activation,
        a_norm_without_bias,
        a_longer_mlp,
    ],
)
def test_other_parts_are_called_as_they_are(change: Callable[[Lifter], None]) -> None:
    torch.manual_seed(8)
    lifter = Lifter(SMALL).eval()
    keypoints, given = clip()
    before = fused(lifter, keypoints, **given)
    change(lifter)
    with torch.inference_mode():
        after = lifter(keypoints, **given)
    assert not torch.equal(before, after)
    assert error(after, wanted_of(lifter, keypoints, **given)) < 1e-5


def test_hooks_and_other_layers_are_called() -> None:
    torch.manual_seed(3)
    lifter = Lifter(SMALL).eval()
    keypoints, given = clip()
    plain = fused(lifter, keypoints, **given)
    seen = []
    hook = lifter.motion[0].mlp.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.inference_mode():
        lifter(keypoints, **given)
        assert len(seen) == 1
        hook.remove()
        hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda module, inputs: seen.append(module))
        lifter(keypoints, **given)
        hook.remove()
        assert lifter.motion[0].mlp in seen
        assert torch.equal(lifter(keypoints, **given), plain)

        class Double(type(lifter.space[0])):  # type: ignore[misc]
            def forward(self, *inputs: Any) -> Tensor:
                return 2 * super().forward(*inputs)

        lifter.space[0].__class__ = Double
        assert not torch.allclose(lifter(keypoints, **given), plain)


def test_repeats_bit_for_bit_and_for_any_number_of_threads() -> None:
    torch.manual_seed(4)
    lifter = Lifter(SMALL).eval()
    keypoints, given = clip(2, 90, 11)
    before = torch.get_num_threads()
    try:
        first = fused(lifter, keypoints, **given)
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(fused(lifter, keypoints, **given), first)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_calls_at_once_do_not_share_their_memory() -> None:
    torch.manual_seed(6)
    lifter = Lifter(SMALL).eval()
    clips = [clip(1, frames, 9) for frames in (40, 61, 40, 90)]
    wanted = [fused(lifter, keypoints, **given) for keypoints, given in clips]

    def calls(number: int) -> bool:
        keypoints, given = clips[number]
        return all(torch.equal(fused(lifter, keypoints, **given), wanted[number]) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(calls, range(4)))


def test_leaves_its_input_and_survives_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    lifter = Lifter(SMALL).eval()
    keypoints, given = clip()
    untouched = keypoints.clone()
    got = fused(lifter, keypoints, **given)
    torch.testing.assert_close(keypoints, untouched, equal_nan=True, rtol=0, atol=0)
    twin = copy.deepcopy(lifter)
    with torch.no_grad():
        lifter.decoder.mlp[2].bias.add_(1.0)
    assert torch.equal(fused(twin, keypoints, **given), got)
    monkeypatch.setenv("OLIFT_BACKEND", "reference")
    with torch.inference_mode():
        assert not torch.equal(twin(keypoints, **given), got)


def test_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    lifter = Lifter(SMALL)
    layers = (lifter.motion, lifter.space, lifter.decoder)
    tokens = torch.zeros(1, 2, 3, 24)
    assert "gradients are on" in str(why_not_fused(tokens, *layers))
    with torch.no_grad():
        assert why_not_fused(tokens, *layers) is None
        assert "got torch.float64 on cpu" in str(why_not_fused(tokens.double(), *layers))
        assert "autocast" in str(why_not_fused(Tensor._make_subclass(nn.Parameter, tokens), *layers))
        monkeypatch.setenv("OLIFT_BACKEND", "reference")
        assert why_not_fused(tokens, *layers) == "the backend asked for is eager"
