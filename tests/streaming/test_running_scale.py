"""A stream that answers from its first frame: what it says of its scale, when that settles, and that nothing jumps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import needs_native
from offline import lifted_offline

from olift_fast import InputError, Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.data.cameras import CameraRange
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import load_motion, segments_of
from olift_fast.data.sources import observe
from olift_fast.model import Normalization
from olift_fast.streaming import LiftedFrame, LiftingProcessor, lift_poses, serve_stream
from olift_fast.streaming.messages import FrameMessage, ResultLines
from olift_fast.streaming.router import Router
from olift_fast.streaming.scales import SETTLED
from olift_fast.streaming.session import Lifted, Session
from olift_fast.tracks.containers import KeypointTracks

Array = np.ndarray

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "neck", "tail"), ((0, 1), (0, 2), (0, 3), (3, 4)))
JOINTS = SKELETON.num_joints
ENGINES = [pytest.param("native", marks=needs_native), "modules"]
CAUSAL, AHEAD, FAR_AHEAD = (3, 0), (3, 2), (3, 8)
"""Windows: results come at once, 4 frames later, 16 frames later."""


def lifter_of(window: tuple[int, int], engine: str = "native") -> Lifter:
    """Random weights; a hook keeps the native passes from running."""
    torch.manual_seed(0)
    config = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=window, frequencies=7)
    lifter = Lifter(config).eval()
    if engine == "modules":
        lifter.decoder.register_forward_hook(lambda *_: None)
    return lifter


def stream_of(window: tuple[int, int] = CAUSAL, engine: str = "native", **options: Any) -> StreamingLifter:
    return StreamingLifter(lifter_of(window, engine), SKELETON, **{"fit": "running", "frame": "object", **options})


def recording(frames: int, seed: int = 0, hidden: float = 0.1) -> tuple[Array, Array]:
    """Keypoints that move smoothly and slowly grow, and which are visible."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None]
    swing = 8 * np.sin(time / 12 + random.uniform(0, 6, (JOINTS, 2)))
    keypoints = 300 + (40 * random.standard_normal((JOINTS, 2)) + swing) * (1 + time / 200)
    return keypoints.astype(np.float32), random.random((frames, JOINTS)) >= hidden


def one_by_one(stream: StreamingLifter, keypoints: Array, visible: Array) -> list[list[LiftedFrame]]:
    return [stream.push(points, seen) for points, seen in zip(keypoints, visible, strict=True)]


def test_every_frame_is_answered_with_what_is_known_of_its_scale() -> None:
    keypoints, visible = recording(40)
    stream = stream_of()
    for t, results in enumerate(one_by_one(stream, keypoints, visible)):
        assert [(result.frame, result.provisional) for result in results] == [(t, t < 15)]
        assert np.isfinite(results[0].joints).all() and stream.held_frames == 0


def test_scale_in_use_is_fitted_to_the_frames_so_far() -> None:
    keypoints, visible = recording(40)
    stream = stream_of()
    for t in range(40):
        stream.push(keypoints[t], visible[t])
        fitted = Normalization.fit(keypoints[: min(t + 1, 16)], visible[: min(t + 1, 16)])
        assert stream.normalization().scale == pytest.approx(fitted.scale, rel=1e-12)


