"""Pictures of a video are those of their numbers; what is no video, or is another's list of videos, is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="videos need the extra `video`")
pytest.importorskip("imageio_ffmpeg", reason="videos need the extra `video`")

from films import SIZE, film, number_of

from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.view import video

pytestmark = pytest.mark.slow


def program() -> str:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def test_video_tells_its_size_rate_and_frames(tmp_path: Path) -> None:
    found = video.open_video(film(tmp_path / "a.mp4", 41, fps=12.5))
    assert (found.size, found.fps, found.frames) == (SIZE, 12.5, 41)


@pytest.mark.parametrize(
    "numbers", [range(60), [0, 3, 4, 10, 59], range(5, 60, 7), [58], [-2, -1, 0, 1], [57, 59, 60, 61], [80, 81]]
)
def test_pictures_are_those_with_the_numbers_asked_for(tmp_path: Path, numbers: list[int]) -> None:
    opened = video.open_video(film(tmp_path / "a.mp4", 60))
    got = [number_of(picture) for picture in video.read_pictures(opened, numbers, (80, 60))]
    assert got == [number if 0 <= number < 60 else None for number in numbers]


def test_pictures_of_uneven_times_are_counted_as_they_are_decoded(tmp_path: Path) -> None:
    """A camera that drops frames: the third picture comes a second later."""
    plain, uneven = film(tmp_path / "a.mp4", 6), tmp_path / "uneven.mkv"
    shift = "setpts='(N+25*gte(N,2))/25/TB'"
    command = [program(), "-v", "error", "-i", plain, "-vf", shift, "-fps_mode", "vfr", uneven]
    subprocess.run([*map(str, command)], check=True)
    opened = video.open_video(uneven)
    assert opened.frames == 6
    assert [number_of(p) for p in video.read_pictures(opened, range(6), SIZE)] == [0, 1, 2, 3, 4, 5]


def test_turned_video_has_the_size_that_is_shown(tmp_path: Path) -> None:
    plain, turned = film(tmp_path / "a.mp4", 3), tmp_path / "turned.mp4"
    command = [
        program(),
        "-v",
        "error",
        "-display_rotation",
        "90",
        "-i",
        plain,
        "-c",
        "copy",
        turned,
    ]
    subprocess.run([*map(str, command)], check=True)
    opened = video.open_video(turned)
    assert opened.size == (SIZE[1], SIZE[0])
    assert all(picture is not None for picture in video.read_pictures(opened, range(3), opened.size))


def test_reading_ends_the_program_that_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = video.open_video(film(tmp_path / "a.mp4", 60))
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    pictures = video.read_pictures(opened, range(60), SIZE)
    next(pictures)
    pictures.close()  # type: ignore[attr-defined]
    assert len(started) == 1 and started[0].poll() is not None


def test_same_pictures_give_the_same_bytes(tmp_path: Path) -> None:
    for ending in ("mp4", "gif"):
        first, second = (film(tmp_path / f"{name}.{ending}", 9).read_bytes() for name in "ab")
        assert first == second


def test_gif_keeps_every_picture_and_its_colors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 255, (8, 3))
    with video.movie_writer(tmp_path / "a.gif", (64, 48), 20) as write:
        for color in colors:
            write(np.broadcast_to(color.astype(np.uint8), (48, 64, 3)))
    opened = video.open_video(tmp_path / "a.gif")
    assert (opened.frames, opened.fps) == (8, 20)
    read = [
        picture.mean(axis=(0, 1)) for picture in video.read_pictures(opened, range(8), (64, 48)) if picture is not None
    ]
    np.testing.assert_allclose(read, colors, atol=3)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "cannot be read as a video"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile a.mp4\n", "playlist"),
        ("empty.mp4", b"", "cannot be read as a video"),
        ("notes.mp4", b"not a video\n" * 50, "cannot be read as a video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    film(tmp_path / "a.mp4", 3)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        video.open_video(tmp_path / name)
    message = str(caught.value)
    assert name in message and told in message and message.isprintable() and "0x" not in message


def test_damaged_video_gives_what_can_be_decoded(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mp4", 60)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    opened = video.open_video(cut)
    got = [number_of(picture) for picture in video.read_pictures(opened, range(60), SIZE)]
    seen = [number for number in got if number is not None]
    assert 0 < len(seen) < 60 and seen == list(range(len(seen)))


def test_missing_file_folder_and_device_are_named(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path / "none.mp4", "no such file"),
        (tmp_path, "a folder"),
        (Path("/dev/null"), "a device"),
    ):
        with pytest.raises(InputError, match=f"{path}.*{told}"):
            video.open_video(path)


def test_movie_that_can_not_be_written_says_why(tmp_path: Path) -> None:
    full = tmp_path / "full.mp4"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        film(full, 40, size=(640, 480))


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'olift-fast\[video\]'"):
        video.open_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_full_disk_is_told_with_the_name_of_the_movie(tmp_path: Path, ending: str) -> None:
    """The system's full disk: writing to it always fails."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    movie = tmp_path / f"a{ending}"
    with pytest.raises(InputError, match="the disk is full") as error, atomic_path(movie) as temporary:
        temporary.symlink_to("/dev/full")
        film(temporary, 3)
    assert str(error.value) == f"{movie}: cannot be written: the disk is full" and not list(tmp_path.iterdir())


def test_machine_without_ffmpeg_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio_ffmpeg

    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(InputError, match=r"no ffmpeg is there: .*IMAGEIO_FFMPEG_EXE"):
        film(tmp_path / "a.mp4", 1)


def test_number_of_threads_of_opencv_is_left_as_it_was(tmp_path: Path) -> None:
    import cv2

    before = cv2.getNumThreads()
    film(tmp_path / "a.mp4", 2)
    assert cv2.getNumThreads() == before
