"""A stream's step on a GPU launches one kernel between two attentions: the same results as its layers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers import needs_triton
from launches import Launches, in_half
from offline import lifted_offline

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter, ops
from olift_fast.model import Normalization
from olift_fast.nn import passes
from olift_fast.streaming.steps import Told
from olift_fast.streaming.steps_modules import ModuleSteps

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CONFIG = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)
SKELETON = Skeleton(("nose", "left_ear", "right_ear", "neck"), ((0, 1), (0, 2), (0, 3)))
SCALE = Normalization(40.0)

pytestmark = needs_triton


@pytest.fixture(autouse=True)
def triton() -> Iterator[None]:
    with ops.use_backend("triton"):
        yield


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one at each pass."""
    counted: list[int] = []
    block = passes.token_block
    monkeypatch.setattr(passes, "token_block", lambda *args, **options: counted.append(1) or block(*args, **options))
    return counted


def lifter_of(**changes: Any) -> Lifter:
    torch.manual_seed(0)
    return Lifter(LifterConfig(**{**CONFIG.__dict__, **changes})).eval().to(DEVICE)


def recording(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints in pixels, NaN where hidden, and which are visible: of each frame one at least."""
    random = np.random.default_rng(seed)
    keypoints = (300 + 40 * random.standard_normal((frames, 4, 2))).astype(np.float32)
    visible = random.random((frames, 4)) >= 0.2
    visible[:, seed % 4] = True
    keypoints[~visible] = np.nan
    return keypoints, visible


def stream_of(lifter: Lifter, **options: Any) -> StreamingLifter:
    stream = StreamingLifter(lifter, SKELETON, frame="object", normalization=SCALE, **options)
    assert isinstance(stream._steps, ModuleSteps)
    return stream


def joints(stream: StreamingLifter, keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """``(T, J, 3)`` of a whole recording."""
    return np.stack([result.joints for result in stream.push(keypoints, visible) + stream.flush()])


def wanted_of(lifter: Lifter, keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """The whole recording, layer by layer in float64."""
    with ops.use_backend("eager"):
        exact = copy.deepcopy(lifter).cpu().double()
        return lifted_offline(exact, keypoints, visible, SKELETON, SCALE, torch.float64)


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    assert got.shape == wanted.shape and np.isfinite(got).all()
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "frames"),
    [
        ({}, 8),
        ({"window": (4, 0), "time_encoding": "none"}, 7),
        ({"window": (0, 3), "mlp_ratio": 3}, 2),
        ({"width": 20, "heads": 1, "encoding": "linear", "window": 1}, 4),
        ({"motion_layers": 0}, 5),
        ({"space_layers": 0}, 1),
        ({"motion_layers": 0, "space_layers": 0}, 5),
    ],
    ids=str,
)
def test_equals_the_layers_over_the_whole_recording(changes: dict[str, Any], frames: int, calls: list[int]) -> None:
    lifter = lifter_of(**changes)
    keypoints, visible = recording(frames)
    got = joints(stream_of(lifter), keypoints, visible)
    assert relative_error(got, wanted_of(lifter, keypoints, visible)) < 1e-5
    config = lifter.config
    steps = frames + config.receptive_field[1] if DEVICE == "cpu" else 4
    assert len(calls) == steps * (1 + config.motion_layers + config.space_layers)


@pytest.mark.slow
@pytest.mark.parametrize("window", [(2, 1), (2, 0)])
def test_tracks_that_rest_and_begin_later(window: tuple[int, int]) -> None:
    lifter = lifter_of(window=window)
    stream = stream_of(lifter, tracks=3)
    recordings = [recording(5 - track, seed=track) for track in range(3)]
    results: list[list[np.ndarray]] = [[], [], []]
    for time in range(6):
        for track, (keypoints, visible) in enumerate(recordings):
            at = time - track
            late = stream.push(keypoints[at], visible[at], tracks=track) if 0 <= at < len(keypoints) else []
            late += stream.flush(track) if at == len(keypoints) else []
            results[track] += [result.joints for result in late]
    for found, given in zip(results, recordings, strict=True):
        assert relative_error(np.stack(found), wanted_of(lifter, *given)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, pytest.param(torch.bfloat16, marks=pytest.mark.gpu)])
def test_half_precision(dtype: torch.dtype, calls: list[int]) -> None:
    """The interpreter multiplies no bfloat16."""
    lifter = lifter_of()
    keypoints, visible = recording(6)
    stream = stream_of(in_half(lifter, dtype))
    assert isinstance(stream._steps, ModuleSteps)
    assert {rings.qkv.rows.dtype for rings in stream._steps._rings} == {dtype}
    error = relative_error(joints(stream, keypoints, visible), wanted_of(lifter, keypoints, visible))
    assert 1e-5 < error < {torch.float16: 5e-3, torch.bfloat16: 2e-2}[dtype] and calls


@pytest.mark.slow
def test_hidden_keypoints_are_never_read_and_results_repeat() -> None:
    lifter = lifter_of()
    keypoints, visible = recording(4)
    wanted = joints(stream_of(lifter), keypoints, visible)
    assert np.array_equal(joints(stream_of(lifter), np.nan_to_num(keypoints, nan=1e6), visible), wanted)


def test_layers_with_hooks_are_called(calls: list[int]) -> None:
    lifter, seen = lifter_of(), []
    lifter.space[0].mlp.register_forward_hook(lambda module, inputs, output: seen.append(1))
    keypoints, visible = recording(7)
    got = joints(stream_of(lifter), keypoints, visible)
    assert seen and not calls
    assert relative_error(got, wanted_of(lifter, keypoints, visible)) < 1e-5


@pytest.mark.parametrize(
    ("window", "moves"),
    [
        ((3, 2), ["add", *["index_copy_"] * 5, *["index_select"] * 2, "mul"]),
        ((4, 0), ["add", *["index_copy_"] * 3, "mul"]),
    ],
    ids=["with frames to come", "causal"],
)
def test_launches_of_a_step(window: tuple[int, int], moves: list[str]) -> None:
    """In half precision: what the joints' sides add, the rings, and between two attentions one pass."""
    lifter = lifter_of(window=window, space_layers=4, width=16, heads=2)
    sides = torch.zeros(1, 4, device=DEVICE)
    with torch.no_grad():
        steps = ModuleSteps(in_half(lifter), None, Told(sides), 2)
        with Launches() as launches:
            steps._run()
    assert launches.ours() == {
        "rff_linear_triton": 1,
        "banded_attention_step_triton": 2,
        "joint_attention_triton": 4,
        "token_block_triton": 7,
    }
    assert launches.others() == moves
