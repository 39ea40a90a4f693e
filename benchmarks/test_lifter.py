"""The whole model on one recording, beside the same weights with PyTorch's attention, and on its own at any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from side_by_side import FULL, max_error
from torch import Tensor
from whole_models import clip, layer_by_layer, operations, reference_backend, with_fused_attention_of_torch

from olift_fast.data.rigs import rig
from olift_fast.model import Lifter, LifterConfig, lift_in_chunks
from olift_fast.ops._native import why_not_native

JOINTS = 26
LENGTHS = [2000, *([20_000, 100_000] if FULL else [])]


def ways_to_lift(lifter: Lifter, keypoints: Tensor, given: dict[str, Any]) -> dict[str, Callable[[], Tensor]]:
    """Each lifts the whole sequence at once."""

    def way(model: Callable[..., Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode():
                return model(keypoints, **given)

        return run

    layers, fused = layer_by_layer(lifter), with_fused_attention_of_torch(lifter)
    ways = {
        "olift_fast": way(lifter),
        "layer by layer": way(layers),
        "plain-PyTorch backend": reference_backend(way(layers)),
        "SDPA, masked": way(fused),
    }
    if FULL:
        torch._dynamo.reset()
        ways["layer by layer, compiled"] = way(torch.compile(layers))
        ways["plain-PyTorch backend, compiled"] = reference_backend(way(torch.compile(layer_by_layer(lifter))))
        ways["SDPA, masked, compiled"] = way(torch.compile(fused))
    return ways


@pytest.mark.parametrize("frames", [48, 2000])
def test_offline(side_by_side: Callable[..., None], frames: int) -> None:
    """`small` on a recording of 26 joints. The plain-PyTorch backend attends in blocks of 48 frames, not T×T."""
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    config = LifterConfig.preset("small")
    lifter = Lifter(config).eval()
    keypoints, given = clip(frames, JOINTS)
    ways = ways_to_lift(lifter, keypoints, given)
    agree(ways)
    side_by_side(ways, rounds=15 if frames == 48 else 5, **facts(config, frames, JOINTS))


def test_as_wide_as_motionbert_lite(side_by_side: Callable[..., None]) -> None:
    """5 + 5 layers, 256 wide, 8 heads, 243 frames of 17 joints, beside dense attention over time: another model."""
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    config = LifterConfig(width=256, heads=8, motion_layers=5, space_layers=5, time_encoding="none")
    lifter = Lifter(config).eval()
    keypoints, given = clip(243, 17)
    ways = ways_to_lift(lifter, keypoints, given)
    agree(ways)
    dense = with_fused_attention_of_torch(lifter, banded=False)

    def lift_dense(model: Callable[..., Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode():
                return model(keypoints, **given)

        return run

    ways["SDPA, dense"] = lift_dense(dense)
    if FULL:
        ways["SDPA, dense, compiled"] = lift_dense(torch.compile(dense))
    side_by_side(ways, rounds=5, **facts(config, 243, 17))


@pytest.mark.parametrize("frames", LENGTHS)
def test_time_per_frame(benchmark: Any, frames: int) -> None:
    """Long recordings go through in chunks: the time of a frame does not depend on their length."""
    torch.manual_seed(0)
    skeleton = rig("animalsyn3d_dog")
    lifter = Lifter(LifterConfig.preset("small")).eval()
    keypoints = torch.randn(frames, skeleton.num_joints, 2)
    visible = torch.rand(frames, skeleton.num_joints) > 0.1
    rounds = 5 if frames <= 2000 else 2
    benchmark.pedantic(lambda: lift_in_chunks(lifter, keypoints, visible, skeleton), rounds=rounds, warmup_rounds=1)
    benchmark.extra_info.update(facts(lifter.config, frames, skeleton.num_joints))
    if benchmark.stats is not None:
        benchmark.extra_info.update(frames_per_second=frames / benchmark.stats.stats.median)


def agree(ways: dict[str, Callable[[], Tensor]]) -> None:
    ours, *others = ways.items()
    wanted = ours[1]()
    for name, way in others:
        assert max_error(way(), wanted) < 2e-5, name


def facts(config: LifterConfig, frames: int, joints: int) -> dict[str, Any]:
    return {
        "frames": frames,
        "joints": joints,
        "width": config.width,
        "layers": (config.motion_layers, config.space_layers),
        "operations": operations(config, frames * joints),
    }
