"""A movie of a lifted result: keypoints on the video, beside turning views of the 3D skeletons (extra `video`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError, printable
from olift_fast.tracks.rates import rate_of
from olift_fast.view import painting
from olift_fast.view.painting import THEMES, Painter
from olift_fast.view.scene import Array, Camera, Scene, floor_lines, scene_of
from olift_fast.view.video import Picture, Video, movie_writer, open_video, read_pictures, require_video
from olift_fast.view.video_frames import check_offset, video_frames

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

ENDINGS = (".mp4", ".gif")
SIZES = {".mp4": (1280, 720), ".gif": (640, 360)}
RATES = {".mp4": 60.0, ".gif": 25.0}
"""The highest default frame rate of a movie. Of faster recordings, some frames are left out."""
_GIF_RATE = 50.0
_SMALLEST, _LARGEST = 160, 8192
_ELEVATION = np.deg2rad(16.0)
_SECONDS_OF_PATH = 1.0
_FOLLOWED = 1.0
"""Seconds over which the path of the 3D camera is smoothed."""


@dataclass(frozen=True)
class Rendered:
    """A movie that was written.

    Args:
        path: of the movie.
        frames: number of its frames.
        size: width and height in pixels.
        fps: frames per second of the movie.
        stride: of the result's frames, every `stride`-th is in the movie.
        notes: what the user should know, a line each.
    """

    path: Path
    frames: int
    size: tuple[int, int]
    fps: float
    stride: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Panel:
    """The 2D panel: its rectangle. A pixel of the input is at scale · pixel + shift in it."""

    box: tuple[int, int, int, int]
    scale: float
    shift: Array


def render(
    result: LiftedTracks,
    path: str | Path,
    *,
    video: str | Path | None = None,
    offset: int | None = None,
    start: int | None = None,
    stop: int | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    views: int = 2,
    turn: float = 24.0,
    follow: bool = True,
    trail: float = _SECONDS_OF_PATH,
    theme: str = "dark",
    progress: Callable[[int, int], None] | None = None,
) -> Rendered:
    """Write a movie of `result`: the 2D input on the left, on the video if there is one, and the 3D on the right.

    In 3D the animals stand above a grid: on the floor in the world frame, else above a level plane at the lowest joint.
    Behind each animal is its path of the last second. Joints that were hidden in the input are hollow in 3D and left
    out in 2D. The same input gives the same file, byte for byte.

    Args:
        result: joints `(N, T, J, 3)` and the keypoints `(N, T, J, 2)` that they were lifted from.
        path: the movie, .mp4 (H.264) or .gif; an old one is replaced only by a complete new one.
        video: the video that the keypoints come from; without it they are drawn on a plain background.
        offset: frame n of the result is frame n + `offset` of the video. If it is None, the video must have as many
            frames as the result; it may have more if the result has numbers of frames.
        start, stop: the first frame that is drawn and the one after the last, by the result's numbers.
        fps: frames per second of the movie, which then has all frames. By default the movie plays as fast as the animal
            moved, at up to 60 frames per second (.gif: 25); frames are left out if there are more.
        size: width and height in pixels; 1280 × 720 by default, .gif 640 × 360.
        views: 3D views, 1 or 2; the second is at a right angle to the first.
        turn: degrees by which the views turn per second of the movie.
        follow: whether the 3D camera follows the animals. If not, it shows all of their way.
        trail: seconds of the path behind each animal.
        theme: "dark" or "light".
        progress: called with the number of finished frames, and of all.

    Raises:
        MissingExtraError: the extra `video` is not installed.
        InputError: an argument is out of range, there is nothing to draw, the video can't be read or does not fit, or
            the movie can't be written; nothing is left behind.
    """
    require_video()
    path = Path(path)
    ending = check_ending(path)
    size = _checked_size(size or SIZES[ending], ending)
    _check_numbers(views, turn, trail, fps, ending, theme)
    opened = None if video is None else open_video(Path(video))
    notes = check_offset(result, opened, offset) if opened else ()
    stride, rate = _rate(result, fps, ending)
    chosen = _chosen(result, start, stop, stride)
    movie = _Movie(result, chosen, rate, size, opened, views, turn, follow, trail, theme)
    missing = 0
    with atomic_path(path) as temporary, movie_writer(temporary, size, rate, dither=opened is not None) as write:
        pictures: Iterable[Picture | None] = repeat(None)
        if opened:
            pictures = read_pictures(opened, video_frames(result, offset or 0)[chosen], movie.panel.box[2:])
        for place, picture in zip(range(movie.frames), pictures, strict=False):
            missing += opened is not None and picture is None
            write(movie.draw(place, picture))
            if progress is not None:
                progress(place + 1, movie.frames)
    if missing:
        notes = (*notes, f"{missing:,} of {movie.frames:,} frames have no picture in the video")
    return Rendered(path, movie.frames, size, rate, stride, notes)


def check_ending(path: Path) -> str:
    """The ending of a movie's name, in lower case; raises InputError if it is none of `ENDINGS`."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{path}: a movie's name must end in {' or '.join(ENDINGS)}, got {path.suffix or 'no ending'!r}"
        )
    return ending


