"""Movies of results: what is drawn where, on which picture of the video, at what speed; bad input in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="movies need the extra `video`")
pytest.importorskip("imageio_ffmpeg", reason="movies need the extra `video`")

from films import STEP, film, lifted

from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton
from olift_fast.view import painting
from olift_fast.view.bones import rgb, shades_of
from olift_fast.view.packing import pack
from olift_fast.view.render import Rendered, render
from olift_fast.view.video import open_video, read_pictures

pytestmark = pytest.mark.slow

SMALL = {"size": (480, 270)}


def pictures(movie: Rendered) -> list[np.ndarray]:
    opened = open_video(movie.path)
    assert (opened.frames, opened.size) == (movie.frames, movie.size)
    return [p.copy() for p in read_pictures(opened, range(opened.frames), movie.size) if p is not None]


def grays(movie: Rendered) -> list[int]:
    """The numbers of the video's pictures, told by a corner without keypoints; two encodings darken it a little."""
    return [round(float(picture[200:215, 30:60].mean()) / STEP + 0.25) for picture in pictures(movie)]


def of_color(picture: np.ndarray, shade: str, near: int = 60) -> np.ndarray:
    """Where a picture has a color, about."""
    return np.asarray(np.abs(picture.astype(int) - rgb(shade)[::-1]).max(axis=-1) < near)


def test_skeleton_is_drawn_in_2d_on_the_left_and_in_3d_on_the_right_and_moves(tmp_path: Path) -> None:
    movie = render(lifted(), tmp_path / "a.mp4", size=(960, 540))
    first, *_, last = pictures(movie)
    left, _, right = shades_of(0, "dark")
    for picture in (first, last):
        for shade in (left, right):
            seen = of_color(picture, shade)[40:]
            assert seen[:, :400].sum() > 50 and seen[:240, 580:].sum() > 20 and seen[260:, 580:].sum() > 20
    moved = np.abs(first.astype(int) - last).max(axis=-1) > 60
    assert moved[40:, :400].sum() > 200 and moved[40:, 580:].sum() > 200


def test_keypoints_lie_on_their_places_in_the_video(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 30)
    joints = np.zeros((1, 30, 4, 3), np.float32)
    joints[..., :2] = [[40, 30], [280, 30], [40, 210], [280, 210]]
    result = lifted(skeleton=Skeleton(("a", "b", "c", "d"), ()), change=lambda made: made.__setitem__(..., joints))
    movie = render(result, tmp_path / "a.mp4", video=source, views=1, size=(800, 400))
    picture = pictures(movie)[3]
    blue = of_color(picture, shades_of(0, "dark")[1], near=70)[30:370, :470]
    rows, columns = np.nonzero(blue)
    # The video's panel, 4:3, is where its gray is.
    gray = np.abs(picture[:, :480].astype(int) - STEP * 3).max(axis=-1) < 3
    ys, xs = np.nonzero(gray)
    top, bottom, start, end = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    assert (end - start) / (bottom - top) == pytest.approx(4 / 3, rel=0.02)
    for x, y in joints[0, 0, :, :2]:
        wanted = start + x / 320 * (end - start), top + y / 240 * (bottom - top) - 30
        assert np.hypot(columns - wanted[0], rows - wanted[1]).min() < 2


@pytest.mark.parametrize("offset", [None, 0, 4, -3])
def test_frame_of_the_video_is_that_of_the_result(tmp_path: Path, offset: int | None) -> None:
    source = film(tmp_path / "film.mp4", 30)
    movie = render(lifted(), tmp_path / "a.mp4", video=source, offset=offset, start=10, stop=20, **SMALL)
    assert grays(movie) == [number + (offset or 0) for number in range(10, 20)]


def test_frames_of_a_result_that_numbers_them_are_found_in_a_longer_video(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 60)
    numbers = np.array([7, 8, 9, 20, 21, 50])
    result = replace(lifted(frames=6), frames=numbers)
    movie = render(result, tmp_path / "a.mp4", video=source, **SMALL)
    assert grays(movie) == numbers.tolist()


def test_movie_of_every_fifth_frame_plays_as_fast_as_the_animal_moved(tmp_path: Path) -> None:
    fifth = replace(lifted(frames=6), frames=5 * np.arange(6))
    assert render(fifth, tmp_path / "a.mp4", **SMALL).fps == 5
    assert pack(fifth, 1)[0]["rate"] == 5


