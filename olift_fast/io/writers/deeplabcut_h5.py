"""Writes DeepLabCut's pandas table in HDF5 by h5py alone; `pandas.read_hdf` opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.atomic import reserve
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks


def write_deeplabcut_h5(result: LiftedTracks, path: Path) -> None:
    """Writes the table of `write_csv`, with x, y, z for each joint, under the key ``df_with_missing``.

    The layout is the one that pandas calls "fixed": one array of values, and an array for each level of the labels.
    """
    reserve_space(result, path)
    labels = [
        (f"olift-fast {result.model} {result.version}", track, joint, axis)
        for track in result.tracks
        for joint in result.skeleton.names
        for axis in "xyz"
    ]
    levels = dict(zip(("scorer", "individuals", "bodyparts", "coords"), zip(*labels, strict=True), strict=True))
    if result.num_tracks == 1:
        del levels["individuals"]
    with h5py.File(path, "w") as file:
        _mark(file, "GROUP", "1.0", PYTABLES_FORMAT_VERSION=_text("2.1"))
        group = file.create_group("df_with_missing")
        _mark(
            group,
            *("GROUP", "1.0"),
            pandas_type=_text("frame"),
            encoding=_text("UTF-8"),
            errors=_text("strict"),
            ndim=np.int64(2),
            nblocks=np.int64(1),
            axis1_variety=_text("regular"),
        )
        for key in ("axis0", "block0_items"):
            group.attrs[f"{key}_variety"] = _text("multi")
            group.attrs[f"{key}_nlevels"] = np.int64(len(levels))
            for number, (name, texts) in enumerate(levels.items()):
                values = {text: code for code, text in enumerate(dict.fromkeys(texts))}
                level = np.array([text.encode("utf-8") for text in values])
                named = {"name": _text(name), f"{key}_name{name}": _text(name)}
                _write(group, f"{key}_level{number}", level, kind=_text("string"), nan_rep=h5py.Empty("S1"), **named)
                codes = np.array([values[text] for text in texts], _code_type(len(values)))
                _write(group, f"{key}_label{number}", codes)
        # "N." is the pickle of None: the index has no name.
        _write(group, "axis1", frame_numbers(result), kind=_text("integer"), name=np.bytes_("N."))
        _write(group, "block0_values", result.joints.transpose(1, 0, 2, 3).reshape(result.num_frames, -1))


def reserve_space(result: LiftedTracks, path: Path) -> None:
    """Checks that the disk has room for the result: the HDF5 libraries don't clean up when it is full.

    Raises:
        OSError: the disk has too little room.
    """
    with path.open("wb") as file:
        reserve(file, result.joints.nbytes * 3 + 2**20)
    path.unlink()


def _write(group: h5py.Group, node: str, values: Any, /, **attributes: Any) -> None:
    """Writes an array as PyTables does; `transposed` marks that pandas' first dimension is the last in the file."""
    group.create_dataset(node, data=np.ascontiguousarray(values))
    _mark(group[node], "ARRAY", "2.4", FLAVOR=_text("numpy"), transposed=np.uint8(1), **attributes)


def _mark(node: h5py.HLObject, class_: str, version: str, /, **attributes: Any) -> None:
    """Writes the attributes by which PyTables knows what a node is."""
    known = {"CLASS": _text(class_), "VERSION": _text(version), "TITLE": h5py.Empty("S1")}
    for name, value in {**known, **attributes}.items():
        node.attrs[name] = value


def _text(value: str) -> npt.NDArray[np.bytes_]:
    """A string in PyTables' form: of fixed length, and marked as UTF-8. Without the mark it would be read as bytes."""
    data = value.encode("utf-8")
    return np.array(data, h5py.string_dtype("utf-8", max(len(data), 1)))


def _code_type(levels: int) -> type[np.signedinteger[Any]]:
    """The type that pandas chooses for the codes of this many labels: the smallest that can count them."""
    return np.int8 if levels < 2**7 else np.int16 if levels < 2**15 else np.int32


OUTPUT = OutputFormat(
    name="h5",
    suffix=".h5",
    extra=None,
    description="DeepLabCut's pandas table with x, y, z; a level `individuals` for several tracks",
    holds="joints, float32 exactly; frame numbers",
    drops="confidence, fps, edges, uncertainty, units, how it was lifted",
    write=write_deeplabcut_h5,
)
