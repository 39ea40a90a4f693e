"""Reads pictures from video files and writes them to movies, by the program ffmpeg (extra `video`).

ffmpeg runs as a child process. So a broken video can crash only that process, and both work at the same time.
"""

from __future__ import annotations

import errno
import importlib.util
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, MissingExtraError, printable
from olift_fast.odd_files import check_file

Picture = npt.NDArray[np.uint8]
"""(H, W, 3): blue, green and red."""

_PLAIN = ("-nostdin", "-hide_banner", "-v", "error")
# Containers that hold pictures themselves. Playlists are left out, because they name other files and addresses.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,ogg,asf,flv,gif,apng,nut,dv,mxf,h264,hevc,m4v,"
    "mjpeg,yuv4mpegpipe,ivf,obu"
)
_MAX_PIXELS = 1 << 26
_SAME_BYTES = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact")


@dataclass(frozen=True)
class Video:
    """A video file: width and height of its pictures as shown, frames per second if known, number of frames."""

    path: Path
    size: tuple[int, int]
    fps: float | None
    frames: int


def require_video() -> None:
    """Raise MissingExtraError unless the packages that read, draw and write pictures are installed."""
    if any(importlib.util.find_spec(name) is None for name in ("cv2", "imageio_ffmpeg", "PIL")):
        raise MissingExtraError(what="reading videos and drawing movies", extra="video")


