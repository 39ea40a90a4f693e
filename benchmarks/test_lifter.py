"""The whole model on one recording, beside the same weights with PyTorch's attention; and alone, on long recordings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import motionbert
import numpy as np
import pytest
import torch
from side_by_side import FULL, max_error
from torch import Tensor
from whole_models import (
    as_in_the_paper,
    clip,
    eager_backend,
    layer_by_layer,
    operations,
    with_fused_attention_of_torch,
)

from olift_fast.model import Lifter, LifterConfig, lift_in_chunks
from olift_fast.ops.native_module import why_not_native, why_not_products
from olift_fast.runtime import fused
from olift_fast.tracks.rigs import rig

JOINTS = 26
LONG = 1000
"""Frames whose T×T scores take the reference many seconds."""
LENGTHS = [2000, *([20_000, 100_000] if FULL else [])]


def rounded(lifter: Lifter) -> dict[str, Lifter]:
    """By their ways' names, the lifters whose products are rounded to what this CPU has instructions for."""
    return {
        f"olift_fast, {str(dtype).removeprefix('torch.')}": lifter.optimize(dtype=dtype)
        for dtype in (torch.bfloat16, torch.int16)
        if why_not_products(dtype) is None
    }


def ways_to_lift(lifter: Lifter, keypoints: Tensor, given: dict[str, Any]) -> dict[str, Callable[[], Tensor]]:
    """Each lifts the whole sequence at once."""

    def way(model: Callable[..., Tensor]) -> Callable[[], Tensor]:
        return lambda: lift_without_gradients(model, keypoints, given)

    layers, fused, plain = layer_by_layer(lifter), with_fused_attention_of_torch(lifter), as_in_the_paper(lifter)
    ways = {"olift_fast": way(lifter)}
    ways |= {name: way(model) for name, model in rounded(lifter).items()}
    ways |= {
        "layer by layer": way(layers),
        "plain-PyTorch backend": eager_backend(way(layers)),
        "SDPA, masked": way(fused),
        "SDPA, masked, bfloat16": with_autocast(way(fused)),
    }
    if FULL or keypoints.shape[1] < LONG:
        ways["reference"] = way(plain)
    if FULL:
        torch._dynamo.reset()
        ways["layer by layer, compiled"] = way(torch.compile(layers))
        ways["plain-PyTorch backend, compiled"] = eager_backend(way(torch.compile(layer_by_layer(lifter))))
        ways["SDPA, masked, compiled"] = way(torch.compile(fused))
        ways["reference, compiled"] = way(torch.compile(plain))
    return ways


@pytest.mark.parametrize("frames", [48, 2000])
def test_offline(side_by_side: Callable[..., None], frames: int) -> None:
    """`small` on a recording of 26 joints. The eager backend attends in blocks of 48 frames, not T×T."""
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
    """5 + 5 layers, 256 wide, 8 heads, 243 frames of 17 joints, beside a model that attends over all frames."""
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    config = LifterConfig(width=256, heads=8, motion_layers=5, space_layers=5, time_encoding="none")
    lifter = Lifter(config).eval()
    keypoints, given = clip(243, 17)
    ways = ways_to_lift(lifter, keypoints, given)
    agree(ways)
    dense = with_fused_attention_of_torch(lifter, banded=False)
    ways["SDPA, dense"] = lambda: lift_without_gradients(dense, keypoints, given)
    ways["SDPA, dense, bfloat16"] = with_autocast(ways["SDPA, dense"])
    if FULL:
        compiled = torch.compile(dense)
        ways["SDPA, dense, compiled"] = lambda: lift_without_gradients(compiled, keypoints, given)
    side_by_side(ways, rounds=5, **facts(config, 243, 17))


