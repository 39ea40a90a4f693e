"""What is said of a result in the world frame."""

from __future__ import annotations

import re

import numpy as np
from made_up_lifts import lifted, seen_from, standing

from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world import parse_length, to_world
from olift_fast.world.report import describe


def test_nothing_is_said_of_a_floor_that_was_not_found() -> None:
    joints = seen_from(standing(), np.eye(3))[None]
    assert any(line.startswith("floor: joints stand on it") for line in describe(to_world(lifted(joints), pitch=0)))
    lost = to_world(lifted(np.full_like(joints, np.nan)), pitch=0)
    assert not np.isfinite(lost.world.floor).any()
    assert not any(line.startswith("floor: ") for line in describe(lost))


def test_assumed_gravity_is_told_with_its_error_at_the_end() -> None:
    names = Skeleton(tuple("abcdefghi"))
    (first, *_) = describe(to_world(lifted(seen_from(standing(), np.eye(3))[None], names)))
    assert first.startswith("up is only assumed, since nothing tells (--pitch or --up does), to about ")


def test_the_sizes_of_many_tracks_take_one_line() -> None:
    joints = np.repeat(seen_from(standing(), np.eye(3))[None], 27, axis=0)
    joints *= np.linspace(1, 2, 27)[:, None, None, None]
    joints[3] = np.nan
    result = lifted(joints, tracks=tuple(f"rat_{track}" for track in range(27)))
    bone = parse_length(f"{'-'.join(result.skeleton.names[:2])}=1cm", "bone", result.skeleton)
    lines = [line for line in describe(to_world(result, pitch=0, lengths=[bone])) if line.startswith("size")]
    assert len(lines) == 1
    assert re.fullmatch(
        r"sizes of 27 tracks: a pixel is [\d.]+ to [\d.]+ mm at them "
        r"\(frames spread by \d+% in the median; 1 of them as at the others\)",
        lines[0],
    )
