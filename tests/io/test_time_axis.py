"""Series with times of their own on one axis of frames."""

from __future__ import annotations

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io.time_axis import one_axis, seconds_of

TIMES = np.arange(60) / 30


@pytest.mark.parametrize("later", [1e-2, 1e-3, 1e-5, 4e-7])
def test_times_that_are_almost_equal_are_one_frame(later: float) -> None:
    axis = one_axis([TIMES, TIMES + later, TIMES])
    assert axis.fps == 30 and all(frames.tolist() == list(range(60)) for frames in axis.frames)
    assert bool(axis.warnings) == (later == 1e-2)


@pytest.mark.parametrize("digits", [4, 3, 2])
def test_rounded_times_are_those_that_were_rounded(digits: int) -> None:
    axis = one_axis([TIMES, np.round(TIMES, digits)])
    assert axis.fps == 30 and not axis.warnings
    np.testing.assert_array_equal(axis.frames[1], np.arange(60))


@pytest.mark.parametrize("offset", [0.0, 1234.55, 1.7e9])
def test_gaps_and_starts_of_a_series_stay(offset: float) -> None:
    kept = [7, 8, 20, 21, 22, 50]
    axis = one_axis([TIMES + offset, TIMES[kept] + offset + 1e-3, TIMES[[3]] + offset])
    assert axis.frames[1].tolist() == kept and axis.frames[2].tolist() == [3] and axis.frames[0][0] == 0


def test_a_series_that_begins_before_the_finest_is_not_lost() -> None:
    axis = one_axis([TIMES[5:], TIMES[:20:2]])
    assert axis.frames[0].tolist() == list(range(5, 60)) and axis.frames[1].tolist() == list(range(0, 20, 2))


def test_slower_series_are_at_the_nearest_frames_of_the_finest() -> None:
    slower = np.arange(50) / 25
    axis = one_axis([slower, TIMES])
    assert axis.fps == 30 and "up to 0.5 frames" in axis.warnings[0]
    assert np.abs(axis.frames[0] - slower * 30).max() <= 0.5 and (np.diff(axis.frames[0]) > 0).all()


def test_series_that_take_turns_share_the_axis_of_all() -> None:
    axis = one_axis([TIMES[::2], TIMES[1::2]])
    assert axis.fps == 30 and "take turns" in axis.warnings[0]
    assert axis.frames[0].tolist() == list(range(0, 60, 2)) and axis.frames[1].tolist() == list(range(1, 60, 2))


def test_series_of_one_frame_need_the_rate() -> None:
    single = [np.array([5.0]), np.array([5.001]), np.array([5.1])]
    assert [frames.tolist() for frames in one_axis(single, 30.0).frames] == [[0], [0], [3]]


def test_irregular_times_that_are_almost_equal_are_counted_together() -> None:
    times = np.cumsum(np.random.default_rng(2).exponential(1, 40) + 0.1)
    axis = one_axis([times, times + 1e-2])
    assert axis.fps is None and axis.warnings == ("timestamps are irregular: frames are counted from 0",)
    np.testing.assert_array_equal(axis.frames[1], np.arange(40))


def test_irregular_times_among_steady_ones_are_refused() -> None:
    irregular = np.sort(np.random.default_rng(3).uniform(0, 2, 200))
    with pytest.raises(InputError, match=r"timestamps do not fit one axis .* some series have 30 frames a second"):
        one_axis([TIMES, irregular])


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        ("ms", 1e-3),
        ("milliseconds since 2024-01-01 00:00:00", 1e-3),
        ("Seconds", 1),
        ("days since x", 86400),
        ("m", None),
    ],
)
def test_units_of_time(unit: str, seconds: float | None) -> None:
    assert seconds_of(unit) == seconds