@pytest.mark.parametrize("frame", ["object", "camera"])
def test_equals_the_recording_one_window_after_it_has_settled(frame: str) -> None:
    keypoints, visible = recording(60)
    stream, held = (stream_of(frame=frame, fit=fit) for fit in ("running", "hold"))
    got = np.stack([result.joints for result in stream.push(keypoints, visible)])
    wanted = np.stack([result.joints for result in held.push(keypoints, visible)])
    assert stream.normalization() is not None and held.normalization() is not None
    exact = 15 + stream._reach
    np.testing.assert_allclose(got[exact:], wanted[exact:], rtol=1e-4, atol=1e-4)
    assert np.abs(got[:14] - wanted[:14]).max() > 1e-3, "the scale must have changed for this to tell anything"
    if frame == "object":
        offline = lifted_offline(lifter_of(CAUSAL), keypoints, visible, SKELETON, stream.normalization())
        np.testing.assert_allclose(got[exact:], offline[exact:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("window", [CAUSAL, AHEAD])
@pytest.mark.parametrize("align", [None, 5])
def test_cuts_and_other_tracks_do_not_change_a_bit(engine: str, window: tuple[int, int], align: int | None) -> None:
    both = [recording(45, seed) for seed in (1, 2)]
    options: dict[str, Any] = {"frame": "camera", "align": align}
    wanted = []
    for keypoints, visible in both:
        alone = stream_of(window, engine, **options)
        wanted.append([*one_by_one(alone, keypoints, visible), alone.flush()])
    random, at = np.random.default_rng(3), [0, 0]
    shared = stream_of(window, engine, tracks=2, **options)
    got: list[list[LiftedFrame]] = [[], []]
    while min(at) < 45:
        own = [track for track in random.permutation(2).tolist() if at[track] < 45 and random.random() < 0.8]
        count = int(random.integers(1, 7))
        count = min([count, *(45 - at[track] for track in own)])
        parts = [tuple(x[at[track] : at[track] + count] for x in both[track]) for track in own]
        if own:
            for result in shared.push(*(np.stack(x) for x in zip(*parts, strict=True)), tracks=own):
                got[result.track].append(result)
        for track in own:
            at[track] += count
    for result in shared.flush():
        got[result.track].append(result)
    for track, results in enumerate(wanted):
        whole = [result for due in results for result in due]
        assert [(r.frame, r.provisional) for r in got[track]] == [(r.frame, r.provisional) for r in whole]
        np.testing.assert_array_equal(np.stack([r.joints for r in got[track]]), np.stack([r.joints for r in whole]))


def test_with_look_ahead_results_come_when_they_are_due() -> None:
    keypoints, visible = recording(40)
    stream = stream_of(AHEAD)
    due = [
        [(result.frame, result.provisional) for result in results] for results in one_by_one(stream, keypoints, visible)
    ]
    assert due == [[]] * 4 + [[(t - 4, t < 15)] for t in range(4, 40)]
    assert [result.frame for result in stream.flush()] == [36, 37, 38, 39]


def test_where_holding_delays_nothing_the_results_are_the_held_ones() -> None:
    keypoints, visible = recording(40)
    running, held = (stream_of(FAR_AHEAD, fit=fit) for fit in ("running", "hold"))
    for mine, other in zip(one_by_one(running, keypoints, visible), one_by_one(held, keypoints, visible), strict=True):
        assert [result.frame for result in mine] == [result.frame for result in other]
        assert not any(result.provisional for result in mine)
        np.testing.assert_array_equal([result.joints for result in mine], [result.joints for result in other])


@pytest.mark.parametrize("frame", ["camera", "object"])
def test_frames_that_show_too_little_are_answered_at_once(frame: str) -> None:
    keypoints, visible = recording(30, hidden=0.0)
    visible[:3] = False
    visible[2, 1] = True
    stream = stream_of(frame=frame)
    results = one_by_one(stream, keypoints, visible)
    assert [len(due) for due in results] == [1] * 30
    nothing = [bool(np.isnan(result.joints).all()) for (result,) in results]
    assert nothing[:4] == [True, True, frame == "camera", False]
    assert [result.provisional for (result,) in results] == [True] * 18 + [False] * 12
    # Later on, too.
    visible[8:10] = False
    stream.reset()
    assert [len(due) for due in one_by_one(stream, keypoints, visible)] == [1] * 30


@pytest.mark.parametrize("options", [{"fit": "running"}, {"fit": "hold", "fit_frames": 3}, {"fit": "hold"}])
def test_frame_whose_result_comes_after_the_scale_gets_that_scale(options: dict[str, Any]) -> None:
    keypoints, visible = recording(6, hidden=0.0)
    visible[0, 1:] = False
    stream = stream_of(AHEAD, frame="camera", **options)
    results = stream.push(keypoints, visible) + stream.flush()
    assert [result.frame for result in results] == list(range(6))
    assert np.isfinite([result.joints for result in results]).all()


def test_frame_that_would_make_the_scale_jump_does_not_settle_it() -> None:
    keypoints, visible = recording(80, hidden=0.0)
    keypoints[15, 0] += 1500
    stream = stream_of()
    scales, provisional = [], []
    for t in range(80):
        (result,) = stream.push(keypoints[t], visible[t])
        scales.append(stream.normalization().scale)
        provisional.append(result.provisional)
    settled = provisional.index(False)
    assert 16 < settled < 70 and not any(provisional[settled:])
    assert scales[15] > 1.5 * scales[14]
    assert abs(scales[settled] / scales[settled - 1] - 1) <= SETTLED and len(set(scales[settled:])) == 1


def test_track_that_ends_early_and_the_next_in_its_slot() -> None:
    keypoints, visible = recording(20)
    for window in (CAUSAL, AHEAD):
        stream, fresh = stream_of(window), stream_of(window)
        first = stream.push(keypoints[:7], visible[:7]) + stream.flush()
        assert [result.frame for result in first] == list(range(7))
        assert all(result.provisional for result in first)
        again = stream.push(keypoints, visible) + stream.flush()
        wanted = fresh.push(keypoints, visible) + fresh.flush()
        np.testing.assert_array_equal([r.joints for r in again], [r.joints for r in wanted])


def test_given_normalization_and_held_frames_are_never_provisional() -> None:
    keypoints, visible = recording(20)
    known = stream_of(normalization=Normalization(40.0))
    assert not any(result.provisional for result in known.push(keypoints, visible))
    held = stream_of(fit="hold")
    for t in range(15):
        assert held.push(keypoints[t], visible[t]) == [] and held.held_frames == t + 1
    results = held.push(keypoints[15], visible[15])
    assert len(results) == 16 and not any(result.provisional for result in results) and held.held_frames == 0


def test_how_the_fit_is_asked_for() -> None:
    keypoints, visible = recording(20)
    lifter = lifter_of(CAUSAL)
    for options, answered in (({}, 0), ({"fit_frames": 4}, 0), ({"fit": "running", "fit_frames": 4}, 1)):
        stream = StreamingLifter(lifter, SKELETON, **options)  # type: ignore[arg-type]
        assert len(stream.push(keypoints[0], visible[0])) == answered
    assert [result.provisional for result in stream.push(keypoints[1:], visible[1:])][:4] == [True, True, False, False]
    with pytest.raises(InputError, match="fit must be 'hold' or 'running', got 'later'"):
        StreamingLifter(lifter, SKELETON, fit="later")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"fit": "hold"}, {"fit_frames": 16}, {}])