def open_video(path: Path) -> Video:
    """The facts about a video file. Its first picture is decoded; its frames are counted without decoding them.

    Raises:
        InputError: there is no such file, it is no video, or ffmpeg can't decode its codec: one line.
        MissingExtraError: the extra `video` is needed.
    """
    require_video()
    if not path.exists():
        raise InputError(f"{path}: no such file")
    check_file(path)
    # The header of this simple format tells size and rate: YUV4MPEG2 W640 H480 F30000:1001 …
    first = _output(path, "-frames:v", "1", "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "pipe:1", limit=200)
    header = re.match(rb"YUV4MPEG2 W(\d+) H(\d+)(?: F(\d+):(\d+))?", first)
    if header is None:
        raise InputError(f"{path}: holds no picture that can be decoded, wanted a video")
    numerator, denominator = int(header[3] or 0), int(header[4] or 0)
    fps = float(Fraction(numerator, denominator)) if numerator and denominator else None
    counted = _output(path, "-c", "copy", "-progress", "pipe:1", "-f", "null", "-")
    counts = re.findall(rb"^frame=\s*(\d+)", counted, re.MULTILINE)
    return Video(path, (int(header[1]), int(header[2])), fps, int(counts[-1]) if counts else 1)


def read_pictures(
    video: Video, numbers: Sequence[int] | npt.NDArray[np.int64], size: tuple[int, int]
) -> Iterator[Picture | None]:
    """The pictures with these numbers, scaled to `size`, width and height.

    Numbers increase, and count from 0. A number that the video does not have gives None. The next picture overwrites
    the one before.
    """
    wanted = np.asarray(numbers, dtype=np.int64)
    there = wanted[(wanted >= 0) & (wanted < video.frames)]
    if there.size == 0:
        yield from (None for _ in wanted)
        return
    first, last = int(there[0]), int(there[-1])
    steps = np.diff(there)
    step = int(steps[0]) if steps.size and (steps == steps[0]).all() else 1
    width, height = size
    chosen = f"select='between(n,{first},{last})*not(mod(n-{first},{step}))',scale={width}:{height}:flags=area"
    sent = ("-fps_mode", "passthrough", "-pix_fmt", "bgr24", "-f", "rawvideo", "pipe:1")
    picture = np.empty((height, width, 3), np.uint8)
    with _ffmpeg(*_reading(video.path), "-vf", chosen, *sent, stdout=subprocess.PIPE) as (process, _):
        next_number = first
        for number in wanted.tolist():
            got = first <= number <= last
            while got and next_number <= number:
                got = _fill(process.stdout, picture)
                next_number += step
            yield picture if got else None


@contextmanager
def movie_writer(
    path: Path, size: tuple[int, int], fps: float, *, dither: bool = False
) -> Iterator[Callable[..., None]]:
    """Gives a function that appends a picture (H, W, 3) to the movie `path`. The movie is complete when the block ends.

    The ending of the name is the format: .gif has one palette for all pictures; .mp4 is H.264 that every player and
    browser plays. The same pictures give the same bytes.

    Args:
        path: a temporary file; see `olift_fast.atomic`.
        size: width and height; both even for .mp4.
        fps: frames per second.
        dither: for .gif, mix colors that the palette does not have. Use it for photographs.

    Raises:
        InputError: ffmpeg can't write the file: one line.
        OSError: the disk is full; `olift_fast.atomic` reports it with the movie's own name.
    """
    if path.suffix.lower() == ".gif":
        with _gif_writer(path, size, fps, dither) as write:
            yield write
        return
    with _encoder(path, size, fps, *H264, "-crf", "20") as write:
        yield write


H264 = (
    "-c:v", "libx264", "-preset", "veryfast", "-refs", "1", "-bf", "0", "-pix_fmt", "yuv420p", "-movflags",
    "+faststart",
)  # fmt: skip


@contextmanager
def page_video_writer(path: Path, size: tuple[int, int], fps: float) -> Iterator[Callable[..., None]]:
    """As `movie_writer`, for a small .mp4 in which a browser finds any frame quickly: every tenth is a key frame."""
    with _encoder(path, size, fps, *H264, "-crf", "27", "-g", "10") as write:
        yield write


@contextmanager
def _encoder(path: Path, size: tuple[int, int], fps: float, *options: str) -> Iterator[Callable[..., None]]:
    """Sends pictures to ffmpeg. If the movie is YUV 4:2:0, they are sent as that, which is half the bytes."""
    import cv2

    width, height = size
    plain = "yuv420p" in options
    taken = "yuv420p" if plain else "bgr24"
    source = ("-f", "rawvideo", "-pix_fmt", taken, "-s", f"{width}x{height}", "-r", f"{fps:.6f}", "-i", "pipe:0")
    # The color range and matrix of OpenCV's conversion.
    colors = ("-color_range", "tv", "-colorspace", "smpte170m") if plain else ()
    command = (*source, "-an", *options, *colors, *_SAME_BYTES, "-y", _address(path))
    with _one_thread(), _ffmpeg(*command, stdin=subprocess.PIPE) as (process, told):
        converted = np.empty((height * 3 // 2, width), np.uint8)

        def write(picture: Picture) -> None:
            data = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420, dst=converted) if plain else picture
            try:
                process.stdin.write(np.ascontiguousarray(data).data)
            except BrokenPipeError:
                process.wait()
                raise _failure(path, "cannot be written", told) from None

        yield write
        with suppress(BrokenPipeError):
            process.stdin.close()
        if process.wait() != 0:
            raise _failure(path, "cannot be written", told)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV runs in one thread, because the encoder needs the other cores and pictures are small."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def _gif_writer(path: Path, size: tuple[int, int], fps: float, dither: bool) -> Iterator[Callable[..., None]]:
    """Writes the pictures to a lossless file first, because the palette is computed from all of them."""
    with tempfile.TemporaryDirectory(prefix="olift-") as folder:
        kept, palette = Path(folder) / "pictures.mkv", Path(folder) / "palette.png"
        with _encoder(kept, size, fps, "-c:v", "ffv1", "-pix_fmt", "bgr0") as write:
            yield write
        mixing = "dither=bayer:bayer_scale=4" if dither else "dither=none"
        for command in (
            ("-i", _address(kept), "-vf", "palettegen=max_colors=128", "-y", _address(palette)),
            ("-i", _address(kept), "-i", _address(palette), "-lavfi", f"paletteuse={mixing}:diff_mode=rectangle",
             *_SAME_BYTES, "-loop", "0", "-y", _address(path)),
        ):  # fmt: skip
            with _ffmpeg(*command) as (process, told):
                if process.wait() != 0:
                    raise _failure(path, "cannot be written", told)


def _reading(path: Path) -> tuple[str, ...]:
    """The options for reading an untrusted file: ffmpeg opens only that file, and only if it holds pictures itself."""
    kinds = ("-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-max_pixels", str(_MAX_PIXELS))
    return (*kinds, "-i", _address(path), "-map", "0:v:0")


def _address(path: Path) -> str:
    return f"file:{path.absolute()}"


def _output(path: Path, *command: str, limit: int | None = None) -> bytes:
    """The output of ffmpeg for a file, or its first `limit` bytes."""
    with _ffmpeg(*_reading(path), *command, stdout=subprocess.PIPE) as (process, told):
        out: bytes = process.stdout.read(-1 if limit is None else limit)
        if not out or (limit is None and process.wait() != 0):
            process.wait()
            raise _failure(path, "cannot be read as a video", told)
        return out


@contextmanager
def _ffmpeg(*command: str, stdin: int | None = None, stdout: int | None = None) -> Iterator[tuple[Any, IO[bytes]]]:
    """Gives the process and the file of its messages. The process is stopped when the block ends."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [_program(), *_PLAIN, *command],
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=told,
        )
        try:
            yield process, told
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
            process.wait()


def _program() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise InputError("no ffmpeg is there: install it, or name it in the variable IMAGEIO_FFMPEG_EXE") from None


def _fill(stream: Any, picture: Picture) -> bool:
    """Read a picture; False at the end of the stream."""
    rest = picture.data.cast("B")
    while len(rest):
        count = stream.readinto(rest)
        if not count:
            return False
        rest = rest[count:]
    return True


def _failure(path: Path, what: str, told: IO[bytes]) -> InputError:
    """An error with ffmpeg's first message, without the memory addresses in it.

    Raises:
        OSError: the disk is full. The caller knows the final name of `path`.
    """
    told.seek(0)
    lines = [line for line in told.read().decode(errors="replace").splitlines() if line.strip()]
    part = r"(\[[^\]]* @ 0x[0-9a-f]+\] *)?(\[\w+\] *)?(Error opening input: )?"
    said = [re.sub(f"^{part}", "", line) for line in lines]
    why = next((line for line in said if "No space left" in line), said[0] if said else "ffmpeg stopped")
    if "whitelist" in why:
        why = "it is a playlist, or of a format that holds no video"
    if "No space left" in why:
        raise OSError(errno.ENOSPC, why)
    return InputError(f"{path}: {what}: {printable(why[:200])}")
