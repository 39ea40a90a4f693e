"""One function for every file of 2D keypoints: tell the format by its content, parse, check."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from olift_fast.errors import InputError
from olift_fast.io import coco, datasets, deeplabcut, leap, mmpose, movement_bridge, npz, openpose, sleap
from olift_fast.io.fields import load_json
from olift_fast.io.parsed import UNUSABLE, Parsed, refuse_3d, settle
from olift_fast.io.table import Table, read_text, split_table
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton


class Format(NamedTuple):
    """A format that `read_keypoints` knows: its name, usual file name endings, and the extra that it needs."""

    name: str
    extensions: tuple[str, ...]
    extra: str | None
    description: str


def formats() -> tuple[Format, ...]:
    """The formats that `read_keypoints` knows."""
    return tuple(_FORMATS)


def read_keypoints(
    source: Any,
    format: str | None = None,
    *,
    fps: float | None = None,
    skeleton: Skeleton | None = None,
    allow_pickle: bool = False,
) -> KeypointTracks:
    """The 2D keypoints of a file, a folder, an array or a data set as tracks (N, T, J, 2) in pixels.

    NaN, confidence 0 and what a format writes for "not there" become hidden: keypoint NaN, confidence 0. Frame numbers
    that a video's file skips become frames in which everything is hidden.

    Args:
        source: a path; an array (T, J, 2|3) or (N, T, J, 2|3), confidence third; or movement's xarray.Dataset.
        format: a name of `formats()`; None tells it by the content, not by the file's name.
        fps: frames a second; goes before the file's own.
        skeleton: joint names, edges and sides; matched by name, or in order where the file has no names.
        allow_pickle: open pickled Python objects, which can run any code, in Human3.6M-style npz files.

    Raises:
        InputError: one line with the file's name and the cause.
        MissingExtraError: the format needs an extra that is not installed.
    """
    if format is not None and format not in {known.name for known in _FORMATS}:
        raise InputError(f"unknown format {format!r}; known: {', '.join(known.name for known in _FORMATS)}")
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        name = str(path)
        load: Callable[[], Parsed] = lambda: _parse(path, format, allow_pickle)  # noqa: E731
    elif hasattr(source, "data_vars"):
        name, load = "dataset", lambda: movement_bridge.from_dataset(source)
    else:
        name, load = "array", lambda: npz.from_array(source)
    try:
        return settle(load(), name, fps, skeleton)
    except InputError as error:
        raise _named(name, str(error)) from error
    except OSError as error:
        raise _named(name, error.strerror or str(error)) from error
    except UNUSABLE as error:
        # A reader met something that the format does not have; the parsers trust their input up to here.
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _named(name, f"not a usable {format or 'keypoint'} file: {what}") from error


def _named(name: str, message: str) -> InputError:
    message = " ".join(message.split())
    return InputError(message if message.startswith(f"{name}: ") else f"{name}: {message}")


def _parse(path: Path, format: str | None, allow_pickle: bool) -> Parsed:
    if not path.exists():
        raise InputError("no such file or folder")
    if path.is_dir():
        if format not in (None, "openpose"):
            raise InputError(f"is a folder, wanted a {format} file")
        return openpose.read_openpose_folder(path)
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise InputError("is empty")
    if head.startswith(b"PK") or head.startswith(b"\x93NUMPY"):
        return _parse_numpy(path, format, allow_pickle)
    if head.startswith(_HDF5) or head[512:].startswith(_HDF5):
        return _parse_hdf5(path, format)
    if head.startswith(b"MATLAB 5.0"):
        return leap.read_leap(_expected(path, format, "leap"))
    if head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05")):
        return movement_bridge.read_netcdf(_expected(path, format, "netcdf"))
    text = read_text(path)
    if not text.strip():
        raise InputError("is empty")
    if text.lstrip()[0] in "{[":
        return _parse_json(load_json(text), format)
    return _parse_table(text, format)


_HDF5 = b"\x89HDF\r\n\x1a\n"


def _parse_numpy(path: Path, format: str | None, allow_pickle: bool) -> Parsed:
    opened = npz.open_npz(path, allow_pickle)
    if isinstance(opened, np.ndarray):
        return replace(npz.from_array(opened), format=_expected("npy", format, "npy"))
    with opened:
        if "positions_2d" in opened and format in (None, "human36m"):
            return npz.read_human36m(opened, allow_pickle)
        return npz.read_npz(_expected(opened, format, "npz"))


def _parse_hdf5(path: Path, format: str | None) -> Parsed:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"not a readable HDF5 file (cut short?): {error}") from error
    with file:
        kind = _hdf5_kind(file)
        if kind is None:
            keys = ", ".join(file) or "nothing"
            raise InputError(f"an HDF5 file of no known format, holding {keys}; known: DeepLabCut, SLEAP, NWB, netCDF")
        if kind in _HDF5_READERS:
            return _HDF5_READERS[kind](_expected(file, format, kind))
    return _HDF5_FILE_READERS[kind](_expected(path, format, kind))


def _hdf5_kind(file: h5py.File) -> str | None:
    if "tracks" in file and "node_names" in file:
        return "sleap-analysis"
    if {"metadata", "frames", "instances", "pred_points"} <= set(file):
        return "sleap-labels"
    if "positions" in file and "skeleton" in file:
        return "leap"
    if "nwb_version" in file.attrs:
        return "nwb"
    if any("pandas_type" in group.attrs for group in file.values()):
        return "deeplabcut-h5"
    if "position" in file and ("_NCProperties" in file.attrs or "ds_type" in file.attrs or "space" in file):
        return "netcdf"
    return None


def _parse_json(content: Any, format: str | None) -> Parsed:
    kind = format or _json_kind(content)
    if kind not in _JSON_READERS:
        raise InputError(f"a JSON file, not {kind}")
    return _JSON_READERS[kind](content)


def _json_kind(content: Any) -> str:
    if isinstance(content, Mapping):
        keys = set(content)
        for wanted, kind in (
            ({"instance_info"}, "mmpose"),
            ({"annotations", "images", "categories"}, "coco"),
            ({"people"}, "openpose"),
            ({"points", "connections"}, "animalsyn3d"),
            ({"skeletons", "nodes", "labels"}, "sleap-json"),
        ):
            if wanted <= keys:
                return kind
        raise InputError(f"a JSON object of no known format, with keys {_shown(keys)}")
    if not content:
        raise InputError("holds no tracks: the list is empty")
    keys = set(content[0]) if isinstance(content, list) and isinstance(content[0], Mapping) else set()
    if "instances" in keys or {"keypoints", "keypoint_scores"} <= keys:
        return "mmpose"
    if {"image_id", "keypoints"} <= keys:
        return "alphapose" if "idx" in keys or isinstance(content[0]["image_id"], str) else "coco-results"
    if {"joints", "visibility"} <= keys:
        return "badja"
    if {"annotations", "filename"} <= keys:
        return "alphatracker"
    raise InputError(f"a JSON list of no known format, its items have keys {_shown(keys)}")


def _parse_table(text: str, format: str | None) -> Parsed:
    table = split_table(text)
    kind = format or _table_kind(table)
    if kind not in _TABLE_READERS:
        raise InputError(f"a text table, not {kind}")
    return _TABLE_READERS[kind](table)


def _table_kind(table: Table) -> str:
    header = table.rows(0, 1)[0]
    if {"track", "frame_idx"} <= set(header):
        return "sleap-csv"
    if deeplabcut.is_deeplabcut(table):
        return "deeplabcut"
    axes = {re.split(r"[_.]", cell.casefold())[-1] for cell in header}
    if {"x", "y", "z"} <= axes:
        raise refuse_3d()
    raise InputError(
        "no header row of a known format: wanted DeepLabCut's scorer, [individuals,] bodyparts, coords or SLEAP's "
        f"track,frame_idx,…; the first line is {table.lines[0]!r:.60}"
    )


def _expected(value: Any, format: str | None, kind: str) -> Any:
    """`value`, unless another format was asked for."""
    if format not in (None, kind):
        raise InputError(f"a {kind} file, not {format}")
    return value


def _shown(keys: set[Any]) -> str:
    names = sorted(map(str, keys))
    return (", ".join(names[:6]) + (", …" if len(names) > 6 else ""))[:120] or "none"


_HDF5_READERS: dict[str, Callable[[h5py.File], Parsed]] = {
    "sleap-analysis": sleap.read_sleap_analysis,
    "sleap-labels": sleap.read_sleap_labels,
    "leap": leap.read_leap_h5,
}
_HDF5_FILE_READERS: dict[str, Callable[[Path], Parsed]] = {
    "deeplabcut-h5": movement_bridge.read_deeplabcut_h5,
    "nwb": movement_bridge.read_nwb,
    "netcdf": movement_bridge.read_netcdf,
}
_JSON_READERS: dict[str, Callable[[Any], Parsed]] = {
    "alphapose": coco.read_alphapose,
    "alphatracker": datasets.read_alphatracker,
    "animalsyn3d": datasets.read_animalsyn3d,
    "badja": datasets.read_badja,
    "coco": coco.read_coco,
    "coco-results": coco.read_coco_results,
    "mmpose": mmpose.read_mmpose,
    "openpose": openpose.read_openpose_frame,
    "sleap-json": sleap.read_sleap_json,
}
_TABLE_READERS: dict[str, Callable[[Table], Parsed]] = {
    "deeplabcut": deeplabcut.read_deeplabcut,
    "sleap-csv": sleap.read_sleap_csv,
}
_FORMATS = [
    Format("deeplabcut", (".csv",), None, "DeepLabCut and Lightning Pose tables"),
    Format("deeplabcut-h5", (".h5",), "io", "DeepLabCut's pandas tables"),
    Format("sleap-analysis", (".analysis.h5", ".h5"), None, "SLEAP analysis files"),
    Format("sleap-csv", (".analysis.csv", ".csv"), None, "SLEAP analysis tables"),
    Format("sleap-labels", (".slp",), None, "SLEAP projects"),
    Format("sleap-json", (".json",), None, "SLEAP projects in JSON"),
    Format("leap", (".mat",), "io", "LEAP labels; MATLAB 7.3 files need no extra"),
    Format("coco", (".json",), None, "COCO and AP-10K annotations"),
    Format("coco-results", (".json",), None, "COCO lists of results"),
    Format("mmpose", (".json",), None, "MMPose predictions"),
    Format("openpose", (".json", "folder"), None, "OpenPose, one JSON for each frame"),
    Format("alphapose", (".json",), None, "AlphaPose results"),
    Format("alphatracker", (".json",), None, "AlphaTracker labels"),
    Format("animalsyn3d", (".json",), None, "AnimalSyn3D animations"),
    Format("badja", (".json",), None, "BADJA annotations"),
    Format("npz", (".npz",), None, "our own keypoints"),
    Format("npy", (".npy",), None, "a bare NumPy array"),
    Format("human36m", (".npz",), None, "Human3.6M-style dictionaries of VideoPose3D (pickled)"),
    Format("nwb", (".nwb",), "io", "NWB with ndx-pose"),
    Format("netcdf", (".nc",), "io", "movement's data sets"),
]
