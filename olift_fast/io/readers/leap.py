"""LEAP's labels in a MATLAB file. Version 7.3 is HDF5 and needs no extra; older files need SciPy (the extra `io`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.extra import quiet, require
from olift_fast.io.format import Format
from olift_fast.io.hdf5 import array, read_in_child
from olift_fast.io.open_container import HDF5, MATLAB
from olift_fast.io.parsed import Parsed

_MATLAB_5 = "reading MATLAB 5 .mat files"


def read_leap(content: h5py.File | Path) -> Parsed:
    """Labels of a MATLAB file: positions (J, 2, T), NaN where not labeled; skeleton.nodes and .edges (1-based).

    Raises:
        InputError: no positions, or another shape.
        MissingExtraError: the file's version is before 7.3, and SciPy is not installed.
    """
    if isinstance(content, Path):
        require("scipy.io", _MATLAB_5)
        return read_in_child("MATLAB", _read_matlab5, content)
    return _read_hdf5(content)


def _read_matlab5(path: Path) -> Parsed:
    loadmat = require("scipy.io", _MATLAB_5).loadmat
    try:
        with quiet():
            content = loadmat(path, simplify_cells=True, variable_names=["positions", "skeleton"])
    except MemoryError:
        raise
    except Exception as error:
        # For a damaged file, SciPy may raise any kind of error.
        raise InputError(f"not a readable MATLAB file (cut short?): {error}") from error
    if "positions" not in content:
        raise InputError("a MATLAB file without the labels' 'positions'")
    skeleton = content.get("skeleton")
    named = isinstance(skeleton, dict) and "nodes" in skeleton and "edges" in skeleton
    nodes = [str(node) for node in np.atleast_1d(skeleton["nodes"])] if named else None
    edges = np.atleast_2d(skeleton["edges"]).astype(int) if named else np.zeros((0, 2), int)
    return _parsed(np.asarray(content["positions"]), nodes, edges)


def _read_hdf5(file: h5py.File) -> Parsed:
    """The same labels in a file of version 7.3: HDF5, with the dimensions of its arrays in reverse order."""
    skeleton = file.get("skeleton")
    nodes, edges = None, np.zeros((0, 2), int)
    if isinstance(skeleton, h5py.Group) and "nodes" in skeleton:
        nodes = [_string(file, reference) for reference in array(skeleton, "nodes").ravel()]
        if "edges" in skeleton:
            edges = array(skeleton, "edges").T.astype(int)
    return _parsed(array(file, "positions").T, nodes, edges)


def _parsed(positions: Any, nodes: list[str] | None, edges: Any) -> Parsed:
    if positions.ndim == 2:
        positions = positions[..., None]
    if positions.ndim != 3 or positions.shape[1] != 2:
        raise InputError(f"positions must be (joints, 2, frames), got {positions.shape}")
    bones = (edges.reshape(-1, 2) - 1).tolist()
    return Parsed(positions.transpose(2, 0, 1)[None], None, nodes, bones)


def _string(file: h5py.File, reference: Any) -> str:
    """The text that a cell of a MATLAB cell array refers to. It is stored as the codes of its letters."""
    return "".join(chr(int(code)) for code in array(file, file[reference].name).ravel())


FORMAT = Format(
    name="leap",
    extensions=(".mat",),
    example="labels.mat",
    extra="io",
    description="LEAP labels; MATLAB 7.3 files (HDF5) need no extra",
    containers=(HDF5, MATLAB),
    matches=lambda content: isinstance(content, Path) or ("positions" in content and "skeleton" in content),
    read=read_leap,
    recognized_by="MATLAB file with `positions`, `skeleton`",
    takes="labels, names, edges",
)
