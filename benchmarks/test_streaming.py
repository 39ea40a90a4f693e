"""One frame at a time: a stream, beside a sliding window that lifts its whole receptive field for every frame."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from side_by_side import FULL, Way
from whole_models import operations

from olift_fast import Skeleton, StreamingLifter
from olift_fast.model import Lifter, LifterConfig, Normalization
from olift_fast.ops.native_module import why_not_products
from olift_fast.tracks.rigs import rig

JOINTS = 26
FRAMES = 64
SCALE = Normalization(50.0)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
# float32, and the fastest that this CPU has instructions for.
ROUNDED = [dtype for dtype in ("bfloat16", "int16") if why_not_products(getattr(torch, dtype)) is None]
DTYPES = ["float32", *ROUNDED[:1]]
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
    """Each call takes the next frame of every track in and returns the joints that are due."""
    stream = StreamingLifter(lifter, skeleton_of(JOINTS), tracks=frames.shape[1], frame="object", normalization=SCALE)
    stream.warmup()
    coming = itertools.cycle(frames)
    for _ in range(sum(lifter.config.receptive_field) + 1):
        stream.push(next(coming))
    return lambda: np.stack([result.joints for result in stream.push(next(coming))])


def sliding(lifter: Lifter, frames: np.ndarray) -> Way:
    """The same by lifting the frames of the receptive field together, for the result of the middle one."""
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
        normalized, _ = SCALE.apply(next(coming), seen)
        window[:, :-1] = window[:, 1:].clone()
        window[:, -1:] = torch.from_numpy(normalized)
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
@pytest.mark.parametrize("preset", ["small-causal", *PRESETS])
@pytest.mark.parametrize("pause_ms", [0, 5])
def test_latency(benchmark: Any, pause_ms: int, preset: str, device: str) -> None:
    """How long a live stream takes for each frame of one animal; its rare slow frames count, too."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset(preset)).eval().to(device)
    way = streaming(lifter, recording(1))
    every_frame(benchmark, way, pause_ms, facts(lifter.config, 1), device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", ["small-causal", "small"])
@pytest.mark.parametrize("pause_ms", [0, 5])
def test_end_to_end(benchmark: Any, pause_ms: int, model: str, dtype: str, tmp_path: Path) -> None:
    """`olift stream` as a process: from writing a frame's line into its pipe to having read the result that is due."""
    rig, config = tmp_path / "rig.json", LifterConfig.preset(model)
    skeleton = skeleton_of(JOINTS)
    rig.write_text(json.dumps({"names": skeleton.names, "edges": skeleton.edges, "sides": skeleton.sides}))
    lines = [json.dumps({"keypoints": frame[0, 0].tolist()}).encode() + b"\n" for frame in recording(1)]
    command = [sys.executable, "-m", "olift_fast", "stream", "--skeleton", rig, "--model", model, "--scale", "50"]
    command += ["--dtype", dtype]
    coming = itertools.cycle(lines)
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin and process.stdout
        results = io.BufferedReader(cast(io.RawIOBase, process.stdout))
        for _ in range(config.receptive_field[1]):
            process.stdin.write(next(coming))

        def frame() -> None:
            process.stdin.write(next(coming))  # type: ignore[union-attr]
            assert b'"joints"' in results.readline()

        every_frame(benchmark, frame, pause_ms, facts(config, 1), "cpu")
        process.stdin.close()
        process.kill()


@pytest.mark.skipif(not FULL or sys.platform != "linux", reason="takes half an hour: OLIFT_BENCH_FULL=1, on Linux")
def test_memory_over_a_million_frames(benchmark: Any) -> None:
    """The process's resident memory after 10,000 frames and after each 100,000, in MiB."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig.preset("small")).eval()
    way = streaming(lifter, recording(1))
    resident: dict[int, float] = {}

    def push() -> None:
        for count in range(1, 1_000_001):
            way()
            if count == 10_000 or count % 100_000 == 0:
                resident[count] = resident_mib()

    benchmark.pedantic(push, rounds=1)
    first, *later = resident.values()
    benchmark.extra_info.update(
        frames=1_000_000,
        joints=JOINTS,
        resident_mib_after_10000=first,
        most_mib_later=max(later),
        grown_mib=round(max(later) - first, 2),
    )


def resident_mib() -> float:
    """This process's resident memory, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2)


def every_frame(benchmark: Any, frame: Callable[[], object], pause_ms: int, told: dict[str, Any], device: str) -> None:
    """Times 2,000 calls, for percentiles and the histogram.

    With a pause between them, as a camera makes it, the processor falls asleep and loses its caches. Without one it
    stays awake, as on a machine that has other work.
    """
    rounds = 1 if benchmark.disabled else 2000
    pause = 0.0 if benchmark.disabled else pause_ms / 1e3
    seconds = []

    def timed() -> None:
        begin = time.perf_counter()
        frame()
        seconds.append(time.perf_counter() - begin)

    benchmark.pedantic(timed, setup=(lambda: time.sleep(pause)) if pause else None, rounds=rounds, warmup_rounds=20)
    taken = np.asarray(seconds[-rounds:]) * 1e3
    p20, p50, p80, p99, most = np.percentile(taken, (20, 50, 80, 99, 100))
    edges = np.geomspace(0.25, 64, 65)
    calls, _ = np.histogram(np.clip(taken, edges[0], edges[-1]), edges)
    histogram = [[round(float(upper), 4), int(count)] for upper, count in zip(edges[1:], calls, strict=True)]
    benchmark.extra_info.update(
        told, p20_ms=p20, p50_ms=p50, p80_ms=p80, p99_ms=p99, max_ms=most, device=device,
        histogram_ms=histogram,
    )  # fmt: skip


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
