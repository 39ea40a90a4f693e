"""One self-contained HTML page that plays a lifted clip: 2D input beside the 3D skeleton, no network needed."""

from __future__ import annotations

import base64
import gzip
import html
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from olift_fast.atomic import replacement
from olift_fast.errors import InputError, MissingExtraError, printable
from olift_fast.view.packing import pack
from olift_fast.view.page_video import PageVideo, page_video

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

_SCRIPTS = ("data.js", "drawing.js", "plots.js", "side_view.js", "video.js", "joints.js", "controls.js", "main.js")
"""Parts of one script, which share their names."""


@dataclass(frozen=True)
class Page:
    """What was written: the page, the video file beside it where there is one, and what a user should know."""

    path: Path
    video: Path | None = None
    notes: tuple[str, ...] = ()


def write_html(
    result: LiftedTracks,
    path: str | Path,
    *,
    max_frames: int = 600,
    title: str | None = None,
    video: str | Path | None = None,
    offset: int | None = None,
) -> Path:
    """Write a page that plays `result` in any browser of 2023 or later, offline: 2D input left, 3D skeleton right.

    Coordinates are stored in 16 bits (an error of at most 1/130,000 of the clip's extent), plotly.js is packed into the
    page, and a page of one animal and 600 frames takes about 2 MB. A button draws the uncertainty, where the result has
    it: through each joint a bar from one standard deviation of its depth before it to one behind it.

    The video below the keypoints is a copy of the frames that are drawn, at most 960 pixels wide, in H.264. Up to 12 MB
    of it are in the page; a larger one is written beside it, as `NAME.video.mp4`, and the page refers to that name.

    Args:
        result: joints `(N, T, J, 3)` and the keypoints `(N, T, J, 2)` that they were lifted from.
        path: the page to write; it is replaced only once the new one is complete.
        max_frames: draw at most this many frames, evenly spaced; the page says so when it leaves some out.
        title: heading of the page; by default the name of the source file.
        video: what the keypoints come from (extra `video`).
        offset: as for `olift_fast.view.render.render`.

    Returns:
        the path written.

    Raises:
        MissingExtraError: plotly is not installed, or, for a video, the extra `video`.
        InputError: `max_frames` is below 1, or the video can't be read or does not fit.
        OSError: the page cannot be written; nothing is left behind.
    """
    return write_page(result, path, max_frames=max_frames, title=title, video=video, offset=offset).path


def write_page(
    result: LiftedTracks,
    path: str | Path,
    *,
    max_frames: int = 600,
    title: str | None = None,
    video: str | Path | None = None,
    offset: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Page:
    """As `write_html`, but tells more of what was written; `progress` is called with the pictures that are copied."""
    if max_frames < 1:
        raise InputError(f"max_frames must be >= 1, got {max_frames}")
    require_plotly()

    path = Path(path)
    stride = -(-result.joints.shape[1] // max_frames)
    if video is None:
        _write(result, path, stride, title, None)
        return Page(path)
    with page_video(result, path, Path(video), offset, stride, progress) as copy:
        _write(result, path, stride, title, copy)
    return Page(path, copy.beside, copy.notes)


def require_plotly() -> None:
    """Raise MissingExtraError unless plotly is installed. Call it before the work whose result is to be drawn."""
    if importlib.util.find_spec("plotly") is None:
        raise MissingExtraError(what="drawing the viewer page", extra="view")


def _write(result: LiftedTracks, path: Path, stride: int, title: str | None, video: PageVideo | None) -> None:
    source = Path(result.source).name if result.source else "keypoints"
    info, blob = pack(result, stride)
    info |= {
        "title": title or source,
        "model": f"{result.model} {result.version}".strip(),
        "skeleton": result.skeleton.name,
        "frame": result.frame,
        "axes": result.axes,
        "units": result.units,
        "camera": result.camera,
        "video": video and video.info,
    }
    parts = {
        "title": html.escape(printable(info["title"])),
        "info": json.dumps(info, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "blob": _packed(blob),
        "video": base64.b64encode(video.data).decode("ascii") if video and video.data else "",
    }
    page = _filled(page_template(), parts)
    with replacement(path) as temporary:
        temporary.write_bytes(page.encode())


def page_template() -> str:
    """The page without a result: its style, its scripts and plotly are in place, and `{{title}}`, `{{info}}`,
    `{{blob}}` and `{{video}}` are left to be filled in.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    require_plotly()
    from plotly.offline import get_plotlyjs

    parts = {
        "style": _asset("page.css"),
        "plotly": _packed(get_plotlyjs().encode()),
        "script": "\n".join(map(_asset, _SCRIPTS)),
    }
    return _filled(_asset("page.html"), parts)


def _filled(page: str, parts: Mapping[str, str]) -> str:
    """The page with these parts in their places; other places stay as they are."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts.get(match[1], match[0]), page)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _packed(data: bytes) -> str:
    # mtime 0: the same result gives the same page, byte for byte.
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
