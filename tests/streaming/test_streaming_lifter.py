"""A stream gives what the whole recording gives, whatever is pushed when."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROUNDED, needs_native
from offline import lifted_offline

import olift_fast
from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter, lift_tracks
from olift_fast.errors import InputError
from olift_fast.model import Normalization, lift_in_chunks
from olift_fast.streaming import LiftedFrame
from olift_fast.streaming.steps_modules import ModuleSteps
from olift_fast.streaming.steps_native import NativeSteps
from olift_fast.tracks.containers import KeypointTracks

Array = np.ndarray

ENGINES = [pytest.param("native", marks=needs_native), "modules", pytest.param("cuda", marks=pytest.mark.gpu)]
SKELETON = Skeleton(("nose", "left_ear", "right_ear", "neck", "tail"), ((0, 1), (0, 2), (0, 3), (3, 4)))
JOINTS = SKELETON.num_joints
SMALL = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)
SCALE = Normalization(40.0)


def lifter_of(engine: str = "native", seed: int = 0, **changes: Any) -> Lifter:
    """Random weights; a hook keeps the native passes from running."""
    torch.manual_seed(seed)
    lifter = Lifter(LifterConfig(**{**SMALL.__dict__, **changes})).eval()
    if engine == "modules":
        lifter.decoder.register_forward_hook(lambda *_: None)
    return lifter.to("cuda" if engine == "cuda" else "cpu")


def stream_of(lifter: Lifter, engine: str = "native", **options: Any) -> StreamingLifter:
    stream = StreamingLifter(lifter, SKELETON, **{"frame": "object", "normalization": SCALE, **options})
    assert isinstance(stream._steps, NativeSteps if engine == "native" else ModuleSteps)
    return stream


def recording(frames: int, seed: int = 0, hidden: float = 0.2) -> tuple[Array, Array]:
    """Keypoints in pixels, NaN where hidden, and which are visible."""
    random = np.random.default_rng(seed)
    keypoints = (300 + 40 * random.standard_normal((frames, JOINTS, 2))).astype(np.float32)
    visible = random.random((frames, JOINTS)) >= hidden
    keypoints[~visible] = np.nan
    return keypoints, visible


def offline(lifter: Lifter, keypoints: Array, visible: Array, normalization: Normalization = SCALE) -> Array:
    """`lifted_offline` in float64."""
    exact = copy.deepcopy(lifter).cpu().double()
    return lifted_offline(exact, keypoints, visible, SKELETON, normalization, torch.float64)


def joints_of(results: Sequence[LiftedFrame], track: int = 0) -> Array:
    """``(T, J, 3)`` of a track; its frames must be there in order, each once."""
    own = [result for result in results if result.track == track]
    assert [result.frame for result in own] == list(range(len(own)))
    return np.stack([result.joints for result in own])


def assert_close(got: Array, wanted: Array) -> None:
    missing = np.isnan(wanted)
    assert got.dtype == np.float32 and got.shape == wanted.shape
    assert np.array_equal(np.isnan(got), missing)
    difference = np.linalg.norm(got[~missing] - wanted[~missing])
    assert difference <= 1e-5 * np.linalg.norm(wanted[~missing])


def cuts(frames: int, seed: int) -> Iterator[slice]:
    """Runs of one to seven frames, and none now and then."""
    random = np.random.default_rng(seed)
    start = 0
    while start < frames:
        stop = min(frames, start + int(random.integers(0, 8)))
        yield slice(start, stop)
        start = stop


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("frames", [1, 4, 37])
@pytest.mark.parametrize("layers", [(2, 1), (3, 0), (1, 2), (0, 1), (0, 0)])
@pytest.mark.parametrize("window", [(3, 2), (8, 8), (2, 5), (4, 0), (0, 3), (0, 0)])
def test_equals_the_whole_recording(window, layers, frames, engine) -> None:
    lifter = lifter_of(engine, window=window, motion_layers=layers[0], space_layers=layers[1])
    keypoints, visible = recording(frames)
    stream = stream_of(lifter, engine)
    results = []
    for part in cuts(frames, seed=frames):
        results += stream.push(keypoints[part], visible[part])
    results += stream.flush()
    assert_close(joints_of(results), offline(lifter, keypoints, visible))


@pytest.mark.parametrize("engine", ENGINES)
def test_told_the_pitch_it_equals_the_whole_recording_uncertainty_and_all(engine) -> None:
    lifter = lifter_of(engine, pitch=True, uncertainty=True)
    keypoints, visible = recording(30)
    stream = stream_of(lifter, engine, pitch=70.0)
    results = stream.push(keypoints, visible) + stream.flush()
    points, seen = (torch.from_numpy(x) for x in (SCALE.apply(keypoints, visible)[0], visible))
    exact = copy.deepcopy(lifter).cpu().double()
    wanted = lift_in_chunks(exact, points.double(), seen, SKELETON, pitch=70.0, uncertainty=True).numpy()
    assert_close(joints_of(results), wanted[..., :3] - wanted[..., :3].mean(axis=1, keepdims=True))
    assert_close(np.stack([result.uncertainty for result in results]), wanted[..., 3:])
    in_pixels = stream_of(lifter, engine, pitch=70.0, frame="camera")
    results = in_pixels.push(keypoints, visible) + in_pixels.flush()
    assert_close(np.stack([result.uncertainty for result in results]), SCALE.scale * wanted[..., 3:])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "changes",
    [
        {"time_encoding": "none", "encoding": "linear"},
        {"encoding": "learnable_rff", "mlp_ratio": 3, "hops": 2},
        {"encoding": "sinusoidal", "width": 20, "heads": 1},
        {"width": 128, "heads": 4, "window": (8, 8), "space_layers": 4},
    ],
)
def test_every_architecture(changes, engine) -> None:
    lifter = lifter_of(engine, **changes)
    keypoints, visible = recording(30)
    stream = stream_of(lifter, engine)
    results = stream.push(keypoints, visible) + stream.flush()
    assert_close(joints_of(results), offline(lifter, keypoints, visible))


def test_any_dtype() -> None:
    lifter = lifter_of().double()
    keypoints, visible = recording(20)
    stream = stream_of(lifter, "modules")
    results = stream.push(keypoints, visible) + stream.flush()
    assert_close(joints_of(results), offline(lifter, keypoints, visible))


def test_plain_pytorch_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIFT_BACKEND", "reference")
    lifter = lifter_of()
    keypoints, visible = recording(20)
    stream = stream_of(lifter, "modules")
    results = stream.push(keypoints, visible) + stream.flush()
    assert_close(joints_of(results), offline(lifter, keypoints, visible))


@pytest.mark.parametrize("dtype", ROUNDED)
def test_rounded_products_are_those_of_the_optimized_lifter(dtype: str) -> None:
    lifter = lifter_of(width=64, heads=2)
    optimized = lifter.optimize(dtype=getattr(torch, dtype))
    keypoints, visible = recording(25)
    stream = stream_of(optimized)
    got = joints_of(stream.push(keypoints, visible) + stream.flush())
    same, exact = (lifted_offline(model, keypoints, visible, SKELETON, SCALE) for model in (optimized, lifter))
    # Rounding turns the last bits of sums, which differ, into bits of the dtype, and more so in each layer.
    moved = np.linalg.norm(exact - same)
    assert np.linalg.norm(got - same) < moved and 0.5 * moved < np.linalg.norm(got - exact) < 2 * moved


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_cuts_do_not_change_a_bit(engine) -> None:
    lifter = lifter_of(engine)
    keypoints, visible = recording(40)
    whole, single, random = (stream_of(lifter, engine) for _ in range(3))
    wanted = joints_of(whole.push(keypoints, visible) + whole.flush())
    one_by_one = [result for t in range(40) for result in single.push(keypoints[t], visible[t])] + single.flush()
    parts = [r for part in cuts(40, seed=5) for r in random.push(keypoints[part], visible[part])] + random.flush()
    assert np.array_equal(joints_of(one_by_one), wanted)
    assert np.array_equal(joints_of(parts), wanted)


@pytest.mark.parametrize(("window", "latency"), [((3, 2), 4), ((8, 8), 16), ((5, 0), 0), ((0, 1), 2)])
def test_results_come_when_they_are_due(window, latency) -> None:
    stream = stream_of(lifter_of("modules", window=window), "modules")
    assert stream.latency_frames == latency
    keypoints, visible = recording(30)
    for t in range(30):
        due = [] if t < latency else [t - latency]
        assert [result.frame for result in stream.push(keypoints[t], visible[t])] == due
    assert [result.frame for result in stream.flush()] == list(range(30 - latency, 30))
    assert stream.flush() == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("window", [(3, 2), (1, 4), (3, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_tracks_join_pause_and_leave(seed, window, engine) -> None:
    """Random ticks: some slots get frames, some pause, some end, and the next track starts where one ended."""
    random = np.random.default_rng(seed)
    lifter = lifter_of(engine, window=window)
    stream = stream_of(lifter, engine, tracks=4)
    going: dict[int, list[tuple[Array, Array]]] = {}
    results: dict[int, list[LiftedFrame]] = {slot: [] for slot in range(4)}
    checked = 0

    def end(slot: int, *late: LiftedFrame) -> None:
        nonlocal checked
        keypoints, visible = (np.concatenate(parts) for parts in zip(*going.pop(slot), strict=True))
        assert_close(joints_of([*results[slot], *late], slot), offline(lifter, keypoints, visible))
        results[slot] = []
        checked += 1

    for tick in range(60):
        slots = random.permutation(4)[: random.integers(1, 5)].tolist()
        frames = int(random.integers(1, 4))
        own = [recording(frames, seed=1000 * tick + slot, hidden=0.3) for slot in slots]
        for slot, part in zip(slots, own, strict=True):
            going.setdefault(slot, []).append(part)
        for result in stream.push(*(np.stack(parts) for parts in zip(*own, strict=True)), tracks=slots):
            results[result.track].append(result)
        if random.random() < 0.2:
            slot = int(random.choice(list(going)))
            end(slot, *stream.flush(slot))
        if random.random() < 0.05:
            slot = int(random.choice(list(going)))
            stream.reset(slot)
            del going[slot]
            results[slot] = []
    late = stream.flush()
    for slot in list(going):
        end(slot, *(result for result in late if result.track == slot))
    assert checked > 8


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_tracks_keep_to_themselves(engine) -> None:
    """Infinities that another track calls visible, before, beside and after it, change no bit of a track."""
    lifter = lifter_of(engine)
    keypoints, visible = recording(20)
    alone, shared = stream_of(lifter, engine, tracks=2), stream_of(lifter, engine, tracks=2)
    wanted = joints_of(alone.push(keypoints, visible, tracks=1) + alone.flush(1), 1)

    wild = np.full_like(keypoints, 1e38), np.ones_like(visible)
    shared.push(*wild, tracks=1)
    shared.reset(1)
    both = np.stack([wild[0], keypoints]), np.stack([wild[1], visible])
    results = [result for result in shared.push(*both) + shared.flush() if result.track == 1]
    assert np.array_equal(joints_of(results, 1), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_stretches_that_show_nothing_hold_nan_as_offline(engine) -> None:
    keypoints, visible = recording(60)
    visible[:9] = visible[20:40] = visible[55:] = False
    lifter = lifter_of(engine)
    stream = stream_of(lifter, engine)
    got = joints_of(stream.push(keypoints, visible) + stream.flush())
    wanted = offline(lifter, keypoints, visible)
    assert np.isnan(wanted).any() and np.isfinite(wanted).any()
    assert_close(got, wanted)


def test_what_is_not_finite_is_hidden() -> None:
    keypoints, visible = recording(12)
    keypoints[visible] = np.where(np.arange(visible.sum())[:, None] % 5 == 0, np.inf, keypoints[visible])
    lifter = lifter_of("modules")
    told, untold = (stream_of(lifter, "modules") for _ in range(2))
    wanted = joints_of(told.push(keypoints, np.isfinite(keypoints).all(axis=-1)) + told.flush())
    assert np.array_equal(joints_of(untold.push(keypoints) + untold.flush()), wanted)
    assert np.isfinite(wanted).all()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("axes", [(3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
def test_keypoints_may_lie_in_memory_in_any_order(axes, engine) -> None:
    """As files of SLEAP have them: joints last."""
    parts = [recording(20, seed) for seed in range(2)]
    keypoints, visible = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    back = np.argsort(axes)
    keypoints = np.ascontiguousarray(keypoints.transpose(axes)).transpose(back)
    visible = np.ascontiguousarray(visible.transpose(2, 1, 0)).transpose(2, 1, 0)
    lifter = lifter_of(engine)
    stream = stream_of(lifter, engine, tracks=2)
    results = stream.push(keypoints, visible) + stream.flush(1)
    results += stream.push(keypoints[0, :0], tracks=0) + stream.flush(0)
    for track, part in enumerate(parts):
        assert_close(joints_of(results, track), offline(lifter, *part))
    results = stream.push(keypoints[0], visible[0], tracks=0) + stream.flush()
    assert_close(joints_of(results), offline(lifter, *parts[0]))


@pytest.mark.slow
def test_equals_lift_tracks_given_its_normalization() -> None:
    keypoints, visible = recording(50)
    confidence = np.where(visible, 1, 0).astype(np.float32)
    lifter = lifter_of("modules")
    tracks = KeypointTracks(keypoints[None], confidence[None], SKELETON, ("one",))
    wanted = lift_tracks(lifter, tracks, frame="object").joints[0]
    stream = stream_of(lifter, "modules", normalization=Normalization.fit(keypoints, visible))
    assert_close(joints_of(stream.push(keypoints, visible) + stream.flush()), wanted)


class TestNormalization:
    @pytest.mark.slow
    def test_fitted_to_the_first_frames(self) -> None:
        keypoints, visible = recording(40)
        lifter = lifter_of("modules")
        stream = stream_of(lifter, "modules", normalization=None, fit_frames=11)
        assert stream.push(keypoints[:10], visible[:10]) == [] and stream.normalization() is None
        results = stream.push(keypoints[10:], visible[10:]) + stream.flush()
        fitted = Normalization.fit(keypoints[:11], visible[:11])
        assert_close(joints_of(results), offline(lifter, keypoints, visible, fitted))

    def test_delays_no_result_beyond_the_latency(self) -> None:
        keypoints, visible = recording(12)
        stream = stream_of(lifter_of("modules"), "modules", normalization=None, fit_frames=4)
        frames = [[result.frame for result in stream.push(keypoints[t], visible[t])] for t in range(12)]
        assert frames == [[]] * 4 + [[t] for t in range(8)]

    @pytest.mark.slow
    def test_waits_for_frames_that_say_something(self) -> None:
        """Empty frames, and those of a single keypoint, fit nothing, hold nothing up and take no memory."""
        keypoints, visible = recording(60, hidden=0.0)
        visible[:30] = False
        visible[8, 2] = True
        lifter = lifter_of("modules")
        stream = stream_of(lifter, "modules", normalization=None, fit_frames=5)
        results = stream.push(keypoints[:30], visible[:30])
        assert len(results) == 30 - stream.latency_frames and stream.normalization() is None
        results += stream.push(keypoints[30:], visible[30:]) + stream.flush()
        fitted = Normalization.fit(keypoints[30:35], visible[30:35])
        assert_close(joints_of(results), offline(lifter, keypoints, visible, fitted))

    def test_of_a_track_that_ends_early(self) -> None:
        keypoints, visible = recording(6)
        lifter = lifter_of("modules")
        stream = stream_of(lifter, "modules", normalization=None, fit_frames=50)
        assert stream.push(keypoints, visible) == []
        fitted = Normalization.fit(keypoints, visible)
        assert_close(joints_of(stream.flush()), offline(lifter, keypoints, visible, fitted))

    @pytest.mark.slow
    def test_of_each_track_by_itself(self) -> None:
        parts = [recording(30, seed) for seed in range(2)]
        parts[1][0][:] *= 3
        lifter = lifter_of("modules")
        stream = stream_of(lifter, "modules", normalization=None, tracks=2, fit_frames=7)
        results = stream.push(*(np.stack(part) for part in zip(*parts, strict=True)))
        fitted = [stream.normalization(track) for track in range(2)]
        results += stream.flush()
        for track, (keypoints, visible) in enumerate(parts):
            assert fitted[track] == Normalization.fit(keypoints[:7], visible[:7])
            assert_close(joints_of(results, track), offline(lifter, keypoints, visible, fitted[track]))

    def test_given_to_the_track_that_starts(self) -> None:
        keypoints, visible = recording(20)
        lifter = lifter_of("modules")
        stream = stream_of(lifter, "modules", tracks=2, normalization=None)
        stream.reset(1, normalization=Normalization(70.0))
        results = stream.push(keypoints, visible, tracks=1) + stream.flush(1)
        assert_close(joints_of(results, 1), offline(lifter, keypoints, visible, Normalization(70.0)))
        assert stream.normalization(1) is None


class TestCamera:
    @pytest.mark.slow
    def test_visible_joints_lie_over_the_keypoints(self) -> None:
        keypoints, visible = recording(25)
        visible[:, 0] = True
        keypoints[:, 0] = 250.0
        lifter = lifter_of("modules")
        pixels, units = (stream_of(lifter, "modules", frame=frame) for frame in ("camera", "object"))
        got = joints_of(pixels.push(keypoints, visible) + pixels.flush())
        model = joints_of(units.push(keypoints, visible) + units.flush())
        for t in range(25):
            seen = visible[t]
            np.testing.assert_allclose(got[t, seen, :2].mean(axis=0), keypoints[t, seen].mean(axis=0), rtol=1e-5)
            turned = (got[t] - got[t].mean(axis=0)) / SCALE.scale
            np.testing.assert_allclose(turned, model[t] - model[t].mean(axis=0), atol=2e-5)
            np.testing.assert_allclose(got[t, :, 2].mean(), 0, atol=1e-4)

    def test_stays_where_it_was_while_nothing_shows(self) -> None:
        keypoints, visible = recording(30)
        visible[:2] = False
        visible[10:14] = False
        stream = stream_of(lifter_of("modules", window=(3, 1)), "modules", frame="camera")
        got = joints_of(stream.push(keypoints, visible) + stream.flush())
        assert np.isnan(got[:2]).all()
        assert np.isfinite(got[2:]).all()
        assert np.abs(got[10:14, :, :2].mean(axis=1) - 300).max() < 150

    @pytest.mark.slow
    def test_another_track_in_the_slot_does_not_inherit_the_place(self) -> None:
        keypoints, visible = recording(20)
        stream = stream_of(lifter_of("modules", window=(1, 3)), "modules", frame="camera")
        stream.push(keypoints, visible)
        stream.flush()
        visible[0] = False
        got = joints_of(stream.push(keypoints, visible) + stream.flush())
        assert np.isnan(got[0]).all() and np.isfinite(got[1:]).all()


def addresses(stream: StreamingLifter) -> list[int]:
    """Where the rings of a stream lie: arrays of native steps, tensors of others."""
    rows = (rings.qkv.rows for rings in stream._steps._rings)
    return [x.ctypes.data if isinstance(x, np.ndarray) else x.data_ptr() for x in rows]


class TestEndlessStreams:
    @pytest.mark.slow
    @pytest.mark.parametrize("engine", ENGINES)
    def test_memory_stays_as_it_is(self, engine) -> None:
        stream = stream_of(lifter_of(engine), engine, tracks=3)
        keypoints, visible = (np.stack(parts) for parts in zip(*(recording(1, s) for s in range(3)), strict=True))

        def run(frames: int) -> None:
            for _ in range(frames):
                stream.push(keypoints, visible)

        run(50)
        where = addresses(stream)
        own = tracemalloc.Filter(True, str(Path(olift_fast.__file__).parent / "*"))  # other threads allocate, too

        def held() -> int:
            gc.collect()
            return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([own]).traces)

        tracemalloc.start()
        run(20)
        before = held()
        run(500)
        grown = held() - before
        tracemalloc.stop()
        # PyTorch's calls of operations keep some small objects for a while; results that were kept would take 250 kB.
        assert grown < (4096 if engine == "native" else 100_000)
        assert addresses(stream) == where

    @needs_native
    def test_steps_make_no_large_arrays_of_their_own(self) -> None:
        """In the steady state no more memory is taken for a moment than a frame's tokens need, and Python's objects."""
        stream = stream_of(lifter_of(width=64, heads=4), tracks=2)
        keypoints, visible = (np.stack(parts) for parts in zip(recording(1), recording(1, 1), strict=True))
        for _ in range(20):
            stream.push(keypoints, visible)
        tracemalloc.start()
        stream.push(keypoints, visible)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(5):
            stream.push(keypoints, visible)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - before < 2 * JOINTS * 64 * 4 + 16_384

    @pytest.mark.slow
    def test_exact_after_many_turns_of_the_rings(self) -> None:
        lifter = lifter_of("modules")
        keypoints, visible = recording(700)
        stream = stream_of(lifter, "modules")
        results = [result for t in range(700) for result in stream.push(keypoints[t], visible[t])] + stream.flush()
        assert_close(joints_of(results), offline(lifter, keypoints, visible))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_warmup_goes_unnoticed(engine) -> None:
    lifter = lifter_of(engine)
    keypoints, visible = recording(30)
    plain, warmed = (stream_of(lifter, engine) for _ in range(2))
    wanted = joints_of(plain.push(keypoints, visible) + plain.flush())
    warmed.warmup()
    results = warmed.push(keypoints[:13], visible[:13])
    warmed.warmup()
    results += warmed.push(keypoints[13:], visible[13:]) + warmed.flush()
    assert np.array_equal(joints_of(results), wanted)


@pytest.mark.gpu
def test_a_step_is_one_graph_replay() -> None:
    stream = stream_of(lifter_of("cuda"), "cuda")
    stream.warmup()
    assert isinstance(stream._steps, ModuleSteps) and stream._steps._captured is not None
    keypoints, visible = recording(1)
    stream.push(keypoints, visible)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        stream.push(keypoints, visible)
    assert sum(event.count for event in profile.key_averages() if event.key == "cudaGraphLaunch") == 1
    assert not [event.key for event in profile.key_averages() if event.key == "cudaLaunchKernel"]


def test_skeleton_without_edges_and_hooks_of_layers() -> None:
    skeleton = Skeleton(("a", "b", "c"))
    lifter = lifter_of("modules")
    seen = []
    lifter.space[0].mlp.register_forward_hook(lambda module, inputs, output: seen.append(output))
    stream = StreamingLifter(lifter, skeleton, frame="object", normalization=SCALE)
    keypoints = recording(9, hidden=0.0)[0][:, :3]
    got = joints_of(stream.push(keypoints) + stream.flush())
    assert seen
    normalized, _ = SCALE.apply(keypoints, np.ones((9, 3), dtype=np.bool_))
    wanted = lifter(torch.from_numpy(normalized)[None], sides=torch.zeros(3))[0].detach()
    assert_close(got, (wanted - wanted.mean(dim=1, keepdim=True)).numpy())


class TestErrors:
    def test_absolute_time_has_no_stream(self) -> None:
        with pytest.raises(InputError, match="needs time_encoding 'relative' or 'none', got 'absolute'"):
            stream_of(lifter_of(time_encoding="absolute"))

    def test_output_is_the_old_name_of_frame(self) -> None:
        with pytest.warns(DeprecationWarning, match="output is now frame"):
            stream = StreamingLifter(lifter_of("modules"), SKELETON, output="object")
        assert stream.frame == "object"
        with pytest.warns(DeprecationWarning, match=r"StreamingLifter\.output is now StreamingLifter\.frame") as caught:
            assert stream.output == "object"
            stream.output = "camera"
        assert [warning.filename for warning in caught] == [__file__] * 2
        assert stream.frame == "camera"

    def test_layers_of_another_kind(self) -> None:
        lifter = lifter_of()
        lifter.motion[1] = torch.nn.Identity()
        with pytest.raises(InputError, match="must be a MotionLayer as the lifter makes it, got Identity"):
            stream_of(lifter)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tracks": 0}, "tracks must be >= 1, got 0"),
            ({"fit_frames": 0}, "fit_frames must be >= 1, got 0"),
            ({"frame": "image"}, "frame must be 'camera' or 'object', got 'image'"),
        ],
    )
    def test_options(self, options, message) -> None:
        with pytest.raises(InputError, match=message):
            stream_of(lifter_of(), **options)

    @pytest.mark.parametrize(
        ("keypoints", "visible", "tracks", "message"),
        [
            ((4, 2), None, 0, r"keypoints must be \(5, 2\), \(T, 5, 2\) or \(K, T, 5, 2\), got \(4, 2\)"),
            ((5, 3), None, 0, r"got \(5, 3\)"),
            ((5, 2), (4,), 0, r"visible must be bool \(5,\), got bool \(4,\)"),
            ((5, 2), None, None, r"keypoints must be of 2 tracks, \[0, 1\], got 1"),
            ((3, 1, 5, 2), None, None, "got 3"),
            ((5, 2), None, 2, "tracks must be among 0 … 1, got 2"),
            ((5, 2), None, -1, "tracks must be among 0 … 1, got -1"),
            ((2, 1, 5, 2), None, [1, 1], r"tracks must be a slot or different slots, got \[1, 1\]"),
            ((5, 2), None, 0.5, "tracks must be a slot or different slots, got 0.5"),
        ],
    )
    def test_pushes(self, keypoints, visible, tracks, message) -> None:
        stream = stream_of(lifter_of(), tracks=2)
        seen = None if visible is None else np.ones(visible, dtype=np.bool_)
        with pytest.raises(InputError, match=message):
            stream.push(np.zeros(keypoints), seen, tracks=tracks)

    def test_visible_that_is_not_bool(self) -> None:
        with pytest.raises(InputError, match="visible must be bool"):
            stream_of(lifter_of()).push(np.zeros((JOINTS, 2)), np.ones(JOINTS))
