"""A frame as it comes: a stream, beside the receptive field lifted anew for every frame, as people do today."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from side_by_side import FULL, Way
from whole_models import operations

from olift_fast import Skeleton, StreamingLifter
from olift_fast.data.rigs import rig
from olift_fast.model import Lifter, LifterConfig, Normalization

JOINTS = 26
FRAMES = 64
SCALE = Normalization(50.0)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PRESETS = ["small", *(["base"] if FULL else [])]


def skeleton_of(joints: int) -> Skeleton:
    """The dog's, with joints added at its nose."""
    dog = rig("animalsyn3d_dog")
    more = range(dog.num_joints, joints)
    edges = (*dog.edges, *((0, joint) for joint in more))
    return Skeleton((*dog.names, *(f"joint{joint}" for joint in more)), edges, (*dog.sides, *(0 for _ in more)))


def recording(tracks: int) -> np.ndarray:
    """Keypoints ``(T, K, 1, J, 2)`` in pixels."""
    return (300 + 50 * np.random.default_rng(0).standard_normal((FRAMES, tracks, 1, JOINTS, 2))).astype(np.float32)


def streaming(lifter: Lifter, frames: np.ndarray) -> Way:
    """Each call takes the next frame of every track in and gives joints of a frame that is due."""
    stream = StreamingLifter(lifter, skeleton_of(JOINTS), tracks=frames.shape[1], output="object", normalization=SCALE)
    stream.warmup()
    coming = itertools.cycle(frames)
    for _ in range(sum(lifter.config.receptive_field) + 1):
        stream.push(next(coming))
    return lambda: np.stack([result.joints for result in stream.push(next(coming))])


def sliding(lifter: Lifter, frames: np.ndarray) -> Way:
    """The same from the frames of the receptive field, kept normalised, lifted together for the one in the middle."""
    before, after = lifter.config.receptive_field
    skeleton, device = skeleton_of(JOINTS), next(lifter.parameters()).device
    given = {
        "graph": torch.from_numpy(skeleton.graph(lifter.config.hops)).to(device),
        "sides": torch.tensor(skeleton.sides, dtype=torch.float32, device=device),
    }
    window = torch.zeros(frames.shape[1], before + 1 + after, JOINTS, 2)
    seen = np.ones(frames.shape[1:-1], dtype=np.bool_)
    coming = itertools.cycle(frames)

    def way() -> np.ndarray:
        normalised, _ = SCALE.apply(next(coming), seen)
        window[:, :-1] = window[:, 1:].clone()
        window[:, -1:] = torch.from_numpy(normalised)
        with torch.inference_mode():
            joints = lifter(window.to(device), **given)[:, before].cpu().numpy()
        return joints - joints.mean(axis=1, keepdims=True)

    for _ in range(before + after + 1):
        way()
    return way


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("tracks", [1, 8])
def test_frame_by_frame(side_by_side: Callable[..., None], tracks: int, preset: str, device: str) -> None:
    """A call is a frame of every track, from pixels to joints."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset(preset)).eval().to(device)
    frames = recording(tracks)
    agree(lifter, frames)
    ways = {"olift_fast": streaming(lifter, frames), "sliding window": sliding(lifter, frames)}
    side_by_side(ways, rounds=25, device=device, **facts(lifter.config, tracks))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("preset", PRESETS)
def test_latency(benchmark: Any, preset: str, device: str) -> None:
    """What a live stream waits for each frame of one animal, to the rare ones."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset(preset)).eval().to(device)
    way = streaming(lifter, recording(1))
    rounds = 1 if benchmark.disabled else 2000
    seconds = []

    def frame() -> None:
        begin = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - begin)

    benchmark.pedantic(frame, rounds=rounds, warmup_rounds=20)
    p50, p99, most = np.percentile(np.asarray(seconds[-rounds:]) * 1e3, (50, 99, 100))
    benchmark.extra_info.update(facts(lifter.config, 1), p50_ms=p50, p99_ms=p99, max_ms=most, device=device)


def agree(lifter: Lifter, frames: np.ndarray) -> None:
    ours, theirs = streaming(lifter, frames), sliding(lifter, frames)
    for _ in range(20):
        got, wanted = ours(), theirs()
    assert isinstance(got, np.ndarray) and isinstance(wanted, np.ndarray)
    assert np.linalg.norm(got - wanted) < 2e-5 * np.linalg.norm(wanted)


def facts(config: LifterConfig, tracks: int) -> dict[str, Any]:
    return {
        "tracks": tracks,
        "joints": JOINTS,
        "width": config.width,
        "layers": (config.motion_layers, config.space_layers),
        "operations": operations(config, tracks * JOINTS),
    }
