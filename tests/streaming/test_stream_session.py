"""Named tracks in a session: whoever comes and goes, each gets what its own recording would give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from offline import lifted_offline

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.model import Normalization
from olift_fast.streaming.channel import Channel
from olift_fast.streaming.counters import LatencyHistogram, RateLimit
from olift_fast.streaming.messages import MAX_LINE, End, FrameMessage
from olift_fast.streaming.outbox import LINES as OUTBOX
from olift_fast.streaming.recording import Recording
from olift_fast.streaming.router import Router
from olift_fast.streaming.session import Ended, Event, Lifted, Notice, Session

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
JOINTS = SKELETON.num_joints
SCALE = Normalization(40.0)


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(3)
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5)).eval()


def session_of(lifter: Lifter, tracks: int = 2, idle: float = 10.0, fit: bool = False) -> Session:
    normalization = None if fit else SCALE
    stream = StreamingLifter(lifter, SKELETON, tracks=tracks, frame="object", normalization=normalization)
    return Session(stream, idle=idle)


def frames(count: int, track: str = "dog", seed: int = 0, rate: float | None = 30.0) -> list[FrameMessage]:
    random = np.random.default_rng(seed)
    points = (300 + 40 * random.standard_normal((count, JOINTS, 2))).astype(np.float32)
    confidence = random.random((count, JOINTS)).astype(np.float32)
    return [FrameMessage(track, points[i], confidence[i], None if rate is None else i / rate) for i in range(count)]


def offline(lifter: Lifter, sent: Iterable[FrameMessage], normalization: Normalization = SCALE) -> np.ndarray:
    kept = list(sent)
    visible = np.stack([frame.confidence for frame in kept]) >= 0.3
    return lifted_offline(lifter, np.stack([frame.keypoints for frame in kept]), visible, SKELETON, normalization)


def joints_of(events: Iterable[Event], track: str = "dog", source: object = "a") -> np.ndarray:
    return np.stack([e.joints for e in events if isinstance(e, Lifted) and (e.track, e.source) == (track, source)])


def notices(events: Iterable[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


def test_a_source_that_goes_while_its_outbox_is_full_is_forgotten(lifter: Lifter) -> None:
    async def go() -> int:
        router = Router(session_of(lifter))
        running = asyncio.create_task(router.run())
        channel = router.connect("gone")
        for frame in frames(OUTBOX + 20):
            channel.put(frame)
        channel.finish()
        while not channel.outbox.full:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert channel.inbox, "frames wait for the reader"
        channel.vanish()
        for _ in range(100):
            await asyncio.sleep(0)
        running.cancel()
        return len(router)

    assert asyncio.run(go()) == 0


def test_each_track_is_lifted_as_alone_and_keeps_its_times(lifter: Lifter) -> None:
    session = session_of(lifter)
    dog, cat = frames(20, "dog"), frames(13, "cat", seed=1)
    items = [("a", frame) for pair in zip(dog, cat, strict=False) for frame in pair]
    items += [("a", frame) for frame in dog[13:]]
    events = session.feed(items, 0.0) + session.close()
    np.testing.assert_allclose(joints_of(events, "dog"), offline(lifter, dog), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(joints_of(events, "cat"), offline(lifter, cat), rtol=1e-4, atol=1e-5)
    own = [event for event in events if isinstance(event, Lifted) and event.track == "dog"]
    assert [(event.frame, event.t) for event in own] == [(i, frame.t) for i, frame in enumerate(dog)]
    assert all(event.keypoints is frame.keypoints for event, frame in zip(own, dog, strict=True))


def test_one_name_of_two_sources_is_two_tracks(lifter: Lifter) -> None:
    session = session_of(lifter)
    first, second = frames(9), frames(9, seed=5)
    items = [item for pair in zip(first, second, strict=True) for item in (("a", pair[0]), ("b", pair[1]))]
    events = session.feed(items, 0.0) + session.close("a", "gone")
    assert session.tracks == ["dog"]
    events += session.close()
    np.testing.assert_allclose(joints_of(events, source="a"), offline(lifter, first), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(joints_of(events, source="b"), offline(lifter, second), rtol=1e-4, atol=1e-5)
    assert [(e.source, e.why, e.frames) for e in events if isinstance(e, Ended)] == [
        ("a", "gone", 9),
        ("b", "closed", 9),
    ]


def test_full_house_is_an_error_until_a_track_ends(lifter: Lifter) -> None:
    session = session_of(lifter, tracks=1)
    session.feed([("a", frames(1, "dog")[0])], 0.0)
    assert notices(session.feed([("a", frames(1, "cat")[0])], 1.0)) == [
        "no room for track 'cat': the one slot for tracks is taken"
    ]
    session.feed([("a", End("dog"))], 1.0)
    assert not notices(session.feed([("a", frames(1, "cat")[0])], 1.0))
    # A track that is idle makes room, too.
    assert not notices(session.feed([("a", frames(1, "cow")[0])], 12.0))
    assert session.tracks == ["cow"]


def test_idle_tracks_end_but_for_those_of_sources_to_spare(lifter: Lifter) -> None:
    session = session_of(lifter, idle=2.0)
    session.feed([("a", frames(1)[0]), ("b", frames(1)[0])], 0.0)
    assert session.expire(1.9) == []
    ended = [event for event in session.expire(2.1, spare=["b"]) if isinstance(event, Ended)]
    assert [(event.source, event.why) for event in ended] == [("a", "idle")]
    assert session.expire(4.0) == []
    assert [event.source for event in session.expire(4.2) if isinstance(event, Ended)] == ["b"]


def test_frame_can_end_its_track(lifter: Lifter) -> None:
    session = session_of(lifter)
    sent = frames(6)
    last = FrameMessage("dog", sent[-1].keypoints, sent[-1].confidence, end=True)
    events = session.feed([("a", frame) for frame in (*sent[:-1], last)], 0.0)
    np.testing.assert_allclose(joints_of(events), offline(lifter, sent), rtol=1e-4, atol=1e-5)
    assert session.tracks == []
    assert notices(session.feed([("a", End("dog"))], 0.0)) == ["there is no track 'dog' to end"]


def short_tracks(count: int) -> tuple[list[list[FrameMessage]], list[FrameMessage | End]]:
    """Tracks of one to three frames, one after the other, and the messages that send them; each ends in its own way."""
    random = np.random.default_rng(4)
    tracks, messages = [], []
    for number in range(count):
        name = f"dog {random.integers(3)}"
        own: list[FrameMessage | End] = [*frames(int(random.integers(1, 4)), name, seed=number)]
        tracks.append([frame for frame in own if isinstance(frame, FrameMessage)])
        if number % 2:
            own[-1] = FrameMessage(name, tracks[-1][-1].keypoints, tracks[-1][-1].confidence, end=True)
        else:
            own.append(End(name))
        messages += own
    return tracks, messages


def assert_nothing_lost(lifter: Lifter, events: Iterable[Event], tracks: list[list[FrameMessage]]) -> None:
    lifted: list[list[np.ndarray]] = [[]]
    for event in events:
        assert not isinstance(event, Notice), event
        if isinstance(event, Lifted):
            assert event.frame == len(lifted[-1])
            lifted[-1].append(event.joints)
        else:
            assert (event.frames, event.why) == (len(lifted[-1]), "asked")
            lifted.append([])
    assert [len(joints) for joints in lifted] == [*map(len, tracks), 0]
    for joints, sent in zip(lifted, tracks, strict=False):
        np.testing.assert_allclose(np.stack(joints), offline(lifter, sent), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
def test_track_that_ends_makes_room_for_the_next_however_they_come(lifter: Lifter, most: int) -> None:
    tracks, messages = short_tracks(40)
    session, random = session_of(lifter, tracks=1), np.random.default_rng(most)
    events: list[Event] = []
    while messages:
        size = int(random.integers(1, most + 1))
        events += session.feed([("a", message) for message in messages[:size]], 0.0)
        messages = messages[size:]
    assert_nothing_lost(lifter, events, tracks)


@pytest.mark.parametrize("piece", [1, 1000, 1 << 20])
def test_client_with_one_track_at_a_time_loses_none_in_a_stream_of_one_track(lifter: Lifter, piece: int) -> None:
    tracks, messages = short_tracks(30)
    data = b"".join(
        line_of(message, **({"end": True} if message.end else {}))
        if isinstance(message, FrameMessage)
        else json.dumps({"end": True, "track": message.track}).encode() + b"\n"
        for message in messages
    )

    async def run() -> list[dict]:
        router = Router(session_of(lifter, tracks=1))
        channel = router.connect("test")
        lifting = asyncio.create_task(router.run())
        reading = asyncio.create_task(answers_of(channel))
        for start in range(0, len(data), piece):
            await channel.ready()
            channel.receive(data[start : start + piece])
            if start % (10 * piece) == 0:
                await asyncio.sleep(0)
        channel.finish()
        answers = await asyncio.wait_for(reading, 30)
        lifting.cancel()
        return answers

    answers = asyncio.run(run())
    assert not [answer for answer in answers if "error" in answer]
    assert [answer["frames"] for answer in answers if "end" in answer] == [*map(len, tracks)]
    assert sum("joints" in answer for answer in answers) == sum(map(len, tracks))


def test_slot_freed_by_one_client_is_there_for_another_in_the_same_batch(lifter: Lifter) -> None:
    session = session_of(lifter, tracks=1)
    dog, cat = frames(2), frames(1, "cat")
    events = session.feed([("a", dog[0]), ("a", End("dog")), ("b", cat[0])], 0.0)
    assert not notices(events) and session.tracks == ["cat"]
    assert notices(session.feed([("a", End("dog"))], 0.0)) == ["there is no track 'dog' to end"]


def test_tracks_that_end_together_get_the_results_that_they_get_alone(lifter: Lifter) -> None:
    together, alone = session_of(lifter), session_of(lifter)
    pairs = [("a", frame) for pair in zip(frames(7), frames(7, "cat", seed=1), strict=True) for frame in pair]
    ends = [("a", End("dog")), ("a", End("cat"))]
    got = together.feed([*pairs, *ends], 0.0)
    wanted = alone.feed(pairs, 0.0) + alone.feed(ends[:1], 0.0) + alone.feed(ends[1:], 0.0)
    for track in "dog", "cat":
        np.testing.assert_array_equal(joints_of(got, track), joints_of(wanted, track))
    assert [type(event) for event in got[-5:]] == [type(event) for event in wanted[-5:]]


def test_clock_that_jumps_is_told_and_changes_nothing(lifter: Lifter) -> None:
    session = session_of(lifter)
    sent = frames(6, rate=None)
    times = [0.0, 0.1, -5.0, 1e6, None, 1e6 + 1]
    sent = [FrameMessage("dog", f.keypoints, f.confidence, t) for f, t in zip(sent, times, strict=True)]
    events = session.feed([("a", frame) for frame in sent], 0.0) + session.close()
    assert notices(events) == [
        "track 'dog': t went back from 0.1 to -5; frames are lifted as they come",
        "track 'dog': t went ahead from -5 to 1e+06; frames are lifted as they come",
    ]
    np.testing.assert_allclose(joints_of(events), offline(lifter, sent), rtol=1e-4, atol=1e-5)


def test_dropped_frames_are_counted_in_the_frame_number(lifter: Lifter) -> None:
    session = session_of(lifter)
    sent = frames(5)
    session.skip("a", sent[0], 0.0)
    events = session.feed([("a", sent[1])], 0.0)
    events += session.skip("a", sent[2], 0.0)
    events += session.feed([("a", sent[3])], 0.0) + session.close()
    assert [event.frame for event in events if isinstance(event, Lifted)] == [1, 3]


@pytest.mark.parametrize("count", [3, 40])
def test_recording_has_the_fitted_scale_and_lifts_to_the_same_again(lifter: Lifter, count: int) -> None:
    session, recording = session_of(lifter, fit=True), Recording(SKELETON, frame="object", model="tiny")
    sent = frames(count)
    for event in session.feed([("a", frame) for frame in sent], 0.0) + session.close():
        recording.add(event)
    (result,) = recording.parts()
    visible = np.stack([frame.confidence for frame in sent[:16]]) >= 0.3
    wanted = Normalization.fit(np.stack([frame.keypoints for frame in sent[:16]]), visible)
    assert result.scale[0] == np.float32(wanted.scale)
    np.testing.assert_allclose(result.joints[0], offline(lifter, sent, wanted), rtol=1e-4, atol=1e-5)
    assert (result.fps, result.frame, result.tracks) == (30.0, "object", ("dog",))


def test_recording_keeps_tracks_in_step_and_apart(lifter: Lifter) -> None:
    session, recording = session_of(lifter), Recording(SKELETON, frame="object")
    dog, cat, again = frames(5, rate=None), frames(3, "cat", seed=1, rate=None), frames(2, seed=2, rate=None)
    items = [("a", frame) for frame in (dog[0], dog[1], cat[0], dog[2], cat[1], cat[2], dog[3], dog[4])]
    for event in session.feed([*items, ("a", End("dog")), *(("b", f) for f in again)], 0.0) + session.close():
        recording.add(event)
    (result,) = recording.parts()
    assert result.tracks == ("dog", "cat", "dog (2)")
    there = np.isfinite(result.joints[..., 0, 0])
    np.testing.assert_array_equal(there[0], [1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(there[1], [0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(there[2], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(result.keypoints[0, :5], [frame.keypoints for frame in dog])
    assert result.fps is None and len(recording) == 10


def test_large_recording_comes_in_parts_that_hold_only_their_tracks(lifter: Lifter) -> None:
    session, recording = session_of(lifter), Recording(SKELETON)
    for life in range(10):
        name = f"dog {life}"
        for event in session.feed([("a", f) for f in (*frames(8, name, seed=life), End(name))], 0.0):
            recording.add(event)
    parts = recording.parts(cells=2 * 20 * JOINTS)
    assert sum(part.num_frames for part in parts) == 80 and max(part.num_tracks for part in parts) <= 3
    assert all(part.num_tracks * part.num_frames <= 40 for part in parts)
    assert np.isfinite(np.concatenate([part.joints.reshape(-1) for part in parts])).sum() == 80 * JOINTS * 3
    (whole,) = recording.parts()
    assert whole.num_tracks == 10


def test_latencies_in_bins_are_right_to_a_bin() -> None:
    seconds = np.random.default_rng(0).lognormal(-6, 1, 5000)
    latencies = LatencyHistogram()
    for value in seconds:
        latencies.add(value)
    for percent in (50, 95, 99, 100):
        assert latencies.percentile(percent) == pytest.approx(np.percentile(seconds, percent), rel=0.02)
    assert latencies.longest == seconds.max() and latencies.count == 5000
    assert LatencyHistogram().milliseconds() is None


def test_limit_is_a_burst_and_then_a_rate() -> None:
    limit = RateLimit(burst=3, seconds=1.0)
    assert [limit.take(5.0) for _ in range(6)] == [0, 0, 0, None, None, None]
    assert limit.take(6.0) == 3
    assert limit.take(6.5) is None and limit.take(7.0) == 1


def line_of(frame: FrameMessage, **more: object) -> bytes:
    points = np.column_stack([frame.keypoints, frame.confidence]).tolist()
    return json.dumps({"keypoints": points, "track": frame.track, "t": frame.t, **more}).encode() + b"\n"


async def answers_of(channel: Channel) -> list[dict]:
    answers = []
    while (lines := await channel.outgoing()) is not None:
        answers += [json.loads(line) for line in lines]
    return answers


def served(lifter: Lifter, data: bytes, **options: object) -> tuple[list[dict], Router, list[str]]:
    """What a source that sends these bytes at once gets back."""

    async def run() -> tuple[list[dict], Router, list[str]]:
        told: list[str] = []
        router = Router(session_of(lifter), notice=told.append, **options)  # type: ignore[arg-type]
        channel = router.connect("test")
        lifting = asyncio.create_task(router.run())
        channel.receive(data)
        channel.finish()
        answers = await asyncio.wait_for(answers_of(channel), 30)
        lifting.cancel()
        return answers, router, told

    return asyncio.run(run())


def test_server_answers_every_frame_between_bad_lines(lifter: Lifter) -> None:
    sent = frames(30)
    lines = [line_of(frame) for frame in sent]
    lines.insert(7, b"garbage\n")
    lines.insert(20, b"x" * (MAX_LINE + 1) + b"\n")
    lines.insert(22, b"\n")
    answers, router, told = served(lifter, b"".join(lines))
    joints = np.float32([answer["joints"] for answer in answers if "joints" in answer])
    np.testing.assert_allclose(joints, offline(lifter, sent), rtol=1e-4, atol=1e-5)
    errors = [answer["error"] for answer in answers if "error" in answer]
    assert errors[0].startswith("line 8: not JSON") and errors[1] == "line 21: longer than 262,144 bytes"
    assert answers[-1] == {"end": "dog", "frames": 30, "why": "gone"}
    assert told == [f"test: {error}" for error in errors]
    stats = router.stats()
    assert (stats["frames"], stats["results"], stats["bad_lines"], stats["dropped"]) == (30, 30, 2, 0)
    assert stats["latency_ms"]["p50"] <= stats["latency_ms"]["p99"] <= stats["latency_ms"]["max"]


def test_bad_lines_are_not_told_more_often_than_can_be_read(lifter: Lifter) -> None:
    answers, router, told = served(lifter, b"garbage\n" * 5000)
    assert len(answers) == len(told) < 20 and router.stats()["bad_lines"] == 5000


def test_on_lag_drop_keeps_the_newest_frame_of_each_track(lifter: Lifter) -> None:
    dog, cat = frames(50), frames(30, "cat", seed=1)
    data = b"".join(map(line_of, (*cat, *dog)))
    answers, router, _ = served(lifter, data, on_lag="drop", queue=8)
    lifted = [answer for answer in answers if "joints" in answer]
    assert [(answer["track"], answer["frame"], answer["t"]) for answer in lifted] == [
        ("cat", 29, cat[-1].t),
        ("dog", 49, dog[-1].t),
    ]
    for answer, sent in zip(lifted, (cat, dog), strict=True):
        np.testing.assert_allclose(np.float32([answer["joints"]]), offline(lifter, sent[-1:]), rtol=1e-4, atol=1e-5)
    assert router.stats()["dropped"] == 49 + 29
    assert any("dropped" in answer.get("warning", "") for answer in answers)
    assert [answer for answer in answers if "end" in answer] == [
        {"end": "cat", "frames": 30, "why": "gone"},
        {"end": "dog", "frames": 50, "why": "gone"},
    ]


@pytest.mark.slow
def test_on_lag_queue_makes_the_source_wait_for_a_slow_reader_and_no_other(lifter: Lifter) -> None:
    async def run() -> None:
        router = Router(session_of(lifter), queue=8)
        slow, quick = router.connect("slow"), router.connect("quick")
        lifting = asyncio.create_task(router.run())
        sent = [line_of(frame) for frame in frames(2 * OUTBOX)]
        count = 0
        for line in sent:
            try:
                await asyncio.wait_for(slow.ready(), 0.2)
            except TimeoutError:
                break
            slow.receive(line)
            count += 1
            await asyncio.sleep(0)
        assert OUTBOX <= count <= OUTBOX + 8 + 8 and slow.outbox.full and slow.unread

        quick.receive(b"".join(sent[:20]))
        quick.finish()
        answers = await asyncio.wait_for(answers_of(quick), 30)
        assert [answer["frame"] for answer in answers if "joints" in answer] == list(range(20))

        # Now it reads, and loses nothing.
        reading = asyncio.create_task(answers_of(slow))
        for line in sent[count:]:
            await slow.ready()
            slow.receive(line)
        slow.finish()
        answers = await asyncio.wait_for(reading, 30)
        assert [answer["frame"] for answer in answers if "joints" in answer] == list(range(len(sent)))
        lifting.cancel()

    asyncio.run(run())


def test_stats_on_demand(lifter: Lifter) -> None:
    answers, _, _ = served(lifter, line_of(frames(1)[0]) + b'{"stats": true}\n')
    (stats,) = [answer["stats"] for answer in answers if "stats" in answer]
    assert stats["latency_frames"] == 4 and stats["clients"] == 1