class _Movie:
    """Draws the frames of a movie."""

    def __init__(
        self,
        result: LiftedTracks,
        chosen: slice,
        rate: float,
        size: tuple[int, int],
        video: Video | None,
        views: int,
        turn: float,
        follow: bool,
        trail: float,
        theme: str,
    ) -> None:
        self._result, self._theme, self._rate, self._turn = result, THEMES[theme], rate, turn
        self._keypoints, self._visible = result.keypoints[:, chosen], result.visible[:, chosen]
        self._numbers = video_frames(result, 0)[chosen]
        self._scene: Scene = scene_of(result, chosen, follow=follow, smooth=max(1, round(_FOLLOWED * rate)))
        if not np.isfinite(self._scene.joints).any() and not self._visible.any():
            raise InputError(f"{result.source or 'the result'}: no joint and no keypoint in the frames to be drawn")
        self.frames = self._visible.shape[1]
        self._trail = round(trail * rate)
        self._unit = size[1] / 720
        self.panel, self._boxes = _layout(size, views, self._region(video))
        self._painter = Painter(result.skeleton, result.num_tracks, theme, 3.2 * self._unit)
        self._canvas = np.empty((size[1], size[0], 3), np.uint8)
        self._ground = self._background(video)

    def draw(self, place: int, picture: Picture | None) -> Picture:
        """Frame number `place`, on a picture of the video if there is one. The next call overwrites the result."""
        np.copyto(self._canvas, self._ground)
        left, top, width, height = self.panel.box
        panel = self._canvas[top : top + height, left : left + width]
        if picture is not None:
            panel[:] = picture
        for track in range(self._result.num_tracks):
            points = self.panel.scale * self._keypoints[track, place] + self.panel.shift
            self._painter.flat(panel, track, np.nan_to_num(points), self._visible[track, place])
        ground = floor_lines(self._scene, self._scene.targets[place])
        for number, box in enumerate(self._boxes):
            azimuth = np.deg2rad(-25 + self._turn * place / self._rate + 90 * number)
            camera = Camera((0, 0, *box[2:]), self._scene.radius, self._scene.height, azimuth, _ELEVATION)
            self._draw_scene(place, camera, box, ground)
        self._write(place)
        return self._canvas

    def _draw_scene(self, place: int, camera: Camera, box: tuple[int, int, int, int], ground: Array) -> None:
        """Draw one view; `ground` (L, 2, 3) are the lines of the floor."""
        left, top, width, height = box
        view, scene, theme = self._canvas[top : top + height, left : left + width], self._scene, self._theme
        target = scene.targets[place]
        painting.lines(view, camera.project(ground, target)[0], theme["grid"], 1)
        joints = scene.joints[:, place]
        points, depth = camera.project(joints, target)
        fallen = joints.copy()
        fallen[..., 2] = np.where(np.isfinite(joints[..., 2]), scene.floor, np.nan)
        shadows, _ = camera.project(fallen, target)
        for shadow in shadows:
            self._painter.shadow(view, shadow, theme["shadow"])
        ways, _ = camera.project(scene.centers[:, max(0, place - self._trail) : place + 1], target)
        nearest = np.where(np.isfinite(depth), depth, -np.inf).max(axis=1)
        for track in np.argsort(-nearest, kind="stable"):
            color = self._painter.colors[track][1]
            painting.path(view, ways[track], color, theme["panel"], max(1, round(2 * self._unit)))
            self._painter.solid(view, track, points[track], depth[track], self._visible[track, place])

    def _region(self, video: Video | None) -> tuple[float, float, float, float]:
        """Left, top, width and height of the region that the 2D panel shows, in pixels of the input."""
        if video is not None:
            return 0.0, 0.0, float(video.size[0]), float(video.size[1])
        points = self._keypoints[self._visible]
        if not len(points):
            wide, tall = self._result.image_size or (16, 9)
            return 0.0, 0.0, float(wide), float(tall)
        low, high = np.percentile(points, [0.2, 99.8], axis=0)
        # Keypoints a little beyond are shown, too, but not stray detections far away.
        near = 0.25 * (high - low).max()
        kept = points[((points >= low - near) & (points <= high + near)).all(axis=1)]
        low, high = kept.min(axis=0), kept.max(axis=0)
        margin = max(0.08 * float((high - low).max()), 1.0)
        width, height = np.maximum(high - low + 2 * margin, 0.4 * float((high - low).max() + 2 * margin))
        middle = (low + high) / 2
        left, top = middle - np.array([width, height]) / 2
        return float(left), float(top), float(width), float(height)

    def _background(self, video: Video | None) -> Picture:
        """The picture below all frames: the panels, the title, the names of the tracks, the meaning of the colors."""
        canvas, theme, unit = np.empty_like(self._canvas), self._theme, self._unit
        canvas[:] = theme["page"]
        for left, top, width, height in (self.panel.box, *self._boxes):
            canvas[top : top + height, left : left + width] = theme["panel"]
        size, gap = _text_size(unit), round(10 * unit)
        y = round(12 * unit)
        source = Path(self._result.source).name if self._result.source else "keypoints"
        x = painting.words(canvas, (gap, y), printable(source)[:60], theme["text"], size) + 2 * gap
        dot, step = 0.35 * size, round(0.9 * size)

        def key(x: int, word: str, color: painting.Color) -> int:
            painting.dot(canvas, (x + dot, y + 0.62 * size), dot, color)
            return painting.words(canvas, (x + step, y), word, theme["soft"], size) + 2 * gap

        colors = self._painter.colors
        sides = ("left", "middle", "right") if any(self._result.skeleton.sides) else ()
        end = canvas.shape[1] + gap - sum(painting.width_of(word, size) + step + 2 * gap for word in sides)
        if self._result.num_tracks > 1:
            for name, shades in zip(painting.names_of(self._result.tracks, 16), colors, strict=True):
                if x + step + painting.width_of(printable(name), size) > end - gap:
                    break  # No room for more names.
                x = key(x, printable(name), shades[1])
        x = end
        for word, shade in zip(sides, colors[0] if sides else (), strict=True):
            x = key(x, word, shade)
        return canvas

    def _write(self, place: int) -> None:
        """Write the frame's number and time, at the bottom left."""
        number = int(self._numbers[place])
        seconds = f"{number / self._result.fps:.2f} s   " if self._result.fps else ""
        size = _text_size(self._unit)
        at = round(10 * self._unit), self._canvas.shape[0] - round(1.7 * size)
        painting.words(self._canvas, at, f"{seconds}frame {number:,}", self._theme["soft"], size)


