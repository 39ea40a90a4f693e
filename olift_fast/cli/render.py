"""`olift render`: a lifted result as a movie."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from olift_fast.cli.checks import check_lifted, check_offset_of_video, check_output
from olift_fast.cli.console import ordinal, progress_bar, reported, say, tell
from olift_fast.cli.options import Debug, VideoFile, VideoOffset
from olift_fast.errors import by_options, plural


class ThemeName(StrEnum):
    """The background."""

    dark = "dark"
    light = "light"


@reported
def render(
    result: Annotated[
        Path, typer.Argument(help="A result of `olift lift` (.npz).", show_default=False, readable=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The movie, .mp4 or .gif; RESULT.mp4 by default.", show_default=False, readable=False
        ),
    ] = None,
    video: VideoFile = None,
    offset: VideoOffset = None,
    start: Annotated[int | None, typer.Option(help="Number of the first frame to draw.", show_default=False)] = None,
    stop: Annotated[
        int | None, typer.Option(help="Number of the frame after the last one to draw.", show_default=False)
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames per second of the movie. All frames of the result are then drawn, so a low number is slow "
            "motion. By default it plays as fast as the animal moved.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Width and height in pixels; 1280 720 by default, .gif 640 360.",
            show_default=False,
            metavar="WIDTH HEIGHT",
        ),
    ] = None,
    views: Annotated[int, typer.Option(help="3D views: 1, or 2 at a right angle.")] = 2,
    turn: Annotated[float, typer.Option(help="Degrees per second by which the 3D views turn.")] = 24.0,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="The 3D camera follows the animals, or shows their whole path.")
    ] = True,
    trail: Annotated[float, typer.Option(help="Seconds of the path behind each animal.")] = 1.0,
    theme: Annotated[ThemeName, typer.Option(help="The background.")] = ThemeName.dark,
    debug: Debug = False,
) -> None:
    """Draw a lifted result as a movie: the keypoints over the video, beside the turning 3D skeletons.

    [bold]Examples[/bold]
      olift render mouse_DLC.lifted.npz --video mouse.mp4
      olift render mouse_DLC.lifted.npz -o mouse.gif --start 200 --stop 320
    """
    from olift_fast.io import read_lifted
    from olift_fast.view.render import check_ending, render
    from olift_fast.view.video import require_video

    check_offset_of_video(offset, video)
    check_lifted(result)
    movie = out or result.with_suffix(".mp4")
    check_ending(movie)
    require_video()
    check_output(movie, result)
    if video is not None:
        check_output(movie, video)
    lifted = read_lifted(result)
    with (
        by_options("offset", "start", "stop", "fps", "size", "views", "turn", "trail"),
        progress_bar(f"drawing {movie.name}") as progress,
    ):
        drawn = render(
            lifted, movie, video=video, offset=offset, start=start, stop=stop, fps=fps, size=size, views=views,
            turn=turn, follow=follow, trail=trail, theme=theme.value, progress=progress,
        )  # fmt: skip
    for note in drawn.notes:
        tell(note)
    width, height = drawn.size
    thinned = f", every {ordinal(drawn.stride)} frame drawn" if drawn.stride > 1 else ""
    say(f"drawn: {movie} ({plural(drawn.frames, 'frame')}, {width} × {height}, {drawn.fps:.4g} frames/s{thinned})")
