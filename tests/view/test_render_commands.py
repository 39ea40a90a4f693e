"""`olift render`, and `olift view --video`: what they write and say, and errors of one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
pytest.importorskip("cv2", reason="videos need the extra `video`")
pytest.importorskip("imageio_ffmpeg", reason="videos need the extra `video`")

from films import film, lifted

from olift_fast.cli import app
from olift_fast.io import write_lifted
from olift_fast.view import video
from olift_fast.view.video import open_video

pytestmark = pytest.mark.slow


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def result(tmp_path: Path) -> Path:
    write_lifted(lifted(), tmp_path / "mouse.npz")
    return tmp_path / "mouse.npz"


def test_render_writes_a_movie_beside_the_result(result: Path, tmp_path: Path) -> None:
    done = run("render", result, "--size", 320, 180)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"drawn: {tmp_path / 'mouse.mp4'} (30 frames, 320 × 180, 25 frames/s)\n"
    assert open_video(tmp_path / "mouse.mp4").frames == 30


def test_render_takes_all_its_options(result: Path, tmp_path: Path) -> None:
    source, movie = film(tmp_path / "film.mp4", 40), tmp_path / "out.gif"
    drawing = "--size 200 100 --views 1 --turn -9 --no-follow --trail 0.5 --theme light --fps 10"
    frames = "--offset 5 --start 4 --stop 24"
    done = run("render", result, "-o", movie, "--video", source, *frames.split(), *drawing.split())
    assert done.exit_code == 0, done.output
    assert "(20 frames, 200 × 100, 10 frames/s)" in done.stdout
    opened = open_video(movie)
    assert (opened.frames, opened.size, opened.fps) == (20, (200, 100), 10)


def test_render_tells_of_frames_left_out_and_of_rates(tmp_path: Path) -> None:
    write_lifted(lifted(fps=200.0), tmp_path / "fast.npz")
    source = film(tmp_path / "film.mp4", 30)
    done = run("render", tmp_path / "fast.npz", "--video", source, "--size", 320, 180)
    assert "(8 frames, 320 × 180, 50 frames/s, every 4th frame drawn)" in done.stdout
    assert "the video has 25 frames/s, the result 200; frames are matched by their numbers" in done.stderr


def test_view_puts_the_video_into_the_page_and_says_so(result: Path, tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 30)
    page = tmp_path / "page.html"
    done = run("view", result, "--video", source, "-o", page, "--no-open")
    assert done.exit_code == 0, done.output
    assert "note: the video is in the page (0.0 MB)" in done.stderr
    assert "AAAAIGZ0eXBpc29t" in page.read_text(), "an .mp4 in base64"


@pytest.mark.parametrize("command", ["render", "view"])
@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "film.mp4: no such file"), (b"nothing", "film.mp4: cannot be read as a video: "), (12, "18 fewer than")],
)
def test_unfit_video_is_told_in_one_line_and_nothing_is_written(
    result: Path, tmp_path: Path, command: str, content: bytes | int | None, told: str
) -> None:
    source = tmp_path / "film.mp4"
    if isinstance(content, int):
        film(source, content)
    elif content is not None:
        source.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    done = run(command, result, "--video", source, *(["--no-open"] if command == "view" else []))
    assert done.exit_code == 2
    assert told in done.stderr and done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "out.avi"], "a movie's name must end in .mp4 or .gif, got '.avi'"),
        (["-o", "nowhere/out.mp4"], "nowhere is not a folder"),
        (["--start", 99], "--start and --stop must leave a frame of the result's 0 … 29, got 99 and 30"),
        (["--video", "film.mp4", "-o", "film.mp4"], "is the input itself"),
    ],
)
def test_unfit_options_of_render_are_told_in_one_line(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[Any], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "film.mp4", 30)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = run("render", result, *arguments)
    assert done.exit_code == 2
    assert told in done.stderr and done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_render_of_no_joints_and_of_no_result(tmp_path: Path) -> None:
    write_lifted(lifted(change=lambda joints: joints.fill(np.nan)), tmp_path / "none.npz")
    done = run("render", tmp_path / "none.npz")
    assert done.exit_code == 2 and "no joint and no keypoint" in done.stderr
    done = run("render", tmp_path)
    assert done.exit_code == 2 and "is a folder, wanted what `olift lift` wrote" in done.stderr


def test_missing_extra_is_named_before_anything_is_read(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    done = run("render", result)
    assert done.exit_code == 2 and "pip install 'olift-fast[video]'" in done.stderr


def test_page_of_another_ending_is_refused(result: Path, tmp_path: Path) -> None:
    done = run("view", result, "-o", tmp_path / "movie.mp4", "--no-open")
    assert done.exit_code == 2
    assert done.stderr.endswith("movie.mp4: a page's name must end in .html, got '.mp4'\n")
    assert not (tmp_path / "movie.mp4").exists()
