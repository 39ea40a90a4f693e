"""The video of a viewer page: a copy of the drawn frames that every browser plays; its frame i is drawn frame i."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from olift_fast.atomic import atomic_path, writing
from olift_fast.errors import InputError
from olift_fast.tracks.rates import rate_of
from olift_fast.view.video import Video, open_video, page_video_writer, read_pictures, require_video
from olift_fast.view.video_frames import check_offset, video_frames

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

EMBEDDED = 12_000_000
"""A video of at most so many bytes is put into the page; a larger one is written beside it."""
_WIDEST = 960
_NO_PICTURE = (34, 26, 21)


@dataclass(frozen=True)
class PageVideo:
    """The video of a page.

    Args:
        info: facts for the page's script.
        data: the bytes, if the video is in the page.
        beside: the file, if the video is beside the page.
        notes: what the user should know, a line each.
    """

    info: dict[str, Any]
    data: bytes | None
    beside: Path | None
    notes: tuple[str, ...]


@contextmanager
def page_video(
    result: LiftedTracks,
    page: Path,
    path: Path,
    offset: int | None,
    stride: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[PageVideo]:
    """Copies the drawn frames of the video. The block writes the page; a file beside the page gets its name after it.

    Raises:
        InputError: the video can't be read or does not fit the result, or the copy can't be written.
        MissingExtraError: the extra `video` is needed.
    """
    require_video()
    video = open_video(path)
    notes = check_offset(result, video, offset)
    numbers = video_frames(result, offset or 0)[::stride]
    rate = (rate_of(result) or 30.0) / stride
    with tempfile.TemporaryDirectory(prefix="olift-") as folder:
        copy = Path(folder) / "copy.mp4"
        with writing(page):
            missing = _copy(video, numbers, rate, copy, progress)
        if missing:
            notes = (*notes, f"{missing:,} of {len(numbers):,} frames have no picture in the video")
        size = copy.stat().st_size
        # The size is the original's, because the page's coordinates are in its pixels.
        info = {"size": list(video.size), "rate": rate, "source": None}
        if size <= EMBEDDED:
            yield PageVideo(info, copy.read_bytes(), None, (*notes, f"the video is in the page ({size / 1e6:.1f} MB)"))
            return
        beside = page.with_name(f"{page.stem}.video.mp4")
        if beside.exists() and beside.samefile(path):
            raise InputError(f"{beside}: the page's copy of the video goes there, and it is the video itself")
        told = f"the video ({size / 1e6:.0f} MB) is in {beside}: keep it beside the page"
        with atomic_path(beside) as temporary:
            shutil.copyfile(copy, temporary)
            yield PageVideo(info | {"source": quote(beside.name)}, None, beside, (*notes, told))


def _copy(video: Video, numbers: Any, rate: float, path: Path, progress: Callable[[int, int], None] | None) -> int:
    """Write the pictures with these numbers; returns how many of them the video does not have."""
    width, height = video.size
    shrink = min(1.0, _WIDEST / width)
    size = max(2, 2 * round(shrink * width / 2)), max(2, 2 * round(shrink * height / 2))
    nothing = np.full((size[1], size[0], 3), _NO_PICTURE, np.uint8)
    missing = 0
    with page_video_writer(path, size, rate) as write:
        for done, picture in enumerate(read_pictures(video, numbers, size), start=1):
            missing += picture is None
            write(nothing if picture is None else picture)
            if progress is not None:
                progress(done, len(numbers))
    return missing
