"""An HTML page in one file that plays a lifted clip, 2D input beside the 3D skeleton, without a network."""

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
"""Parts of one script, in order; all names are shared."""


@dataclass(frozen=True)
class Page:
    """A page that was written.

    Args:
        path: the page.
        video: the video file beside it, if there is one.
        notes: what the user should know, a line each.
    """

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

    Coordinates are stored in 16 bits (an error of at most 1/130,000 of the clip's extent), and plotly.js is packed into
    the page. A page of one animal and 600 frames takes about 2 MB. If the result has uncertainties, a button draws them
    as a bar through each joint, of one standard deviation of its depth to each side.

    The video below the keypoints is a copy of the drawn frames, at most 960 pixels wide, in H.264. Up to 12 MB of video
    are in the page. A larger video is written beside the page as `NAME.video.mp4`, and the page refers to that name.

    Args:
        result: joints `(N, T, J, 3)` and the keypoints `(N, T, J, 2)` that they were lifted from.
        path: the page to write; an old page is replaced only by a complete new one.
        max_frames: draw at most this many frames, evenly spaced; the page says if it leaves frames out.
        title: heading of the page; by default the name of the source file.
        video: the video that the keypoints come from (extra `video`).
        offset: as for `olift_fast.view.render.render`.

    Returns:
        the path of the page.

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
    """As `write_html`, but returns more. `progress` is called with the number of copied video frames, and of all."""
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
    """Raise MissingExtraError unless plotly is installed. Call it before long work whose result will be drawn."""
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
    """The page without a result: with its style, its scripts and plotly.

    `{{title}}`, `{{info}}`, `{{blob}}` and `{{video}}` are left to be filled in.

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
    """The page with each `{{name}}` replaced by the part of that name, if there is one."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts.get(match[1], match[0]), page)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _packed(data: bytes) -> str:
    # mtime=0, so that the same result gives the same page, byte for byte.
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode("ascii")
