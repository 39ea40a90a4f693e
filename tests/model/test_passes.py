"""Without gradients, a lifter on a GPU launches one kernel between two attentions: same results as its layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from helpers import error, needs_triton
from launches import Launches, in_half
from torch import Tensor, nn

from olift_fast import ops
from olift_fast.model import Lifter, LifterConfig
from olift_fast.nn import passes
from olift_fast.nn.passes import why_not_passes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)


@pytest.fixture(autouse=True)
def triton() -> Iterator[None]:
    with ops.use_backend("triton"):
        yield


def clip(batch: int = 2, frames: int = 9, joints: int = 5) -> tuple[Tensor, dict[str, Any]]:
    generator = torch.Generator().manual_seed(batch + frames + joints)
    visible = torch.rand(batch, frames, joints, generator=generator) > 0.2
    visible[0, 0] = False
    keypoints = torch.randn(batch, frames, joints, 2, generator=generator).masked_fill(~visible[..., None], torch.nan)
    graph = torch.rand(batch, joints, joints, generator=generator) > 0.5
    given = {"visible": visible, "graph": graph | torch.eye(joints, dtype=torch.bool), "sides": torch.ones(joints)}
    return keypoints.to(DEVICE), {name: value.to(DEVICE) for name, value in given.items()}


def lifter_of(**changes: Any) -> Lifter:
    torch.manual_seed(0)
    return Lifter(LifterConfig(**{**SMALL.__dict__, **changes})).eval().to(DEVICE)


def lifted(lifter: Lifter, keypoints: Tensor, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Tensor:
    """The result, and that every layer went through a pass."""
    calls = []
    block = passes.token_block
    monkeypatch.setattr(passes, "token_block", lambda *args, **options: calls.append(1) or block(*args, **options))
    with torch.inference_mode():
        out = lifter(keypoints, **given)
    assert len(calls) == 1 + lifter.config.motion_layers + lifter.config.space_layers
    return out


def wanted_of(lifter: Lifter, keypoints: Tensor, **given: Any) -> Tensor:
    """Layer by layer in float64."""
    with ops.use_backend("eager"):
        return copy.deepcopy(lifter).double()(keypoints.double(), **given).detach()


@needs_triton
@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, (2, 9, 5)),
        ({"width": 20, "heads": 1, "mlp_ratio": 3, "uncertainty": True}, (1, 1, 1)),
        ({"motion_layers": 0}, (1, 20, 3)),
        ({"space_layers": 0}, (1, 2, 7)),
        ({"motion_layers": 0, "space_layers": 0}, (2, 9, 5)),
        ({"time_encoding": "absolute", "encoding": "linear"}, (2, 9, 5)),
    ],
    ids=str,
)
def test_matches_the_layers_in_float64(
    changes: dict[str, Any], shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lifter = lifter_of(**changes)
    keypoints, given = clip(*shape)
    given["uncertainty"] = lifter.config.uncertainty
    assert error(lifted(lifter, keypoints, monkeypatch, **given), wanted_of(lifter, keypoints, **given)) < 1e-5


@needs_triton
def test_half_precision_and_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    lifter = lifter_of()
    keypoints, given = clip()
    given |= {"lengths": torch.tensor([9, 4], device=DEVICE), "joint_mask": torch.ones(2, 5, dtype=torch.bool)}
    given["joint_mask"][0, 3:] = False
    given["joint_mask"] = given["joint_mask"].to(DEVICE)
    got = lifted(in_half(lifter), keypoints, monkeypatch, **given)
    assert got.dtype == torch.float32
    assert error(got, wanted_of(lifter, keypoints, **given)) < 2e-3
    assert not got[1, 4:].any() and not got[0, :, 3:].any()


@needs_triton
def test_hidden_keypoints_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    lifter = lifter_of()
    keypoints, given = clip()
    got = lifted(lifter, keypoints, monkeypatch, **given)
    assert got.isfinite().all()
    with torch.inference_mode():
        assert torch.equal(lifter(keypoints.nan_to_num(1e6), **given), got)


@needs_triton
def test_small_lifts_a_clip_in_eighteen_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """In half precision: one for the encoder, six attentions and seven passes, and what is added to the tokens.

    The biases over time are those of the call before.
    """
    lifter = in_half(lifter_of(motion_layers=2, space_layers=4, width=16, heads=2))
    keypoints, given = clip(1, 4, 3)
    with torch.no_grad():
        lifter(keypoints, **given)
        with Launches() as launches:
            lifter(keypoints, **given)
    assert launches.ours() == {
        "rff_linear_triton": 1,
        "banded_attention_triton": 2,
        "joint_attention_triton": 4,
        "token_block_triton": 7,
    }
    assert launches.others() == ["add", "mul", "ones_like", "stack"], "sides of the joints, graphs of the heads"


@needs_triton
def test_compiles_to_one_graph_for_any_length() -> None:
    lifter = lifter_of()
    compiled = torch.compile(lifter, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        for shape in ((2, 5, 3), (3, 4, 7)):
            keypoints, given = clip(*shape)
            torch.testing.assert_close(compiled(keypoints, **given), lifter(keypoints, **given), rtol=0, atol=0)


@needs_triton
def test_wide_tokens_in_float32_are_exported_for_any_number_of_frames() -> None:
    """Which backend is faster depends on the number of tokens, on which an exported program must not."""
    lifter = lifter_of(width=136, heads=4, motion_layers=1, time_encoding="none")
    keypoints, _ = clip(1, 6, 5)
    frames = {1: torch.export.Dim("frames", min=2, max=4096)}
    with torch.no_grad():
        program = torch.export.export(lifter, (keypoints.nan_to_num(),), dynamic_shapes=(frames,)).module()
        for count in (3, 9):
            keypoints = torch.randn(1, count, 5, 2, device=DEVICE)
            torch.testing.assert_close(program(keypoints), lifter(keypoints))


def another_layer(lifter: Lifter) -> None:
    lifter.space[0].__class__ = type("Double", (type(lifter.space[0]),), {})


def another_norm(lifter: Lifter) -> None:
    lifter.motion[0].mlp_norm = nn.LayerNorm(24, elementwise_affine=False)


def another_activation(lifter: Lifter) -> None:
    lifter.space[0].mlp[1] = nn.GELU(approximate="tanh")


def another_epsilon(lifter: Lifter) -> None:
    lifter.motion[1].attention_norm.eps = 1e-3


def hook_of_a_layer(lifter: Lifter) -> None:
    lifter.motion[0].register_forward_hook(lambda *_: None)


def hook_of_a_linear_layer(lifter: Lifter) -> None:
    lifter.space[0].attention.qkv.register_forward_hook(lambda *_: None)


def hook_of_the_decoder(lifter: Lifter) -> None:
    lifter.decoder.register_forward_pre_hook(lambda *_: None)


@needs_triton
@pytest.mark.parametrize(
    "change",
    [
        another_layer,
        another_norm,
        another_activation,
        another_epsilon,
        hook_of_a_layer,
        hook_of_a_linear_layer,
        hook_of_the_decoder,
    ],
)
def test_other_layers_and_hooks_are_called(change: Callable[[Lifter], None]) -> None:
    lifter = lifter_of()
    tokens, layers = torch.zeros(1, 2, 3, 24, device=DEVICE), (lifter.motion, lifter.space, lifter.decoder)
    with torch.no_grad():
        assert why_not_passes(tokens, *layers) is None
        change(lifter)
        assert why_not_passes(tokens, *layers) is not None


@needs_triton
def test_says_why_not() -> None:
    lifter = lifter_of()
    tokens, layers = torch.zeros(1, 2, 3, 24, device=DEVICE), (lifter.motion, lifter.space, lifter.decoder)
    assert "gradients are on" in str(why_not_passes(tokens, *layers))
    with torch.no_grad():
        assert "got torch.float64" in str(why_not_passes(tokens.double(), *layers))
        reason = "weights must be torch.float16, as the tokens are, got torch.float32"
        assert why_not_passes(tokens.half(), *layers) == reason
        assert "at most 256, got 300" in str(why_not_passes(torch.zeros(1, 1, 1, 300, device=DEVICE), *layers))
        with ops.use_backend("eager"):
            assert why_not_passes(tokens, *layers) == "the backend asked for is eager"
        if DEVICE == "cpu":
            with ops.use_backend("auto"):
                assert "interpreter" in str(why_not_passes(tokens, *layers))
