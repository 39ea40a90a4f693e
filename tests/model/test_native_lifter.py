"""The lifter on arrays gives what the lifter of torch's modules gives, up to the last rounding."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROUNDED, needs_native
from safetensors.torch import save

from olift_fast import InputError, Lifter, LifterConfig, NativeLifter, Skeleton, StreamingLifter, lift_tracks, load
from olift_fast.model import lift_in_chunks
from olift_fast.model.loading import why_torch
from olift_fast.ops import use_backend
from olift_fast.runtime import native_module
from olift_fast.streaming import lift_long
from olift_fast.tracks import KeypointTracks

pytestmark = needs_native

SMALL = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)
JOINTS = 5
RIG = Skeleton(
    ("nose", "left_ear", "right_ear", "back", "tail"), ((0, 1), (0, 2), (0, 3), (3, 4)), sides=(0, 1, -1, 0, 0)
)


def pair(folder: Path, dtype: Any = "float32", **changes: Any) -> tuple[Lifter, NativeLifter]:
    """A lifter with random weights, and the same on arrays."""
    torch.manual_seed(3)
    lifter = Lifter(replace(SMALL, **changes), name="random").eval()
    with torch.no_grad():
        for parameter in lifter.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    return lifter, NativeLifter.from_pretrained(lifter.save_pretrained(folder / "model"), dtype)


def clip(batch: int = 3, frames: int = 19, **told: Any) -> dict[str, Any]:
    rng = np.random.default_rng(batch + frames)
    visible = rng.random((batch, frames, JOINTS)) > 0.2
    keypoints = rng.standard_normal((batch, frames, JOINTS, 2)).astype(np.float32)
    keypoints[~visible] = np.nan
    graph = rng.random((batch, JOINTS, JOINTS)) > 0.5
    graph |= np.eye(JOINTS, dtype=np.bool_)
    sides = np.array(RIG.sides, np.float32)
    return {"keypoints": keypoints, "visible": visible, "graph": graph, "sides": sides} | told


def assert_same(lifter: Lifter, native: NativeLifter, given: dict[str, Any], tolerance: float = 1e-6) -> np.ndarray:
    wanted, got = lifter.lift_arrays(**given), native.lift_arrays(**given)
    assert got.shape == wanted.shape and got.dtype == wanted.dtype == np.float32
    assert np.abs(got - wanted).max(initial=0) <= tolerance * np.abs(wanted).max(initial=1)
    return got


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"width": 20, "heads": 1, "mlp_ratio": 3},
        {"motion_layers": 0},
        {"space_layers": 0},
        {"motion_layers": 0, "space_layers": 0},
        {"window": (0, 0)},
        *({"encoding": name} for name in ("learnable_rff", "sinusoidal", "linear")),
        *({"time_encoding": name} for name in ("absolute", "table", "none")),
    ],
    ids=str,
)
def test_it_lifts_as_the_modules_do(tmp_path: Path, changes: dict[str, Any]) -> None:
    pair_of = pair(tmp_path, **changes)
    for given in (
        clip(),
        clip(1, 1),
        clip(lengths=np.array([19, 4, 1])),
        clip(graph=None, sides=None),
        clip(graph=np.eye(JOINTS, dtype=np.bool_)),
        clip(sides=np.array([RIG.sides] * 3, np.float32)),
    ):
        assert_same(*pair_of, given)


def test_without_time_and_pitch_even_the_bits_are_the_same(tmp_path: Path) -> None:
    lifter, native = pair(tmp_path, time_encoding="none", kinds=6)
    given = clip(kinds=np.array([0, 5, 1, 2, 99]))
    assert lifter.lift_arrays(**given).tobytes() == native.lift_arrays(**given).tobytes()


def test_it_is_told_pitch_and_kinds_and_gives_deviations(tmp_path: Path) -> None:
    lifters = pair(tmp_path, pitch=True, kinds=6, uncertainty=True)
    told = {"pitch": np.array([30, np.nan, -80], np.float32), "kinds": np.array([0, 5, 1, 2, 99])}
    got = assert_same(*lifters, clip(uncertainty=True, **told))
    assert got.shape[-1] == 5 and (got[..., 3:] > 0).all()
    other = assert_same(*lifters, clip(uncertainty=True, **(told | {"pitch": np.array([0, 0, 0], np.float32)})))
    assert np.abs(other - got).max() > 1e-3


def test_values_of_hidden_keypoints_are_not_read(tmp_path: Path) -> None:
    _, native = pair(tmp_path)
    given = clip()
    wanted = native.lift_arrays(**given)
    given["keypoints"][~given["visible"]] = 1e30
    np.testing.assert_array_equal(native.lift_arrays(**given), wanted)


def test_arguments_stay_as_they_are_and_may_be_of_any_strides(tmp_path: Path) -> None:
    _, native = pair(tmp_path)
    given = clip(lengths=np.array([19, 4, 1]))
    wanted = native.lift_arrays(**given)
    turned = {name: np.asfortranarray(x) for name, x in given.items()}
    for array in turned.values():
        array.flags.writeable = False
    np.testing.assert_array_equal(native.lift_arrays(**turned), wanted)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"keypoints": np.zeros((3, 19, 5, 3), np.float32)}, ValueError, r"keypoints must be \(B, T, J, 2\), got \(3"),
        ({"keypoints": np.zeros((3, 19, 5, 2), int)}, TypeError, "keypoints must be floating-point, got int64"),
        ({"visible": np.ones((3, 18, 5), np.bool_)}, ValueError, r"visible must be \(3, 19, 5\), got \(3, 18, 5\)"),
        ({"visible": np.ones((3, 19, 5))}, TypeError, "visible must be bool, got float64"),
        ({"graph": np.ones((4, 4), np.bool_)}, ValueError, r"graph must be \(5, 5\) or \(3, 5, 5\), got \(4, 4\)"),
        ({"sides": np.zeros(4)}, ValueError, r"sides must be \(5,\) or \(3, 5\), got \(4,\)"),
        ({"lengths": np.array([1, 2])}, ValueError, r"lengths must be \(3,\), got \(2,\)"),
        ({"lengths": np.array([1.0, 2.0, 3.0])}, TypeError, "lengths must be int64, got float64"),
        ({"pitch": np.zeros(3, np.float32)}, ValueError, "the model 'random' was made without pitch"),
        ({"kinds": np.zeros(5, int)}, ValueError, "the model 'random' was made without kinds"),
        ({"uncertainty": True}, ValueError, "the model 'random' was made without uncertainty"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, change: dict[str, Any], error: type, message: str) -> None:
    _, native = pair(tmp_path)
    with pytest.raises(error, match=message):
        native.lift_arrays(**(clip() | change))


def test_another_backend_is_refused(tmp_path: Path) -> None:
    _, native = pair(tmp_path)
    with use_backend("native"):
        native.lift_arrays(**clip())
    with use_backend("eager"), pytest.raises(RuntimeError, match="NativeLifter has no eager backend; a Lifter has"):
        native.lift_arrays(**clip())


def recording(frames: int = 60) -> KeypointTracks:
    rng = np.random.default_rng(0)
    points = 300 + rng.normal(0, 40, (2, 1, JOINTS, 2)) + rng.normal(0, 2, (2, frames, JOINTS, 2)).cumsum(axis=1)
    points[rng.random((2, frames, JOINTS)) < 0.1] = np.nan
    confidence = np.isfinite(points[..., 0]).astype(np.float32)
    return KeypointTracks(points.astype(np.float32), confidence, RIG, ("one", "other"))


@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"frame": "object"}], ids=str)
def test_tracks_are_lifted_alike(tmp_path: Path, options: dict[str, Any]) -> None:
    wanted, got = (lift_tracks(model, recording(), **options) for model in pair(tmp_path))
    scale = float(np.ptp(wanted.joints, axis=2).max())
    assert np.abs(got.joints - wanted.joints).max() <= 1e-6 * scale
    np.testing.assert_allclose(got.rotation, wanted.rotation, atol=1e-5)
    assert got.model == wanted.model == "random"


def test_chunks_give_what_the_whole_gives_to_the_last_bit(tmp_path: Path) -> None:
    _, native = pair(tmp_path)
    given = clip(1, 60)
    parts = (given["keypoints"][0], given["visible"][0], RIG)
    whole = lift_in_chunks(native, *parts, chunk=1000)
    np.testing.assert_array_equal(lift_in_chunks(native, *parts, chunk=7), whole)
    tensors = (torch.from_numpy(x) for x in parts[:2])
    assert torch.equal(lift_in_chunks(native, *tensors, RIG), torch.from_numpy(whole))


@pytest.mark.parametrize("told", [{}, {"pitch": 20.0}], ids=str)
@pytest.mark.parametrize("options", [{}, {"frame": "object"}, {"align": 30}], ids=str)
def test_streams_are_lifted_alike(tmp_path: Path, options: dict[str, Any], told: dict[str, Any]) -> None:
    changes = {"pitch": True, "kinds": 50, "uncertainty": True} if told else {}

    def joints(model: Any) -> Iterator[np.ndarray]:
        stream = StreamingLifter(model.with_latency(2), RIG, tracks=2, **options, **told)
        frames = np.moveaxis(recording().keypoints, 1, 0)
        for frame in [x for points in frames for x in stream.push(points[:, None])] + stream.flush():
            parts = [frame.joints] if frame.uncertainty is None else [frame.joints, frame.uncertainty]
            yield np.concatenate(parts, axis=-1)

    wanted, got = (np.stack(list(joints(model))) for model in pair(tmp_path, **changes))
    assert len(wanted) == 120 and (np.isfinite(wanted) == np.isfinite(got)).all()
    assert np.nanmax(np.abs(got - wanted)) <= 2e-6 * np.nanmax(np.abs(wanted))


def test_long_recordings_are_taken_up_by_the_same_lifter_alone(tmp_path: Path) -> None:
    lifter, native = pair(tmp_path)
    points = recording().keypoints[0]
    for model, name in ((lifter, "modules.npy"), (native, "arrays.npy")):
        lift_long(model, points, tmp_path / name, skeleton=RIG, chunk=16)
    wanted, got = (np.load(tmp_path / name) for name in ("modules.npy", "arrays.npy"))
    assert np.abs(got - wanted).max() <= 1e-6 * np.ptp(wanted, axis=1).max()

    def stop(done: int, _: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lift_long(native, points, tmp_path / "half.npy", skeleton=RIG, chunk=16, progress=stop)
    with pytest.raises(InputError, match="another"):
        lift_long(lifter, points, tmp_path / "half.npy", skeleton=RIG, chunk=16)
    lift_long(native, points, tmp_path / "half.npy", skeleton=RIG, chunk=16)
    np.testing.assert_array_equal(np.load(tmp_path / "half.npy"), got)


def test_another_window_takes_the_same_weights(tmp_path: Path) -> None:
    lifter, native = pair(tmp_path)
    assert_same(lifter.with_window((1, 4)), native.with_window((1, 4)), clip())
    assert native.with_latency(0).config.window == (3, 0) and native.config.window == (3, 2)
    with pytest.raises(InputError, match="multiple >= 0 of the model's 2 motion layers, got 3 frames"):
        native.with_latency(3)


def test_it_can_be_pickled(tmp_path: Path) -> None:
    _, native = pair(tmp_path)
    copy = pickle.loads(pickle.dumps(native))
    np.testing.assert_array_equal(copy.lift_arrays(**clip()), native.lift_arrays(**clip()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_dtypes_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    lifter, _ = pair(tmp_path)
    rounded = {name: tensor.to(dtype) for name, tensor in lifter.state_dict().items()}
    (tmp_path / "model" / "model.safetensors").write_bytes(save(rounded))
    native = NativeLifter.from_pretrained(tmp_path / "model")
    for name, array in native.weights.items():
        np.testing.assert_array_equal(array, rounded[name].float().numpy())
    assert_same(Lifter.from_pretrained(tmp_path / "model"), native, clip())


@pytest.mark.parametrize("dtype", ROUNDED)
def test_rounded_products_give_the_same_as_the_modules(tmp_path: Path, dtype: Any) -> None:
    lifter, native = pair(tmp_path, dtype, time_encoding="none")
    wanted = lifter.optimize(dtype=getattr(torch, dtype)).lift_arrays(**clip())
    assert native.lift_arrays(**clip()).tobytes() == wanted.tobytes()
    exact = lifter.lift_arrays(**clip())
    assert 1e-6 < np.linalg.norm(wanted - exact) / np.linalg.norm(exact) < {"bfloat16": 2e-2, "int16": 2e-3}[dtype]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int16"])
def test_what_does_not_run_here_is_refused(tmp_path: Path, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olift_fast.model.native_lifter.why_not_products", lambda dtype: "no such instructions")
    with pytest.raises(InputError, match=r"no such instructions|'float32', 'bfloat16' or 'int16', got 'float16'"):
        pair(tmp_path, dtype)


def test_load_takes_torch_only_where_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair(tmp_path)
    folder = tmp_path / "model"
    assert type(load(folder)) is NativeLifter and why_torch() is None
    with use_backend("eager"):
        assert type(load(folder)) is Lifter and why_torch() == "the backend asked for is eager"
    assert why_torch("cuda:1") == "the device asked for is cuda:1"
    monkeypatch.setenv("OLIFT_NATIVE", "0")
    native_module._load.cache_clear()
    try:
        assert type(load(folder)) is Lifter
        assert why_torch() == "the native module is switched off by OLIFT_NATIVE=0"
        with pytest.raises(InputError, match="the native module is switched off by OLIFT_NATIVE=0"):
            NativeLifter.from_pretrained(folder)
    finally:
        native_module._load.cache_clear()
