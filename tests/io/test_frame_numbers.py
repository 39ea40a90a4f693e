"""Frame numbers of rows: from whole numbers, from times, and from the names of pictures."""

from __future__ import annotations

import time

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io.frame_numbers import frames_of_rows, frames_of_seconds, seconds_in, whole_numbers


@pytest.mark.parametrize(
    ("rate", "digits"), [(30, 6), (30, 2), (60, 2), (25, 3), (30 / 1.001, 3), (59.94, 4), (120, 3), (1000, 4), (0.5, 1)]
)
def test_rounded_times_tell_their_rate_and_frames(rate: float, digits: int) -> None:
    frames = np.delete(np.arange(300), [7, 8, 50, *range(100, 150)])
    found = frames_of_seconds(np.round(frames / rate, digits))
    assert found is not None
    np.testing.assert_array_equal(found[0], frames)
    assert found[1] == pytest.approx(rate, rel=2e-5)


def test_a_cut_from_a_longer_video_keeps_its_frame_numbers() -> None:
    found = frames_of_seconds(np.array([45, 46, 47, 50]) / 30)
    assert found is not None and found[0].tolist() == [45, 46, 47, 50] and found[1] == 30


def test_a_cameras_clock_counts_from_the_first_frame_and_bears_jitter() -> None:
    kept = np.delete(np.arange(1000), [5, 6, 100])
    times = 1.7e9 + kept / 29.7 + np.random.default_rng(0).normal(0, 0.002, len(kept))
    found = frames_of_seconds(times)
    assert found is not None and found[1] == pytest.approx(29.7, abs=0.01)
    np.testing.assert_array_equal(found[0], kept)


def test_frames_come_in_the_order_of_the_times() -> None:
    found = frames_of_seconds([0.2, 0.0, 0.1])
    assert found is not None and found[0].tolist() == [2, 0, 1] and found[1] == 10


def test_few_times_with_a_gap_take_the_shorter_step() -> None:
    found = frames_of_seconds([0, 0.04, 0.12])
    assert found is not None and found[0].tolist() == [0, 1, 3] and found[1] == 25


@pytest.mark.parametrize("times", [[], [1.0], [0, 0, 1], [0, np.nan], [0, np.inf], [0, 1e-300, 1e300], [[0, 1]]])
def test_times_without_a_rate_give_nothing(times: list[float]) -> None:
    assert frames_of_seconds(times) is None


def test_irregular_times_give_nothing() -> None:
    assert frames_of_seconds(np.random.default_rng(1).exponential(size=200).cumsum()) is None


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("0.25", 0.25),
        ("0,25", 0.25),
        ("1:02.5", 62.5),
        ("00:01:02,5", 62.5),
        ("0 days 00:00:00.040000", 0.04),
        ("1 day, 0:00:01", 86401.0),
    ],
)
def test_times_are_read_however_they_are_written(cell: str, seconds: float) -> None:
    found = seconds_in([cell])
    assert found is not None and found.tolist() == [seconds]


def test_dates_are_read_as_times() -> None:
    found = seconds_in(["2024-05-01 10:00:00.50", "2024-05-01T10:00:01.75"])
    assert found is not None and np.diff(found) == [1.25]
    assert seconds_in(["0.1", "img3.png"]) is None


def test_whole_floats_are_frame_numbers() -> None:
    for cells in (["7", "9"], ["7.0", "9.00"], ["7,0", "9,0"], ["+7", "9."]):
        found = whole_numbers(cells)
        assert found is not None and found.tolist() == [7, 9]
    assert whole_numbers(["7", "9.5"]) is None
    with pytest.raises(InputError, match="frame number must be a whole number below 2\\^63"):
        whole_numbers([str(10**25)])


def test_rows_are_marked_by_numbers_times_or_pictures() -> None:
    numbers = frames_of_rows(["1e1", "1.2e1"]).numbers
    assert numbers is not None and numbers.tolist() == [10, 12]
    times = frames_of_rows(["0.0", "0.04", "0.08"])
    assert times.numbers is not None and times.numbers.tolist() == [0, 1, 2] and times.fps == 25
    assert times.notes == ["rows are marked by times: frames 0 to 2 at 25 frames a second"]
    milliseconds = frames_of_rows(["0", "33.333", "66.667"])
    assert milliseconds.fps == 30 and milliseconds.numbers is not None and milliseconds.numbers.tolist() == [0, 1, 2]
    pictures = frames_of_rows(["a/img03.png", "a/img08.png"])
    assert pictures.pictures and pictures.numbers is not None and pictures.numbers.tolist() == [3, 8]
    assert frames_of_rows(["", ""]).numbers is None
    uneven = frames_of_rows(["0.1", "0.1", "7.3"])
    assert uneven.numbers is None and "without a steady rate" in uneven.warnings[0]
    with pytest.raises(InputError, match="row 2 of 3 has no frame number or time"):
        frames_of_rows(["0", "", "2"])


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows has one time zone a process")
def test_dates_do_not_follow_the_clocks_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        # At 2:00 of this night clocks were put forward to 3:00.
        found = seconds_in(["2024-03-31 01:59:59", "2024-03-31 03:00:00"])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found is not None and np.diff(found).tolist() == [3601]


def test_dates_count_from_the_first_row() -> None:
    found = frames_of_rows([f"2024-03-31 01:59:59.{hundredths}" for hundredths in range(30, 40)])
    assert found.numbers is not None and found.numbers.tolist() == list(range(10)) and found.fps == 100