@pytest.mark.parametrize(
    ("frames", "told"), [(24, "has 24 frames, 6 fewer than the result"), (37, "has 37 frames, 7 more than the result")]
)
def test_video_of_another_length_is_told_by_how_much_and_goes_on_with_offset(
    tmp_path: Path, frames: int, told: str
) -> None:
    source = film(tmp_path / "film.mp4", frames)
    with pytest.raises(InputError, match=rf"film\.mp4: {told} \(30\).*--offset"):
        render(lifted(), tmp_path / "a.mp4", video=source, **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4"]
    movie = render(lifted(), tmp_path / "a.mp4", video=source, offset=0, **SMALL)
    assert movie.frames == 30
    assert movie.notes == (() if frames > 30 else ("6 of 30 frames have no picture in the video",))


def test_video_of_another_rate_is_told(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 30, fps=50)
    movie = render(lifted(), tmp_path / "a.mp4", video=source, **SMALL)
    assert movie.notes == ("the video has 50 frames/s, the result 25; frames are matched by their numbers",)
    with pytest.raises(InputError, match=r"10 more.*; the video has 50 frames/s, the result 25; "):
        render(lifted(frames=20), tmp_path / "a.mp4", video=source, **SMALL)


def test_offset_beyond_all_videos_is_refused(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 30)
    with pytest.raises(InputError, match="offset must be within"):
        render(lifted(), tmp_path / "a.mp4", video=source, offset=10**30, **SMALL)


def test_video_without_any_frame_of_the_result_is_refused(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 30)
    with pytest.raises(InputError, match=r"has frames 0 … 29, none of the result's, which are 100 … 129"):
        render(lifted(), tmp_path / "a.mp4", video=source, offset=100, **SMALL)


@pytest.mark.parametrize(
    ("fps", "ending", "asked", "wanted"),
    [
        (25.0, "mp4", None, (30, 25.0)),
        (500.0, "mp4", None, (4, 500 / 9)),
        (500.0, "mp4", 20.0, (30, 20.0)),
        (None, "mp4", None, (30, 30.0)),
        (30.0, "gif", None, (15, 15.0)),
        (30.0, "gif", 30.0, (30, 30.0)),
    ],
)
def test_movie_plays_as_fast_as_the_animal_moved_or_as_asked(
    tmp_path: Path, fps: float | None, ending: str, asked: float | None, wanted: tuple[int, float]
) -> None:
    movie = render(lifted(fps=fps), tmp_path / f"a.{ending}", fps=asked, size=(160, 90), views=1)
    assert (movie.frames, movie.fps) == (wanted[0], pytest.approx(wanted[1]))
    opened = open_video(movie.path)
    assert opened.frames == wanted[0]
    if ending == "mp4":
        assert opened.fps == pytest.approx(wanted[1], rel=1e-3)


def test_odd_results_are_drawn(tmp_path: Path) -> None:
    """One joint, no edges, a track that is nowhere, frames of nothing, coordinates far away."""

    def empty(joints: np.ndarray) -> None:
        joints[1] = np.nan
        joints[0, :4] = np.nan
        joints[0, 7, 2] = 1e8

    one = lifted()
    fields = {name: getattr(one, name)[:, :, :1] for name in ("joints", "keypoints", "confidence", "visible")}
    one = replace(one, skeleton=Skeleton(("nose",), ()), **fields)
    still = lifted(frames=1, skeleton=Skeleton(tuple("abcd"), ()), change=lambda joints: joints.fill(70))
    many = lifted(tracks=30)
    for number, result in enumerate((one, lifted(tracks=2, change=empty), still, many, lifted(fps=None))):
        movie = render(result, tmp_path / f"{number}.mp4", **SMALL)
        assert movie.frames == result.num_frames


def test_same_result_gives_the_same_movie(tmp_path: Path) -> None:
    first, second = (render(lifted(), tmp_path / f"{name}.mp4", **SMALL).path.read_bytes() for name in "ab")
    assert first == second


def test_progress_counts_up_to_all(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    render(lifted(), tmp_path / "a.mp4", progress=lambda done, total: told.append((done, total)), **SMALL)
    assert told == [(done, 30) for done in range(1, 31)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": (481, 270)}, "size must be even in both directions for .mp4, got 481 × 270"),
        ({"size": (10, 10)}, "size must be from 160 × 90"),
        ({"views": 3}, "views must be 1 or 2, got 3"),
        ({"fps": 0.0}, "fps must be from 0.1 to 1000"),
        ({"fps": float("nan")}, "fps must be from 0.1 to 1000"),
        ({"turn": float("inf")}, "turn must be within"),
        ({"trail": -1.0}, "trail must be from 0"),
        ({"theme": "pink"}, "theme must be dark or light, got 'pink'"),
        ({"start": 40}, "start and stop must leave a frame of the result's 0 … 29, got 40 and 30"),
        ({"start": 9, "stop": 9}, "0 … 29, got 9 and 9"),
        ({"start": 10**30}, "got 1,000,000,"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_is_left(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        render(lifted(), tmp_path / "a.mp4", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.avi", "a", "a.html"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"must end in \.mp4 or \.gif"):
        render(lifted(), tmp_path / name)


def test_gif_of_more_than_fifty_frames_per_second_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fps must be at most 50 for \.gif, got 60"):
        render(lifted(), tmp_path / "a.gif", fps=60)


def test_result_without_joints_is_refused(tmp_path: Path) -> None:
    nothing = lifted(change=lambda joints: joints.fill(np.nan))
    with pytest.raises(InputError, match=r"mouse\.csv: no joint and no keypoint in the frames to be drawn"):
        render(nothing, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_failure_halfway_leaves_the_old_movie(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")

    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(lifted(), tmp_path / "a.mp4", progress=stop, **SMALL)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.mp4", b"old")]


def test_words_keep_signs_of_other_languages() -> None:
    page = np.zeros((40, 200, 3), np.uint8)
    end = painting.words(page, (4, 4), "Mäuschen é", (255, 255, 255), 16)
    assert page.any() and 40 < end < 200
    assert end - 4 == painting.width_of("Mäuschen é", 16)
    painting.words(page, (190, 30), "beyond the edge", (255, 255, 255), 16)