def test_server_answers_at_once_unless_the_stream_was_told_to_hold(options: dict[str, Any]) -> None:
    stream = StreamingLifter(lifter_of(CAUSAL), SKELETON, **options)
    keypoints, visible = recording(3, hidden=0.0)
    answered: list[tuple[int, bool, int]] = []

    def watch(event: object) -> None:
        if isinstance(event, Lifted):
            answered.append((event.frame, event.provisional, stream.held_frames))

    tracks = KeypointTracks(keypoints[None], visible[None].astype(np.float32), SKELETON, ("dog",), fps=25.0)
    serve_stream(stream, {"replay": tracks}, fps=0, sink=None, watch=[watch], say=lambda line: None)
    assert answered == [(t, not options, 0) for t in range(3)]
    assert stream.fit == ("hold" if options else "running")


def test_line_tells_that_the_scale_is_provisional() -> None:
    lines = ResultLines(2)
    told, untold = (json.loads(lines.line("a", 0, None, np.ones((2, 3)), None, flag)) for flag in (True, False))
    assert told["provisional"] is True and "provisional" not in untold
    assert {name: value for name, value in told.items() if name != "provisional"} == untold


def frames_of(count: int) -> list[FrameMessage]:
    keypoints, _ = recording(count, hidden=0.0)
    return [
        FrameMessage("dog", points, np.ones(JOINTS, np.float32), came=10.0 + t) for t, points in enumerate(keypoints)
    ]


@pytest.mark.parametrize(
    ("window", "options", "due"),
    [
        (CAUSAL, {"fit": "running"}, [10, 11, 12, 13, 14, 15]),
        (CAUSAL, {"fit_frames": 3}, [10, 11, 12, 13, 14, 15]),
        (AHEAD, {"fit": "running"}, [14, 15, None, None, None, None]),
    ],
)
def test_result_tells_when_the_frame_came_that_it_was_due_with(
    window: tuple[int, int], options: dict[str, Any], due: list[float | None]
) -> None:
    session = Session(StreamingLifter(lifter_of(window), SKELETON, **options))
    events = session.feed([("a", frame) for frame in frames_of(6)], 0.0) + session.close()
    assert [event.due for event in events if isinstance(event, Lifted)] == due


