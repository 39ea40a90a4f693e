"""One function for every file of 2D keypoints: open it, recognize the format by the content, read, check."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import InputError, PickledError
from olift_fast.io.format import Format
from olift_fast.io.open_container import Opened, open_container
from olift_fast.io.parsed import UNUSABLE, Parsed, one_line, settle
from olift_fast.io.readers import FORMATS, movement, npz
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton


def formats() -> tuple[Format, ...]:
    """The formats that `read_keypoints` knows."""
    return FORMATS


# What is beyond float32 becomes infinite, and is hidden: nothing to warn of.
@np.errstate(over="ignore", invalid="ignore")
def read_keypoints(
    source: Any,
    format: str | None = None,
    *,
    fps: float | None = None,
    skeleton: Skeleton | None = None,
    image_size: tuple[int, int] | None = None,
    allow_pickle: bool = False,
) -> KeypointTracks:
    """The 2D keypoints of a file, a folder, an array or a data set as tracks (N, T, J, 2) in pixels.

    A keypoint that is missing in the file (NaN, confidence 0, or however the format says it) is hidden in the result:
    NaN with confidence 0. Frame numbers that a video's file skips become frames in which everything is hidden.

    Args:
        source: a path; an array (T, J, 2|3) or (N, T, J, 2|3), confidence third; or movement's xarray.Dataset.
        format: a name of `formats()`; None recognizes it by the content, not by the file's name.
        fps: frames a second; overrides the file's own.
        skeleton: joint names, edges and sides; matched by name, or in order where the file has no names.
        image_size: width and height of the picture in pixels; overrides the file's own. Coordinates that are given as
            shares of the picture's width and height are scaled by it.
        allow_pickle: open pickled Python objects, which can run any code, in npz files of VideoPose3D.

    Raises:
        InputError: one line with the file's name and the cause.
        MissingExtraError: the format needs an extra that is not installed.
    """
    if format is not None and format not in {known.name for known in FORMATS}:
        raise InputError(f"unknown format {format!r}; known: {', '.join(known.name for known in FORMATS)}")
    load: Callable[[], tuple[Parsed, str]]
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        name, load = str(path), lambda: _read_file(path, format, allow_pickle)
    elif hasattr(source, "data_vars"):
        name, load = "dataset", lambda: (movement.from_dataset(source), "movement")
    else:
        name, load = "array", lambda: (npz.from_array(source), "array")
    try:
        parsed, found = load()
        return settle(parsed, found, name, fps, skeleton, image_size)
    except PickledError as error:
        raise PickledError(f"{name}: {error.what}") from error
    except InputError as error:
        raise _named(name, str(error)) from error
    except OSError as error:
        raise _named(name, error.strerror or str(error)) from error
    except UNUSABLE as error:
        # Readers don't check everything that they take from a file: what is missing or wrong there ends here.
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _named(name, f"not a usable {format or 'keypoint'} file: {what}") from error


def _read_file(path: Path, format: str | None, allow_pickle: bool) -> tuple[Parsed, str]:
    """The content of a file or folder, and the name of its format."""
    with open_container(path, allow_pickle) as opened:
        chosen = _choose(opened, format)
        return chosen.read(opened.content), chosen.name


def _choose(opened: Opened, asked: str | None) -> Format:
    """The format to read an opened file with: `asked`, a format's name, where that can be, or the first that matches.

    Raises:
        InputError: the file is of no known format, or not of the one that is asked for.
    """
    container, content = opened
    candidates = [known for known in FORMATS if container in known.containers]
    wanted = next((known for known in candidates if known.name == asked), None)
    if asked is not None and container.wrong_format is not None:
        if wanted is None:
            raise InputError(container.wrong_format.format(asked))
        return wanted
    if wanted is not None and wanted.matches(content):
        return wanted
    found = next((known for known in candidates if known.matches(content)), None)
    if found is None:
        assert container.unknown is not None
        raise container.unknown(content, [known.hint for known in candidates if known.hint])
    if asked is not None:
        raise InputError(f"a {found.name} file, not {asked}")
    return found


def _named(name: str, message: str) -> InputError:
    message = one_line(message)
    return InputError(message if message.startswith(f"{name}: ") else f"{name}: {message}")
