"""Coordinates that can't be are refused, and keypoints far outside of all others are told of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.io.parsed import Parsed, settle
from olift_fast.tracks.containers import MAX_COORDINATE, KeypointTracks
from olift_fast.tracks.skeleton import Skeleton

Points = npt.NDArray[np.float32]


def walking(frames: int = 60, joints: int = 4, tracks: int = 1) -> Points:
    """Keypoints (N, T, J, 2) of animals that cross a picture of 640 x 480 pixels."""
    rng = np.random.default_rng(3)
    body = rng.normal(0, 15, (1, 1, joints, 2)) + rng.normal(0, 1, (tracks, frames, joints, 2))
    way = np.linspace((80, 100), (560, 380), frames)[None, :, None]
    return (way + body).astype(np.float32)


def warnings_of(points: Points, **options: object) -> list[str]:
    parsed = Parsed(points, None, None, tracks=[f"dog{number}" for number in range(len(points))])
    return [text for text in settle(parsed, "test", "test", **options).warnings if "far outside" in text]  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.01 * MAX_COORDINATE, 1e30, -1e30, 3e38])
@pytest.mark.parametrize("axis", [0, 1])
def test_coordinates_that_cannot_be_are_refused(tmp_path: Path, value: float, axis: int) -> None:
    points = walking(tracks=2)
    points[1, 7, 2, axis] = value
    np.savez(tmp_path / "clip.npz", keypoints=points, names=["a", "b", "c", "d"], tracks=["dog", "cat"])
    with pytest.raises(InputError) as error:
        read_keypoints(tmp_path / "clip.npz")
    wanted = f"keypoints must be within ±1e+09 pixels, got {np.float32(value):.4g} (joint 'c' of track 'cat', frame 7)"
    assert str(error.value) == f"{tmp_path / 'clip.npz'}: {wanted}"


def test_arrays_and_tables_are_held_to_the_same_limit(tmp_path: Path) -> None:
    points = walking()[0]
    points[0, 0] = 1e30
    for source in (points, points[None]):
        with pytest.raises(InputError, match="array: keypoints must be within"):
            read_keypoints(source)
    with pytest.raises(InputError, match="keypoints must be within"):
        KeypointTracks(points[None], np.ones((1, 60, 4)), Skeleton(tuple("abcd")), ("dog",))
    (tmp_path / "table.csv").write_text("nose_x,nose_y,tail_x,tail_y\n1,2,3,4\n1e30,2,3,4\n")
    with pytest.raises(InputError, match=r"table\.csv: keypoints must be within .*joint 'nose' of .* frame 1"):
        read_keypoints(tmp_path / "table.csv")


def test_what_is_not_finite_is_hidden_and_the_limit_itself_is_taken() -> None:
    points = walking()
    points[0, 0, 0] = np.inf
    points[0, 1, 0] = np.nan
    points[0, :, 1] = MAX_COORDINATE
    found = read_keypoints(points)
    assert found.visible().sum() == points[..., 0].size - 2


def test_squares_of_what_is_taken_fit_float32() -> None:
    squares = np.full(10**6, MAX_COORDINATE, np.float32) ** 2
    assert np.isfinite(squares.sum(dtype=np.float32))


@pytest.mark.parametrize("stray", [(1e6, 200.0), (200.0, -1e6), (5e7, 5e7)])
def test_a_stray_keypoint_is_told(stray: tuple[float, float]) -> None:
    points = walking(tracks=2)
    assert warnings_of(points) == []
    points[1, 30, 3] = stray
    (told,) = warnings_of(points)
    x, y = np.float32(stray).tolist()
    place = f"'keypoint_3' of track 'dog1' in frame 30 (the first is 0) at ({x:.6g}, {y:.6g})"
    assert told.startswith(f"1 keypoint far outside of all others, the farthest {place}")


def test_several_strays_are_counted_and_the_farthest_named() -> None:
    points = walking()
    points[0, 3:8, 0, 0] = [1e5, 2e5, 4e5, 3e5, 2e5]
    (told,) = warnings_of(points)
    assert told.startswith("5 keypoints far outside") and "in frame 5 " in told


def test_the_picture_tells_strays_that_are_nearer() -> None:
    points = walking()
    points[0, 5, 1] = (640 * 2 + 5, 100)
    assert warnings_of(points) == [] and len(warnings_of(points, image_size=(640, 480))) == 1
    points[0, 5, 1] = (640 * 2 - 5, -470)
    assert warnings_of(points, image_size=(640, 480)) == []


def test_what_is_hidden_or_unsure_is_not_told() -> None:
    points = walking()
    points[0, 5, 1] = (1e6, 1e6)
    confidence = np.ones(points.shape[:3], np.float32)
    for low in (0, 0.1):
        confidence[0, 5, 1] = low
        assert not settle(Parsed(points, confidence, None), "test", "test").warnings


def test_many_far_points_are_no_strays() -> None:
    points = walking()
    points[0, :12] += 1e7
    assert warnings_of(points) == []


def test_an_animal_that_leaves_its_nest_is_no_stray() -> None:
    points = walking(frames=200) * 0.02 + 50
    points[0, 195:] += 400
    assert warnings_of(points) == []


def test_points_at_one_place_and_few_points() -> None:
    assert warnings_of(np.full((1, 50, 3, 2), 7, np.float32)) == []
    assert warnings_of(walking(frames=1)) == []
    points = np.full((1, 50, 3, 2), np.nan, np.float32)
    points[0, 0, 0] = 5
    assert warnings_of(points) == []


def test_a_stray_among_very_many_and_among_nearly_all_hidden() -> None:
    points = np.tile(walking(frames=1000, joints=10), (1, 30, 1, 1))
    points[0, 17_001, 3] = (1e6, 5)
    assert "1 keypoint far" in warnings_of(points)[0]
    points[0, 100:17_000] = np.nan
    points[0, 17_010:] = np.nan
    assert "1 keypoint far" in warnings_of(points)[0]