def test_beside_motionbert_lite(side_by_side: Callable[..., None]) -> None:
    """`small` and MotionBERT-lite on the same clip of 243 frames and 17 joints; weights are random, answers differ.

    By default MotionBERT lifts each clip twice, and its mirror image is the second.
    """
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset("small")).eval()
    keypoints, given = clip(motionbert.FRAMES, motionbert.JOINTS)
    with_confidence = torch.cat([keypoints, torch.ones_like(keypoints[..., :1])], dim=-1)
    peer, once = motionbert.MotionBertLite().eval(), motionbert.MotionBertLite(flip=False).eval()
    by_sdpa = motionbert.MotionBertLite(fused=True).eval()
    for other in (once, by_sdpa):
        other.load_state_dict(peer.state_dict())
    joints = lift_without_gradients(peer, with_confidence, {})
    assert max_error(lift_without_gradients(by_sdpa, with_confidence, {}), joints) < 1e-4

    def way(model: Callable[..., Tensor]) -> Callable[[], Tensor]:
        return lambda: lift_without_gradients(model, with_confidence, {})

    ways = {"olift_fast": lambda: lift_without_gradients(lifter, keypoints, given)}
    for name, model in rounded(lifter).items():
        ways[name] = lambda model=model: lift_without_gradients(model, keypoints, given)
    ways |= {
        "MotionBERT-lite": way(peer),
        "MotionBERT-lite, without mirror image": way(once),
        "MotionBERT-lite, SDPA": way(by_sdpa),
    }
    if FULL:
        torch._dynamo.reset()
        ways["MotionBERT-lite, compiled"] = way(torch.compile(peer))
        ways["MotionBERT-lite, SDPA, compiled"] = way(torch.compile(by_sdpa))
    sizes = {name: size_of(lifter if name.startswith("olift_fast") else peer) for name in ways}
    side_by_side(ways, rounds=5, frames=motionbert.FRAMES, joints=motionbert.JOINTS, million_parameters=sizes)


def size_of(model: torch.nn.Module) -> float:
    """Millions of parameters."""
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)


@pytest.mark.parametrize("frames", [48, 2000])
def test_where_time_goes(side_by_side: Callable[..., None], monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    """`small`: milliseconds of the encoder, the passes over the tokens, both attentions, and the rest."""
    if why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset("small")).eval()
    keypoints, given = clip(frames, JOINTS)
    models = {"olift_fast": lifter, **rounded(lifter)}
    ways = {
        name: (lambda model=model: lift_without_gradients(model, keypoints, given)) for name, model in models.items()
    }
    parts = {name: time_parts(monkeypatch, model, ways[name]) for name, model in models.items()}
    by_part = {f"{part}_ms": {name: parts[name][part] for name in models} for part in parts["olift_fast"]}
    side_by_side(ways, rounds=15 if frames == 48 else 5, **facts(lifter.config, frames, JOINTS), **by_part)


def time_parts(monkeypatch: pytest.MonkeyPatch, model: Lifter, way: Callable[[], Tensor]) -> dict[str, float]:
    """Milliseconds of each part, the median of a few calls; its functions are wrapped in a clock."""
    spent: dict[str, float] = {}

    def clocked(function: Callable[..., Any], part_of: Callable[..., str]) -> Callable[..., Any]:
        def run(*inputs: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            out = function(*inputs, **named)
            part = part_of(*inputs)
            spent[part] = spent.get(part, 0.0) + 1e3 * (time.perf_counter() - begin)
            return out

        return run

    rows = []
    with monkeypatch.context() as patch:
        attention, encode = fused.Attention, model.encoder.forward
        patch.setattr(fused.Pass, "run", clocked(fused.Pass.run, lambda *_: "passes"))
        patch.setattr(
            attention,
            "run",
            clocked(attention.run, lambda own, *_: "over joints" if own.window is None else "over time"),
        )
        patch.setattr(model.encoder, "forward", clocked(encode, lambda *_: "encoder"))
        for _ in range(9):
            spent.clear()
            begin = time.perf_counter()
            way()
            rest = 1e3 * (time.perf_counter() - begin) - sum(spent.values())
            rows.append({**spent, "rest": rest})
    return {part: float(np.median([row[part] for row in rows[2:]])) for part in rows[0]}


def with_autocast(way: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same call under ``torch.autocast`` to bfloat16."""

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return way().float()

    return run


def lift_without_gradients(model: Callable[..., Tensor], keypoints: Tensor, given: dict[str, Any]) -> Tensor:
    with torch.inference_mode():
        return model(keypoints, **given)


@pytest.mark.parametrize("frames", LENGTHS)
def test_time_per_frame(benchmark: Any, frames: int) -> None:
    """Long recordings are lifted in chunks, so the time for a frame does not depend on their length."""
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
        most = 2e-2 if "bfloat16" in name else 5e-3 if "int16" in name else 2e-5
        assert max_error(way(), wanted) < most, name


def facts(config: LifterConfig, frames: int, joints: int) -> dict[str, Any]:
    return {
        "frames": frames,
        "joints": joints,
        "width": config.width,
        "layers": (config.motion_layers, config.space_layers),
        "operations": operations(config, frames * joints),
    }
