"""`olift view`: draw a lifted result as one page for any browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from olift_fast.cli.checks import check_lifted, check_offset_of_video, check_page
from olift_fast.cli.console import open_page, progress_bar, reported, say, tell
from olift_fast.cli.options import Debug, VideoFile, VideoOffset
from olift_fast.errors import by_options


@reported
def view(
    result: Annotated[
        Path, typer.Argument(help="A result of `olift lift` (.npz).", show_default=False, readable=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The page; RESULT.html by default.", show_default=False, readable=False),
    ] = None,
    max_frames: Annotated[int, typer.Option(help="Draw at most this many frames, evenly spaced.")] = 600,
    title: Annotated[str | None, typer.Option(help="Heading; by default the input's name.", show_default=False)] = None,
    video: VideoFile = None,
    offset: VideoOffset = None,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    debug: Debug = False,
) -> None:
    """Draw a lifted result as a page: the 2D input beside the 3D skeleton, to play, scrub and turn.

    The page is one file and needs no network. A video plays below the keypoints, in step with the 3D.

    [bold]Examples[/bold]
      olift view mouse_DLC.lifted.npz
      olift view mouse_DLC.lifted.npz --video mouse.mp4
      olift view mouse_DLC.lifted.npz -o mouse.html --no-open
    """
    from olift_fast.atomic import writing
    from olift_fast.io import read_lifted
    from olift_fast.view.html import write_page

    check_offset_of_video(offset, video)
    check_lifted(result)
    page = out or result.with_suffix(".html")
    check_page(page, result)
    lifted = read_lifted(result)
    with (
        writing(page),
        by_options("max_frames", "offset"),
        progress_bar("copying the video", quiet=video is None) as progress,
    ):
        drawn = write_page(
            lifted, page, max_frames=max_frames, title=title, video=video, offset=offset, progress=progress
        )
    for note in drawn.notes:
        tell(note)
    say(f"drawn: {page}")
    if open_:
        open_page(page)
