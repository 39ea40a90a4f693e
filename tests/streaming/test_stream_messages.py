"""Lines of a live stream: what is read is what was written, and nothing else gets through or gets out."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olift_fast.errors import InputError
from olift_fast.streaming import messages
from olift_fast.streaming.messages import (
    DEFAULT_TRACK,
    End,
    FrameMessage,
    LineSplitter,
    ResultLines,
    StatsRequest,
    parse_line,
)

JOINTS = 3
NAN = math.nan


def parsed(content: object) -> Any:
    return parse_line(json.dumps(content).encode(), JOINTS)


def frame(keypoints: object, **more: object) -> FrameMessage:
    message = parsed({"keypoints": keypoints, **more})
    assert isinstance(message, FrameMessage)
    return message


def test_frame() -> None:
    read = frame([[1, 2.5, 0.25], [3, 4, 1], [5, 6, 0]], t=1.5, track="dog")
    assert (read.track, read.t, read.end) == ("dog", 1.5, False)
    assert read.keypoints.dtype == read.confidence.dtype == np.float32
    np.testing.assert_array_equal(read.keypoints, [[1, 2.5], [3, 4], [5, 6]])
    np.testing.assert_array_equal(read.confidence, np.float32([0.25, 1, 0]))


def test_only_keypoints_are_needed() -> None:
    read = frame([[1, 2], [3, 4], [5, 6]])
    assert (read.track, read.t, read.end) == (DEFAULT_TRACK, None, False)
    np.testing.assert_array_equal(read.confidence, [1, 1, 1])


@pytest.mark.parametrize(
    "points",
    [
        [[1, 2, 0.5], None, [5, 6]],
        [[1, 2, 0.5], [None, None], [5, 6, 1]],
        [[1, 2, 0.5], [3, 4, None], [5, 6, 1]],
        [[1, 2, 0.5], [NAN, 4, 0.9], [5, 6, 1]],
        [[1, 2, 0.5], [3, 4, NAN], [5, 6, 1]],
    ],
)
def test_null_or_nan_anywhere_in_a_point_means_that_it_is_missing(points: object) -> None:
    read = frame(points)
    np.testing.assert_array_equal(read.keypoints, [[1, 2], [NAN, NAN], [5, 6]])
    np.testing.assert_array_equal(read.confidence, [0.5, 0, 1])


def test_null_keypoints_are_a_frame_in_which_nothing_was_seen() -> None:
    read = frame(None, end=True)
    assert np.isnan(read.keypoints).all() and not read.confidence.any() and read.end


def test_other_messages() -> None:
    assert parsed({"end": True, "track": 7}) == End("7")
    assert parsed({"stats": True}) == StatsRequest()
    assert parse_line(b"  \r", JOINTS) is None


POINTS = [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"garbage", "not JSON"),
        (b'{"keypoints": [[1, 2]', "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"keypoints": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[1, 2]", "wanted an object, got a list of 2"),
        (b"null", "wanted an object, got null"),
        (b"{}", "got none"),
        ({"points": POINTS}, 'got "points"'),
        ({"keypoints": {}}, "must be a list, got an object"),
        ({"keypoints": [[1, 2]]}, "must be 3 points, as the skeleton has, got 1"),
        ({"keypoints": [[1, 2], [3], [5, 6]]}, "keypoint 1 must be [x, y]"),
        ({"keypoints": [[1, 2], 7, [5, 6]]}, "keypoint 1 must be [x, y]"),
        ({"keypoints": [[1, 2], ["3", 4], [5, 6]]}, 'keypoint 1 must hold numbers, got "3"'),
        ({"keypoints": [[1, 2], [True, 4], [5, 6]]}, "keypoint 1 must hold numbers, got true"),
        ({"keypoints": [[1, 2], [3, [4]], [5, 6]]}, "keypoint 1 must hold numbers, got a list"),
        ({"keypoints": [[1, 2], [3, math.inf], [5, 6]]}, "keypoint 1 must be within ±1e+07 pixels, got Infinity"),
        ({"keypoints": [[1, 2], [1e300, 4], [5, 6]]}, "keypoint 1 must be within"),
        ({"keypoints": [[1, 2], [10**400, 4], [5, 6]]}, "keypoint 1 must be within ±1e+07 pixels, got a huge number"),
        (
            {"keypoints": [[1, 2, 3.5], [3, 4, 1], [5, 6, 1]]},
            "confidence must be within 0 … 1, got 3.5; is this depth?",
        ),
        ({"keypoints": [[1, 2, -1], [3, 4, 1], [5, 6, 1]]}, "confidence must be within 0 … 1, got -1"),
        ({"keypoints": POINTS, "t": "now"}, 't must be seconds or null, got "now"'),
        ({"keypoints": POINTS, "t": NAN}, "t must be seconds or null, got NaN"),
        ({"keypoints": POINTS, "t": True}, "t must be seconds or null, got true"),
        ({"keypoints": POINTS, "track": ["dog"]}, "track must be a name, got a list"),
        ({"keypoints": POINTS, "track": ""}, "1 to 200 printable characters"),
        ({"keypoints": POINTS, "track": "x" * 201}, "1 to 200 printable characters"),
        ({"keypoints": POINTS, "track": "a\0"}, "1 to 200 printable characters"),
        ({"keypoints": POINTS, "track": "\ud800"}, "1 to 200 printable characters"),
        ({"keypoints": POINTS, "end": "yes"}, "end must be true or false"),
        ({"end": False}, "wanted the key"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_line_says_what_is_wrong_with_it(line: object, told: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_line(line if isinstance(line, bytes) else json.dumps(line).encode(), JOINTS)
    message = str(raised.value)
    assert told in message
    assert len(message) < 200 and "\n" not in message


coordinates = st.floats(-1e7, 1e7) | st.integers(-(10**7), 10**7)
wide = st.tuples(coordinates, coordinates, st.floats(-0.01, 2) | st.integers(0, 2))


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=3) | st.lists(wide, min_size=3, max_size=3))
def test_plain_points_are_read_as_all_others(points: list[tuple[float, ...]]) -> None:
    read = frame(points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "_plain", lambda given: None)
        slowly = frame(points)
    for name in "keypoints", "confidence":
        got, wanted = getattr(read, name), getattr(slowly, name)
        np.testing.assert_array_equal(got, wanted)
        assert got.dtype == wanted.dtype == np.float32 and got.flags.c_contiguous


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
nearly = st.fixed_dictionaries(
    {"keypoints": st.lists(st.lists(anything | st.floats(-9, 9), min_size=2, max_size=3) | anything, max_size=4)},
    optional={"track": anything, "t": anything, "end": anything, "stats": anything},
)


@pytest.mark.slow
@given(st.binary(max_size=60) | (nearly | anything).map(lambda content: json.dumps(content).encode()))
def test_any_line_is_a_sound_message_or_an_input_error(line: bytes) -> None:
    try:
        message = parse_line(line, JOINTS)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 250
        return
    if isinstance(message, FrameMessage):
        missing = np.isnan(message.keypoints)
        assert message.keypoints.shape == (JOINTS, 2) and (missing[:, 0] == missing[:, 1]).all()
        assert (np.abs(message.keypoints[~missing]) <= 1e7).all() and not message.confidence[missing[:, 0]].any()
        assert np.isfinite(message.confidence).all() and message.track.isprintable()
        assert message.t is None or math.isfinite(message.t)


@given(st.binary(max_size=200).map(lambda data: data.replace(b"a", b"\n")), st.data())
def test_splitting_does_not_depend_on_how_the_bytes_come(data: bytes, draw: st.DataObject) -> None:
    *whole, _ = data.split(b"\n")
    wanted = [line if len(line) <= 10 else None for line in whole]
    pieces = LineSplitter(limit=10)
    got: list[bytes | None] = []
    while data:
        size = draw.draw(st.integers(1, 30))
        pieces.feed(data[:size])
        got += itertools.islice(pieces.lines(), draw.draw(st.integers(0, 9)))
        data = data[size:]
    got += pieces.lines()
    assert got == wanted and pieces.waiting == 0


def test_line_that_is_too_long_is_skipped_and_the_next_is_read() -> None:
    splitter = LineSplitter(limit=4)
    for piece in b"abc", b"defghi":
        splitter.feed(piece)
        assert list(splitter.lines()) == []
    splitter.feed(b"jk\nnext\nmore")
    assert list(splitter.lines()) == [None, b"next"]
    splitter.feed(b"\n")
    assert list(splitter.lines()) == [b"more"]


def test_lines_are_cut_when_they_are_asked_for_and_the_oldest_can_be_forgotten() -> None:
    splitter = LineSplitter()
    splitter.feed(b'one\n{"keypoints":null}\n\n', 1.0)
    splitter.feed(b"three\n", 2.0)
    lines = splitter.lines()
    assert (next(lines), splitter.waiting, splitter.came) == (b"one", 26, 1.0)
    assert (splitter.forget(6), splitter.waiting) == (1, 6)
    assert (list(splitter.lines()), splitter.waiting, splitter.came) == ([b"three"], 0, 2.0)


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@given(st.lists(floats, min_size=9, max_size=9), st.text(max_size=5), st.none() | st.floats(-1e15, 1e15))
def test_result_line_gives_every_bit_back(values: list[float], track: str, t: float | None) -> None:
    joints = np.array(values, np.float32).reshape(JOINTS, 3)
    line = ResultLines(JOINTS).line(track, 12, t, joints)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    read = json.loads(line)
    assert (read["track"], read["frame"], read["t"]) == (track, 12, t)
    np.testing.assert_array_equal(np.float32(read["joints"]), joints)


def test_result_without_joints_is_null() -> None:
    line = ResultLines(JOINTS).line("dog", 0, None, np.full((JOINTS, 3), np.nan, np.float32))
    assert json.loads(line)["joints"] is None
