"""Events of a stream to record: several tracks that come, pause and go, lifted by a small model."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.streaming import Recording, record_journal
from olift_fast.streaming.messages import End, FrameMessage
from olift_fast.streaming.session import Event, Lifted, Session
from olift_fast.tracks.containers import LiftedTracks

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)), name="mouse")
JOINTS = SKELETON.num_joints
GIVEN: dict[str, Any] = {"frame": "object", "model": "tiny"}
"""What a `Recording` of these events is given."""


def tiny_lifter(uncertainty: bool = False) -> Lifter:
    torch.manual_seed(3)
    config = LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5)
    return Lifter(LifterConfig(**{**config.__dict__, "uncertainty": uncertainty}), name="tiny").eval()


@functools.cache
def events(uncertainty: bool = False) -> tuple[Event, ...]:
    """Of five tracks, three at a time, of which the last two have not ended."""
    stream = StreamingLifter(tiny_lifter(uncertainty), SKELETON, tracks=3, frame="object")
    session, random = Session(stream), np.random.default_rng(0)
    found: list[Event] = []

    def feed(track: str, number: int) -> None:
        points = (300 + 40 * random.standard_normal((JOINTS, 2))).astype(np.float32)
        points[random.random(JOINTS) < 0.1] = np.nan
        confidence = random.random(JOINTS).astype(np.float32)
        found.extend(session.feed([("me", FrameMessage(track, points, confidence, number / 25))], 0.0))

    for number in range(60):
        for track in ("dog", "cat"):
            if track == "dog" or number % 3:
                feed(track, number)
    found.extend(session.feed([("me", End("dog")), ("me", End("cat"))], 0.0))
    for number in range(60, 100):
        feed("dog", number)
    found.extend(session.feed([("me", End("dog"))], 0.0))
    for number in range(100, 140):
        for track in ("dog", "cow"):
            feed(track, number)
    return tuple(found)


def recorded(given: Iterable[Event], **options: Any) -> Recording:
    """A recording of these events."""
    recording = Recording(SKELETON, **{**GIVEN, **options})
    for event in given:
        recording.add(event)
    return recording


def first_results(given: Iterable[Event], count: int) -> list[Event]:
    """The events up to the last that comes before result number `count`."""
    found: list[Event] = []
    for event in given:
        count -= isinstance(event, Lifted)
        if count < 0:
            break
        found.append(event)
    return found


def assert_same(got: Iterable[LiftedTracks], wanted: Iterable[LiftedTracks]) -> None:
    """All fields are the same, bit for bit."""
    for ours, theirs in zip(got, wanted, strict=True):
        for name in LiftedTracks.__dataclass_fields__:
            one, other = getattr(ours, name), getattr(theirs, name)
            if isinstance(other, np.ndarray):
                assert one.dtype == other.dtype, name
                np.testing.assert_array_equal(one, other, err_msg=name)
            else:
                assert one == other, name


def held_results(path: Path) -> int:
    with FileIO(path) as file:
        return sum(block.rows for block in record_journal.read_journal(file, path).blocks)


def wait_until(reached: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.005)