def test_latency_counts_the_time_that_a_frame_was_held_back() -> None:
    async def served(**options: Any) -> tuple[dict[str, Any], dict[str, Any], float]:
        router = Router(Session(StreamingLifter(lifter_of(CAUSAL), SKELETON, **options)))
        channel = router.connect("test")
        lifting = asyncio.create_task(router.run())
        reading = asyncio.create_task(_all_of(channel))
        for frame in frames_of(4):
            line = {"track": "dog", "keypoints": frame.keypoints.tolist()}
            channel.receive(json.dumps(line).encode() + b"\n")
            await asyncio.sleep(0.05)
            if frame.came == 12:
                midway = router.stats()
        channel.finish()
        await asyncio.wait_for(reading, 30)
        lifting.cancel()
        return midway, router.stats(), router.latencies.longest

    midway, stats, longest = asyncio.run(served(fit_frames=4))
    assert midway["held"] == 3 and midway["latency_ms"] is None and midway["results"] == 0
    assert stats["held"] == 0 and stats["results"] == 4 and longest > 0.14
    midway, stats, _ = asyncio.run(served(fit="running"))
    assert midway["held"] == 0 and midway["results"] == 3 and midway["latency_ms"] is not None
    assert stats["results"] == 4


async def _all_of(channel: Any) -> None:
    while await channel.outgoing() is not None:
        pass


def poses(count: int) -> Array:
    return np.concatenate([recording(count)[0], np.ones((count, JOINTS, 1))], axis=-1)


def test_processor_has_joints_after_the_first_pose() -> None:
    processor = LiftingProcessor(SKELETON, lifter_of(CAUSAL))
    assert processor.joints is None
    for number, pose in enumerate(poses(18)):
        processor.process(pose)
        assert processor.latest[0].frame == number and processor.latest[0].provisional == (number < 15)
        assert processor.joints is processor.latest[0].joints and np.isfinite(processor.joints).all()
    results = lift_poses(poses(3), SKELETON, model=lifter_of(CAUSAL))
    assert next(results).frame == 0 and next(results).provisional
    held = LiftingProcessor(SKELETON, lifter_of(CAUSAL), fit_frames=5)
    for number, pose in enumerate(poses(5)):
        held.process(pose)
        assert (held.joints is None) == (number < 4)


@pytest.mark.parametrize("name", ["human_cmu", "mouse_salk34", "fly_anipose_17"])
def test_joints_of_real_recordings_do_not_jump_when_the_scale_settles(real_data: Path, name: str) -> None:
    """The last change of the scale moves the joints of its frame little against the scale of the frame before."""
    motion = load_motion(real_data / "motion3d" / f"{name}.npz")
    segments = segments_of(motion)
    clips = np.stack([part.positions[start : start + 60] for part in segments for start in range(0, 800, 100)
                      if len(part.positions) >= start + 60][:12])  # fmt: skip
    batch = observe(clips, segments[0], np.random.default_rng(0), CameraRange(), Corruption(clean=0), name)
    lifter = Lifter.from_pretrained("small-causal")
    running, stopped = (StreamingLifter(lifter, motion.skeleton, tracks=len(clips), fit="running") for _ in range(2))
    settled = np.zeros(len(clips), dtype=np.int64)
    moves = []
    for t in range(60):
        part = batch.keypoints[:, t : t + 1], batch.visible[:, t : t + 1]
        results = running.push(*part)
        last = (settled == 0) & ~np.array([result.provisional for result in results])
        settled[last] = t
        stopped._scales.fitting[last] = False
        for track, (result, other) in enumerate(zip(results, stopped.push(*part), strict=True)):
            if last[track]:
                moves.append(np.sqrt(np.square(result.joints - other.joints).sum(axis=-1).mean()))
                moves[-1] /= running.normalization(track).scale
    assert settled.min() == 15 and len(moves) == len(clips)
    assert 1e-4 < max(moves) < 0.02


def test_frames_held_back_of_several_tracks_are_lifted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [recording(20, seed) for seed in range(6)]
    options = {"fit": "hold", "fit_frames": 16, "frame": "camera", "align": 10}
    alone = [results for clip in clips for results in one_by_one(stream_of(**options), *clip)]
    stream, steps = stream_of(tracks=6, **options), []
    step = stream._steps.step
    monkeypatch.setattr(stream._steps, "step", lambda *given: steps.append(len(given[0])) or step(*given))
    keypoints, visible = (np.stack(parts) for parts in zip(*clips, strict=True))
    together = stream.push(keypoints, visible)
    assert steps == [6] * 20
    for track in range(6):
        mine = [result for result in together if result.track == track]
        wanted = [result for results in alone[20 * track : 20 * (track + 1)] for result in results]
        assert [result.frame for result in mine] == list(range(20))
        for one, other in zip(mine, wanted, strict=True):
            np.testing.assert_array_equal(one.joints, other.joints)
    # Of tracks that end before their scale is known, too.
    stream.reset()
    steps.clear()
    stream.push(keypoints[:, :9], visible[:, :9])
    assert not steps and len(stream.flush()) == 6 * 9
    assert steps == [6] * 9
