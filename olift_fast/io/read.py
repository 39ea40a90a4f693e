"""Reads any file of 2D keypoints: opens it, recognizes the format by the content, reads and checks it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import InputError, PickledError
from olift_fast.io.format import Format
from olift_fast.io.hdf5 import read_safely
from olift_fast.io.open_container import JSON, Opened, open_container
from olift_fast.io.parsed import UNUSABLE, Parsed, one_line, settle, skeleton_of
from olift_fast.io.project import project_skeleton, skeleton_of_config
from olift_fast.io.readers import FORMATS, movement, npz
from olift_fast.io.skeleton_files import skeleton_of_object
from olift_fast.odd_files import as_file
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import load_skeleton, rig_names
from olift_fast.tracks.skeleton import Skeleton


def formats() -> tuple[Format, ...]:
    """The formats that `read_keypoints` knows."""
    return FORMATS


# Values beyond float32 become infinite and are hidden, without NumPy's warning.
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
    """Read 2D keypoints from a file, a folder, an array or a data set, as tracks (N, T, J, 2) in pixels.

    A keypoint that is missing in the file (NaN, confidence 0, or the format's own mark) is hidden in the result: NaN
    with confidence 0. Frame numbers that the file of a video skips become frames in which all keypoints are hidden.

    Args:
        source: a path; an array (T, J, 2) or (N, T, J, 2), or with the confidence (T, J, 3) or (N, T, J, 3); or an
            xarray.Dataset of movement.
        format: a name from `formats()`; by default recognized by the content, not by the file's name.
        fps: frames a second; overrides the file's own.
        skeleton: joint names, edges and sides; matched by name, or in order if the file has no names.
        image_size: width and height of the picture in pixels; overrides the file's own. Coordinates that are given as
            shares of the picture's width and height are scaled by it.
        allow_pickle: open pickled Python objects, which can run any code, in NumPy files of VideoPose3D and CalMS21.

    Raises:
        InputError: the source can't be read; the message is one line with the file's name and the cause.
        MissingExtraError: the format needs an extra that is not installed.
    """
    if format is not None and format not in {known.name for known in FORMATS}:
        raise InputError(f"unknown format {format!r}; known: {', '.join(known.name for known in FORMATS)}")
    load: Callable[[], tuple[Parsed, str]]
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        name, load = str(path), lambda: _read_file(path, format, allow_pickle, in_project=skeleton is None)
    elif hasattr(source, "data_vars"):
        name, load = "dataset", lambda: (movement.from_dataset(source), "movement")
    else:
        name, load = "array", lambda: (npz.from_array(source), "array")
    with _naming(name, format):
        parsed, found = load()
        return settle(parsed, found, name, fps, skeleton, image_size)


def read_skeleton(path_or_name: str | Path) -> Skeleton:
    """Read a skeleton by a rig's name or from a file.

    Files are: a JSON file (`Skeleton.from_json`, or one of SLEAP or COCO); the ``config.yaml`` of a DeepLabCut or
    Lightning Pose project, or SLEAP's skeleton in YAML; and any keypoint file with joint names, such as SLEAP's .slp,
    NWB and COCO files.

    Raises:
        InputError: there is no such rig or file, or the file has no joint names.
        MissingExtraError: the format of the file needs an extra that is not installed.
    """
    path = Path(path_or_name)
    if str(path_or_name) in rig_names() or not path.exists():
        return load_skeleton(path_or_name)
    with _naming(str(path), None), as_file(path) as file:
        if path.suffix.lower() in (".yaml", ".yml"):
            return skeleton_of_config(file)
        parsed = read_safely(_read_skeleton, file)
        if isinstance(parsed, Skeleton):
            return parsed
        if parsed.names is None and parsed.rig_name is None:
            raise InputError("a keypoint file without joint names, wanted a skeleton")
        return skeleton_of(parsed)


def _read_skeleton(path: Path) -> Skeleton | Parsed:
    """The skeleton of a skeleton file, or the content of a keypoint file."""
    with open_container(path, allow_pickle=False) as opened:
        if isinstance(opened.content, Mapping) and opened.container is JSON and "names" in opened.content:
            return Skeleton.from_json(opened.content)
        if opened.container is JSON and (skeleton := skeleton_of_object(opened.content)) is not None:
            return skeleton
        return _choose(opened, None).read(opened.content)


@contextmanager
def _naming(name: str, format: str | None) -> Iterator[None]:
    """Turns errors within into those of `read_keypoints`, with the source's name at the beginning."""
    try:
        yield
    except PickledError as error:
        raise PickledError(f"{name}: {error.what}") from error
    except InputError as error:
        raise _named(name, str(error)) from error
    except OSError as error:
        raise _named(name, error.strerror or str(error)) from error
    except UNUSABLE as error:
        # Readers don't check everything that they take from a file: other errors are handled here.
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _named(name, f"not a usable {format or 'keypoint'} file: {what}") from error


def _read_file(path: Path, format: str | None, allow_pickle: bool, in_project: bool) -> tuple[Parsed, str]:
    """The content of a file or folder, and the name of its format.

    Args:
        in_project: take edges that the file lacks from the DeepLabCut project that it is in.
    """
    with as_file(path) as file:
        parsed, chosen = read_safely(_read_opened, file, format, allow_pickle)
    if in_project and chosen in ("deeplabcut", "deeplabcut-h5") and not skeleton_of(parsed).edges:
        found = project_skeleton(path, parsed.names or ())
        if found is not None:
            skeleton, config = found
            note = f"edges are those of the DeepLabCut project: {config}"
            parsed = replace(parsed, edges=skeleton.edges, notes=(*parsed.notes, note))
    return parsed, chosen


def _read_opened(path: Path, format: str | None, allow_pickle: bool) -> tuple[Parsed, str]:
    with open_container(path, allow_pickle) as opened:
        chosen = _choose(opened, format)
        return chosen.read(opened.content), chosen.name


def _choose(opened: Opened, asked: str | None) -> Format:
    """The format of an opened file: `asked`, a format's name, if it fits the file, or the first that matches.

    Raises:
        InputError: the file has no known format, or not the one asked for.
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