def _layout(
    size: tuple[int, int], views: int, region: tuple[float, float, float, float]
) -> tuple[_Panel, list[tuple[int, int, int, int]]]:
    """The 2D panel, as wide as its picture needs but at most 60 % of the movie, and the 3D views beside it."""
    width, height = size
    gap, bar = max(2, round(height / 90)), round(height / 18)
    left, top, wide, tall = region
    room = height - 2 * bar
    flat = int(np.clip(room * wide / tall, 0.35 * width, 0.6 * width)) - 2 * gap
    scale = min(flat / wide, room / tall)
    box_width, box_height = max(2, round(scale * wide)), max(2, round(scale * tall))
    box = (gap + (flat - box_width) // 2, bar + (room - box_height) // 2, box_width, box_height)
    x = flat + 2 * gap
    each = (room - (views - 1) * gap) // views
    boxes = [(x, bar + number * (each + gap), width - x - gap, each) for number in range(views)]
    scales = np.array([box_width / wide, box_height / tall], np.float32)
    return _Panel(box, float(scales.mean()), -scales * np.array([left, top], np.float32)), boxes


def _chosen(result: LiftedTracks, start: int | None, stop: int | None, stride: int) -> slice:
    """Every `stride`-th frame from number `start` on, before number `stop`."""
    numbers = video_frames(result, 0)
    first, last = (int(numbers[0]), int(numbers[-1])) if len(numbers) else (0, -1)
    begin, end = (first if start is None else start), (last + 1 if stop is None else stop)
    low, high = np.searchsorted(numbers, np.clip([begin, end], first, last + 1).astype(np.int64))
    if low >= high:
        raise InputError(
            f"start and stop must leave a frame of the result's {first:,} … {last:,}, got {begin:,} and {end:,}"
        )
    return slice(int(low), int(high), stride)


def _rate(result: LiftedTracks, fps: float | None, ending: str) -> tuple[int, float]:
    """The stride over the result's frames, and the movie's frames per second."""
    if fps is not None:
        return 1, fps
    recorded = rate_of(result) or 30.0
    stride = int(np.ceil(recorded / RATES[ending] - 1e-6))
    return stride, recorded / stride


def _checked_size(size: tuple[int, int], ending: str) -> tuple[int, int]:
    width, height = size
    if not (_SMALLEST <= width <= _LARGEST and 90 <= height <= _LARGEST):
        raise InputError(
            f"size must be from {_SMALLEST} × 90 to {_LARGEST} × {_LARGEST} pixels, got {width} × {height}"
        )
    if ending == ".mp4" and (width % 2 or height % 2):
        raise InputError(f"size must be even in both directions for .mp4, got {width} × {height}")
    return width, height


def _check_numbers(views: int, turn: float, trail: float, fps: float | None, ending: str, theme: str) -> None:
    if views not in (1, 2):
        raise InputError(f"views must be 1 or 2, got {views}")
    if not abs(turn) <= 3600:
        raise InputError(f"turn must be within ±3600 degrees per second, got {turn:g}")
    if not 0 <= trail <= 3600:
        raise InputError(f"trail must be from 0 to 3600 seconds, got {trail:g}")
    if fps is not None and not 0.1 <= fps <= 1000:
        raise InputError(f"fps must be from 0.1 to 1000 frames per second, got {fps:g}")
    if fps is not None and ending == ".gif" and fps > _GIF_RATE:
        raise InputError(f"fps must be at most {_GIF_RATE:g} for .gif, got {fps:g}")
    if theme not in THEMES:
        raise InputError(f"theme must be {' or '.join(THEMES)}, got {theme!r}")


def _text_size(unit: float) -> int:
    return max(9, round(17 * unit))
